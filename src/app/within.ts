/** Steps of a stop, each with an end. */
import type { Clock } from '../core/clock.ts'
import type { Log } from '../observability/report.ts'

/** Resolves when the step is over, or after `ms`: a stop continues whatever becomes of its steps. */
export function within(clock: Clock, log: Log, what: string, ms: number, step: Promise<unknown>): Promise<void> {
  return new Promise((done) => {
    const cancel = clock.after(ms, () => {
      log.warn({ what, ms }, 'the stop no longer waits for this')
      done()
    })
    step
      .catch((err: unknown) => log.error({ err, what }, 'a step of the stop failed'))
      .finally(() => {
        cancel()
        done()
      })
  })
}
