/**
 * What a token costs on its way through a fleet (one gateway, one worker, Redis) beside Sluice in one process, and how
 * much later the first one comes than from the upstream itself.
 */
import { runLoadOver, type Window } from '../tools.ts'
import { type Bench, CORES, IS_ROOMY } from './machine.ts'
import { AUTHORIZATION, type Started, start, stopAll } from './processes.ts'
import { BenchRedis } from './redis.ts'

export const TOKEN_TARGETS = ['direct', 'embedded', 'fleet'] as const
export type TokenTarget = (typeof TOKEN_TARGETS)[number]

/** Of one load; times in ms. */
export interface TokensShown {
  /** CPU of a token, µs. */
  readonly sluiceUs: number
  readonly gatewayUs: number
  readonly workerUs: number
  readonly redisUs: number
  readonly tokensPerS: number
  readonly ttftP50: number
  readonly ttftP99: number
  readonly lagP50: number
  readonly lagP99: number
  readonly errors: number
}

/** Streams of 50 tokens a second; on a small machine, where a thousand of these are too many, of 25. */
const PACED = 'mock-n100-d20-f50'
export const THOUSAND_RATE = IS_ROOMY ? 50 : 25
export const LOADS = [200, 300, 1000] as const
const modelOf = (streams: number): string => (streams === 1000 && !IS_ROOMY ? 'mock-n100-d40-f50' : PACED)

export async function measureTokens(bench: Bench, target: TokenTarget): Promise<ReadonlyMap<number, TokensShown>> {
  const { upstreamPort, server, fsync, priority } = bench
  const started: Started[] = []
  let redis: BenchRedis | null = null
  try {
    if (target === 'direct') return await underLoads(bench, `http://127.0.0.1:${upstreamPort}`, [], null, [200])
    const common = { fsync, upstreamPort, priority }
    if (target === 'embedded') {
      started.push(await start({ ...common, role: 'all', cores: CORES.embedded }))
      return await underLoads(bench, started[0].url, started, null, LOADS)
    }
    redis = await BenchRedis.start(server, fsync, CORES.redis, priority)
    started.push(await start({ ...common, role: 'gateway', redis, cores: CORES.gateway }))
    started.push(await start({ ...common, role: 'worker', redis, cores: CORES.worker }))
    return await underLoads(bench, started[0].url, started, redis, LOADS)
  } finally {
    await stopAll(started)
    await redis?.stop()
  }
}

async function underLoads(
  bench: Bench,
  url: string,
  processes: readonly Started[],
  redis: BenchRedis | null,
  loads: readonly number[],
): Promise<ReadonlyMap<number, TokensShown>> {
  await put(bench, url, processes, redis, 'mock-n50-d5-f5', 100, { ramp: 0.1, warm: 1, measured: 2 })
  const shown = new Map<number, TokensShown>()
  for (const streams of loads) {
    const window = { ramp: Math.min(2, streams / 500), warm: 3, measured: bench.seconds }
    shown.set(streams, await put(bench, url, processes, redis, modelOf(streams), streams, window))
  }
  return shown
}

async function put(
  { tools, priority }: Bench,
  url: string,
  processes: readonly Started[],
  redis: BenchRedis | null,
  model: string,
  streams: number,
  window: Window,
): Promise<TokensShown> {
  const pids = [...processes.map(({ pid }) => pid), ...(redis === null ? [] : [redis.pid])]
  const args = ['sse', '-u', `${url}/v1/chat/completions`, '-m', model, '-c', String(streams)]
  const measured = await runLoadOver(tools, priority, pids, window, [
    ...args,
    ...(processes.length === 0 ? [] : ['-H', AUTHORIZATION]),
  ])
  const us = measured.cpuUsPerSOf.map((each) => each / measured.tok_s)
  const [gatewayUs = Number.NaN, workerUs = 0] = us.slice(0, processes.length)
  const ms = (value: number | undefined): number => (value ?? Number.NaN) / 1000
  return {
    sluiceUs: gatewayUs + workerUs,
    gatewayUs,
    workerUs,
    redisUs: redis === null ? Number.NaN : us[us.length - 1],
    tokensPerS: measured.tok_s,
    ttftP50: ms(measured.ttft?.p50),
    ttftP99: ms(measured.ttft?.p99),
    lagP50: ms(measured.lat?.p50),
    lagP99: ms(measured.lat?.p99),
    errors: Object.values(measured.errors).reduce((a, b) => a + b, 0),
  }
}
