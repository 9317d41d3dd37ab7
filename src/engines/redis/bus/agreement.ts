/**
 * Does this process have the settings that are in force, which are the coordinator's? Where it does not, its operator
 * is told: a reload reaches the processes of one machine, and which process coordinates may change at any time.
 */
import type { Clock } from '../../../core/clock.ts'
import type { Emit } from '../../../core/facts.ts'
import { gauge } from '../../../core/numbers.ts'
import { differing, type Marks } from '../protocol/marks.ts'
import type { Bus } from './bus.ts'

/** A reload reaches one process after the other; the coordinator is heard once a second. */
const SETTLE_MS = 5_000

export interface AgreementDeps {
  readonly bus: Pick<Bus, 'onControl'>
  readonly clock: Clock
  readonly emit: Emit
}

export class Agreement {
  readonly #deps: AgreementDeps
  readonly #own: () => Marks
  /** Groups that differ, as last heard. */
  #groups: readonly string[] = []
  #sinceMono = Infinity
  /** What the operator was told. */
  #told = ''

  constructor(deps: AgreementDeps, own: () => Marks) {
    this.#deps = deps
    this.#own = own
    deps.bus.onControl((control) => {
      if (control.type === 'coordinator') this.#compare(control.marks ?? {}, control.place ?? '')
    })
  }

  readonly metrics = [
    gauge('settings_differ', 'Processes whose settings are not those in force in the fleet', () =>
      this.#told === '' ? 0 : 1,
    ),
  ]

  #compare(inForce: Marks, place: string): void {
    const { clock, emit } = this.#deps
    const groups = differing(this.#own(), inForce)
    if (groups.join() !== this.#groups.join()) {
      this.#groups = groups
      this.#sinceMono = clock.monoMs()
    }
    if (clock.monoMs() - this.#sinceMono < SETTLE_MS) return
    const now = groups.length === 0 ? '' : `${groups.join()} ${place}`
    if (now === this.#told) return
    this.#told = now
    emit({ type: 'settings-compared', differ: groups, coordinator: place })
  }
}
