/** One answer of a provider, as its documentation prints it, to one request of OpenAI's dialect. */
export interface Fixture {
  /** Of the file with what is expected: `expected/NAME.json`. */
  readonly name: string
  readonly provider: string
  readonly request: Readonly<Record<string, unknown>>
  /** Of the upstream's response. */
  readonly body: string
  readonly isDocument?: boolean
  readonly status?: number
  readonly headers?: string
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
