/** One HTTP call of the bench's own, over kept connections. */
import { Agent, request } from 'node:http'
import { KEY } from './targets.ts'

const agent = new Agent({ keepAlive: true, maxSockets: Infinity })

export function call(
  method: string,
  url: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<{ status: number; json: Record<string, unknown>; firstByteMs: number }> {
  return new Promise((resolve, reject) => {
    const startedAt = performance.now()
    const sent = request(
      url,
      { method, agent, headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json', ...headers } },
      (response) => {
        let text = ''
        let firstByteMs = 0
        response.setEncoding('utf8')
        response.on('data', (part: string) => {
          firstByteMs ||= performance.now() - startedAt
          text += part
        })
        response.on('end', () =>
          resolve({
            status: response.statusCode!,
            json: text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : {},
            firstByteMs,
          }),
        )
      },
    )
    sent.on('error', reject)
    sent.end(body === undefined ? undefined : JSON.stringify(body))
  })
}
