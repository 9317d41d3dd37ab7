/** Fills an empty folder. Its age begins at 0: what happened before has a negative one. */

import type { DatabaseSync } from 'node:sqlite'
import { jobOrder } from '../../../core/ids.ts'
import type { Selector } from '../../../core/ports/operations.ts'
import type { Kind, Sink } from '../../../core/ports/portable.ts'
import { FIRST_EPOCH } from '../../shared/portable/epochs.ts'
import { FILE_BYTES } from '../../shared/portable/file-bytes.ts'
import {
  AUDIT,
  CONVERSATIONS,
  COUNTERS,
  DOCUMENTS,
  ENDED,
  type EndedJob,
  EPOCHS,
  INTAKE,
  KEYS,
  LEVELS,
  PAUSES,
  type StoredConversation,
  type StoredTurn,
  TENANTS,
  TURNS,
  USAGE,
  USAGE_SUMS,
  WAITING,
  type WaitingJob,
  WINDOWS,
} from '../../shared/portable/kinds.ts'
import { pieceOf, piecesOf, type Stretch, stretchesOf } from '../../shared/portable/log.ts'
import { recordName } from '../../shared/tenant-records.ts'
import { TURN_BYTES } from '../conversations/conversations.ts'
import { checksumOf } from '../disk/checksum.ts'
import { INTAKE_SECRET } from '../intake-secret.ts'
import { CANCEL, factsOf } from '../jobs/jobs.ts'
import { partsWriter } from '../log/segments.ts'
import { canonical } from '../pauses.ts'
import type { Unbooked } from '../recovery.ts'
import { levelsWriter, usageWriter } from '../usage/portable.ts'
import { fileBytesWriter } from './file-bytes.ts'

/** Of records: the most that one part of a log has, about. */
const PART_BYTES = 1 << 20
/** There are no segments yet. */
const FIRST_SEGMENT = 1

type Value = string | number | Uint8Array | null
type Run = (...values: readonly Value[]) => void

const runner =
  (db: DatabaseSync) =>
  (sql: string): Run => {
    const statement = db.prepare(sql)
    return (...values) => void statement.run(...values)
  }

/** Each batch is a transaction. `dir`: the folder that files go to. */
export function sinksOf(db: DatabaseSync, dir: string): readonly Sink[] {
  const run = runner(db)
  const meta = run('INSERT OR REPLACE INTO meta VALUES (?, ?)')
  const epoch = run('INSERT INTO epochs VALUES (?, ?)')
  const key = run('INSERT INTO keys VALUES (?, ?, ?, ?)')
  const tenant = run('INSERT INTO tenants VALUES (?, ?)')
  const audit = run('INSERT INTO audit (facts) VALUES (?)')
  const document = run('INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, ?)')
  const pause = run('INSERT INTO pauses VALUES (?)')
  const jobs = jobWriter(db)
  const conversations = conversationWriter(db)
  const [levels, usage] = [levelsWriter(db), usageWriter(db)]
  let last = 0

  const sink = <T extends object>(kind: Kind<T>, one: (value: T, blob: Uint8Array) => void): Sink<T> => ({
    kind,
    write: (items) =>
      within(db, () => {
        for (const { value, blob } of items) one(value, blob)
      }),
  })
  return [
    sink(COUNTERS, ({ orders, seq }) => {
      last = Math.max(orders, seq)
      meta('orders', String(last))
    }),
    sink(EPOCHS, (value) => {
      if (value.epoch !== FIRST_EPOCH) epoch(value.epoch, last + 1)
    }),
    sink(INTAKE, ({ secret }) => meta(INTAKE_SECRET, secret)),
    sink(KEYS, ({ digest, key: one }) => key(digest, one.id, one.tenant, JSON.stringify(one))),
    sink(TENANTS, (record) => tenant(recordName(record.kind, record.id), JSON.stringify(record))),
    sink(AUDIT, (entry) => audit(JSON.stringify(entry))),
    sink(FILE_BYTES, fileBytesWriter(dir)),
    sink(DOCUMENTS, ({ kind, id, tenant: of, dueAtMs, expiresAtMs, version }, body) =>
      document(kind, id, of, Buffer.from(body).toString('utf8'), dueAtMs, expiresAtMs, version),
    ),
    sink(PAUSES, (selector: Selector) => pause(canonical(selector))),
    sink(WINDOWS, levels.window),
    sink(LEVELS, levels.level),
    sink(USAGE_SUMS, usage.sum),
    sink(USAGE, usage.record),
    sink(CONVERSATIONS, conversations.begin),
    sink(TURNS, conversations.turn),
    sink(ENDED, jobs.ended),
    sink(WAITING, jobs.waiting),
  ]
}

function within(db: DatabaseSync, write: () => void): void {
  db.exec('BEGIN')
  try {
    write()
    db.exec('COMMIT')
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK')
    throw error
  }
}

