/** What the dashboard counts of facts, beside its history: who submits, what fails, what is refused. */
import type { Fact } from '../../core/facts.ts'
import type { JobId } from '../../core/job.ts'
import { SILENT_MS } from '../../core/measure.ts'
import type { Counted, Situation } from '../brief/situation.ts'
import { countedSince, Tally } from '../brief/tally.ts'
import type { Observe } from '../emit.ts'
import { Edits } from '../history/edits.ts'

/** Minutes from which "now" is told apart in the hour. */
const LATELY = 5
const HOUR = 65
/** As the history's finest buckets, so that causes and what they explain are counts of the same time. */
const STEP_MS = 5_000
const STEPS_A_MINUTE = 60_000 / STEP_MS
const STEPS = LATELY * STEPS_A_MINUTE + 1
/** Answers that stand still, at most; more are not told apart. */
const MAX_SILENT = 10_000

export const TALLIES = ['submits', 'failures', 'retried', 'refusals'] as const
export type Tallies = Readonly<Record<(typeof TALLIES)[number], Tally>>

export const emptyTallies = (edits = new Edits()): Tallies => ({
  submits: new Tally(60_000, HOUR + 1, edits),
  failures: new Tally(STEP_MS, STEPS, edits),
  retried: new Tally(STEP_MS, STEPS, edits),
  refusals: new Tally(STEP_MS, STEPS, edits),
})

export class Watchers {
  readonly tallies: Tallies
  /** By job: where it stands still, and since when. */
  readonly #silent = new Map<JobId, { readonly deployment: string; readonly sinceMs: number }>()

  constructor(edits = new Edits()) {
    this.tallies = emptyTallies(edits)
  }

  readonly observe: Observe = (fact) => {
    switch (fact.type) {
      case 'job-submitted':
        return this.tallies.submits.add(fact.atMs, fact.tenant)
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

  #ended({ state, code, deployment, atMs }: Extract<Fact, { type: 'job-ended' }>): void {
    if (state === 'failed' || state === 'expired') this.tallies.failures.add(atMs, named(code ?? state, deployment))
  }
}

/** Over several nodes. `minutes`: of the period that is looked at. */
export function countsOf(
  nodes: readonly Tallies[],
  nowMs: number,
  minutes: number,
): Pick<Situation, 'submits' | 'failures' | 'retried' | 'refusals'> {
  const since = (which: keyof Tallies, from: number, to = 0) =>
    countedSince(
      nodes.map((each) => each[which]),
      nowMs,
      from,
      to,
    )
  const before = new Map(since('submits', HOUR, LATELY + 1))
  return {
    // A burst is over in less than five minutes: its best minute counts
    submits: since('submits', LATELY - 1)
      .slice(0, 5)
      .map(([tenant]) => ({
        tenant,
        now: Math.max(...[0, 1, 2, 3, 4].map((ago) => new Map(since('submits', ago, ago)).get(tenant) ?? 0)),
        before: (before.get(tenant) ?? 0) / (HOUR - LATELY),
      })),
    failures: since('failures', minutes * STEPS_A_MINUTE).map(counted),
    retried: since('retried', minutes * STEPS_A_MINUTE).map(counted),
    refusals: since('refusals', minutes * STEPS_A_MINUTE).map(counted),
  }
}

const named = (code: string, name: string | null): string => `${code}\n${name ?? ''}`

function counted([text, count]: readonly [string, number]): Counted {
  const [code, name] = text.split('\n')
  return { code, name: name === '' ? null : name, count }
}
