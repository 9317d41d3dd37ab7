/** Who calls: an API key, or a page's session that was opened for one; and what it may see of its tenant. */
import { SluiceError } from '../../core/errors.ts'
import type { Job, JobOptions } from '../../core/job.ts'
import type { ApiKey } from '../../core/ports/keys.ts'
import type { Session } from '../../core/ports/tickets.ts'

export interface Caller {
  readonly key: ApiKey
  /** Null: the key itself calls. */
  readonly session: Session | null
}

/** Neither revoked nor expired; null is no key. */
export const isValidKey = (key: ApiKey | null, nowMs: number): key is ApiKey =>
  key !== null && key.revokedAtMs === undefined && (key.expiresAtMs === undefined || key.expiresAtMs > nowMs)

/** A key may have got another secret since this one was seen (`key`): then it is good until its overlap ends. */
export function isValidSecret(key: ApiKey, now: ApiKey | null, nowMs: number): boolean {
  if (!isValidKey(now, nowMs)) return false
  const behind = (now.generation ?? 0) - (key.generation ?? 0)
  return behind <= 0 || (behind === 1 && (now.previousEndsAtMs ?? 0) > nowMs)
}

export const userOf = ({ session }: Caller): string | null => session?.user ?? null

/** Whose share of the tenant's quotas it uses, all tabs and sessions of a user together; null: no session's. */
export function shareOf({ session }: Caller): string | null {
  if (session === null) return null
  return session.user === null ? `session\n${session.id}` : `user\n${session.user}`
}

/** May it see this job? */
export const canSee = (caller: Caller, job: Job): boolean =>
  job.tenant === caller.key.tenant && (userOf(caller) === null || job.user === userOf(caller))

/**
 * Prefix of the names of a session's conversations, lanes and idempotency keys; '' for all other callers. A "/" in the
 * user's name is escaped, so that the names of two users never meet.
 */
export function prefixOf(caller: Caller): string {
  const user = userOf(caller)
  return user === null ? '' : `${encodeURIComponent(user)}/`
}

/** A run as it is stored. A page uses up only what its own user's, or its own session's, runs may use. */
export const withinRun = (caller: Caller, run: string): string =>
  (caller.session === null ? '' : prefixOf(caller) || `${encodeURIComponent(caller.session.id)}/`) + run

/** The options as they are stored. */
export function withinNames(caller: Caller, options: JobOptions): JobOptions {
  const prefix = prefixOf(caller)
  if (prefix === '') return options
  const { lane, conversation, idempotencyKey } = options
  return {
    ...options,
    ...(lane === undefined ? {} : { lane: prefix + lane }),
    ...(conversation === undefined ? {} : { conversation: prefix + conversation }),
    ...(idempotencyKey === undefined ? {} : { idempotencyKey: prefix + idempotencyKey }),
  }
}

/** Throws forbidden for what only an API key may do. */
export function requireKey(caller: Caller): void {
  if (caller.session !== null)
    throw new SluiceError('forbidden', { message: 'A session is not allowed to do that: it needs an API key.' })
}
