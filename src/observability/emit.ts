/** Where facts go: each is stamped once, then told to all who observe. */
import type { Clock } from '../core/clock.ts'
import type { Emit, Fact, Happened } from '../core/facts.ts'

/** Called in the turn in which it happened: must be quick. */
export type Observe = (fact: Fact) => void

/** What an observer throws is its own: no job and no other observer suffers. `onFault` must not throw. */
export function createEmit(
  clock: Clock,
  observers: readonly Observe[],
  onFault: (error: unknown, type: Fact['type']) => void,
): Emit {
  return (happened) => {
    // In place: who emits a fact makes it anew, and lets go of it. A copy of each costs a third more
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
