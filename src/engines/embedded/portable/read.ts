/** What a folder holds, in the words of no store. Nothing is changed: a server may run beside it. */

import type { DatabaseSync } from 'node:sqlite'
import type { Job } from '../../../core/job.ts'
import type { Amounts } from '../../../core/limits.ts'
import type { AuditEntry } from '../../../core/ports/audit.ts'
import type { ApiKey } from '../../../core/ports/keys.ts'
import type { Selector } from '../../../core/ports/operations.ts'
import type { Item, Source } from '../../../core/ports/portable.ts'
import type { TenantRecord } from '../../../core/ports/tenants.ts'
import type { End } from '../../../core/record.ts'
import { type Calls, NO_CALLS } from '../../shared/calls.ts'
import type { DocumentHead } from '../../shared/documents.ts'
import { FILE_BYTES } from '../../shared/portable/file-bytes.ts'
import {
  AUDIT,
  CONVERSATIONS,
  COUNTERS,
  type Counters,
  DOCUMENTS,
  DOCUMENTS_IN_ORDER,
  ENDED,
  type EndedJob,
  EPOCHS,
  type Epoch,
  INTAKE,
  KEYS,
  LEVELS,
  NO_BLOB,
  PAUSES,
  type StoredConversation,
  type StoredIntake,
  type StoredKey,
  type StoredTurn,
  storedFacts,
  TENANTS,
  TURNS,
  USAGE,
  USAGE_SUMS,
  WAITING,
  type WaitingJob,
  WINDOWS,
} from '../../shared/portable/kinds.ts'
import { type Piece, runOf } from '../../shared/portable/log.ts'
import { parse } from '../../shared/shape.ts'
import { readRecord } from '../../shared/tenant-records.ts'
import { expectIntact, parseIntact } from '../disk/checksum.ts'
import { readIntakeSecret } from '../intake-secret.ts'
import { COLUMNS, type JobRow, toJob } from '../jobs/jobs.ts'
import type { Epochs } from '../log/epochs.ts'
import { type Leftover, leftInSegments, textOf } from '../log/leftover.ts'
import { begunOf } from '../log/segments.ts'
import { parsed, placesOf } from '../recovery.ts'
import { levelsOf, recordsOf, sumsOf, windowsOf } from '../usage/portable.ts'
import { fileBytesOf } from './file-bytes.ts'

export interface Reading {
  readonly db: DatabaseSync
  readonly epochs: Epochs
  /** The store's age now. */
  readonly age: number
  /** The folder that its files are in. */
  readonly dir: string
  /** Documents of files whose bytes are not there are read all the same. */
  readonly keepsTorn?: true
  /** Of what is left out, a sentence. */
  readonly damaged: (detail: string) => void
}

/** All that is stored. To be read within one transaction where somebody else may write. */
export function sourcesOf(reading: Reading): readonly Source[] {
  const { db, dir, damaged, keepsTorn } = reading
  const torn = new Set<string>()
  const one = <T extends object>(values: Iterable<T>): Iterable<Item<T>> => items(values)
  return [
    { kind: COUNTERS, read: () => one([countersOf(db)]) },
    {
      kind: EPOCHS,
      read: () => one(db.prepare('SELECT epoch FROM epochs ORDER BY epoch').all() as unknown as Epoch[]),
    },
    { kind: INTAKE, read: () => one(intakeOf(db)) },
    { kind: KEYS, read: () => one(keysOf(reading)) },
    { kind: TENANTS, read: () => one(tenantsOf(reading)) },
    { kind: AUDIT, read: () => one(auditOf(reading)) },
    { kind: FILE_BYTES, read: () => fileBytesOf(db, dir, torn, damaged) },
    { kind: DOCUMENTS, read: () => documentsOf(reading, keepsTorn === true ? NONE : torn) },
    { kind: PAUSES, read: () => one(pausesOf(reading)) },
    { kind: WINDOWS, read: () => one(windowsOf(reading)) },
    { kind: LEVELS, read: () => one(levelsOf(reading)) },
    { kind: USAGE_SUMS, read: () => one(sumsOf(reading)) },
    { kind: USAGE, read: () => one(recordsOf(reading)) },
    { kind: CONVERSATIONS, read: () => one(conversationsOf(reading)) },
    { kind: TURNS, read: () => turnsOf(db) },
    { kind: ENDED, read: () => endedOf(reading) },
    { kind: WAITING, read: () => waitingOf(reading) },
  ] satisfies Source[]
}

