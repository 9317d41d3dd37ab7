/** What the dashboard counts of facts, beside its history: who submits, what fails, what is refused. */
import type { Fact } from '../../core/facts.ts'
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
      case 'job-ended':
        return this.#ended(fact)
      default:
    }
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
