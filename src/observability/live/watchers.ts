/** What the dashboard counts of facts, beside its history: who submits, what fails, what is refused. */
import type { Fact } from '../../core/facts.ts'
import type { JobId } from '../../core/job.ts'
import { SILENT_MS } from '../../core/measure.ts'
import type { Counted, Delays, Situation } from '../brief/situation.ts'
import { countedSince, Tally } from '../brief/tally.ts'
import type { Observe } from '../emit.ts'
import { Edits } from '../history/edits.ts'
import type { HistoryOptions } from '../history/history.ts'

/** Minutes from which "now" is told apart in the hour. */
const LATELY = 5
const HOUR = 65
/** As the history's finest buckets, so that causes and what they explain are counts of the same time. */
const STEP_MS = 5_000
const STEPS_A_MINUTE = 60_000 / STEP_MS
const STEPS = LATELY * STEPS_A_MINUTE + 1
/** Answers that stand still, at most; more are not told apart. */
const MAX_SILENT = 10_000

/** Before it is known for so many minutes, "before" is not. */
const KNOWN_MINUTES = 10

/** `delays`: ms that first tokens waited, by part and model. Nodes tell them by their place here. */
export const TALLIES = ['submits', 'failures', 'retried', 'refusals', 'delays'] as const
export type Tallies = Readonly<Record<(typeof TALLIES)[number], Tally>>

export const emptyTallies = (edits = new Edits()): Tallies => ({
  submits: new Tally(60_000, HOUR + 1, edits),
  failures: new Tally(STEP_MS, STEPS, edits),
  retried: new Tally(STEP_MS, STEPS, edits),
  refusals: new Tally(STEP_MS, STEPS, edits),
  delays: new Tally(STEP_MS, STEPS, edits),
})

export class Watchers {
  readonly tallies: Tallies
  /** By job: where it stands still, and since when. */
  readonly #silent = new Map<JobId, { readonly deployment: string; readonly sinceMs: number }>()

  readonly #isOneOfMany: boolean

  /** `isOneOfMany`: as for the history, so that delays are of the first tokens that it counts. */
  constructor({ edits = new Edits(), isOneOfMany = false }: HistoryOptions = {}) {
    this.tallies = emptyTallies(edits)
    this.#isOneOfMany = isOneOfMany
  }

  readonly observe: Observe = (fact) => {
    switch (fact.type) {
      case 'job-submitted':
        return this.tallies.submits.add(fact.atMs, named(fact.tenant, fact.model))
      case 'first-token-delivered':
        return this.#isOneOfMany ? undefined : this.#delayed(fact)
      case 'first-token-received':
        return this.#isOneOfMany && !fact.isWhole ? this.#delayed(fact) : undefined
      case 'job-refused':
        return this.tallies.refusals.add(fact.atMs, named(fact.code, fact.tenant))
      case 'attempt-ended':
        return fact.code === null ? undefined : this.tallies.retried.add(fact.atMs, named(fact.code, fact.deployment))
      case 'answer-stalled':
        if (this.#silent.size >= MAX_SILENT) return
        this.#silent.set(fact.job, { deployment: fact.deployment, sinceMs: fact.atMs - fact.ms })
        return
      case 'answer-resumed':
        this.#silent.delete(fact.job)
        return
      case 'job-ended':
        return this.#ended(fact)
      default:
    }
  }

  /** By deployment: answers of this node that stand still for SILENT_MS, and the least of their times. */
  silent(nowMs: number): Situation['silent'] {
    const found = new Map<string, { answers: number; forMs: number }>()
    for (const { deployment, sinceMs } of this.#silent.values()) {
      const ms = nowMs - sinceMs
      if (ms < SILENT_MS) continue
      const before = found.get(deployment)
      found.set(deployment, { answers: (before?.answers ?? 0) + 1, forMs: Math.min(before?.forMs ?? ms, ms) })
    }
    return [...found].map(([deployment, each]) => ({ deployment, ...each }))
  }

  #delayed({ atMs, model, parts }: Extract<Fact, { type: 'first-token-delivered' | 'first-token-received' }>): void {
    for (const part of ['queue', 'retries'] as const)
      if (parts[part] >= 1) this.tallies.delays.add(atMs, named(part, model), Math.round(parts[part]))
  }

  #ended({ state, code, deployment, atMs }: Extract<Fact, { type: 'job-ended' }>): void {
    if (state === 'failed' || state === 'expired') this.tallies.failures.add(atMs, named(code ?? state, deployment))
  }
}

export interface CountsAsked {
  readonly nowMs: number
  /** Of the period that is looked at. */
  readonly minutes: number
  /** Before this not all nodes counted. */
  readonly knownFromMs: number
  /** As the configuration names a model. */
  readonly nameOf: (model: string) => string
}

type Counts = Pick<Situation, 'submits' | 'beforeMinutes' | 'failures' | 'retried' | 'refusals' | 'delays'>

/** Over several nodes. */
export function countsOf(nodes: readonly Tallies[], { nowMs, minutes, knownFromMs, nameOf }: CountsAsked): Counts {
  const since = (which: keyof Tallies, from: number, to = 0) =>
    countedSince(
      nodes.map((each) => each[which]),
      nowMs,
      from,
      to,
    )
  /** Two names each, of which the second is a model's. */
  const byModel = (counts: ReturnType<typeof since>): ReadonlyMap<string, number> => {
    const sums = new Map<string, number>()
    for (const [text, count] of counts) {
      const [name, model = ''] = text.split('\n')
      const known = named(name, nameOf(model))
      sums.set(known, (sums.get(known) ?? 0) + count)
    }
    return sums
  }
  const steps = STEPS_A_MINUTE * minutes
  const beforeMinutes = Math.max(0, Math.min(HOUR - LATELY, Math.floor((nowMs - knownFromMs) / 60_000) - LATELY - 1))
  const before = byModel(since('submits', LATELY + beforeMinutes, LATELY + 1))
  const lately = [0, 1, 2, 3, 4].map((ago) => byModel(since('submits', ago, ago)))
  const delays = [...byModel(since('delays', steps))].sort(([, a], [, b]) => b - a)
  const delayOf = (part: string): Delays =>
    delays.flatMap(([text, ms]) => {
      const [name, model] = text.split('\n')
      return name === part ? [{ model, ms }] : []
    })
  return {
    // A burst is over in less than five minutes: its best minute counts
    submits: [...byModel(since('submits', LATELY - 1))]
      .sort(([, a], [, b]) => b - a)
      .slice(0, 5)
      .map(([name]) => {
        const [tenant, model] = name.split('\n')
        return {
          ...{ tenant, model },
          now: Math.max(...lately.map((minute) => minute.get(name) ?? 0)),
          before: beforeMinutes < KNOWN_MINUTES ? null : (before.get(name) ?? 0) / beforeMinutes,
        }
      }),
    beforeMinutes,
    failures: since('failures', steps).map(counted),
    retried: since('retried', steps).map(counted),
    refusals: since('refusals', steps).map(counted),
    delays: { queue: delayOf('queue'), retries: delayOf('retries') },
  }
}

const named = (code: string, name: string | null): string => `${code}\n${name ?? ''}`

function counted([text, count]: readonly [string, number]): Counted {
  const [code, name] = text.split('\n')
  return { code, name: name === '' ? null : name, count }
}
