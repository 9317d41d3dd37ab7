/** The kinds of things that an engine holds: what of each travels, and what of it must arrive as it was. */

import { jobOrder } from '../../../core/ids.ts'
import { isTerminal, type Job, type JobDraft, type JobId, type JobState } from '../../../core/job.ts'
import { isRecord } from '../../../core/json.ts'
import type { Amounts, LevelState, LevelUse, Window } from '../../../core/limits.ts'
import type { AuditEntry } from '../../../core/ports/audit.ts'
import type { FailedAt, Tally } from '../../../core/ports/coordinator.ts'
import { DOCUMENT_KINDS, type DocumentKind } from '../../../core/ports/documents.ts'
import type { ApiKey } from '../../../core/ports/keys.ts'
import type { StoredUsage, UsageSum } from '../../../core/ports/ledger.ts'
import type { Selector } from '../../../core/ports/operations.ts'
import type { Item, Kind } from '../../../core/ports/portable.ts'
import type { TenantRecord } from '../../../core/ports/tenants.ts'
import type { End } from '../../../core/record.ts'
import type { Calls } from '../calls.ts'
import type { DocumentHead } from '../documents.ts'
import { count, fits, flag, maybe, members, number, object, parse, type Shape, text } from '../shape.ts'
import { RECORD } from '../tenant-records.ts'
import { piecesOf, type Run, recordsOf, runs } from './log.ts'

export const NO_BLOB = new Uint8Array(0)

/** Where ids and orders go on: what comes next is above. */
export interface Counters {
  /** Of job ids. */
  readonly orders: number
  /** Of acceptance. */
  readonly seq: number
}

/** An epoch that logs had. */
export interface Epoch {
  readonly epoch: number
}

export interface StoredKey {
  /** SHA-256, base64url. */
  readonly digest: string
  readonly key: ApiKey
}

/** Ages are relative: what a store does not know to have passed has not passed (decision 0015). */
export interface StoredConversation {
  readonly tenant: string
  readonly id: string
  readonly name: string | null
  readonly createdAtMs: number
  readonly updatedAtMs: number
  readonly idleMs: number
  /** Order of its newest turn or, without any, of its first job. */
  readonly last: number
  /** Order of the turn that it began with, which may be gone; its instructions are not. */
  readonly first: number | null
  readonly instructions: string | null
}

/** Its blob: the messages, then the answer. */
export interface StoredTurn {
  readonly tenant: string
  readonly conversation: string
  readonly job: JobId
  readonly seq: number
  readonly state: JobState
  /** Bytes. */
  readonly messages: number
  readonly hasAnswer: boolean
}

export type StoredFacts = Omit<JobDraft, 'body' | 'isRetry'>

/** What signs jobs that wait in a broker, base64url. */
export interface StoredIntake {
  readonly secret: string
}

/** A job. Its blob: the request, then the log. */
interface Kept {
  readonly id: JobId
  /** Order of acceptance. */
  readonly seq: number
  readonly acceptedAtMs: number
  readonly acceptedAgoMs: number
  readonly facts: StoredFacts
  /** Its idempotency key is its own. */
  readonly keyed: boolean
  /** Bytes. */
  readonly body: number
  readonly log: readonly Run[]
}

export interface EndedJob extends Kept {
  readonly endedAtMs: number
  readonly endedAgoMs: number
  readonly attempts: number
  readonly end: End
}

export interface WaitingJob extends Kept {
  readonly tally: Tally
  readonly failedAt: FailedAt
  /** Not leased for so long; 0: at once. */
  readonly notBeforeInMs: number
  /** It is to be canceled. */
  readonly canceling: boolean
  /** What it holds until its first lease; absent: nothing. */
  readonly reservation?: Amounts
  /** Its attempt ran, and has no usage record. A store that can't book it later drops this. */
  readonly unbooked?: Calls & { readonly attempt: number }
}

/** What was used of a level of the limits, without what is held. In the order of kind, owner and name (UTF-8). */
export interface StoredLevel extends Omit<LevelUse, 'atMono'> {
  readonly kind: LevelState['kind']
  readonly owner: string
  readonly name: string
  /** `rates` were right so long ago. */
  readonly agoMs: number
}

/** A window that budgets go by: the one that was last open. */
export interface StoredWindow {
  readonly window: Window
  readonly index: number
  /** Negative: it is over. */
  readonly endsInMs: number
}

/** A record of the ledger; in the order of their commits. */
export interface StoredRecord extends StoredUsage {
  readonly agoMs: number
}

// ---------------------------------------------------------------- checks

