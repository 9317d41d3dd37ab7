/** Steps of a start and a stop, each with an end. */
import type { Runtime } from './runtime.ts'

/** Resolves when the step is over, or after `ms`: a stop continues whatever happens to its steps. */
export function within(
  { clock, log }: Pick<Runtime, 'clock' | 'log'>,
  what: string,
  ms: number,
  step: Promise<unknown>,
): Promise<void> {
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

/** Rejects as soon as the start is aborted, without waiting for the rest of the step. */
export function orAborted(step: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((done, fail) => {
    const abort = (): void => fail(signal!.reason as Error)
    if (signal?.aborted) abort()
    else signal?.addEventListener('abort', abort)
    step.then(done, fail)
  })
}

/** Runs a step of the start; if it fails, closes what was opened before. */
export async function closingOnError<T>(
  opened: ReadonlyArray<{ close(): unknown }>,
  step: () => T | Promise<T>,
): Promise<T> {
  try {
    return await step()
  } catch (error) {
    for (const each of opened) await each.close()
    throw error
  }
}
