/** One answer of a provider, as its documentation prints it, to one request of OpenAI's dialect. */
export interface Fixture {
  /** Of the file with what is expected: `expected/NAME.json`. */
  readonly name: string
  readonly provider: string
  readonly request: Readonly<Record<string, unknown>>
  /** Of the upstream's response. */
  readonly body: string
  /** Its media type, where it is another than that of a stream or of a document. */
  readonly type?: string
  /** `body` has a character for each byte, and is no text. */
  readonly isBytes?: boolean
  readonly isDocument?: boolean
  readonly status?: number
  readonly headers?: string
  /** The provider limits us: a server waits, and gives no answer to read (test/front/fault-matrix.test.ts). */
  readonly isLimit?: boolean
  /** What the `openai` SDK makes of it that is another thing, at the vendor itself too. */
  readonly sdk?: { readonly text?: string; readonly usage?: null }
}

interface Typed {
  readonly type: string
  readonly [member: string]: unknown
}

/** Events with names, each that of its `type`. */
export const named = (events: readonly Typed[]): string =>
  events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join('')

/** Events with data alone. */
export const data = (...payloads: ReadonlyArray<object | string>): string =>
  payloads.map((each) => `data: ${typeof each === 'string' ? each : JSON.stringify(each)}\n\n`).join('')
