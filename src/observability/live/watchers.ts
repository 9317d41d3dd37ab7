/** What the dashboard counts of facts, beside its history: who submits, what fails, what is refused. */
import type { Fact } from '../../core/facts.ts'
import type { Counted, Situation } from '../brief/situation.ts'
import { Tally } from '../brief/tally.ts'
import type { Observe } from '../emit.ts'

/** Minutes from which "now" is told apart in the hour. */
const LATELY = 5
const HOUR = 65

export class Watchers {
  readonly #submits = new Tally()
  readonly #failures = new Tally()
  readonly #retried = new Tally()
  readonly #refusals = new Tally()

  readonly observe: Observe = (fact) => {
    switch (fact.type) {
      case 'job-submitted':
        return this.#submits.add(fact.atMs, fact.tenant)
      case 'job-refused':
        return this.#refusals.add(fact.atMs, named(fact.code, fact.tenant))
      case 'attempt-ended':
        return fact.code === null ? undefined : this.#retried.add(fact.atMs, named(fact.code, fact.deployment))
      case 'job-ended':
        return this.#ended(fact)
      default:
    }
  }

  #ended({ state, code, deployment, atMs }: Extract<Fact, { type: 'job-ended' }>): void {
    if (state === 'failed' || state === 'expired') this.#failures.add(atMs, named(code ?? state, deployment))
  }

  /** `minutes`: of the period that is looked at. */
  read(nowMs: number, minutes: number): Pick<Situation, 'submits' | 'failures' | 'retried' | 'refusals'> {
    const before = new Map(this.#submits.since(nowMs, HOUR, LATELY + 1))
    const submits = this.#submits.since(nowMs, LATELY - 1)
    return {
      // A burst is over in less than five minutes: its best minute counts
      submits: submits.slice(0, 5).map(([tenant]) => ({
        tenant,
        now: Math.max(...[0, 1, 2, 3, 4].map((ago) => new Map(this.#submits.since(nowMs, ago, ago)).get(tenant) ?? 0)),
        before: (before.get(tenant) ?? 0) / (HOUR - LATELY),
      })),
      failures: this.#failures.since(nowMs, minutes).map(counted),
      retried: this.#retried.since(nowMs, minutes).map(counted),
      refusals: this.#refusals.since(nowMs, minutes).map(counted),
    }
  }
}

const named = (code: string, name: string | null): string => `${code}\n${name ?? ''}`

function counted([text, count]: readonly [string, number]): Counted {
  const [code, name] = text.split('\n')
  return { code, name: name === '' ? null : name, count }
}
