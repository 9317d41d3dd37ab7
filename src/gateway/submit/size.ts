/**
 * How large a request may be, where its key, user, tenant or model has a limit of that (`max_request_bytes`). It is the
 * one limit that a request can be known to break before it is read: how many tokens a body holds can't be told by its
 * size. White space has none, an encoded image few, and nothing bounds the bytes of a token from above.
 */
import { SluiceError } from '../../core/errors.ts'
import type { JobDraft } from '../../core/job.ts'
import { type LevelKind, type LevelLimits, type LimitSettings, limitsAt } from '../../core/limits.ts'
import { userOf } from '../caller/caller.ts'
import type { KeyCall } from '../http/call.ts'

/** Whose request it is; a model and a run are not known before it is read. */
type Sender = Pick<JobDraft, 'tenant' | 'keyId' | 'user' | 'run'> & Partial<Pick<JobDraft, 'model'>>

interface Size {
  readonly bytes: number
  readonly level: LevelKind
}

/** Throws body_too_large for a body that is not read yet, if its length tells. */
export function checkLength(settings: LimitSettings, call: KeyCall): void {
  const { id: keyId, tenant } = call.caller.key
  const user = userOf(call.caller)
  const size = sizeLimit(settings, { tenant, keyId, ...(user !== null && { user }) })
  if (size !== null && Number(call.header('content-length')) > size.bytes) throw tooLarge(size)
}

export function refusedForSize(settings: LimitSettings, job: JobDraft): SluiceError | null {
  const size = sizeLimit(settings, job)
  return size !== null && job.body.length > size.bytes ? tooLarge(size) : null
}

/** The smallest of its limits; null: there is none. */
function sizeLimit(settings: LimitSettings, { tenant, keyId, user, run, model }: Sender): Size | null {
  let least: Size | null = null
  const take = (level: LevelKind, limits: LevelLimits | null): void => {
    const bytes = limits?.maxRequestBytes
    if (bytes != null && (least === null || bytes < least.bytes)) least = { bytes, level }
  }
  const at = (level: LevelKind, owner: string, name: string): void =>
    take(level, limitsAt(settings, level, owner, name))
  at('key', tenant, keyId)
  if (user !== undefined) at('user', tenant, user)
  if (run !== undefined) at('run', tenant, run)
  at('tenant', '', tenant)
  at('global', '', '')
  if (model !== undefined) {
    at('tenant_model', tenant, model)
    at('model', '', model)
  }
  return least
}

const tooLarge = ({ bytes, level }: Size): SluiceError =>
  new SluiceError('body_too_large', {
    message: `The request is too large: ${WHOSE[level]} may have ${bytes} bytes at most (limits: max_request_bytes).`,
  })

const WHOSE: Readonly<Record<LevelKind, string>> = {
  run: 'one of an agent',
  key: 'one with this API key',
  user: 'one of this user',
  tenant_model: 'one of this account for this model',
  tenant: 'one of this account',
  model: 'one for this model',
  global: 'one',
}