const id = (value: unknown): boolean => text(value) && jobOrder(value as string) !== null
const FACTS: Shape = {
  tenant: text,
  keyId: text,
  user: maybe(text),
  kind: text,
  model: text,
  bodyHash: text,
  dialect: text,
  takesBack: flag,
  promptTokens: count,
  options: members({
    lane: maybe(text),
    conversation: maybe(text),
    pool: text,
    priority: text,
    delayMs: maybe(count),
    deadlineMs: number,
    idempotencyKey: maybe(text),
    policy: text,
    onWorkerLoss: text,
    onDisconnect: text,
  }),
}
const KEPT: Shape = {
  id,
  seq: count,
  acceptedAtMs: number,
  acceptedAgoMs: number,
  facts: members(FACTS),
  keyed: flag,
  body: count,
  log: runs,
}
const AMOUNTS: Shape = { inputTokens: number, outputTokens: number, requests: number, nanoDollars: number }
const USED_BY: Shape = { tenant: text, keyId: text, user: maybe(text), model: text }
const TALLY: Shape = {
  attempts: count,
  fails: count,
  deaths: count,
  crashes: count,
  ranMs: number,
  ttftMs: maybe(number),
}

/** The bytes of a job's blob are those that it names. */
function isWhole(value: object, blob: Uint8Array): boolean {
  const { body, log } = value as Kept
  return log.reduce((sum, [, , bytes]) => sum + bytes, body) === blob.length
}

/** `changing`: members that another store, or a later moment, tells otherwise. */
export function kind<T extends object>(
  name: string,
  shape: Shape,
  changing: readonly string[] = [],
  hasItsBytes: (value: object, blob: Uint8Array) => boolean = () => true,
  blobOf: (item: Item<T>) => Iterable<string | Uint8Array> = () => [],
): Kind<T> {
  return {
    name,
    version: 1,
    fits: (value, blob): value is T => fits(value, shape) && hasItsBytes(value, blob),
    *same(item) {
      const { value } = item
      yield ordered(Object.fromEntries(Object.entries(value).filter(([member]) => !changing.includes(member))))
      yield* blobOf(item)
    },
  }
}

/** JSON with its members in one order, whoever wrote it. */
const ordered = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  )

/** Its request, and its records one by one: how they lie together is each store's own affair. */
function* bytesOf({ value: { body, log }, blob }: Item<Kept>): Generator<string | Uint8Array> {
  yield blob.subarray(0, body)
  for (const piece of piecesOf(log, blob, body))
    for (const record of recordsOf(piece)) {
      yield `${piece.epoch} ${record.length}\n`
      yield Buffer.from(record, 'latin1')
    }
}

