/** What each part needs of the process it runs in. */
import { type Clock, systemClock, Wheel } from '../core/clock.ts'
import type { Emit } from '../core/facts.ts'
import { type Ids, systemIds } from '../core/ids.ts'
import { createEmit, type Observe } from '../observability/emit.ts'
import { createReporter, type Log } from '../observability/report.ts'

export interface Runtime {
  readonly clock: Clock
  readonly ids: Ids
  readonly wheel: Wheel
  readonly log: Log
  readonly emit: Emit
  /** Has the facts from now on handed to one more observer. */
  readonly observe: (observe: Observe) => void
}

export function createRuntime(log: Log): Runtime {
  const clock = systemClock
  const observers = [createReporter(log, clock)]
  const emit = createEmit(clock, observers, (err, fact) => log.error({ err, fact }, 'a fact could not be recorded'))
  const observe = (observe: Observe): void => void observers.push(observe)
  return { clock, ids: systemIds(), wheel: new Wheel(clock), log, emit, observe }
}
