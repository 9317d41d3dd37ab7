/** A provider as the server makes it, called on its own, with an upstream that says what it is told. */
import { createProviders, loadAdapters } from '../../src/app/models.ts'
import { loadConfig } from '../../src/config/load.ts'
import { systemClock, Wheel } from '../../src/core/clock.ts'
import { systemIds } from '../../src/core/ids.ts'
import type { Provider, ProviderCall, ProviderEnd, Timeouts } from '../../src/core/ports/provider.ts'
import { type Bytes, toBytes, toText } from '../../src/core/record.ts'

export const SECRET = 'sk-secret-of-the-operator-0123456789'

export async function providerOf(model: Readonly<Record<string, unknown>>): Promise<Provider> {
  const { config } = loadConfig({ env: { KEY: SECRET }, flags: {}, found: [{ name: 'm', ...model }] })
  const deps = { clock: systemClock, ids: systemIds(), wheel: new Wheel(systemClock), gatherMs: () => 0 }
  const [, made] = createProviders(config, await loadAdapters(config), deps)
  return made.provider
}

export interface Outcome {
  readonly events: readonly string[]
  readonly document: string | null
  readonly usage: unknown
  readonly end: ProviderEnd
}

export const PATIENT: Timeouts = { ttftMs: 20_000, interTokenMs: 20_000, totalMs: 40_000 }

export function ask(
  provider: Provider,
  body: object,
  options: Partial<ProviderCall> & { readonly onEvents?: (run: { abort(): void }) => void } = {},
): Promise<Outcome> {
  const { onEvents, ...call } = options
  return new Promise((resolve, reject) => {
    const events: string[] = []
    let [document, usage]: [string | null, unknown] = [null, undefined]
    let ended = false
    const run = provider.start(
      {
        kind: 'chat',
        body: Buffer.from(JSON.stringify(body)),
        stream: true,
        requestId: 'req_1',
        timeouts: PATIENT,
        ...call,
      },
      {
        events(payloads) {
          events.push(...payloads.map(toText))
          onEvents?.(run)
        },
        document(bytes, reported) {
          document = toText(bytes)
          usage = reported
        },
        end(end) {
          if (ended) reject(new Error('it ended twice'))
          ended = true
          resolve({ events, document, usage, end })
        },
      },
    )
  })
}

/** A response with its length. `isBytes`: the body has a character for each byte. */
export function whole(status: string, type: string, body: string, headers = '', isBytes = false): Bytes {
  const bytes = isBytes ? (body as Bytes) : toBytes(body)
  return `HTTP/1.1 ${status}\r\ncontent-type: ${type}\r\n${headers}content-length: ${bytes.length}\r\n\r\n${bytes}`
}
