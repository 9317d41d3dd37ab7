/**
 * Calls of moderation services, by the client that calls providers: to the address of the settings, through their
 * proxy, and to no other, whatever the service answers.
 */
import type { Judged, Moderate } from '../admission/answer/moderating.ts'
import type { ModerationSettings } from '../admission/answer/part.ts'
import type { Config } from '../config/schema.ts'
import { isObject } from '../core/fold.ts'
import { type Bytes, toText } from '../core/record.ts'
import { Throttle } from '../observability/report.ts'
import { HttpClient } from '../routing/providers/http/client.ts'
import { bypassesProxy, parseBaseUrl, parseProxy } from '../routing/providers/http/origin.ts'
import type { Runtime } from './runtime.ts'

export interface Moderator {
  readonly ask: Moderate
  /** Calls under way fail. Safe to repeat. */
  close(): void
}

const CONNECT_TIMEOUT_MS = 5_000
const MAX_ANSWER_BYTES = 1 << 20

/** `proxy`: as it is in the settings whenever a service is called for the first time. */
export function createModerator(
  proxy: () => Config['proxy'],
  { clock, wheel, log }: Pick<Runtime, 'clock' | 'wheel' | 'log'>,
): Moderator {
  const clients = new Map<string, HttpClient>()
  const failures = new Throttle(clock)

  function clientOf(url: string): HttpClient {
    const known = clients.get(url)
    if (known !== undefined) return known
    const origin = parseBaseUrl(url)
    const { url: through, noProxy } = proxy()
    const address = through === null || typeof through === 'string' ? through : through.reveal()
    const client = new HttpClient({
      origin,
      proxy: address === null || bypassesProxy(origin, noProxy) ? null : parseProxy(address),
      ca: null,
      clock,
      wheel,
      gatherMs: () => 0,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      headers: [],
    })
    clients.set(url, client)
    return client
  }

  const ask = ({ url, key, model, timeout }: ModerationSettings, texts: readonly string[]): Promise<Judged> =>
    new Promise((resolve, reject) => {
      const body = Buffer.from(JSON.stringify({ input: texts, ...(model !== null && { model }) }), 'utf8')
      const authorization = key === null ? '' : `authorization: Bearer ${key.reveal()}\r\n`
      let status = 0
      let isReadable = false
      let text: Bytes = ''
      const fail = (reason: string): void => {
        cancel()
        const left = failures.pass()
        const line = { reason, ...(status !== 0 && { status }), ...left }
        if (left !== null) log.warn(line, 'a moderation service gave no verdict')
        reject(new Error('no verdict'))
      }
      let abort = (): void => {}
      const cancel = clock.after(timeout, () => {
        abort()
        fail('timeout')
      })
      const exchange = clientOf(url).request(
        {
          method: 'POST',
          route: '',
          headers: `content-type: application/json\r\naccept: application/json\r\n${authorization}`,
          body,
        },
        {
          head(head) {
            status = head.status
            isReadable = head.coding === undefined
          },
          body(piece) {
            text += piece
            if (text.length <= MAX_ANSWER_BYTES) return
            abort()
            fail('too_long')
          },
          readDone() {},
          end() {
            cancel()
            const judged = status === 200 && isReadable ? judgedBy(text) : null
            if (judged === null) fail(status === 200 ? 'garbage' : 'refused')
            else resolve(judged)
          },
          fail: ({ kind }) => fail(kind),
        },
      )
      abort = () => exchange.abort()
    })

  return {
    ask: async (settings, texts) => ask(settings, texts),
    close() {
      for (const client of clients.values()) client.close()
      clients.clear()
    },
  }
}

/** `{ results: [{ flagged, categories: { name: true } }] }`, one of each text; null: it is something else. */
function judgedBy(text: Bytes): Judged | null {
  let answer: unknown
  try {
    answer = JSON.parse(toText(text))
  } catch {
    return null
  }
  const results = isObject(answer) ? answer['results'] : null
  if (!Array.isArray(results) || results.length === 0) return null
  const found = new Set<string>()
  let flagged = false
  for (const result of results) {
    if (!isObject(result) || typeof result['flagged'] !== 'boolean') return null
    if (!result['flagged']) continue
    flagged = true
    const { categories } = result
    if (isObject(categories)) for (const name of Object.keys(categories)) if (categories[name] === true) found.add(name)
  }
  return { flagged, categories: [...found] }
}
