/** Tells an outage once it has lasted a while, as whoever reconnects needs a moment; and its end, where it was told. */
import type { Clock } from '../core/clock.ts'

export const LASTING_MS = 10_000

/** Call it with each reason, or null: all is well. `tell` is called when it changes. */
export function lasting<E>(clock: Clock, tell: (error: E | null) => void): (error: E | null) => void {
  let last: E | null = null
  let cancel: (() => void) | null = null
  let isTold = false
  return (error) => {
    last = error
    if (error === null) {
      cancel?.()
      cancel = null
      if (isTold) tell(null)
      isTold = false
    } else if (!isTold)
      cancel ??= clock.after(LASTING_MS, () => {
        cancel = null
        isTold = true
        tell(last)
      })
  }
}
