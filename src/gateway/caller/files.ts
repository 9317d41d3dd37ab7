/** Whose files a caller's are. */
import type { StoredFile } from '../../core/ports/files.ts'
import { type Caller, userOf } from './caller.ts'

/** Null: its tenant's. */
export const fileUserOf = (caller: Caller): string | null =>
  userOf(caller) ?? (caller.session === null ? null : `session\n${caller.session.id}`)

/** Another tenant's, or another user's, is not there (T1). */
export const canSeeFile = (caller: Caller, { tenant, user }: StoredFile): boolean =>
  tenant === caller.key.tenant && (caller.session === null || user === fileUserOf(caller))
