/** The loads that each target is measured under. */
import type { Running } from './targets.ts'
import { type Measured, type Priority, runLoad, type Tools, type Window } from './tools.ts'

export interface Load {
  readonly name: string
  readonly mode: 'sse' | 'http'
  readonly model: string
  readonly connections: number
  /** Requests per second. Absent: each connection sends the next one as soon as it is answered. */
  readonly rate?: number
  readonly window: Window
  /** Time for the last requests to be answered, s. */
  readonly tail: number
}

const streams = (connections: number, measured: number, ramp: number, warm: number): Load => ({
  name: String(connections),
  mode: 'sse',
  model: 'mock-n100-d20-f50',
  connections,
  window: { ramp, warm, measured },
  tail: 2,
})

const json = (name: string, measured: number, warm: number, rate?: number): Load => ({
  name,
  mode: 'http',
  model: 'mock-n10',
  connections: 64,
  ...(rate !== undefined && { rate }),
  window: { ramp: 0.1, warm, measured },
  tail: 0.1,
})

/** V8 optimizes what a call runs through for about ten seconds: measured sooner, its compiler is what is measured. */
const COMPILED_AFTER_S = 12

/** `s`: how long the largest load is measured. A stream lasts 2 s, so the first ones end before the window begins. */
export const loadsOf = (s: number): readonly Load[] => [
  streams(1000, s, Math.min(2, s), Math.min(3, s)),
  streams(100, s * 0.8, 0.5, Math.min(2, s)),
  streams(10, s * 0.8, 0.2, Math.min(2, s)),
  {
    name: 'unpaced',
    mode: 'sse',
    model: 'mock-n200',
    connections: 50,
    window: { ramp: 0.1, warm: 0.5, measured: s * 0.4 },
    tail: 0.1,
  },
  json('json', s * 0.6, s < 3 ? 0.5 : COMPILED_AFTER_S),
  json('json300', s * 0.6, 0.5, 300),
]

/** A cold process costs twice as much. */
const WARM: readonly Load[] = [
  { ...streams(100, 2, 0.1, 0.5), model: 'mock-n50-d5-f5', tail: 0.3 },
  json('warm', 1.5, 0.1),
]

export const durationS = ({ window: { ramp, warm, measured }, tail }: Load): number => ramp + warm + measured + tail
export const warmUpS = WARM.reduce((sum, load) => sum + durationS(load), 0)

/** What a load showed; times in ms, added to what the upstream takes. */
export interface Shown {
  readonly usPerToken: number
  readonly usPerRequest: number
  readonly tokensPerS: number
  readonly requestsPerS: number
  readonly ttftP50: number
  readonly ttftP99: number
  readonly lagP50: number
  readonly lagP99: number
  readonly callP50: number
  readonly callP99: number
  /** At the end of the window, under load. */
  readonly rssMb: number
  readonly errors: number
}

/** The upstream's time to the first token. */
const UPSTREAM_MS = 50

export async function warmUp(tools: Tools, priority: Priority, running: Running): Promise<void> {
  for (const load of WARM) await run(tools, priority, running, load)
}

export async function put(tools: Tools, priority: Priority, running: Running, load: Load): Promise<Shown> {
  const measured = await run(tools, priority, running, load)
  const { cpuUsPerS, ttft, lat, e2e } = measured
  const ms = (us: number | undefined): number => (us ?? Number.NaN) / 1000
  return {
    usPerToken: cpuUsPerS / measured.tok_s,
    usPerRequest: cpuUsPerS / measured.rps,
    tokensPerS: measured.tok_s,
    requestsPerS: measured.rps,
    ttftP50: ms(ttft?.p50) - UPSTREAM_MS,
    ttftP99: ms(ttft?.p99) - UPSTREAM_MS,
    lagP50: ms(lat?.p50),
    lagP99: ms(lat?.p99),
    callP50: ms(e2e?.p50),
    callP99: ms(e2e?.p99),
    rssMb: (measured.rss_kb ?? Number.NaN) / 1024,
    errors: Object.values(measured.errors).reduce((a, b) => a + b, 0),
  }
}

function run(tools: Tools, priority: Priority, running: Running, load: Load): Promise<Measured> {
  return runLoad(tools, priority, running.pid, load.window, [
    load.mode,
    ...['-u', `${running.url}/v1/chat/completions`, '-m', load.model, '-c', String(load.connections)],
    ...(load.rate === undefined ? [] : ['-r', String(load.rate)]),
    ...running.headers.flatMap((header) => ['-H', header]),
  ])
}