function* items<T extends object>(values: Iterable<T>): Generator<Item<T>> {
  for (const value of values) yield { value, blob: NO_BLOB }
}

function countersOf(db: DatabaseSync): Counters {
  const row = db.prepare("SELECT value FROM meta WHERE key = 'orders'").get() as { value: string } | undefined
  const orders = Number(row?.value ?? 0)
  return { orders, seq: orders }
}

function* intakeOf(db: DatabaseSync): Generator<StoredIntake> {
  const secret = readIntakeSecret(db)
  if (secret !== null) yield { secret }
}

function* keysOf({ db, damaged }: Reading): Generator<StoredKey> {
  for (const { digest, facts } of db.prepare('SELECT digest, facts FROM keys ORDER BY digest').iterate() as Iterable<{
    digest: string
    facts: string
  }>)
    try {
      yield { digest, key: JSON.parse(facts) as ApiKey }
    } catch {
      damaged('An API key is damaged, and is left out: make a new one.')
    }
}

function* tenantsOf({ db, damaged }: Reading): Generator<TenantRecord> {
  for (const { facts } of db.prepare('SELECT facts FROM tenants ORDER BY id').iterate() as Iterable<{
    facts: string
  }>) {
    const record = readRecord(facts)
    if (record !== null) yield record
    else damaged('What was set of a tenant is damaged, and is left out: set it again.')
  }
}

function* auditOf({ db, damaged }: Reading): Generator<AuditEntry> {
  for (const { facts } of db.prepare('SELECT facts FROM audit ORDER BY n').iterate() as Iterable<{ facts: string }>) {
    const entry = parse(facts) as AuditEntry | null
    if (entry !== null) yield entry
    else damaged('An entry of the audit is damaged, and is left out.')
  }
}

const NONE: ReadonlySet<string> = new Set()

function* documentsOf({ db, damaged }: Reading, torn: ReadonlySet<string>): Generator<Item<DocumentHead>> {
  const rows = db.prepare(
    `SELECT kind, id, tenant, body, due_at AS dueAtMs, expires_at AS expiresAtMs, version FROM documents
      WHERE kind = ? ORDER BY id`,
  )
  for (const kind of DOCUMENTS_IN_ORDER)
    for (const { body, ...value } of rows.iterate(kind) as Iterable<DocumentHead & { readonly body: string }>) {
      if (kind === 'file' && torn.has(value.id)) continue
      const item = { value: { ...value }, blob: Buffer.from(body) }
      if (DOCUMENTS.fits(item.value, item.blob)) yield item
      else damaged('A document is damaged, and is left out.')
    }
}

function* pausesOf({ db, damaged }: Reading): Generator<Selector> {
  for (const { selector } of db.prepare('SELECT selector FROM pauses ORDER BY selector').all() as Array<{
    selector: string
  }>)
    try {
      yield JSON.parse(selector) as Selector
    } catch {
      damaged('What is paused is damaged in one row, which is left out: pause it again.')
    }
}

const IN_ORDER = 'ORDER BY tenant, last_ord, id'

function* conversationsOf({ db, age }: Reading): Generator<StoredConversation> {
  const rows = db.prepare(`SELECT tenant, id, name, created_at AS createdAtMs, updated_at AS updatedAtMs,
    updated_age AS updatedAge, last_ord AS last, first_ord AS first,
    (SELECT messages FROM instructions i WHERE i.ord = first_ord) AS instructions FROM conversations ${IN_ORDER}`)
  for (const { updatedAge, ...row } of rows.iterate() as Iterable<
    Omit<StoredConversation, 'idleMs'> & { readonly updatedAge: number }
  >)
    yield { ...row, idleMs: age - updatedAge }
}