function jobWriter(db: DatabaseSync) {
  const run = runner(db)
  const job = run('INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
  const ofRun = run('INSERT INTO run_jobs VALUES (?, ?, ?)')
  const moved = run('INSERT INTO moved VALUES (?, ?)')
  const result = run(
    `INSERT INTO results (ord, state, ended_at, ended_age, epoch, attempts, facts, records, parts, log, checksum)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  )
  const unfinished = run(
    `INSERT INTO unfinished (ord, attempts, fails, deaths, crashes, not_before_age, ttft, failed_at, ran, reservation,
      unbooked) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  )
  const cancel = run("INSERT INTO meta VALUES (?, '')")
  const part = partsWriter(db)

  function store(value: EndedJob | WaitingJob, blob: Uint8Array): void {
    const { id, seq, facts, keyed, body, acceptedAtMs, acceptedAgoMs } = value
    const { tenant, model, options } = facts
    const { idempotencyKey = null, lane = null, conversation = null } = options
    const request = blob.subarray(0, body)
    job(
      seq,
      id,
      tenant,
      keyed ? idempotencyKey : null,
      model,
      lane,
      conversation,
      -Math.round(acceptedAgoMs),
      JSON.stringify(factsOf({ ...facts, acceptedAtMs })),
      request,
      checksumOf(request, body),
    )
    if (facts.run !== undefined) ofRun(seq, tenant, facts.run)
    const order = jobOrder(id)!
    if (order !== seq) moved(seq, order)
  }

  function storePart(order: number, { epoch, records }: Stretch): void {
    part(null, { order, segment: FIRST_SEGMENT, ...pieceOf(epoch, records) })
  }

  return {
    ended(value: EndedJob, blob: Uint8Array): void {
      const { seq, body, log, end, endedAtMs, endedAgoMs, attempts } = value
      store(value, blob)
      const stretches = [...stretchesOf(piecesOf(log, blob, body), PART_BYTES)]
      const last = stretches.pop() ?? { epoch: FIRST_EPOCH, records: [] }
      for (const each of stretches) storePart(seq, each)
      const records = stretches.reduce((sum, each) => sum + each.records.length, last.records.length)
      const { data } = pieceOf(last.epoch, last.records)
      result(
        seq,
        end.state,
        Math.floor(endedAtMs),
        -Math.round(endedAgoMs),
        last.epoch,
        attempts,
        JSON.stringify(end),
        records,
        stretches.length,
        data,
        checksumOf(data, records),
      )
    },
    waiting(value: WaitingJob, blob: Uint8Array): void {
      const { seq, body, log, tally, failedAt, notBeforeInMs, canceling, reservation, unbooked } = value
      store(value, blob)
      for (const each of stretchesOf(piecesOf(log, blob, body), PART_BYTES)) storePart(seq, each)
      const { attempts, fails, deaths, crashes, ttftMs, ranMs } = tally
      const places = failedAt.length === 0 ? null : JSON.stringify(failedAt)
      const held = reservation === undefined ? null : JSON.stringify(reservation)
      const died = unbooked === undefined ? null : JSON.stringify({ ...unbooked, wasDraining: true } satisfies Unbooked)
      unfinished(seq, attempts, fails, deaths, crashes, Math.ceil(notBeforeInMs), ttftMs, places, ranMs, held, died)
      if (canceling) cancel(CANCEL + seq)
    },
  }
}

function conversationWriter(db: DatabaseSync) {
  const run = runner(db)
  const begin = run('INSERT INTO conversations VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, ?)')
  const instruct = run('INSERT INTO instructions VALUES (?, ?)')
  const turn = run('INSERT INTO turns VALUES (?, ?, ?, ?, ?, ?, ?, ?)')
  const count = run('UPDATE conversations SET turns = turns + 1, bytes = bytes + ?3 WHERE tenant = ?1 AND id = ?2')
  const countTenant = run(`INSERT INTO conversation_bytes VALUES (?1, ?2)
    ON CONFLICT (tenant) DO UPDATE SET bytes = bytes + excluded.bytes`)
  return {
    begin(value: StoredConversation): void {
      const { tenant, id, name, createdAtMs, updatedAtMs, idleMs, last, first, instructions } = value
      const [created, updated] = [Math.floor(createdAtMs), Math.floor(updatedAtMs)]
      begin(tenant, id, name, created, updated, last, -Math.round(idleMs), first)
      if (first !== null && instructions !== null) instruct(first, instructions)
    },
    turn(value: StoredTurn, blob: Uint8Array): void {
      const { tenant, conversation, job, seq, state, messages, hasAnswer } = value
      const bytes = blob.length + TURN_BYTES
      const [asked, answer] = [blob.subarray(0, messages), blob.subarray(messages)].map((text) =>
        Buffer.from(text).toString('utf8'),
      )
      turn(seq, tenant, conversation, job, state, bytes, asked, hasAnswer ? answer : null)
      count(tenant, conversation, bytes)
      countTenant(tenant, bytes)
    },
  }
}
