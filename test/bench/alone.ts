/**
 * What only Sluice does: acknowledging jobs, resuming, holding its loop free.
 */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { call } from './call.ts'
import { quantile } from './report.ts'
import type { Submits } from './submits.ts'
import { pause, type Running } from './targets.ts'
import { type Priority, pinned } from './tools.ts'

/** Open loop, by a client in a process of its own: latency from the moment a submit was due. */
export function submitLatency(
  { url }: Running,
  priority: Priority,
  perSecond: number,
  seconds: number,
): Promise<Submits> {
  const script = join(import.meta.dirname, 'submits.ts')
  const [command, args] = pinned(1, priority, process.execPath, [script, url, String(perSecond), String(seconds)])
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  child.stdout.on('data', (part: Buffer) => (text += part.toString()))
  return new Promise((resolve, reject) =>
    child.once('exit', (code) =>
      code === 0 ? resolve(JSON.parse(text) as Submits) : reject(new Error(`submits.ts ended with ${code}`)),
    ),
  )
}

const MOST_MS = 120_000

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
    if (performance.now() - startedAt > MOST_MS) throw new Error(`${jobs} jobs were not done in ${MOST_MS / 1_000} s`)
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

/** Time to the first byte of a stream that is resumed that many records late, ms: the median of a few tries. */
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

/** The server's own statistics; older versions have ready-made percentiles instead of histograms. */
export async function ownNumbers({ adminUrl }: Running): Promise<Record<string, number>> {
  const stats = (await call('GET', `${adminUrl}/admin/stats`)).json as Record<string, number> & {
    readonly loop_delay_ms?: { readonly p99: number; readonly max: number }
    readonly commit_ms?: { readonly p99: number }
  }
  return {
    loop_p99_ms: stats.loop_delay_ms?.p99 ?? stats['loop_delay_p99_ms'],
    loop_max_ms: stats.loop_delay_ms?.max ?? stats['loop_delay_max_ms'],
    commit_p99_ms: stats.commit_ms?.p99 ?? stats['commit_p99_ms'],
    wal_mb: (stats['wal_max_bytes'] ?? 0) / 2 ** 20,
  }
}