type TurnRow = Omit<StoredTurn, 'tenant' | 'conversation' | 'messages' | 'hasAnswer'> & {
  readonly messages: string
  readonly answer: string | null
}

function* turnsOf(db: DatabaseSync): Generator<Item<StoredTurn>> {
  const turns = db.prepare(
    'SELECT job, ord AS seq, state, messages, answer FROM turns WHERE tenant = ? AND conversation = ? ORDER BY ord',
  )
  for (const { tenant, id } of db.prepare(`SELECT tenant, id FROM conversations ${IN_ORDER}`).iterate() as Iterable<{
    tenant: string
    id: string
  }>)
    for (const { messages, answer, ...turn } of turns.iterate(tenant, id) as Iterable<TurnRow>) {
      const asked = Buffer.from(messages)
      yield {
        value: { tenant, conversation: id, ...turn, messages: asked.length, hasAnswer: answer !== null },
        blob: answer === null ? asked : Buffer.concat([asked, Buffer.from(answer)]),
      }
    }
}

// ---------------------------------------------------------------- jobs

type StoredJob = JobRow & {
  readonly ord: number
  readonly acceptedAge: number
  readonly keyed: 0 | 1
  readonly body: Uint8Array
  readonly checksum: number | null
}

const JOB =
  `${COLUMNS}, j.ord AS ord, j.accepted_age AS acceptedAge, j.idem IS NOT NULL AS keyed, j.body AS body, ` +
  'j.checksum AS checksum'

type EndedRow = StoredJob & {
  readonly endedAge: number
  readonly records: number
  readonly parts: number
  readonly log: Uint8Array
  readonly logChecksum: number | null
}

function* endedOf({ db, age, damaged }: Reading): Generator<Item<EndedJob>> {
  const partsOf = partsIn(db)
  const rows = db.prepare(`SELECT ${JOB}, r.ended_age AS endedAge, r.records AS records, r.parts AS parts,
    r.log AS log, r.checksum AS logChecksum FROM results r JOIN jobs j ON j.ord = r.ord ORDER BY r.ord`)
  for (const row of rows.iterate() as unknown as Iterable<EndedRow>)
    try {
      const { ord, id, records, log, epoch, endedAt, endedAge, attempts, result } = row
      expectIntact(`The log of ${id}`, log, records, row.logChecksum)
      const pieces = row.parts === 0 ? [] : partsOf(ord, id)
      const rest = records - pieces.reduce((sum, piece) => sum + piece.records, 0)
      if (rest > 0) pieces.push({ epoch: epoch!, records: rest, data: log })
      yield jobItem(row, age, pieces, {
        endedAtMs: endedAt!,
        endedAgoMs: age - endedAge,
        attempts: attempts!,
        end: parseIntact<End>(`What is stored of ${id}`, result!),
      })
    } catch (error) {
      damaged(`${(error as Error).message} It is left out.`)
    }
}

type WaitingRow = StoredJob & {
  readonly tried: number
  readonly fails: number
  readonly deaths: number
  readonly crashes: number
  readonly notBeforeAge: number
  readonly ttft: number | null
  readonly ran: number
  readonly failedAt: string | null
  readonly reservation: string | null
  readonly unbooked: string | null
  readonly canceling: 0 | 1
}

