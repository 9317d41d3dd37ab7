/** A job's options, from the body's `sluice` member and from headers. See PROTOCOL.md section 2. */
import type { IncomingHttpHeaders } from 'node:http'
import { SluiceError } from '../../core/errors.ts'
import { labels } from '../../core/fields.ts'
import type { DisconnectPolicy, JobId, JobOptions, Priority, WorkerLossPolicy } from '../../core/job.ts'
import { isRecord, type JsonRecord } from '../../core/json.ts'
import { didYouMean } from '../../core/nearest.ts'

export const JOB_OPTIONS = [
  'conversation',
  'lane',
  'pool',
  'priority',
  'delay_ms',
  'deadline_ms',
  'idempotency_key',
  'policy',
  'run',
  'parent',
  'after',
  'tags',
  'on_worker_loss',
  'on_disconnect',
  'cache',
  'webhook',
  'metadata',
] as const
export type JobOptionName = (typeof JOB_OPTIONS)[number]
type Name = JobOptionName
const MEMBERS: ReadonlySet<string> = new Set(JOB_OPTIONS)
/** Header → option. `metadata` has no header; the end user has only one. */
const HEADERS: ReadonlyMap<string, string> = new Map(
  [...JOB_OPTIONS.filter((n) => n !== 'metadata'), 'user'].map((n) => [`sluice-${n.replaceAll('_', '-')}`, n]),
)
const METADATA = labels(16)
export const PRIORITIES: readonly Priority[] = ['high', 'normal', 'low']
export const POLICIES: readonly JobOptions['policy'][] = ['reject', 'wait']
export const WORKER_LOSS: readonly WorkerLossPolicy[] = ['continue', 'restart', 'fail']
export const DISCONNECT: readonly DisconnectPolicy[] = ['cancel', 'continue']
export const CACHE: ReadonlyArray<NonNullable<JobOptions['cache']>> = ['no-store', 'no-cache']
const MAX_DIRECTIVES = 16

/** No part of what an idempotency key stands for. */
const ASIDE: ReadonlySet<Name> = new Set<Name>(['idempotency_key', 'cache'])

/** What holds a job, which a body may not take it out of: whoever adds the header need not trust who writes bodies. */
const MUST_AGREE: readonly Name[] = ['idempotency_key', 'run', 'parent']

export const MAX_NAME_CHARS = 256
export const MAX_RUN_CHARS = 128
export const MAX_AFTER = 64
export const JOB_ID = /^job_[0-9a-z]{26}$/
export const MAX_WEBHOOK_CHARS = 64
export const MAX_DELAY_MS = 30 * 86_400_000

export interface Defaults {
  /** Where the members stand, for `param`: "sluice." or nothing. */
  readonly at: string
  readonly pool: string
  /** A POST of OpenAI's dialect that is answered on its own connection. */
  readonly plain: boolean
  readonly plainDeadlineMs: number
  readonly jobDeadlineMs: number
}

export interface ReadOptions {
  readonly options: JobOptions
  /** Those that the client gave, except the idempotency key, in one spelling wherever they were. */
  readonly given: Readonly<Record<string, unknown>>
  readonly metadata: Readonly<Record<string, string>> | undefined
  /** An agent's run. */
  readonly run: string | undefined
  /** The job that this one stems from. */
  readonly parent: JobId | undefined
  /** Jobs that it comes after: at least one. */
  readonly after: readonly JobId[] | undefined
  /** Of deployments: it is answered by one that has them all. */
  readonly tags: readonly string[]
  /** Id of an endpoint. */
  readonly webhook?: string
}

export const TAG = /^[\w.:-]{1,64}$/
export const MAX_TAGS = 8
const NO_TAGS: readonly string[] = []

const NONE: Readonly<Record<string, string>> = {}

/** JobOptions given in headers, and `user`. Throws invalid_request for an unknown `sluice-` header. */
export function headerOptions(headers: IncomingHttpHeaders): Readonly<Record<string, string>> {
  let options: Record<string, string> | null = null
  for (const header in headers) {
    if (header === 'cache-control') {
      const cache = cacheControl(String(headers[header]))
      if (cache !== null) {
        options ??= {}
        options['cache'] ??= cache
      }
      continue
    }
    const isOurs = header.startsWith('sluice-')
    if (!isOurs && header !== 'idempotency-key') continue
    const name = isOurs ? HEADERS.get(header) : 'idempotency_key'
    if (name === undefined)
      throw new SluiceError('invalid_request', {
        param: header,
        message: `"${header}" is not a Sluice header.${didYouMean(header, HEADERS.keys())}`,
      })
    options ??= {}
    // `sluice-idempotency-key` and `idempotency-key` are one; ours wins: SDKs send the other by themselves
    if (isOurs || options[name] === undefined) options[name] = String(headers[header])
  }
  return options ?? NONE
}

