/** What a key may be used for: its scopes, its models and its tenant's, and what an operator has disabled. */
import { SluiceError } from '../../core/errors.ts'
import type { Job, JobId } from '../../core/job.ts'
import { isWithin } from '../../core/model-index.ts'
import type { Jobs } from '../../core/ports/jobs.ts'
import type { ApiKey, Keys, Scope } from '../../core/ports/keys.ts'
import type { Disabled, Tenants } from '../../core/ports/tenants.ts'
import { type Caller, userOf } from './caller.ts'

/** As the key is now: it may have been changed since its connection was opened, or since it got another secret. */
export function hasScope(keys: Pick<Keys, 'get'>, key: ApiKey, scope: Scope): boolean {
  const { scopes } = keys.get(key.id) ?? key
  return scopes === undefined || scopes.includes(scope)
}

/** Throws forbidden. */
export function requireScope(keys: Pick<Keys, 'get'>, key: ApiKey, scope: Scope): void {
  if (hasScope(keys, key, scope)) return
  throw new SluiceError('forbidden', {
    message: `The API key (${key.id}) lacks the scope "${scope}": use another key, or have it added to this one.`,
  })
}

/**
 * To cancel a job that the caller can see, or to redrive it, is to manage it, unless it is its own: the same key has
 * submitted it, or it is its session's user's.
 */
export const mayManage = (keys: Pick<Keys, 'get'>, caller: Caller, { keyId }: Pick<Job, 'keyId'>): boolean =>
  keyId === caller.key.id || userOf(caller) !== null || hasScope(keys, caller.key, 'manage')

/** The same. Throws forbidden. */
export function requireOwnJob(keys: Pick<Keys, 'get'>, caller: Caller, job: Pick<Job, 'keyId'>): void {
  if (mayManage(keys, caller, job)) return
  throw notOwn(caller, 'Another API key has submitted this job')
}

/** Of a run. Throws forbidden. */
export function requireOwnRun(keys: Pick<Keys, 'get'>, caller: Caller, run: Pick<Job, 'keyId'>): void {
  if (!mayManage(keys, caller, run)) throw notOwn(caller, 'Another API key has begun this run')
}

const notOwn = ({ key }: Caller, what: string): SluiceError =>
  new SluiceError('forbidden', { message: `${what}: for that, the one used (${key.id}) lacks the scope "manage".` })

/** What may be asked about. A connection may have been opened before its key was changed: it is looked up. */
interface Asked {
  readonly tenant: string
  readonly keyId: string
  readonly model: string
}

interface Stores {
  readonly keys: Pick<Keys, 'get'>
  readonly tenants: Pick<Tenants, 'get' | 'modelOff'>
}

/** Why a key may not use a model, whatever is asked; null: it may. */
export function notAllowed({ keys, tenants }: Stores, { tenant, keyId, model }: Asked): SluiceError | null {
  const own = keys.get(keyId)?.models
  if (own !== undefined && !isListed(own, model)) return notListed(`API key (${keyId})`, model)
  const models = tenants.get('tenant', tenant)?.models ?? null
  return models === null || isListed(models, model) ? null : notListed(`tenant "${tenant}"`, model)
}

/** The same, and why nothing new is taken of it now. */
export function refusalOf(stores: Stores, asked: Asked): SluiceError | null {
  const { keys, tenants } = stores
  const { tenant, keyId, model } = asked
  const keyOff = keys.get(keyId)?.disabled
  if (keyOff !== undefined) return disabled('access_disabled', `API key (${keyId})`, keyOff)
  const tenantOff = tenants.get('tenant', tenant)?.disabled ?? null
  if (tenantOff !== null) return disabled('access_disabled', `tenant "${tenant}"`, tenantOff)
  const refusal = notAllowed(stores, asked)
  if (refusal !== null) return refusal
  const modelOff = tenants.modelOff(model)
  return modelOff === null ? null : disabled('model_disabled', `model "${model}"`, modelOff)
}

const WHAT_NOW = {
  access_disabled: 'ask them to enable it again.',
  model_disabled: 'use another model, or retry when it is enabled again.',
} as const

const disabled = (code: keyof typeof WHAT_NOW, what: string, { reason }: Disabled): SluiceError =>
  new SluiceError(code, {
    message: `The ${what} is disabled by an operator${reason === '' ? '' : ` (${reason})`}: ${WHAT_NOW[code]}`,
    // An SDK need not ask again soon
    ...(code === 'model_disabled' && { param: 'model', retryAfterMs: RETRY_AFTER_MS }),
  })
const RETRY_AFTER_MS = 10_000

const notListed = (whose: string, model: string): SluiceError =>
  new SluiceError('model_not_allowed', {
    param: 'model',
    message: `The ${whose} may not use the model "${model}": GET /v1/models lists those that it may use.`,
  })

const isListed = (entries: readonly string[], name: string): boolean => entries.some((entry) => isWithin(name, entry))

/** Of a job that the store does not know, or that is not the caller's (T1): it may still be with its pool's broker. */
export function unknownJob({ mayCome }: MayCome, caller: Caller, id: JobId, message?: string): SluiceError {
  if (mayCome?.(id, caller.key.tenant, userOf(caller)) !== true)
    return new SluiceError('job_not_found', message === undefined ? {} : { message })
  return new SluiceError('not_arrived', { message: MAY_COME, retryAfterMs: ARRIVAL_RETRY_MS })
}

/** As requireOwnJob, of one that may come: whose it is nobody knows. Throws not_arrived. */
export function mayWithdraw(keys: Pick<Keys, 'get'>, jobs: MayCome, caller: Caller, id: JobId): void {
  const error = unknownJob(jobs, caller, id)
  if (error.code === 'not_arrived' && (userOf(caller) !== null || hasScope(keys, caller.key, 'manage'))) return
  throw error
}

type MayCome = { readonly mayCome?: Jobs['mayCome'] }
const ARRIVAL_RETRY_MS = 2_000
const MAY_COME =
  'This job was accepted, and is not stored: it waits in the broker of its pool, or was erased or lost since; retry.'
