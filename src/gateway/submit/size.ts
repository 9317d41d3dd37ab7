/**
 * How large a request may be, where its key, user, tenant or model has a limit of that (`max_request_bytes`). It is the
 * one limit that a request can be known to break before it is read: how many tokens a body holds can't be told by its
 * size. White space has none, an encoded image few, and nothing bounds the bytes of a token from above.
 */
import { SluiceError } from '../../core/errors.ts'
import type { JobDraft } from '../../core/job.ts'
import { type Asker, type LevelKind, type LimitSettings, levelsOf } from '../../core/limits.ts'
import { userOf } from '../caller/caller.ts'
import type { KeyCall } from '../http/call.ts'

interface Size {
  readonly bytes: number
  readonly level: LevelKind
}

/** Throws body_too_large for a body that is not read yet, if its length tells. */
export function checkLength(settings: LimitSettings, call: KeyCall): void {
  const { id: keyId, tenant } = call.caller.key
  // Its model and its run are not known before it is read
  const size = sizeLimit(settings, { tenant, keyId, user: userOf(call.caller) })
  if (size !== null && Number(call.header('content-length')) > size.bytes) throw tooLarge(size)
}

export function refusedForSize(settings: LimitSettings, job: JobDraft): SluiceError | null {
  const size = sizeLimit(settings, job)
  return size !== null && job.body.length > size.bytes ? tooLarge(size) : null
}

/** The smallest of its limits, of the narrowest level that has it; null: there is none. */
function sizeLimit(settings: LimitSettings, asker: Asker): Size | null {
  let least: Size | null = null
  for (const { kind, limits } of levelsOf(settings, asker)) {
    const { maxRequestBytes: bytes } = limits
    if (bytes !== undefined && (least === null || bytes < least.bytes)) least = { bytes, level: kind }
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
