/** Where facts go: each is stamped once, then told to all who observe. */
import type { Clock } from '../core/clock.ts'
import type { Emit, Fact } from '../core/facts.ts'

/** Called in the turn in which it happened: must be quick. */
export type Observe = (fact: Fact) => void

/** What an observer throws is its own: no job and no other observer suffers. `onFault` must not throw. */
export function createEmit(
  clock: Clock,
  observers: readonly Observe[],
  onFault: (error: unknown, type: Fact['type']) => void,
): Emit {
  return (happened) => {
    const fact: Fact = { ...happened, atMs: clock.wallMs() }
    for (const observe of observers)
      try {
        observe(fact)
      } catch (error) {
        onFault(error, fact.type)
      }
  }
}
