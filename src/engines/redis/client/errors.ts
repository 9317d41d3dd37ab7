/** What Redis and its client throw, as errors of the table. */
import { SluiceError } from '../../../core/errors.ts'

/** When to come back while Redis is away. */
const RETRY_AFTER_MS = 1_000

export const unavailable = (message?: string, cause?: unknown): SluiceError =>
  new SluiceError('storage_unavailable', {
    retryAfterMs: RETRY_AFTER_MS,
    ...(message !== undefined && { message }),
    ...(cause !== undefined && { cause }),
  })

export const FULL = new SluiceError('storage_full', {
  message: 'Redis has no memory left for new work: it is refused until jobs have ended, or maxmemory is raised.',
})

export const tooNew = (layout: number): SluiceError =>
  new SluiceError('config_invalid', {
    message:
      `A newer version of Sluice has stored in this Redis (layout ${layout}) what this one can't read: update this ` +
      'process.',
  })

/** It passes: a restart, a fail-over, slots on their way. */
const PASSING = /^(LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|MOVED|ASK|BUSY|UNBLOCKED)\b/
/** An operator's work. */
const REFUSED = /^(NOAUTH|WRONGPASS|NOPERM)\b/

/** A reply of Redis, rather than a failure to get one. */
export const isReply = (error: unknown): error is Error => error instanceof Error && error.name === 'ReplyError'

/** An error of the table for whatever a command was rejected with. A bug of ours becomes `internal`. */
export function storageError(thrown: unknown): SluiceError {
  if (thrown instanceof SluiceError) return thrown
  if (!isReply(thrown)) return thrown instanceof TypeError ? SluiceError.from(thrown) : unavailable(undefined, thrown)
  return replyError(thrown.message, thrown)
}

export function replyError(message: string, thrown: unknown = new Error(message)): SluiceError {
  // Scripts quote the error that ended them
  const reply = message.startsWith('ERR ') ? message.slice(4) : message
  if (reply.startsWith('OOM')) return FULL
  if (reply.startsWith('MISCONF'))
    return unavailable('Redis cannot write to its disk and refuses changes: check its log.', thrown)
  if (reply.startsWith('READONLY'))
    return unavailable('Redis is a replica, which takes no writes: the address must follow the primary.', thrown)
  if (reply.startsWith('NOREPLICAS'))
    return unavailable('Redis is cut off from its replicas, and takes no writes (min-replicas-to-write).', thrown)
  if (PASSING.test(reply)) return unavailable(undefined, thrown)
  if (REFUSED.test(reply))
    return new SluiceError('storage_failed', {
      message: 'Redis refuses the credentials, or a command: check its user and password in the settings.',
      cause: thrown,
    })
  return SluiceError.from(thrown)
}
