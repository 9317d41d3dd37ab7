/** What each part needs of the process it runs in. */
import { type Clock, systemClock, Wheel } from '../core/clock.ts'
import type { Emit } from '../core/facts.ts'
import { type Ids, systemIds } from '../core/ids.ts'
import type { NumberSource } from '../core/numbers.ts'
import { createEmit } from '../observability/emit.ts'
import { createRecorder } from '../observability/recorder.ts'
import { createReporter, type Log } from '../observability/report.ts'

export interface Runtime {
  readonly clock: Clock
  readonly ids: Ids
  readonly wheel: Wheel
  readonly log: Log
  readonly emit: Emit
  /** Counts the facts. */
  readonly recorder: NumberSource
}

export function createRuntime(log: Log): Runtime {
  const clock = systemClock
  const recorder = createRecorder()
  const emit = createEmit(clock, [createReporter(log, clock), ...recorder.observers], (err, fact) =>
    log.error({ err, fact }, 'a fact could not be recorded'),
  )
  return { clock, ids: systemIds(), wheel: new Wheel(clock), log, emit, recorder }
}
