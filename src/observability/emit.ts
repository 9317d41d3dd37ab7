/** Where facts go: each is stamped with its time, then handed to all observers. */
import type { Clock } from '../core/clock.ts'
import type { Emit, Fact, Happened } from '../core/facts.ts'

/** Called in the turn in which the fact happened, so it must be quick. */
export type Observe = (fact: Fact) => void

/** An observer that throws harms no job and no other observer. `onFault` must not throw. */
export function createEmit(
  clock: Clock,
  observers: readonly Observe[],
  onFault: (error: unknown, type: Fact['type']) => void,
): Emit {
  return (happened) => {
    // In place: the emitter made this object for us, and a copy of each fact would cost a third more
    const fact = happened as Happened & { atMs: number }
    fact.atMs = clock.wallMs()
    for (const observe of observers)
      try {
        observe(fact)
      } catch (error) {
        onFault(error, fact.type)
      }
  }
}
