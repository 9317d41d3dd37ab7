/**
 * Replicas of one model, and jobs that come at random, in time that is only counted: where does each router send them,
 * and what becomes of them? A replica answers several at once at full speed, and shares it among more.
 */
import { Plan } from '../../../src/coordinator/plan/plan.ts'
import type { Planned } from '../../../src/coordinator/plan/planned.ts'
import { job as scheduledJob } from '../../../src/coordinator/scheduler/testing/jobs.ts'
import type { PolicyName } from '../../../src/core/policies.ts'
import type { FailedAt, Hedging, PlanDeployment, ScheduledJob } from '../../../src/core/ports/coordinator.ts'
import { type Random, random } from '../random.ts'

export interface Replica {
  readonly name: string
  /** How many times slower than the others. */
  readonly slower?: number
  /** From then on. */
  readonly slowFromMs?: number
  /** Share of calls whose first token comes so late. */
  readonly late?: { readonly share: number; readonly ms: number }
  /** Calls at once; more than that wait in line. Absent: no limit. */
  readonly concurrent?: number
  /** Share of calls that it fails, after the time to a first token. */
  readonly fails?: number
}

/** Where a call goes, and what is told of it. */
export interface Router {
  readonly name: string
  /** The name of a replica; null: it has to wait. */
  route(job: ScheduledJob, failedAt: FailedAt, now: number): { readonly to: string; readonly call: Planned } | null
  answered(call: Planned, tokens: number, timing: { ttftMs: number; tpotMs: number }, now: number): void
  failed(call: Planned, now: number): FailedAt
  /** So long after a call that has shown nothing another one may be made; null: never. */
  hedgeAfterMs?(call: Planned): number | null
  hedge?(call: Planned, now: number): { readonly to: string; readonly call: Planned } | null
  outrun?(call: Planned, now: number): void
  /** When those in line are to be asked about again, though nothing has ended; Infinity: never. */
  nextAt?(): number
}

export const CHAT: PlanDeployment = {
  ...{ name: '', kinds: ['chat'], upstreamModel: null, concurrent: Infinity, order: 0, revision: '' },
}

/** Sluice's own. */
export function planned(replicas: readonly Replica[], policy: PolicyName, hedge: Hedging | null = null): Router {
  const deployments = replicas.map(({ name, concurrent = Infinity }) => ({ ...CHAT, name, concurrent, hedge }))
  const afterMs = new WeakMap<Planned, number>()
  const plan = new Plan([{ name: 'chat', policy, deployments }])
  return {
    name: hedge === null ? policy : `${policy}, hedged after p${100 * hedge.quantile}`,
    route(job, failedAt, now) {
      plan.tick(now)
      plan.takeRoom()
      const call: Planned = { job, failedAt, call: null }
      const claimed = plan.claim(call, now)
      if ('scope' in claimed) return null
      if (claimed.hedgeAfterMs !== undefined) afterMs.set(call, claimed.hedgeAfterMs)
      return { to: claimed.deployment, call }
    },
    hedgeAfterMs: (call) => afterMs.get(call) ?? null,
    hedge(first, now) {
      const call: Planned = { ...first, call: null }
      const claimed = plan.hedge(first, call, now)
      return claimed === null ? null : { to: claimed.deployment, call }
    },
    outrun(call, now) {
      plan.outrun(call, now)
      plan.release(call, { promptTokens: call.job.promptTokens, completionTokens: 0 }, now)
    },
    nextAt: () => plan.nextAt(),
    answered(call, completionTokens, timing, now) {
      plan.answered(call, { completionTokens }, timing, now)
      plan.release(call, { promptTokens: call.job.promptTokens, completionTokens }, now)
    },
    failed(call, now) {
      const failure = { code: 'provider_error', retryAfterMs: undefined, elsewhere: false } as const
      const { failedAt } = plan.failed(call, failure, now)
      plan.release(call, null, now)
      return failedAt
    },
  }
}

/** Another's, that knows names alone: after a failure it takes another one. */
function blind(name: string, replicas: readonly Replica[], next: (of: readonly string[]) => string): Router {
  const names = replicas.map((one) => one.name)
  return {
    name,
    route(job, failedAt) {
      const others = names.filter((one) => !failedAt.some(({ deployment }) => deployment === one))
      const to = next(others.length === 0 ? names : others)
      return { to, call: { job, failedAt: [...failedAt, { deployment: to, never: false }], call: null } }
    },
    answered() {},
    failed: ({ failedAt }) => failedAt,
  }
}

/** LiteLLM's default, where no weights or limits are set: any of them, by chance. */
export const simpleShuffle = (replicas: readonly Replica[], draw: Random): Router =>
  blind('simple shuffle', replicas, (of) => draw.of(of))

export function plainRoundRobin(replicas: readonly Replica[]): Router {
  let turn = 0
  return blind('plain round robin', replicas, (of) => of[turn++ % of.length])
}

// ---------------------------------------------------------------- the world

/** Answered at once at full speed. */
const AT_ONCE = 8
const TTFT_MS = 200
const TPOT_MS = 20
const ATTEMPTS = 3
const MOST_BACKOFF_MS = 200
/** As in `goals`. */
const GOOD_TTFT_MS = 1_500
const GOOD_TPOT_MS = 50

export interface Load {
  readonly perSecond: number
  readonly forMs: number
  readonly seed: number
}

export interface Result {
  /** Answers that met both goals, a second. */
  readonly goodput: number
  readonly ttftP50Ms: number
  readonly ttftP99Ms: number
  /** From acceptance to the end of the answer. */
  readonly tookMeanMs: number
  readonly tookP99Ms: number
  /** Of jobs, that failed for good. */
  readonly failed: number
  /** Calls beyond the first of each attempt, of jobs. */
  readonly hedged: number
  /** Of calls. */
  readonly shares: Readonly<Record<string, number>>
}

