/**
 * Is the event loop ever held? 1,000 streams run for minutes; meanwhile requests of 320 KB and refusals come. By the
 * server's own statistics, over that time alone.
 */
import { call } from '../call.ts'
import { pause, ROOT, type Running, sluiceIn } from '../targets.ts'
import { type Priority, runLoad, type Tools } from '../tools.ts'
import type { Figures } from './growth.ts'

const BODY_BYTES = 320_000
const BODIES_PER_S = 5
const REFUSALS_PER_S = 100
const STREAMS = 1_000
const SETTLED_MS = 3_000
const SETTINGS = 'limits: { models: [{ name: "mock-refused-*", requests_per_minute: 1, burst: 1 }] }\n'

interface Histogram {
  readonly count: number
  /** Upper bounds, and how many were in each. */
  readonly buckets: ReadonlyArray<readonly [most: number, count: number]>
}
type Stats = Readonly<Record<string, number>> & { readonly loop_delay_ms: Histogram }

export async function measureHeld(
  tools: Tools,
  priority: Priority,
  upstreamPort: number,
  minutes: number,
): Promise<Figures> {
  const running = await sluiceIn(ROOT, 'Sluice', [], SETTINGS).start(upstreamPort, priority)
  const load = (model: string, connections: number, warm: number, measured: number) =>
    runLoad(tools, priority, running.pid, { ramp: 2, warm, measured }, [
      ...['sse', '-u', `${running.url}/v1/chat/completions`, '-m', model, '-c', String(connections)],
      ...running.headers.flatMap((header) => ['-H', header]),
    ])
  const stats = async (): Promise<Stats> =>
    (await call('GET', `${running.adminUrl}/admin/stats`)).json as unknown as Stats
  try {
    const began = await stats()
    await load('mock-n100', 50, 0, 2)
    await pause(SETTLED_MS)
    const filled = await stats()
    const bytes =
      (filled['used_bytes'] - began['used_bytes']) / (filled['completion_tokens'] - began['completion_tokens'])
    const warm = 5
    const all = load('mock-n100-d20-f50', STREAMS, warm, minutes * 60)
    await pause((2 + warm) * 1_000)
    const before = await stats()
    const until = performance.now() + minutes * 60_000
    await Promise.all([
      every(1_000 / BODIES_PER_S, until, () => post(running, 'mock-n20-d20', 'x'.repeat(BODY_BYTES))),
      every(1_000 / REFUSALS_PER_S, until, () => post(running, 'mock-refused-n1', 'x')),
    ])
    const after = await stats()
    await all
    const held = since(before.loop_delay_ms, after.loop_delay_ms)
    return new Map([
      ['loop p99 ms', [quantileOf(held, 0.99)]],
      ['loop longest ms', [held.at(-1)?.[0] ?? Number.NaN]],
      ['wal MB', [after['wal_max_bytes'] / 2 ** 20]],
      ['stored bytes a token', [bytes]],
    ])
  } finally {
    await running.stop()
  }
}

const post = ({ url }: Running, model: string, content: string): Promise<unknown> =>
  call('POST', `${url}/v1/chat/completions`, { model, messages: [{ role: 'user', content }] })

async function every(ms: number, until: number, run: () => Promise<unknown>): Promise<void> {
  const running = new Set<Promise<unknown>>()
  for (let at = performance.now(); at < until; at += ms) {
    await pause(Math.max(0, at - performance.now()))
    const one = run().finally(() => running.delete(one))
    running.add(one)
  }
  await Promise.all(running)
}

type Buckets = Histogram['buckets']

/** What was recorded between the two, by upper bounds, ascending. */
function since(before: Histogram, after: Histogram): Buckets {
  const old = new Map(before.buckets)
  return after.buckets
    .map(([most, count]) => [most, count - (old.get(most) ?? 0)] as const)
    .filter(([, count]) => count > 0)
    .toSorted(([a], [b]) => a - b)
}

function quantileOf(buckets: Buckets, share: number): number {
  let left = share * buckets.reduce((sum, [, count]) => sum + count, 0)
  for (const [most, count] of buckets) {
    left -= count
    if (left <= 0) return most
  }
  return Number.NaN
}
