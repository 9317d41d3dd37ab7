/** The figures of the goals, out of what the other benchmarks tell with `--json`. */
import type { Shown } from '../loads.ts'
import { median } from '../report.ts'
import type { SocketRow } from '../sockets.ts'
import type { FigureName } from './goals.ts'

type Figures = Map<FigureName, number[]>

interface Tokens {
  readonly rows: Readonly<Record<string, ReadonlyArray<{ idleMb: number; shown: Record<string, Shown> }>>>
  readonly own: Readonly<Record<string, ReadonlyArray<Record<string, number>>>>
}

/** `names`: of the targets. Rounds are interleaved, so those of one number are laid beside each other. */
export function ofTokens(told: unknown, names: { nginx: string; node: string; sluice: string }): Figures {
  const { rows, own } = told as Tokens
  const of = (target: keyof typeof names, load: string, name: keyof Shown): number[] =>
    rows[names[target]].map(({ shown }) => shown[load][name])
  const beside = (peer: 'nginx' | 'node', load: string, name: keyof Shown): number[] => {
    const theirs = of(peer, load, name)
    return of('sluice', load, name).map((value, round) => value / theirs[round])
  }
  const alone = (name: string): number[] => own[names.sluice].map((round) => round[name])
  const middles = of('sluice', 'json', 'callP50')
  const addedTo = of('node', 'json300', 'callP50').map((ms, round) =>
    Math.min(ms, of('nginx', 'json300', 'callP50')[round]),
  )
  return new Map<FigureName, number[]>([
    ['sse token beside nginx', beside('nginx', '1000', 'usPerToken')],
    ['sse carried share', beside('nginx', '1000', 'tokensPerS')],
    ['sse ttft p99 ms', of('sluice', '1000', 'ttftP99')],
    ['sse lag p99 ms', of('sluice', '1000', 'lagP99')],
    ['unpaced token beside nginx', beside('nginx', 'unpaced', 'usPerToken')],
    ['10 streams beside nginx', beside('nginx', '10', 'usPerToken')],
    ['100 streams beside nginx', beside('nginx', '100', 'usPerToken')],
    ['call beside node', beside('node', 'json', 'usPerRequest')],
    ['call p99 beside p50', of('sluice', 'json', 'callP99').map((ms, round) => ms / middles[round])],
    ['call at 300/s, added p50 ms', of('sluice', 'json300', 'callP50').map((ms, round) => ms - addedTo[round])],
    ['accept p50 ms', alone('submit_p50_ms')],
    ['accept p99 ms', alone('submit_p99_ms')],
    ['jobs/s', alone('jobs_per_s')],
    ['resume ms', alone('resume_first_byte_ms')],
    ['start ms', alone('ready_ms')],
    ['idle MB', rows[names.sluice].map(({ idleMb }) => idleMb)],
  ])
}

export function ofSockets(told: unknown): Figures {
  const { websocket } = told as { websocket: Readonly<Record<string, readonly SocketRow[]>> }
  const bare = Object.entries(websocket).find(([name]) => name.startsWith('nginx'))?.[1]
  const own = Object.entries(websocket).find(([name]) => name.endsWith('over WebSocket'))![1]
  const figures: Figures = new Map([
    ['ws ttft p99 ms', own.map((row) => row.ttftP99)],
    ['ws lag p99 ms', own.map((row) => row.lagP99)],
    ['idle socket KB', own.map((row) => row.idleKb ?? Number.NaN)],
  ])
  if (bare === undefined) return figures
  figures.set(
    'ws token beside nginx',
    own.map((row, round) => row.usPerToken / bare[round].usPerToken),
  )
  figures.set(
    'ws carried share',
    own.map((row, round) => row.carried / bare[round].carried),
  )
  return figures
}

export function ofLimits(told: unknown): Figures {
  const { refusals } = told as { refusals: Readonly<Record<'cpuUs' | 'bareCpuUs' | 'p50' | 'p99', number>> }
  return new Map([
    ['refusal more µs', [refusals.cpuUs - refusals.bareCpuUs]],
    ['refusal p50 ms', [refusals.p50]],
    ['refusal p99 ms', [refusals.p99]],
  ])
}

/** By `appendfsync`, target, round and streams. */
type Fleet = Readonly<
  Record<string, { tokens: Record<string, ReadonlyArray<Record<string, { sluiceUs: number; redisUs: number }>>> }>
>

export function ofFleet(told: unknown): Figures {
  const [{ tokens }] = Object.values(told as Fleet)
  const rounds = (target: string) => tokens[target].map((round) => round['1000'])
  const alone = rounds('embedded')
  return new Map([
    ['fleet token beside one process', rounds('fleet').map((each, round) => each.sluiceUs / alone[round].sluiceUs)],
    ['redis token µs', rounds('fleet').map(({ redisUs }) => redisUs)],
  ])
}

/** One figure: of single rounds, half are noise. */
export function ofPage(told: unknown): Figures {
  const { found } = told as { found: Readonly<Record<string, readonly number[]>> }
  const more = found['one page'].map((ms, round) => (ms / found['nobody'][round] - 1) * 100)
  return new Map([['page: more %', [median(more)]]])
}