export const COUNTERS = kind<Counters>('counters', { orders: count, seq: count }, ['orders', 'seq'])
export const EPOCHS = kind<Epoch>('epochs', { epoch: count })
export const INTAKE = kind<StoredIntake>('intake', { secret: text })
export const KEYS = kind<StoredKey>('keys', {
  digest: text,
  key: members({ id: text, tenant: text, name: text, hint: text, createdAtMs: number }),
})
export const TENANTS = kind<TenantRecord>('tenants', RECORD)
/** The oldest first. */
export const AUDIT = kind<AuditEntry>('audit', {
  atMs: number,
  from: text,
  requestId: text,
  action: text,
  target: text,
  tenant: maybe(text),
  before: object,
  after: object,
})
export const WINDOWS = kind<StoredWindow>(
  'limit_windows',
  { window: (value) => ['hour', 'day', 'month'].includes(value as string), index: number, endsInMs: number },
  ['endsInMs'],
)
export const LEVELS = kind<StoredLevel>(
  'limit_levels',
  {
    ...{ kind: text, owner: text, name: text, agoMs: number, rates: object, spent: object },
    velocity: maybe(members({ fiveMinutes: number, hour: number, cooledInMs: maybe(number) })),
    totals: maybe(members({ tokens: maybe(number), requests: maybe(number), nano_dollars: maybe(number) })),
  },
  ['agoMs'],
)
export const USAGE = kind<StoredRecord>(
  'usage',
  {
    ...USED_BY,
    job: text,
    attempt: count,
    run: maybe(text),
    kind: text,
    deployment: maybe(text),
    end: text,
    usage: members({ promptTokens: count, completionTokens: count, estimated: flag }),
    nanoDollars: maybe(count),
    priceVersion: maybe(text),
    atMs: number,
    agoMs: number,
  },
  ['agoMs'],
)
/** In the order of the port. */
export const USAGE_SUMS = kind<UsageSum>('usage_sums', {
  ...USED_BY,
  day: (value) => typeof value === 'string' && /^\d{4,6}-\d\d-\d\d$/.test(value),
  attempts: count,
  repeats: count,
  estimated: count,
  unpriced: count,
  promptTokens: count,
  cachedTokens: count,
  completionTokens: count,
  reasoningTokens: count,
  nanoDollars: count,
})
/** Its blob: the body. */
export const DOCUMENTS = kind<DocumentHead>(
  'documents',
  {
    kind: (value) => DOCUMENT_KINDS.includes(value as DocumentKind),
    id: text,
    tenant: text,
    dueAtMs: maybe(number),
    expiresAtMs: maybe(number),
    version: count,
  },
  [],
  (_, blob) => isRecord(parse(Buffer.from(blob).toString('utf8'))),
  ({ blob }) => [blob],
)
/** In whose order they come. */
export const DOCUMENTS_IN_ORDER: readonly DocumentKind[] = [...DOCUMENT_KINDS].sort()
export const PAUSES = kind<Selector>('pauses', { tenant: maybe(text), lane: maybe(text), model: maybe(text) })
export const CONVERSATIONS = kind<StoredConversation>(
  'conversations',
  {
    tenant: text,
    id: text,
    name: maybe(text),
    createdAtMs: number,
    updatedAtMs: number,
    idleMs: number,
    last: count,
    first: maybe(count),
    instructions: maybe(text),
  },
  ['updatedAtMs', 'idleMs'],
)
export const TURNS = kind<StoredTurn>(
  'turns',
  {
    tenant: text,
    conversation: text,
    job: id,
    seq: count,
    state: (value) => isTerminal(value as JobState),
    messages: count,
    hasAnswer: flag,
  },
  [],
  (value, blob) => {
    const { messages, hasAnswer } = value as StoredTurn
    return hasAnswer ? messages <= blob.length : messages === blob.length
  },
  ({ blob }) => [blob],
)
export const ENDED = kind<EndedJob>(
  'ended_jobs',
  {
    ...KEPT,
    endedAtMs: number,
    endedAgoMs: number,
    attempts: count,
    end: members({ state: (value) => isTerminal(value as JobState), error: maybe(object) }),
  },
  ['acceptedAgoMs', 'endedAgoMs', 'log'],
  isWhole,
  bytesOf,
)
export const WAITING = kind<WaitingJob>(
  'waiting_jobs',
  {
    ...KEPT,
    tally: members(TALLY),
    failedAt: Array.isArray,
    notBeforeInMs: number,
    canceling: flag,
    reservation: maybe(members(AMOUNTS)),
    unbooked: maybe(
      members({
        ...{ attempt: count, deployment: maybe(text), model: maybe(text), isHedge: maybe(flag), beside: maybe(text) },
      }),
    ),
  },
  ['acceptedAtMs', 'acceptedAgoMs', 'notBeforeInMs', 'log', 'unbooked'],
  isWhole,
  bytesOf,
)

/** What a job was submitted with, without what the store adds. */
export function storedFacts(job: StoredFacts | Job): StoredFacts {
  const { tenant, keyId, user, session, kind: jobKind, model, bodyHash, options, dialect, shownAs, takesBack } = job
  const { document, promptTokens, maxOutputTokens, route, run, price, share, metadata, requestId } = job
  const {
    admissionMs,
    trace,
    redriveOf,
    needs,
    affinity,
    instead,
    intake,
    parent,
    after,
    outputs,
    hidesThought,
    webhook,
    tells,
  } = job
  const { budget, depth } = job
  return {
    tenant,
    keyId,
    ...(user !== undefined && { user }),
    ...(session !== undefined && { session }),
    kind: jobKind,
    model,
    bodyHash,
    options,
    dialect,
    ...(shownAs !== undefined && { shownAs }),
    takesBack,
    ...(hidesThought !== undefined && { hidesThought }),
    ...(document !== undefined && { document }),
    promptTokens,
    ...(maxOutputTokens !== undefined && { maxOutputTokens }),
    ...(route !== undefined && { route }),
    ...(run !== undefined && { run }),
    ...(parent !== undefined && { parent }),
    ...(after !== undefined && { after }),
    ...(outputs !== undefined && { outputs }),
    ...(price !== undefined && { price }),
    ...(share !== undefined && { share }),
    ...(needs !== undefined && { needs }),
    ...(affinity !== undefined && { affinity }),
    ...(instead !== undefined && { instead }),
    ...(metadata !== undefined && { metadata }),
    ...(budget !== undefined && { budget }),
    ...(depth !== undefined && { depth }),
    ...(requestId !== undefined && { requestId }),
    ...(admissionMs !== undefined && { admissionMs }),
    ...(trace !== undefined && { trace }),
    ...(intake !== undefined && { intake }),
    ...(webhook !== undefined && { webhook }),
    ...(tells !== undefined && { tells }),
    ...(redriveOf !== undefined && { redriveOf }),
  }
}
