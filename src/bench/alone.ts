/**
 * What only Sluice does: acknowledging jobs, resuming, holding its loop free. An open-loop client in a process of its
 * own would be better still; this one runs on the tools' core.
 */
import { Agent, request } from 'node:http'
import { KEY, pause, type Running } from './targets.ts'

const agent = new Agent({ keepAlive: true, maxSockets: Infinity })

function call(
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

const quantile = (sorted: readonly number[], q: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]

/** Open loop: latency from the moment a submit was due. */
export async function submitLatency(
  { url }: Running,
  perSecond: number,
  seconds: number,
): Promise<{ readonly p50: number; readonly p99: number; readonly refused: number }> {
  const took: number[] = []
  let refused = 0
  const due: Promise<void>[] = []
  const startedAt = performance.now()
  for (let i = 0; i < perSecond * seconds; i++) {
    const at = startedAt + (i * 1000) / perSecond
    while (performance.now() < at) await pause(0)
    due.push(
      call('POST', `${url}/v1/jobs`, {
        request: { model: 'mock-n2', messages: [{ role: 'user', content: 'x' }] },
      }).then(({ status }) => {
        if (status !== 202) refused++
        else if (i > perSecond) took.push(performance.now() - at)
      }),
    )
  }
  await Promise.all(due)
  took.sort((a, b) => a - b)
  return { p50: quantile(took, 0.5), p99: quantile(took, 0.99), refused }
}

/** Many jobs in batches, to the end of the last: durable jobs a second, end to end. */
export async function jobsPerSecond({ url, adminUrl }: Running, jobs: number): Promise<number> {
  const batch = {
    jobs: Array.from({ length: 500 }, () => ({
      request: { model: 'mock-n1', messages: [{ role: 'user', content: 'x' }] },
    })),
  }
  const startedAt = performance.now()
  await Promise.all(Array.from({ length: jobs / 500 }, () => call('POST', `${url}/v1/jobs`, batch)))
  for (;;) {
    const { json } = await call('GET', `${adminUrl}/admin/stats`)
    if (
      (json['queued'] as number) +
        (json['leased'] as number) +
        (json['waiting'] as number) +
        (json['delayed'] as number) ===
      0
    )
      break
    await pause(20)
  }
  return jobs / ((performance.now() - startedAt) / 1000)
}

/** The first byte of a stream that is resumed with so many records behind, ms; the median of some tries. */
export async function resumeFirstByte({ url }: Running, records: number): Promise<number> {
  const { json } = await call('POST', `${url}/v1/jobs`, {
    request: { model: `mock-n${records}`, messages: [{ role: 'user', content: 'x' }] },
  })
  const id = json['id'] as string
  await call('GET', `${url}/v1/jobs/${id}?wait_ms=30000`)
  const took: number[] = []
  for (let i = 0; i < 15; i++)
    took.push((await call('GET', `${url}/v1/jobs/${id}/events`, undefined, { 'last-event-id': '1-5' })).firstByteMs)
  return quantile(
    took.slice(3).sort((a, b) => a - b),
    0.5,
  )
}

export const stats = async ({ adminUrl }: Running): Promise<Record<string, number>> =>
  (await call('GET', `${adminUrl}/admin/stats`)).json as Record<string, number>
