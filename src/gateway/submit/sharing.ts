/**
 * Which requests may share an answer (0051): those that are the same, but for what does not change the answer, and of
 * the same tenant and user. Sameness is that of the JSON: the order of members, white space and the spelling of texts
 * don't matter; digits of numbers do, and so does a member that is there twice.
 */
import { hash } from 'node:crypto'
import { isMedia, type JobDraft, type Share } from '../../core/job.ts'
import type { JsonRecord } from '../../core/json.ts'
import type { SharingRules } from '../deps.ts'
import { canonical } from './fingerprint.ts'
import { sortedMembers } from './sorted-members.ts'

/** To put the members of a larger request in order could hold the event loop for too long. */
const MAX_BYTES = 256 << 10

/** Who asks, and how the answer comes: they don't change what is answered. */
const ASIDE: ReadonlySet<string> = new Set([
  ...['user', 'safety_identifier', 'metadata', 'stream', 'stream_options', 'sluice'],
])

/** `body`: the request as the tenant's guards left it. Undefined: its answer is its own. */
export function shareOf(rules: SharingRules, job: JobDraft, value: JsonRecord, body: Uint8Array): Share | undefined {
  const { tenant, kind, model, options, user, session } = job
  // Its files end with its own job
  if (isMedia(kind)) return undefined
  if (options.conversation !== undefined || options.cache === 'no-store') return undefined
  if (Math.max(job.body.length, body.length) > MAX_BYTES) return undefined
  if (rules.temperatureZeroOnly && kind !== 'embedding' && value['temperature'] !== 0) return undefined
  const whose = rules.share === 'tenant' ? [] : [user ?? null, user === undefined ? (session ?? null) : null]
  const texts = [JSON.stringify([tenant, ...whose, kind, model, options.pool]), textOf(job.body)]
  // Who may not use a fallback does not get its answer from one who may
  if (job.instead !== undefined) texts.push(JSON.stringify(job.instead.map(({ model }) => model)))
  // Two that a guard made the same, by leaving out what it must not tell, are not the same
  if (body !== job.body) texts.push(textOf(body))
  const key = hash('sha256', Buffer.from(texts.join('\n'), 'latin1'), 'base64url')
  return options.cache === 'no-cache' ? { key, refresh: true } : { key }
}

function textOf(json: Uint8Array): string {
  const { buffer, byteOffset, length } = canonical(json)
  return sortedMembers(Buffer.from(buffer, byteOffset, length).toString('latin1'), ASIDE)
}
