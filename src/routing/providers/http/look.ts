/** One page of a server, in bounded time and memory. No redirect is followed. */
import type { Clock } from '../../../core/clock.ts'
import type { Page } from '../../../core/ports/provider.ts'
import type { HttpClient } from './client.ts'

export interface LookBounds {
  readonly timeoutMs: number
  /** Of its text; 0: the status is enough. */
  readonly maxBytes: number
}

/** `headers`: lines, each ended by CRLF. Never rejects. */
export function look(
  client: HttpClient,
  clock: Clock,
  headers: string,
  path: string,
  { timeoutMs, maxBytes }: LookBounds,
): Promise<Page> {
  if (client.isClosed) return Promise.resolve({ failure: 'it was closed', isLocal: true })
  return new Promise((resolve) => {
    let status = 0
    let bytes = 0
    const parts: string[] = []
    const answer = (page: Page): void => {
      cancel()
      resolve(page)
    }
    const exchange = client.request(
      { method: 'GET', route: path, headers, body: null },
      {
        head(head) {
          status = head.status
          if (status === 200 && maxBytes > 0) return
          exchange.drain()
          answer({ status, text: '' })
        },
        body(text) {
          bytes += text.length
          if (bytes <= maxBytes) return void parts.push(text)
          exchange.abort()
          answer({ failure: `an answer of more than ${maxBytes} bytes` })
        },
        readDone() {},
        end: () => answer({ status, text: parts.join('') }),
        fail: ({ kind, detail }) => answer({ failure: `${kind} (${detail})`, isLocal: kind === 'local' }),
      },
    )
    const cancel = clock.after(timeoutMs, () => {
      exchange.abort()
      answer({ failure: `no answer within ${timeoutMs} ms` })
    })
  })
}