/** An attempt that runs, or ran when its process died, has begun: what follows is the next one, and nobody's crash. */
function* waitingOf({ db, epochs, age, damaged }: Reading): Generator<Item<WaitingJob>> {
  const { found } = leftInSegments(db, (n) =>
    damaged(`Segment ${n} of the token logs is damaged: unfinished jobs lose what they streamed from there on.`),
  )
  const partsOf = partsIn(db)
  const rows = db.prepare(`SELECT ${JOB}, u.attempts AS tried, u.fails AS fails, u.deaths AS deaths,
    u.crashes AS crashes, u.not_before_age AS notBeforeAge, u.ttft AS ttft, u.ran AS ran, u.failed_at AS failedAt,
    u.reservation AS reservation, u.unbooked AS unbooked,
    EXISTS (SELECT 1 FROM meta m WHERE m.key = 'cancel ' || u.ord) AS canceling
    FROM unfinished u JOIN jobs j ON j.ord = u.ord LEFT JOIN results r ON r.ord = u.ord ORDER BY u.ord`)
  for (const row of rows.iterate() as unknown as Iterable<WaitingRow>)
    try {
      const { ord, id, tried, fails, deaths, crashes, notBeforeAge } = row
      const left = found.get(ord)
      const pieces = partsOf(ord, id)
      if (left !== undefined && left.records > 0)
        pieces.push({ epoch: epochs.before(ord), records: left.records, data: textOf(left) })
      const open = left !== undefined && left.lease > tried ? openAttempt(left, age - row.acceptedAge) : null
      yield jobItem(row, age, pieces, {
        tally: {
          attempts: Math.max(tried, open?.attempt ?? 0),
          fails,
          deaths,
          crashes,
          ranMs: Math.max(row.ran, open?.ranMs ?? 0),
          ttftMs: open?.ttftMs ?? row.ttft,
        },
        failedAt: placesOf(row.failedAt),
        notBeforeInMs: open === null ? Math.max(0, notBeforeAge - age) : 0,
        canceling: row.canceling === 1,
        ...leftOf(row, open),
      })
    } catch (error) {
      damaged(`${(error as Error).message} It is left out.`)
    }
}

/** What it holds, and what of it is to be booked yet. */
function leftOf(
  { tried, reservation, unbooked }: WaitingRow,
  open: ReturnType<typeof openAttempt> | null,
): Pick<WaitingJob, 'reservation' | 'unbooked'> {
  const held = tried === 0 && open === null ? parsed<Amounts>(reservation) : null
  const died = open ?? parsed<Calls & { readonly attempt: number }>(unbooked)
  return {
    ...(held !== null && { reservation: held }),
    ...(died !== null && { unbooked: unbookedOf(died) }),
  }
}

const unbookedOf = ({ attempt, deployment, model, isHedge, beside }: Calls & { readonly attempt: number }) => ({
  attempt,
  deployment,
  ...(model !== undefined && { model }),
  ...(isHedge && { isHedge }),
  ...(beside !== undefined && { beside }),
})

/** When it stopped is not known: all the time until now counts as the attempt's. */
function openAttempt({ lease, begun }: Leftover, sinceAcceptedMs: number) {
  const known = begunOf(begun)
  return {
    attempt: lease,
    ranMs: known === null ? 0 : Math.max(0, sinceAcceptedMs - known.queuedMs),
    ttftMs: known?.ttftMs ?? null,
    ...(known?.calls ?? NO_CALLS),
  }
}

/** Beginnings of logs. Throws job_damaged. */
function partsIn(db: DatabaseSync): (order: number, id: string) => Piece[] {
  const parts = db.prepare('SELECT epoch, records, data, checksum FROM parts WHERE ord = ? ORDER BY n')
  return (order, id) =>
    (parts.all(order) as unknown as Array<Piece & { readonly checksum: number | null }>).map(
      ({ epoch, records, data, checksum }) => {
        expectIntact(`The log of ${id}`, data, records, checksum)
        return { epoch, records, data }
      },
    )
}

/** Throws job_damaged. */
function jobItem<M extends object>(row: StoredJob, age: number, pieces: readonly Piece[], more: M) {
  const { id, ord: seq, acceptedAge, keyed, body, checksum } = row
  expectIntact(`The request of ${id}`, body, body.length, checksum)
  const job: Job = toJob(row)
  return {
    value: {
      id,
      seq,
      acceptedAtMs: job.acceptedAtMs,
      acceptedAgoMs: age - acceptedAge,
      facts: storedFacts(job),
      keyed: keyed === 1,
      body: body.length,
      log: pieces.map(runOf),
      ...more,
    },
    blob: pieces.length === 0 ? body : Buffer.concat([body, ...pieces.map(({ data }) => data)]),
  }
}
