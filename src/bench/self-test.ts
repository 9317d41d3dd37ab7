/** The client's own floor: the same load, against a thread that answers at once. */
import { Worker } from 'node:worker_threads'
import type { Clock } from '../core/clock.ts'
import { httpCaller } from './http.ts'
import { type RoundLoad, runRound } from './round.ts'
import type { ClientFloor } from './run.ts'
import { summarize } from './summary.ts'
import { generated } from './workloads/generated.ts'

const MAX_REQUESTS = 200
const AIM_MS = 3_000
/** Until the client's own code is compiled; not measured. */
const FIRST = 30
const SOURCE = import.meta.filename.endsWith('.ts') ? './floor-server.ts' : './floor-server.js'

export async function selfTest(clock: Clock, load: RoundLoad): Promise<ClientFloor> {
  const worker = new Worker(new URL(SOURCE, import.meta.url), { execArgv: [] })
  try {
    const port = await new Promise<number>((done, failed) => {
      worker.once('message', done)
      worker.once('error', failed)
      worker.once('exit', () => failed(new Error('the thread of the self-test ended')))
    })
    const base = `http://127.0.0.1:${port}`
    const caller = httpCaller({ clock, base, api: 'chat', headers: {}, silenceMs: 10_000, answerMs: 60_000 })
    const sender = {
      clock,
      caller,
      api: 'chat' as const,
      model: 'floor',
      stream: true,
      extra: {},
      runId: 'self',
      control: { isStopped: () => false },
      signal: new AbortController().signal,
      sent() {},
      ended() {},
    }
    const round = (of: RoundLoad, count: number) =>
      runRound(sender, {
        phase: 'round',
        round: 0,
        seed: 1,
        load: of,
        prompts: generated('chat', 1)!.prompts(0, count),
        nonce: null,
      })
    const wanted = load.kind === 'open' ? Math.ceil((load.rate * AIM_MS) / 1_000) : MAX_REQUESTS
    const count = Math.max(FIRST, Math.min(MAX_REQUESTS, wanted))
    const width = load.kind === 'closed' ? Math.min(load.concurrency, 64) : 4
    await round({ kind: 'closed', concurrency: width, untilMs: AIM_MS }, FIRST)
    // A low rate would take long: it is a floor, and a higher one is no easier
    const like = load.kind === 'open' ? { ...load, rate: Math.max(load.rate, count / (AIM_MS / 1_000)) } : load
    const { records, summary } = await round(like, count)
    caller.close()
    const { ttft } = summarize(records, summary.tookMs, [])
    return {
      ttftP50Ms: ttft.p50 ?? 0,
      ttftP99Ms: ttft.p99 ?? 0,
      lagP99Ms: summary.lagP99Ms,
      cpuShare: summary.cpuShare,
      requests: records.length,
    }
  } finally {
    await worker.terminate()
  }
}
