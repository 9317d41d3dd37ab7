/** The guards of a tenant as its settings make them: once for each list of settings, which a reload replaces. */
import type { AnswerPart } from './answer/part.ts'
import type { Check, Guard } from './guards/guard.ts'
import { GUARDS } from './guards/index.ts'
import type { GuardSettings } from './settings.ts'

export interface MadeGuard {
  readonly name: string
  readonly mode: 'enforce' | 'shadow'
  readonly request: Check | null
  readonly answer: AnswerPart | null
}

const made = new WeakMap<readonly GuardSettings[], readonly MadeGuard[]>()

export function guardsOf(settings: readonly GuardSettings[]): readonly MadeGuard[] {
  const known = made.get(settings)
  if (known !== undefined) return known
  const guards = settings.map(create)
  made.set(settings, guards)
  return guards
}

function create(settings: GuardSettings): MadeGuard {
  const guard = GUARDS.find(({ name }) => name === settings.guard) as unknown as Guard
  const parts = guard.create(settings as Parameters<Guard['create']>[0])
  const { request = null, answer = null } = typeof parts === 'function' ? { request: parts } : parts
  return { name: settings.guard, mode: settings.mode, request, answer }
}
