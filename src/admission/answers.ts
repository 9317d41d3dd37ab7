/** The guards of answers, as the worker meets them. */
import { aboutJob, type Emit } from '../core/facts.ts'
import type { Job, TenantId } from '../core/job.ts'
import type { AnswerGuards } from '../core/ports/admission.ts'
import type { Moderate } from './answer/moderating.ts'
import { AnswerStage } from './answer/stage.ts'
import { guardsOf } from './made.ts'
import type { GuardSettings } from './settings.ts'

export interface AnswerGuardsDeps {
  readonly moderate: Moderate
  readonly emit: Emit
  /** Something unforeseen was thrown: for the log. */
  readonly onFault: (thrown: unknown, job: Job) => void
}

/** `settingsOf`: as for createAdmission. */
export function createAnswerGuards(
  settingsOf: (tenant: TenantId) => readonly GuardSettings[] | undefined,
  { moderate, emit, onFault }: AnswerGuardsDeps,
): AnswerGuards {
  return {
    stand(call, to, abort) {
      const settings = settingsOf(call.job.tenant)
      if (settings === undefined || settings.length === 0) return null
      const guards = guardsOf(settings)
      if (guards.every(({ answer }) => answer === null)) return null
      const tell = (rulings: Parameters<ConstructorParameters<typeof AnswerStage>[4]['tell']>[0]): void => {
        for (const ruling of rulings) emit({ ...aboutJob(call.job), type: 'guard-decided', ...ruling })
      }
      const deps = { moderate, tell, onFault: (thrown: unknown) => onFault(thrown, call.job) }
      return new AnswerStage(call, guards, to, abort, deps)
    },
  }
}
