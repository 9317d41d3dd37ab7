/** What a fleet carries with 1, 2 and 4 workers of 50 slots, asked for more; and how soon one that joins takes load. */
import { call } from '../call.ts'
import { pause } from '../targets.ts'
import { runLoad } from '../tools.ts'
import { type Bench, CORES } from './machine.ts'
import { AUTHORIZATION, type Started, start, stopAll } from './processes.ts'
import { BenchRedis } from './redis.ts'

export const SLOTS = 50
export const WORKERS = [1, 2, 4] as const
const STREAMS = 250
/** 50 tokens in a little over a second. */
const MODEL = 'mock-n50-d20-f50'

export interface GoodputShown {
  /** By number of workers. */
  readonly tokensPerS: ReadonlyMap<number, number>
  /** From ready to its first job, and to as many as it has slots, ms. */
  readonly joinedFirstMs: number
  readonly joinedFullMs: number
  readonly errors: number
}

export async function measureGoodput(bench: Bench): Promise<GoodputShown> {
  const { server, fsync, priority, upstreamPort } = bench
  const redis = await BenchRedis.start(server, fsync, CORES.redis, priority)
  const started: Started[] = []
  const common = { redis, fsync, upstreamPort, priority }
  const join = async (): Promise<Started> => {
    const worker = await start({ ...common, role: 'worker', cores: CORES.others, slots: SLOTS })
    started.push(worker)
    return worker
  }
  try {
    const gateway = await start({ ...common, role: 'gateway', cores: CORES.gateway })
    started.push(gateway)
    const tokensPerS = new Map<number, number>()
    let joined = { firstMs: Number.NaN, fullMs: Number.NaN }
    let errors = 0
    for (const workers of WORKERS) {
      while (started.length - 1 < workers) await join()
      const { tok_s, errors: each } = await load(bench, gateway)
      tokensPerS.set(workers, tok_s)
      errors += Object.values(each).reduce((a, b) => a + b, 0)
      if (workers !== 1) continue
      // The second one joins while there is more to do than the first can
      const running = load(bench, gateway)
      await pause(2_000)
      joined = await takesLoad(await join())
      await running
    }
    return { tokensPerS, joinedFirstMs: joined.firstMs, joinedFullMs: joined.fullMs, errors }
  } finally {
    await stopAll(started)
    await redis.stop()
  }
}

const load = ({ tools, priority, seconds }: Bench, { pid, url }: Started): ReturnType<typeof runLoad> =>
  runLoad(tools, priority, pid, { ramp: 0.5, warm: 2.5, measured: seconds }, [
    ...['sse', '-u', `${url}/v1/chat/completions`, '-m', MODEL, '-c', String(STREAMS), '-H', AUTHORIZATION],
  ])

/** By its own count of what it runs. */
async function takesLoad({ adminUrl }: Started): Promise<{ readonly firstMs: number; readonly fullMs: number }> {
  const readyAt = performance.now()
  let firstMs = Number.NaN
  for (;;) {
    const { json } = await call('GET', `${adminUrl}/admin/stats`)
    const [running, ms] = [Number(json['running']), performance.now() - readyAt]
    if (running > 0 && Number.isNaN(firstMs)) firstMs = ms
    if (running >= SLOTS || ms > 5_000) return { firstMs, fullMs: running >= SLOTS ? ms : Number.NaN }
    await pause(5)
  }
}
