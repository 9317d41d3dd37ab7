/** The gate before the queue: the guards of a tenant. */
import type { SluiceError } from '../core/errors.ts'
import type { TenantId } from '../core/job.ts'
import type { Admission, Asked } from '../core/ports/admission.ts'
import type { Check, Guard } from './guards/guard.ts'
import { GUARDS } from './guards/index.ts'
import type { GuardSettings } from './settings.ts'

/** `guardsOf`: a tenant's guards, in order. After a reload it must return another list. */
export function createAdmission(guardsOf: (tenant: TenantId) => readonly GuardSettings[] | undefined): Admission {
  const made = new WeakMap<readonly GuardSettings[], readonly Check[]>()

  function checksOf(settings: readonly GuardSettings[]): readonly Check[] {
    const known = made.get(settings)
    if (known !== undefined) return known
    const checks = settings.map(createCheck)
    made.set(settings, checks)
    return checks
  }

  return {
    check(asked: Asked): SluiceError | null {
      const settings = guardsOf(asked.tenant)
      if (settings === undefined) return null
      for (const check of checksOf(settings)) {
        const blocked = check(asked)
        if (blocked !== null) return blocked
      }
      return null
    },
  }
}

function createCheck(settings: GuardSettings): Check {
  const guard = GUARDS.find(({ name }) => name === settings.guard) as unknown as Guard
  return guard.create(settings as Parameters<Guard['create']>[0])
}
