/** Fills an empty shard. No process opens one that is being filled. */
import { SluiceError } from '../../../core/errors.ts'
import type { TenantId } from '../../../core/job.ts'
import type { Kind, Sink } from '../../../core/ports/portable.ts'
import { leadingInstructionsEnd } from '../../shared/messages.ts'
import { FIRST_EPOCH } from '../../shared/portable/epochs.ts'
import {
  CONVERSATIONS,
  COUNTERS,
  ENDED,
  type EndedJob,
  EPOCHS,
  KEYS,
  PAUSES,
  type StoredConversation,
  type StoredTurn,
  TURNS,
  WAITING,
  type WaitingJob,
} from '../../shared/portable/kinds.ts'
import { pieceOf, piecesOf, type Stretch, stretchesOf } from '../../shared/portable/log.ts'
import { storageError } from '../client/errors.ts'
import { turnRangeOf } from '../conversations/turn.ts'
import { joinDigest, keyOf, keyValue } from '../coordinator/known.ts'
import { writeChunk } from '../log/chunk.ts'
import { type LiveRow, readLive, writeEnd, writeLive, writeRun } from '../protocol/rows.ts'
import type { Shard } from './hold.ts'

/** Of records: the most that one chunk of a log has, about. */
const CHUNK_BYTES = 64 << 10
/** In place of a server's run_id: whichever comes first begins a new epoch. */
const NO_SERVER = '0'
/** Of jobs that no process of this fleet submitted. */
const FROM_ELSEWHERE = 'moved'

export interface WriteRules {
  /** Retention of a tenant's jobs; null: for ever. */
  readonly keepMs: (tenant: TenantId) => number | null
  readonly joinAfterEndMs: number
}

export function sinksOf(shard: Shard, rules: WriteRules): readonly Sink[] {
  const { names, scripts, nowMs } = shard
  const { client } = shard.connection

  /** All of a batch are sent before the first is answered. */
  const sink = <T extends object>(kind: Kind<T>, one: (value: T, blob: Uint8Array) => unknown): Sink<T> => ({
    kind,
    async write(items) {
      shard.expectHeld()
      try {
        await Promise.all(items.map(({ value, blob }) => one(value, blob)))
      } catch (error) {
        throw storageError(error)
      }
    },
  })

  return [
    sink(COUNTERS, async ({ orders, seq }) => {
      const known = await client.mget(names.orders(), names.seq())
      const [ordersNow, seqNow] = known.map((each) => Number(each ?? 0))
      // A counter at 0 draws where it begins
      if (Math.max(orders, ordersNow) > 0) await client.set(names.orders(), Math.max(orders, ordersNow))
      await client.set(names.seq(), Math.max(seq, seqNow))
    }),
    sink(EPOCHS, ({ epoch }) => epoch !== FIRST_EPOCH && client.lpush(names.epochs(), `${epoch} ${NO_SERVER}`)),
    sink(KEYS, ({ digest, key }) => {
      const { revokedAtMs, ...rest } = key
      return Promise.all([
        client.hset(names.keys(), digest, JSON.stringify(rest)),
        revokedAtMs !== undefined && client.hset(names.revokedKeys(), digest, revokedAtMs),
      ])
    }),
    sink(PAUSES, ({ tenant, lane, model }) => client.sadd(names.pauses(), JSON.stringify({ tenant, lane, model }))),
    sink(CONVERSATIONS, putConversation),
    sink(TURNS, putTurn),
    sink(ENDED, putEnded),
    sink(WAITING, putWaiting),
  ]

  // ------------------------------------------------------------ conversations

  function putConversation(value: StoredConversation): Promise<unknown> {
    const { tenant, id, name, createdAtMs, updatedAtMs, last, first, instructions } = value
    // One that was written by a clock ahead must not stay for ever
    const updated = Math.floor(Math.min(updatedAtMs, shard.nowMs))
    const args = [tenant, id, Math.floor(createdAtMs), updated, last, first ?? '', instructions ?? '']
    return scripts.run('put-conversation', name === null ? args : [...args, name])
  }

  function putTurn(value: StoredTurn, blob: Uint8Array): Promise<unknown> {
    const { tenant, conversation, job, seq, state, messages } = value
    const asked = Buffer.from(blob.subarray(0, messages))
    const answer = Buffer.from(blob.subarray(messages))
    const args = [tenant, conversation, job, seq, state, asked, leadingInstructionsEnd(asked), answer]
    return scripts.run('put-turn', args)
  }

  // ------------------------------------------------------------ jobs

  function putEnded(value: EndedJob, blob: Uint8Array): Promise<unknown> {
    const { id, facts, seq, acceptedAtMs, end, endedAtMs, endedAgoMs, attempts } = value
    const row = rowOf(value, acceptedAtMs, {})
    const key = value.keyed ? keyOf(names, row) : ''
    const keepMs = rules.keepMs(facts.tenant)
    const joinMs = end.state === 'done' ? Math.floor(rules.joinAfterEndMs - endedAgoMs) : 0
    return Promise.all([
      ...put(value, blob, row),
      scripts.run('put-ended', [
        id,
        facts.tenant,
        seq,
        end.state,
        Math.floor(nowMs - endedAgoMs),
        writeEnd({ attempts, end, endedAtMs }),
        value.body,
        keepMs ?? '',
        key,
        joinMs > 0 ? joinDigest(facts) : '',
        Math.max(0, joinMs),
      ]),
    ])
  }

  function putWaiting(value: WaitingJob, blob: Uint8Array): Promise<unknown> {
    const { id, facts, seq, acceptedAgoMs, tally, failedAt, notBeforeInMs, canceling, body } = value
    const { tenant, options } = facts
    const { conversation } = options
    const turn = conversation === undefined ? undefined : turnRangeOf(blob.subarray(0, body))
    const row = rowOf(value, Math.round(nowMs - acceptedAgoMs), turn === undefined ? {} : { turn })
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
    return Promise.all([
      ...put(value, blob, row),
      !isFresh && client.hset(names.run(), id, run),
      tally.ttftMs !== null && client.hset(names.ttft(), id, tally.ttftMs),
      conversation !== undefined && scripts.run('put-waiting', [tenant, conversation, id, seq]),
    ])
  }

  function rowOf({ id, seq, facts, body }: EndedJob | WaitingJob, acceptedAtMs: number, more: object): LiveRow {
    const row: LiveRow = {
      id,
      seq,
      acceptedAtMs,
      epoch: FIRST_EPOCH,
      from: FROM_ELSEWHERE,
      bodyBytes: body,
      facts: { ...facts, ...more },
    }
    if (readLive(writeLive(row)) === null)
      throw new SluiceError('storage_failed', {
        message: `What is stored of ${id} does not fit Redis: nothing was kept.`,
      })
    return row
  }

  /** What any job has. In this order: the last script of an ended one finds the others. */
  function put(value: EndedJob | WaitingJob, blob: Uint8Array, row: LiveRow): ReadonlyArray<Promise<unknown>> {
    const { id, body, log, keyed } = value
    const sent: Array<Promise<unknown>> = [
      client.set(names.body(id), Buffer.from(blob.subarray(0, body))),
      client.hset(names.live(), id, writeLive(row)),
    ]
    const isOver = 'end' in value
    let first = 1
    for (const stretch of withEndApart(stretchesOf(piecesOf(log, blob, body), CHUNK_BYTES), isOver)) {
      sent.push(client.rpush(names.log(id), chunkOf(stretch, first)))
      first += stretch.records.length
    }
    if (keyed) sent.push(client.set(keyOf(names, row), keyValue({ ...row, isRetry: false })))
    return sent
  }
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
