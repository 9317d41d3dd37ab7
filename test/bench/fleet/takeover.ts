/** How long new work waits when the process that coordinates is killed, with many jobs in line. */
import { call } from '../call.ts'
import { pause } from '../targets.ts'
import { rssMb } from '../tools.ts'
import { type Bench, CORES } from './machine.ts'
import { type Started, start, stopAll } from './processes.ts'
import { BenchRedis } from './redis.ts'

const BLOCK = 500
const AT_ONCE = 4
const TAKEOVERS = 3
/** Nobody needs longer; what is not answered by then never is. */
const SETTLED_MS = 3_000

export interface TakeoverShown {
  /** From the kill to the next accepted job, ms; one each. */
  readonly acceptedMs: readonly number[]
  readonly acceptedPerS: number
  readonly redisBytes: number
  /** Of the process that coordinates, before it is killed. */
  readonly rssMb: number
}

export async function measureTakeover(bench: Bench, waiting: number): Promise<TakeoverShown> {
  const { server, fsync, priority, upstreamPort } = bench
  const redis = await BenchRedis.start(server, fsync, CORES.redis, priority)
  const gateways: Started[] = []
  const join = async (): Promise<Started> => {
    const gateway = await start({ redis, fsync, upstreamPort, priority, role: 'gateway', cores: CORES.others })
    gateways.push(gateway)
    return gateway
  }
  try {
    let acting = await join()
    const before = await redis.usedBytes()
    const startedAt = performance.now()
    await fill(acting.url, waiting)
    const acceptedPerS = waiting / ((performance.now() - startedAt) / 1000)
    await pause(SETTLED_MS)
    const redisBytes = ((await redis.usedBytes()) - before) / waiting
    const ownMb = rssMb(acting.pid)
    const acceptedMs: number[] = []
    for (let n = 0; n < TAKEOVERS; n++) {
      const next = await join()
      await pause(SETTLED_MS)
      const killedAt = performance.now()
      void acting.kill()
      await submit(next.url, 1)
      acceptedMs.push(performance.now() - killedAt)
      acting = next
      await pause(SETTLED_MS)
    }
    return { acceptedMs, acceptedPerS, redisBytes, rssMb: ownMb }
  } finally {
    await stopAll(gateways)
    await redis.stop()
  }
}

async function fill(url: string, jobs: number): Promise<void> {
  let left = jobs / BLOCK
  const one = async (): Promise<void> => {
    while (left-- > 0) await submit(url, BLOCK)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, one))
}

/** All in one call. */
async function submit(url: string, count: number): Promise<void> {
  const job = { request: { model: 'mock-n1', messages: [{ role: 'user', content: 'x'.repeat(300) }] } }
  const { status } = await call('POST', `${url}/v1/jobs`, { jobs: Array.from({ length: count }, () => job) })
  if (status !== 202) throw new Error(`a submit was answered with ${status}`)
}
