/**
 * Jobs that other programs have published to a broker: what the message is (PROTOCOL.md section 11), for whom it may
 * speak, and the door that every request passes. It has no API key: who may publish is the broker's to say, and which
 * tenants that stands for the configuration's.
 */
import { SluiceError } from '../../core/errors.ts'
import { bad } from '../../core/fields.ts'
import { checkUnique, isRecord, type JsonRecord, type Member, scan } from '../../core/json.ts'
import { didYouMean } from '../../core/nearest.ts'
import type { Enter, Publishers } from '../../core/ports/intake.ts'
import type { Caller } from '../caller/caller.ts'
import type { GatewayDeps } from '../deps.ts'
import { memberBytes } from '../http/body.ts'
import { type Draft, jobDraft } from './draft.ts'
import type { Submits } from './submit.ts'

const MAX_ID_CHARS = 200

export function createEntrance(deps: GatewayDeps, submits: Submits): Enter {
  const { options, ids, clock } = deps
  return (message, broker, publishers) => {
    const requestId = ids.name('msg', 8)
    const origin = { requestId, startedMono: clock.monoMs(), uploadMs: 0, trace: null }
    const caller = callerOf(broker, publishers.tenants[0] ?? '')
    let by = caller
    const draft = submits.drafted(caller, origin, (): Draft => {
      if (publishers.tenants.length === 0) throw nobodyMay()
      if (message.payload.length > options.maxBodyBytes) throw new SluiceError('body_too_large')
      const { value, bytes, members } = parsed(message.payload, options)
      const { id: own, tenant, user, ...job } = value
      by = callerOf(broker, tenantOf(tenant, publishers))
      const id = own ?? message.id
      if (typeof id !== 'string' || id === '' || id.length > MAX_ID_CHARS)
        throw bad('id', `"id" must be a string of 1 to ${MAX_ID_CHARS} characters: a message may be delivered twice.`)
      if (job['pool'] !== undefined && job['pool'] !== message.pool)
        throw bad('pool', `"pool" is "${message.pool}" by the way that the message took: leave it out.`)
      if (job['idempotency_key'] !== undefined) throw bad('idempotency_key', 'Leave it out: "id" is it.')
      const request = memberBytes({ bytes, members }, 'request')
      const asked = { ...job, pool: message.pool, idempotency_key: `${broker}/${id}` }
      const made = jobDraft(
        deps,
        by,
        asked,
        request,
        user === undefined ? null : { 'sluice-user': textOf(user) },
        origin,
      )
      if (made.job.user !== undefined && !publishers.users) throw nobodyNames()
      return { ...made, job: { ...made.job, intake: { broker, message: id } } }
    })
    return submits.enter(by, draft)
  }
}

function callerOf(broker: string, tenant: string): Caller {
  return {
    key: { id: `intake_${broker}`, tenant, name: `published to ${broker}`, hint: '', createdAtMs: 0 },
    session: null,
  }
}

function parsed(
  payload: Uint8Array,
  options: { readonly maxDepth: number; readonly maxKeys: number },
): { readonly value: JsonRecord; readonly bytes: Uint8Array; readonly members: readonly Member[] } {
  const members: Member[] = []
  const keys = scan(payload, options, members)
  const value = jsonOf(payload)
  if (!isRecord(value)) throw new SluiceError('invalid_json', { message: 'The message is not a JSON object.' })
  checkUnique({ bytes: payload, value, keys })
  return { value, bytes: payload, members }
}

function jsonOf(payload: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload))
  } catch {
    throw new SluiceError('invalid_json', { message: 'The message is not valid JSON (UTF-8).' })
  }
}

const textOf = (user: unknown): string => {
  if (typeof user !== 'string' || user === '') throw bad('user', '"user" must be a string that is not empty.')
  return user
}

function tenantOf(given: unknown, { tenants }: Publishers): string {
  if (given === undefined) return tenants[0]
  if (typeof given === 'string' && tenants.includes(given)) return given
  const meant = typeof given === 'string' ? didYouMean(given, tenants) : ''
  throw new SluiceError('forbidden', {
    param: 'tenant',
    message: `What is published may not be for that tenant (intakes.publishers.tenants).${meant}`,
  })
}

const nobodyMay = (): SluiceError =>
  new SluiceError('forbidden', {
    message: `Other programs may not publish jobs here: intakes.publishers.tenants names none.`,
  })

const nobodyNames = (): SluiceError =>
  new SluiceError('forbidden', {
    param: 'user',
    message: `What is published may not name a user (intakes.publishers.users).`,
  })