type Event = { readonly at: number; readonly run: () => void }

export function simulate(replicas: readonly Replica[], router: Router, { perSecond, forMs, seed }: Load): Result {
  const draw = random(seed)
  const active = new Map(replicas.map(({ name }) => [name, 0]))
  const calls = new Map(replicas.map(({ name }) => [name, 0]))
  const byName = new Map(replicas.map((one) => [one.name, one]))
  const ttfts: number[] = []
  const tookMs: number[] = []
  let [good, failed, jobs, hedged] = [0, 0, 0, 0]
  const events: Event[] = []
  const at = (time: number, run: () => void): void => {
    let i = events.length
    while (i > 0 && events[i - 1].at < time) i--
    events.splice(i, 0, { at: time, run })
  }
  const uniform = (): number => draw.below(1e6) / 1e6

  /** In order; all are asked about whenever something may have changed. */
  let line: Array<(now: number) => boolean> = []
  let looksAt = Infinity
  const look = (now: number): void => {
    line = line.filter((starts) => !starts(now))
    const next = Math.max(now + 1, router.nextAt?.() ?? now + 50)
    if (line.length === 0 || next === Infinity || (looksAt > now && looksAt <= next)) return
    looksAt = next
    at(next, () => look(next))
  }

  function attempt(job: ScheduledJob, tokens: number, failedAt: FailedAt, n: number, now: number): void {
    line.push((then) => start(job, tokens, failedAt, n, then))
    look(now)
  }

  function start(job: ScheduledJob, tokens: number, failedAt: FailedAt, n: number, now: number): boolean {
    const routed = router.route(job, failedAt, now)
    if (routed === null) return false
    const { to, call } = routed
    const { fails = 0 } = byName.get(to)!
    const first = begin(to, call, now)
    const { shows: ends } = first
    const hedgeAt = now + (router.hedgeAfterMs?.(call) ?? Infinity)
    if (draw.chance(fails))
      at(ends, () => {
        active.set(to, active.get(to)! - 1)
        const where = router.failed(call, ends)
        if (n === ATTEMPTS) failed++
        else {
          const again = ends + uniform() * MOST_BACKOFF_MS
          at(again, () => attempt(job, tokens, where, n + 1, again))
        }
        look(ends)
      })
    else if (hedgeAt < ends)
      at(hedgeAt, () => {
        const more = router.hedge!(call, hedgeAt)
        if (more === null) return goesOn(first, job, tokens)
        hedged++
        const second = begin(more.to, more.call, hedgeAt)
        const [won, lost] = second.shows < ends ? [second, first] : [first, second]
        at(won.shows, () => {
          active.set(lost.to, active.get(lost.to)! - 1)
          router.outrun!(lost.call, won.shows)
          goesOn(won, job, tokens)
          look(won.shows)
        })
      })
    else goesOn(first, job, tokens)
    return true
  }

  /** When it shows its first token, and its pace from there on. */
  function begin(to: string, call: Planned, now: number) {
    const { slower: slowed = 1, slowFromMs = 0, late } = byName.get(to)!
    const slower = now < slowFromMs ? 1 : slowed
    const others = active.get(to)!
    active.set(to, others + 1)
    calls.set(to, calls.get(to)! + 1)
    const pace = slower * Math.max(1, (others + 1) / AT_ONCE) * (0.8 + 0.4 * uniform())
    const lateMs = late !== undefined && draw.chance(late.share) ? late.ms : 0
    return { to, call, shows: now + TTFT_MS * pace + lateMs, tpotMs: TPOT_MS * pace }
  }

  function goesOn({ to, call, shows, tpotMs }: ReturnType<typeof begin>, job: ScheduledJob, tokens: number): void {
    const done = shows + tokens * tpotMs
    at(done, () => {
      active.set(to, active.get(to)! - 1)
      const ownTtftMs = shows - job.acceptedMono
      router.answered(call, tokens, { ttftMs: ownTtftMs, tpotMs }, done)
      ttfts.push(ownTtftMs)
      if (ownTtftMs <= GOOD_TTFT_MS && tpotMs <= GOOD_TPOT_MS) good++
      tookMs.push(done - job.acceptedMono)
      look(done)
    })
  }

  function arrive(now: number): void {
    if (now >= forMs) return
    const tokens = 20 + draw.below(360)
    const job = scheduledJob(`job_${seed}_${++jobs}`, { acceptedMono: now, promptTokens: 50 + draw.below(900) })
    attempt(job, tokens, [], 1, now)
    const next = now - (Math.log(1 - uniform()) / perSecond) * 1_000
    at(next, () => arrive(next))
  }

  at(0, () => arrive(0))
  for (let event = events.pop(); event !== undefined; event = events.pop()) event.run()
  for (const each of [ttfts, tookMs]) each.sort((a, b) => a - b)
  const quantileOf = (each: readonly number[], share: number): number =>
    each[Math.min(each.length - 1, Math.floor(share * each.length))]
  const quantile = (share: number): number => quantileOf(ttfts, share)
  const all = [...calls.values()].reduce((sum, each) => sum + each, 0)
  return {
    goodput: (good / forMs) * 1_000,
    ttftP50Ms: quantile(0.5),
    ttftP99Ms: quantile(0.99),
    tookMeanMs: tookMs.reduce((sum, each) => sum + each, 0) / tookMs.length,
    tookP99Ms: quantileOf(tookMs, 0.99),
    failed: failed / jobs,
    hedged: hedged / jobs,
    shares: Object.fromEntries([...calls].map(([name, each]) => [name, each / all])),
  }
}
