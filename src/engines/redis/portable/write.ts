/** Fills an empty shard. No process opens one that is being filled. */

import { SluiceError } from '../../../core/errors.ts'
import type { TenantId } from '../../../core/job.ts'
import type { Kind, Sink } from '../../../core/ports/portable.ts'
import { leadingInstructionsEnd } from '../../shared/messages.ts'
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
import { storageError } from '../client/errors.ts'
import { RUN_JOBS_MS, runKey } from '../client/names.ts'
import type { Argument } from '../client/scripts.ts'
import { turnRangeOf } from '../conversations/turn.ts'
import { filedOf } from '../coordinator/commit.ts'
import { joinDigest, keyOf, keyValue } from '../coordinator/known.ts'
import { writeChunk } from '../log/chunk.ts'
import { documentArgs } from '../protocol/documents.ts'
import { type LiveRow, readLive, writeEnd, writeLive, writeRun } from '../protocol/rows.ts'
import { pieceChange } from './file-bytes.ts'
import type { Change, Shard } from './hold.ts'
import { levelsWriter, usageWriter } from './usage.ts'

/** Of records: the most that one chunk of a log has, about. */
const CHUNK_BYTES = 64 << 10
/** Redis does nothing else while a script runs. */
const SCRIPT_BYTES = 1 << 20
/** In place of a server's run_id: whichever comes first begins a new epoch. */
const NO_SERVER = '0'
/** Of jobs that no process of this fleet submitted. */
const FROM_ELSEWHERE = 'moved'

const sizeOf = (value: Argument | undefined): number =>
  Buffer.byteLength(Buffer.isBuffer(value) ? value : String(value))
const set = (key: string, value: Argument): Change => [1, 'SET', key, value]
const hset = (key: string, field: string, value: Argument): Change => [2, 'HSET', key, field, value]

export interface WriteRules {
  /** Retention of a tenant's jobs; null: for ever. */
  readonly keepMs: (tenant: TenantId) => number | null
  readonly joinAfterEndMs: number
}