/** Of the request's directives the strictest that concerns answers that are shared; null: none does. */
function cacheControl(header: string): NonNullable<JobOptions['cache']> | null {
  const directives = header.toLowerCase().split(',', MAX_DIRECTIVES)
  return CACHE.find((name) => directives.some((directive) => directive.trim() === name)) ?? null
}

/** `members`: of the body; they win over `headers`, but where both must agree. Throws invalid_request. */
export function readJobOptions(
  members: JsonRecord,
  headers: Readonly<Record<string, string>>,
  defaults: Defaults,
): ReadOptions {
  if (headers === NONE && isEmpty(members))
    return {
      options: defaultOptions(defaults),
      given: NONE,
      metadata: undefined,
      run: undefined,
      parent: undefined,
      after: undefined,
      tags: NO_TAGS,
    }
  for (const name in members) {
    if (!MEMBERS.has(name))
      throw new SluiceError('invalid_request', {
        param: `${defaults.at}${name}`,
        message: `"${name}" is not a job option.${didYouMean(name, JOB_OPTIONS)}`,
      })
  }
  for (const name of MUST_AGREE)
    if ((members[name] ?? headers[name]) !== headers[name] && headers[name] !== undefined)
      throw new SluiceError('invalid_request', {
        param: `${defaults.at}${name}`,
        message: `The body has one "${name}" and a header another: leave one out.`,
      })
  const value = (name: Name): unknown => members[name] ?? headers[name]
  const bad = (name: Name, what: string): SluiceError =>
    new SluiceError('invalid_request', { param: `${defaults.at}${name}`, message: `"${name}" must be ${what}.` })

  const text = (name: Name, maxChars = MAX_NAME_CHARS): string | undefined => {
    const v = value(name)
    if (v === undefined) return undefined
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
    if (typeof v !== 'string' || v === '' || v.length > maxChars || /[\x00-\x1f\x7f]/.test(v))
      throw bad(name, `a string of 1 to ${maxChars} characters`)
    return v
  }
  const choice = <T extends string>(name: Name, otherwise: T, all: readonly T[]): T => {
    const v = value(name)
    if (v === undefined) return otherwise
    if (!all.includes(v as T)) throw bad(name, `one of ${all.join(', ')}`)
    return v as T
  }
  const ms = (name: Name, min: number): number | undefined => {
    const v = value(name)
    if (v === undefined) return undefined
    const n = typeof v === 'string' && /^\d{1,15}$/.test(v) ? Number(v) : v
    if (typeof n !== 'number' || !Number.isInteger(n) || n < min || n > MAX_DELAY_MS)
      throw bad(name, `a whole number of ms from ${min} to ${MAX_DELAY_MS}`)
    return n
  }

  const cacheOf = (v: unknown): JobOptions['cache'] => {
    if (v === undefined || v === true || v === 'true') return undefined
    if (v === false || v === 'false') return 'no-store'
    const name = CACHE.find((each) => each === v)
    if (name === undefined) throw bad('cache', 'false, true, "no-store" or "no-cache"')
    return name
  }

  const cache = cacheOf(value('cache'))
  const conversation = text('conversation')
  const lane = text('lane')
  if (conversation !== undefined && lane !== undefined)
    throw bad('lane', 'left out: a conversation is a lane of its own')
  const idempotencyKey = text('idempotency_key')
  const delayMs = ms('delay_ms', 0)
  const otherwise = defaultOptions(conversation === undefined ? defaults : { ...defaults, plain: false })
  const deadlineMs = ms('deadline_ms', 1) ?? otherwise.deadlineMs + (delayMs ?? 0)
  if (delayMs !== undefined && delayMs >= deadlineMs)
    throw bad('delay_ms', `less than "deadline_ms" (${deadlineMs}): the job could only expire`)
  const options: JobOptions = {
    ...(lane === undefined ? {} : { lane }),
    ...(conversation === undefined ? {} : { conversation }),
    pool: text('pool') ?? otherwise.pool,
    priority: choice('priority', otherwise.priority, PRIORITIES),
    ...(delayMs === undefined ? {} : { delayMs }),
    deadlineMs,
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
    policy: choice('policy', otherwise.policy, POLICIES),
    onWorkerLoss: choice('on_worker_loss', otherwise.onWorkerLoss, WORKER_LOSS),
    onDisconnect: choice(
      'on_disconnect',
      idempotencyKey === undefined ? otherwise.onDisconnect : 'continue',
      DISCONNECT,
    ),
    ...(cache === undefined ? {} : { cache }),
  }
  const tagsOf = (v: unknown): readonly string[] => {
    if (v === undefined) return NO_TAGS
    const tags: unknown = typeof v === 'string' ? v.split(',', MAX_TAGS + 1).map((each) => each.trim()) : v
    const isOne = (tag: unknown): boolean => typeof tag === 'string' && TAG.test(tag)
    if (!Array.isArray(tags) || tags.length > MAX_TAGS || !tags.every(isOne))
      throw bad('tags', `at most ${MAX_TAGS} tags of letters, digits, "_", ".", ":" or "-"`)
    return tags as readonly string[]
  }
  const jobsOf = (v: unknown): readonly JobId[] | undefined => {
    if (v === undefined) return undefined
    const ids: unknown = typeof v === 'string' ? v.split(',', MAX_AFTER + 1).map((each) => each.trim()) : v
    const isOne = (id: unknown): boolean => typeof id === 'string' && JOB_ID.test(id)
    if (!Array.isArray(ids) || ids.length > MAX_AFTER || !ids.every(isOne))
      throw bad('after', `a list of at most ${MAX_AFTER} ids of jobs`)
    return ids.length === 0 ? undefined : [...new Set(ids as JobId[])]
  }
  const run = text('run', MAX_RUN_CHARS)
  if (run === '.' || run === '..') throw bad('run', 'a name that a path can carry, which "." and ".." are not')
  // A client's job has no id until it is accepted: without its parent this one would be in no run
  if (members['parent'] === null) throw bad('parent', 'the id of a job, not null: a job has its id once it is accepted')
  const parent = text('parent')
  if (parent !== undefined && !JOB_ID.test(parent)) throw bad('parent', 'the id of a job')
  const webhook = text('webhook', MAX_WEBHOOK_CHARS)
  const metadata = members['metadata'] ?? undefined
  if (metadata !== undefined && !METADATA.ok(metadata)) throw bad('metadata', METADATA.what)
  const given: Record<string, unknown> = {}
  if (idempotencyKey !== undefined)
    for (const name of JOB_OPTIONS) if (!ASIDE.has(name) && value(name) !== undefined) given[name] = value(name)
  if (given['delay_ms'] !== undefined) given['delay_ms'] = delayMs
  if (given['deadline_ms'] !== undefined) given['deadline_ms'] = deadlineMs
  if (isRecord(metadata)) given['metadata'] = Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1))
  return {
    options,
    given,
    metadata: metadata as Readonly<Record<string, string>> | undefined,
    run,
    parent,
    after: jobsOf(value('after')),
    tags: tagsOf(value('tags')),
    ...(webhook !== undefined && { webhook }),
  }
}

function isEmpty(members: JsonRecord): boolean {
  for (const _name in members) return false
  return true
}

/** The options of a job that gives none. */
const defaultOptions = ({ pool, plain, plainDeadlineMs, jobDeadlineMs }: Defaults): JobOptions => ({
  pool,
  priority: 'normal',
  deadlineMs: plain ? plainDeadlineMs : jobDeadlineMs,
  policy: plain ? 'reject' : 'wait',
  onWorkerLoss: 'continue',
  onDisconnect: plain ? 'cancel' : 'continue',
})

/** A list of jobs has no options of its own. Throws invalid_request. */
export function checkNoOptions(headers: IncomingHttpHeaders): void {
  headerOptions(headers)
  for (const header in headers)
    if (header.startsWith('sluice-') || header === 'idempotency-key')
      throw new SluiceError('invalid_request', {
        param: header,
        message: `"${header}" can't stand beside "jobs": give each job its own.`,
      })
}
