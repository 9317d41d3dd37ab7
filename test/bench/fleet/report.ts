/** The fleet's figures as Markdown: medians of interleaved rounds, and in brackets the least and most. */
import { median, spread } from '../report.ts'
import { type GoodputShown, SLOTS, WORKERS } from './goodput.ts'
import type { JobsShown } from './jobs.ts'
import type { TakeoverShown } from './takeover.ts'
import { THOUSAND_RATE, type TokensShown, type TokenTarget } from './tokens.ts'

const ranged = (values: readonly number[], digits = 0): string =>
  median(values).toFixed(digits) + spread(values, digits)

const percent = (shares: readonly number[]): string => `${(100 * median(shares)).toFixed(0)} %`

const table = (head: readonly string[], rows: ReadonlyArray<readonly string[]>): string =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')

export function jobsTable(shown: ReadonlyMap<string, readonly JobsShown[]>): string {
  const rows = [...shown].map(([name, all]) => [
    name,
    ranged(all.map(({ perS }) => perS)),
    ranged(all.map(({ redisUs }) => redisUs)),
    ranged(all.map(({ processesUs }) => processesUs)),
    `${percent(all.map(({ redisBusy }) => redisBusy))} / ${percent(all.map(({ processesBusy }) => processesBusy))}`,
    ranged(all.map(({ waitingBytes }) => waitingBytes)),
  ])
  const cpu = ['Redis, CPU µs a job', 'processes, CPU µs a job', 'busiest thread of Redis / of the processes']
  return table(['', 'jobs/s end to end', ...cpu, 'bytes a waiting job'], rows)
}

type Rounds = ReadonlyMap<TokenTarget, ReadonlyArray<ReadonlyMap<number, TokensShown>>>

export function tokensTable(rounds: Rounds): string {
  const of = (target: TokenTarget, streams: number, what: (shown: TokensShown) => number): number[] =>
    (rounds.get(target) ?? []).map((round) => what(round.get(streams)!))
  const [direct, embedded, fleet] = (['direct', 'embedded', 'fleet'] as const).map(
    (target) => (streams: number, what: (shown: TokensShown) => number) => of(target, streams, what),
  )
  const rateOf = (streams: number): string => `${streams} streams × ${streams === 1000 ? THOUSAND_RATE : 50} tok/s`
  const added = (what: (shown: TokensShown) => number, target: typeof fleet): string => {
    const base = direct(200, what)
    return ranged(
      target(200, what).map((ms, round) => ms - base[round]),
      1,
    )
  }
  const rows = [
    ['200 streams: TTFT added, p50 ms', added((s) => s.ttftP50, embedded), added((s) => s.ttftP50, fleet)],
    ['TTFT added, p99 ms', added((s) => s.ttftP99, embedded), added((s) => s.ttftP99, fleet)],
    ...[300, 1000].flatMap((streams) => {
      const alone = embedded(streams, (s) => s.sluiceUs)
      const both = fleet(streams, (s) => s.sluiceUs)
      const middle = (values: readonly number[]): string => median(values).toFixed(0)
      const lag = (target: typeof fleet): string =>
        `${middle(target(streams, (s) => s.lagP50))} / ${middle(target(streams, (s) => s.lagP99))}`
      const ttft = (target: typeof fleet): string =>
        ranged(
          target(streams, (s) => s.ttftP99 - UPSTREAM_MS),
          0,
        )
      return [
        [`${rateOf(streams)}: CPU µs/token`, ranged(alone, 1), ranged(both, 1)],
        ['of these gateway, worker', '', `${parts(fleet, streams)}`],
        [
          'the same, beside one process',
          '',
          `${ranged(
            both.map((us, i) => us / alone[i]),
            2,
          )} ×`,
        ],
        [
          'Redis, CPU µs/token',
          '',
          ranged(
            fleet(streams, (s) => s.redisUs),
            1,
          ),
        ],
        ['carried tok/s', carried(embedded, streams), carried(fleet, streams)],
        ['TTFT p99 over the upstream’s 50 ms', ttft(embedded), ttft(fleet)],
        ['token lag p50 / p99 ms', lag(embedded), lag(fleet)],
      ]
    }),
  ]
  const errors = [...rounds.values()].flat().flatMap((round) => [...round.values()])
  return (
    `${table(['', '**Sluice**, one process', '**Sluice**, a gateway and a worker'], rows)}\n\n` +
    `Tokens lost, doubled or out of order, and failed calls: ${errors.reduce((n, { errors }) => n + errors, 0)}.`
  )
}

const UPSTREAM_MS = 50
type Of = (streams: number, what: (shown: TokensShown) => number) => number[]
const carried = (of: Of, streams: number): string => `${(median(of(streams, (s) => s.tokensPerS)) / 1000).toFixed(1)}k`
const parts = (of: Of, streams: number): string =>
  `${median(of(streams, (s) => s.gatewayUs)).toFixed(1)}, ${median(of(streams, (s) => s.workerUs)).toFixed(1)}`

export function goodputTable(all: readonly GoodputShown[]): string {
  const of = (workers: number): number[] => all.map(({ tokensPerS }) => tokensPerS.get(workers)!)
  const rows = [
    ...WORKERS.map((workers) => [
      `tok/s with ${workers} worker${workers === 1 ? '' : 's'} of ${SLOTS} slots`,
      ranged(of(workers)),
      `${ranged(
        of(workers).map((tokens, round) => tokens / of(1)[round]),
        2,
      )} ×`,
    ]),
    ['a worker that joins: ready to its first job, ms', ranged(all.map((each) => each.joinedFirstMs)), ''],
    [`to ${SLOTS} at once, ms`, ranged(all.map((each) => each.joinedFullMs)), ''],
  ]
  return table(['250 streams that ask', '', 'beside one worker'], rows)
}

export function takeoverTable(waiting: number, all: readonly TakeoverShown[]): string {
  const count = waiting.toLocaleString('en')
  const each = all.flatMap(({ acceptedMs }) => acceptedMs)
  return table(
    [`${count} jobs wait`, ''],
    [
      ['coordinator killed to the next accepted job, ms', `${ranged(each)}, ${each.length} times`],
      ['accepted jobs/s, blocks of 500 over HTTP', ranged(all.map(({ acceptedPerS }) => acceptedPerS))],
      ['Redis, bytes a job', ranged(all.map(({ redisBytes }) => redisBytes))],
      ['RSS of the process that coordinates, MB', ranged(all.map(({ rssMb }) => rssMb))],
    ],
  )
}