export function sinksOf(shard: Shard, rules: WriteRules): readonly Sink[] {
  const { names, nowMs } = shard
  const { client } = shard.connection
  const levels = levelsWriter(shard, put)
  const usage = usageWriter(put)

  /** All of a batch are sent before the first is answered. */
  const sink = <T extends object>(kind: Kind<T>, one: (value: T, blob: Uint8Array) => Promise<void>): Sink<T> => ({
    kind,
    async write(items) {
      await Promise.all(items.map(({ value, blob }) => one(value, blob)))
    },
  })

  return [
    sink(COUNTERS, async ({ orders, seq }) => {
      const known = await client.mget(names.orders(), names.seq()).catch(refused)
      const [ordersNow, seqNow] = known.map((each) => Number(each ?? 0))
      const most = Math.max(orders, ordersNow)
      // A counter at 0 draws where it begins
      await put(most > 0 && set('orders', most), set('seq', Math.max(seq, seqNow)))
    }),
    sink(EPOCHS, ({ epoch }) => put(epoch !== FIRST_EPOCH && [1, 'LPUSH', 'epochs', `${epoch} ${NO_SERVER}`])),
    sink(INTAKE, ({ secret }) => put(set('secret:intake', secret))),
    // A version, so that processes see that nothing has changed
    sink(KEYS, ({ digest, key }) => {
      const { revokedAtMs, ...rest } = key
      const isRevoked = revokedAtMs !== undefined
      return put(
        hset('keys', digest, JSON.stringify(rest)),
        isRevoked && hset('keys:revoked', digest, revokedAtMs),
        set('keys:n', 1),
      )
    }),
    sink(TENANTS, (record) =>
      put(hset('tenants', recordName(record.kind, record.id), JSON.stringify(record)), set('tenants:n', 1)),
    ),
    sink(AUDIT, (entry) => put([1, 'LPUSH', 'audit', JSON.stringify(entry)])),
    sink(FILE_BYTES, (piece, blob) => put(pieceChange(piece, blob))),
    sink(DOCUMENTS, (head, body) =>
      shard.put('put-document', [], documentArgs({ ...head, text: Buffer.from(body).toString('utf8') }, head.version)),
    ),
    sink(PAUSES, ({ tenant, lane, model }) => put([1, 'SADD', 'pauses', JSON.stringify({ tenant, lane, model })])),
    sink(WINDOWS, levels.window),
    sink(LEVELS, levels.level),
    sink(USAGE_SUMS, usage.sum),
    sink(USAGE, usage.record),
    sink(CONVERSATIONS, putConversation),
    sink(TURNS, putTurn),
    sink(ENDED, putEnded),
    sink(WAITING, putWaiting),
  ]

  // ------------------------------------------------------------ conversations

  function put(...changes: ReadonlyArray<Change | false>): Promise<void> {
    return shard.put(
      'put',
      changes.filter((change) => change !== false),
    )
  }

  function putConversation(value: StoredConversation): Promise<void> {
    const { tenant, id, name, createdAtMs, updatedAtMs, last, first, instructions } = value
    // One that was written by a clock ahead must not stay for ever
    const updated = Math.floor(Math.min(updatedAtMs, shard.nowMs))
    const args = [tenant, id, Math.floor(createdAtMs), updated, last, first ?? '', instructions ?? '']
    return shard.put('put-conversation', [], name === null ? args : [...args, name])
  }

  function putTurn(value: StoredTurn, blob: Uint8Array): Promise<void> {
    const { tenant, conversation, job, seq, state, messages } = value
    const asked = Buffer.from(blob.subarray(0, messages))
    const answer = Buffer.from(blob.subarray(messages))
    const args = [tenant, conversation, job, seq, state, asked, leadingInstructionsEnd(asked), answer]
    return shard.put('put-turn', [], args)
  }

  // ------------------------------------------------------------ jobs

  function putEnded(value: EndedJob, blob: Uint8Array): Promise<void> {
    const { id, facts, seq, acceptedAtMs, end, endedAtMs, endedAgoMs, attempts } = value
    const row = rowOf(value, acceptedAtMs, {})
    const key = value.keyed ? keyOf(names, row) : ''
    const indexedAtMs = Math.floor(nowMs - endedAgoMs)
    const joinMs = end.state === 'done' ? Math.floor(rules.joinAfterEndMs - endedAgoMs) : 0
    return putJob('put-ended', ofJob(value, blob, row), [
      id,
      filedOf({ id, tenant: facts.tenant, seq, state: end.state, endedAtMs: indexedAtMs }),
      indexedAtMs,
      writeEnd({ attempts, end, endedAtMs }),
      value.body,
      rules.keepMs(facts.tenant) === 0 ? '' : '1',
      key,
      joinMs > 0 ? joinDigest(facts) : '',
      Math.max(0, joinMs),
    ])
  }

  function putWaiting(value: WaitingJob, blob: Uint8Array): Promise<void> {
    const { id, facts, seq, acceptedAgoMs, tally, failedAt, notBeforeInMs, canceling, body } = value
    const { tenant, options } = facts
    const { conversation } = options
    const turn = conversation === undefined ? undefined : turnRangeOf(blob.subarray(0, body))
    const { reservation } = value
    const held = reservation === undefined ? {} : { reservation }
    const row = rowOf(value, Math.round(nowMs - acceptedAgoMs), turn === undefined ? {} : { turn }, held)
    const run = writeRun({
      attempt: 0,
      worker: null,
      tally,
      failedAt,
      claim: null,
      notBeforeAtMs: notBeforeInMs > 0 ? Math.ceil(nowMs + notBeforeInMs) : 0,
      canceling,
      leasedAtMs: null,
    })
    const isFresh = tally.attempts === 0 && failedAt.length === 0 && notBeforeInMs <= 0 && !canceling
    const changes = [
      ...ofJob(value, blob, row),
      ...(row.facts.after === undefined ? [] : [hset('after', id, row.facts.after.join(' '))]),
      ...(isFresh ? [] : [hset('run', id, run)]),
      ...(tally.ttftMs === null ? [] : [hset('ttft', id, tally.ttftMs)]),
    ]
    return putJob('put-waiting', changes, [id, seq, ...(conversation === undefined ? [] : [tenant, conversation])])
  }

  function rowOf(
    { id, seq, facts, body }: EndedJob | WaitingJob,
    acceptedAtMs: number,
    more: object,
    held: Pick<LiveRow, 'reservation'> = {},
  ): LiveRow {
    const row: LiveRow = {
      id,
      seq,
      acceptedAtMs,
      epoch: FIRST_EPOCH,
      from: FROM_ELSEWHERE,
      bodyBytes: body,
      facts: { ...facts, ...more },
      ...held,
    }
    if (readLive(writeLive(row)) === null)
      throw new SluiceError('storage_failed', {
        message: `What is stored of ${id} does not fit Redis: nothing was kept.`,
      })
    return row
  }

  /** In the order in which they are sent: `script` finds all of the job. */
  async function putJob(script: string, changes: readonly Change[], args: readonly Argument[]): Promise<void> {
    const sent: Array<Promise<void>> = []
    let part: Change[] = []
    let bytes = 0
    for (const change of changes) {
      if (bytes > SCRIPT_BYTES) {
        sent.push(shard.put('put', part))
        part = []
        bytes = 0
      }
      part.push(change)
      bytes += sizeOf(change.at(-1))
    }
    await Promise.all([...sent, shard.put(script, part, args)])
  }

  /** What any job has. */
  function ofJob(value: EndedJob | WaitingJob, blob: Uint8Array, row: LiveRow): readonly Change[] {
    const { id, body, log, keyed } = value
    const changes: Change[] = [set(`b:${id}`, Buffer.from(blob.subarray(0, body))), hset('live', id, writeLive(row))]
    const { tenant, run } = row.facts
    if (run !== undefined) {
      const index = runKey(tenant, run)
      changes.push([2, 'ZADD', index, row.seq, id], [1, 'PEXPIRE', index, RUN_JOBS_MS])
    }
    const isOver = 'end' in value
    let first = 1
    for (const stretch of withEndApart(stretchesOf(piecesOf(log, blob, body), CHUNK_BYTES), isOver)) {
      changes.push([1, 'RPUSH', `l:${id}`, chunkOf(stretch, first)])
      first += stretch.records.length
    }
    if (keyed) changes.push(set(keyOf(names, row).slice(names.shard.length + 1), keyValue({ ...row, isRetry: false })))
    return changes
  }
}

const refused = (error: unknown): never => {
  throw storageError(error)
}

interface ChunkStretch extends Stretch {
  readonly isEnd: boolean
}

/** The end record is a chunk of its own. */
function* withEndApart(stretches: Iterable<Stretch>, isOver: boolean): Generator<ChunkStretch> {
  let before: Stretch | null = null
  for (const stretch of stretches) {
    if (before !== null) yield { ...before, isEnd: false }
    before = stretch
  }
  if (before === null) return
  const { epoch, records } = before
  const split = isOver ? records.length - 1 : records.length
  if (split > 0) yield { epoch, records: records.slice(0, split), isEnd: false }
  if (isOver) yield { epoch, records: records.slice(split), isEnd: true }
}

function chunkOf({ epoch, records, isEnd }: ChunkStretch, firstSeq: number): Buffer {
  const { data } = pieceOf(epoch, records)
  const bytes = records.reduce((sum, record) => sum + record.length, 0)
  const chunk = { isEnd, isOpening: false, epoch, firstSeq, count: records.length, back: 0, bytes }
  return Buffer.from(writeChunk({ ...chunk, body: Buffer.from(data).toString('latin1') }), 'latin1')
}
