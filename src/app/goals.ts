/** Fills in how good each job was that ends: no engine knows the goals. */
import { isOfLine } from '../core/batch.ts'
import type { Emit, Happened } from '../core/facts.ts'
import { type Goals, isGood } from '../core/goals.ts'

/** `goals`: of a model, as its client asked for it. */
export function judging(goals: (model: string) => Goals, emit: Emit): Emit {
  return (happened) => {
    if (happened.type === 'job-ended') {
      const { state, timing, model, requestId } = happened
      // In place: it is ours, and no engine fills it in
      ;(happened as Happened & { good: boolean | null }).good = isGood(state, timing, goals(model), isOfLine(requestId))
    }
    emit(happened)
  }
}
