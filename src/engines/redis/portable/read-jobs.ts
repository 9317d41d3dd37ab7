/** The jobs of a shard at rest, with their requests and logs. */
import { SluiceError } from '../../../core/errors.ts'
import type { Item } from '../../../core/ports/portable.ts'
import { callsOf, NO_CALLS } from '../../shared/calls.ts'
import { type EndedJob, NO_BLOB, storedFacts, type WaitingJob } from '../../shared/portable/kinds.ts'
import { type Piece, pieceOf, runOf } from '../../shared/portable/log.ts'
import { HeldJob } from '../coordinator/held.ts'
import { keyOf } from '../coordinator/known.ts'
import { Decoder, readChunk } from '../log/chunk.ts'
import { type EndedRow, type LiveRow, readEnded, readLive, readRun } from '../protocol/rows.ts'
import type { Shard } from './hold.ts'
import { asked, type Damaged, ROWS_AT_ONCE } from './reading.ts'

const CHUNKS_AT_ONCE = 64

export async function* endedOf(shard: Shard, damaged: Damaged): AsyncGenerator<Item<EndedJob>> {
  const { names, nowMs } = shard
  await asked(shard, ({ scripts }) => scripts.run('jobs-file', []))
  for (let from = 0; ; from += ROWS_AT_ONCE) {
    const ids = await asked(shard, ({ connection }) =>
      connection.client.zrange(names.jobs(), String(from), String(from + ROWS_AT_ONCE - 1)),
    )
    const texts =
      ids.length === 0 ? [] : await asked(shard, ({ connection }) => connection.client.mget(ids.map(names.row)))
    for (const [i, id] of ids.entries()) {
      const stored = texts[i]
      if (stored === null) continue // its retention is over
      const row = readEnded(stored)
      if (row === null) {
        damaged(`What is stored of ${id} is damaged, and is left out.`)
        continue
      }
      const { end, endedAtMs, attempts } = row
      const kept = await keptOf(shard, row, damaged)
      if (kept === null) continue
      yield {
        ...kept,
        value: { ...kept.value, endedAtMs, endedAgoMs: nowMs - (await endOf(shard, row)), attempts, end },
      }
    }
    if (ids.length < ROWS_AT_ONCE) return
  }
}

/** By which its retention is counted. */
async function endOf(shard: Shard, { id, bytes, facts, endedAtMs }: EndedRow): Promise<number> {
  const { names } = shard
  const score = await asked(shard, ({ connection }) =>
    connection.client.zscore(names.ends(facts.tenant), `${id}:${bytes}`),
  )
  return Number(score ?? endedAtMs)
}

export async function* waitingOf(shard: Shard, damaged: Damaged): AsyncGenerator<Item<WaitingJob>> {
  const { names, nowMs } = shard
  const found: HeldJob[] = []
  for (let cursor = '0'; ; ) {
    const [next, pairs] = await asked(shard, ({ connection }) =>
      connection.client.hscan(names.live(), cursor, 'COUNT', 10 * ROWS_AT_ONCE),
    )
    const ids = pairs.filter((_, i) => i % 2 === 0)
    const runs =
      ids.length === 0 ? [] : await asked(shard, ({ connection }) => connection.client.hmget(names.run(), ...ids))
    for (const [i, id] of ids.entries()) {
      const row = readLive(pairs[2 * i + 1])
      const run = runs[i] === null ? null : readRun(runs[i]!)
      if (row === null || row.id !== id) damaged(`What is stored of ${id} is damaged, and is left out.`)
      else found.push(new HeldJob(row, run))
    }
    cursor = next
    if (cursor === '0') break
  }
  found.sort((a, b) => a.row.seq - b.row.seq)
  const seen = new Set<string>() // a scan may find one twice
  for (const job of found) {
    if (seen.has(job.id)) continue
    seen.add(job.id)
    const kept = await keptOf(shard, job.row, damaged)
    if (kept === null) continue
    const ttft = await asked(shard, ({ connection }) => connection.client.hget(names.ttft(), job.id))
    const { reservation } = job.row
    const held = job.attempts === 0 && reservation !== undefined && { reservation }
    yield { ...kept, value: { ...kept.value, ...standing(job, ttft, nowMs), ...held } }
  }
}

/** An attempt that runs has begun: what follows is the next one, and nobody's crash. */
function standing(job: HeldJob, ttft: string | null, nowMs: number) {
  const { attempts, attempt, claim, leasedAtMs, failedAt, notBeforeAtMs, canceling } = job
  // A folder keeps none: a file is the same whatever it comes from
  const { turnMs: _, ...tally } = job.tally
  const isOpen = attempt > 0
  return {
    tally: {
      ...tally,
      attempts,
      ranMs: tally.ranMs + (isOpen && leasedAtMs !== null ? Math.max(0, nowMs - leasedAtMs) : 0),
      ttftMs: tally.ttftMs ?? (ttft === null ? null : Number(ttft)),
    },
    failedAt,
    notBeforeInMs: isOpen || notBeforeAtMs === 0 ? 0 : Math.max(0, notBeforeAtMs - nowMs),
    canceling,
    ...(isOpen && { unbooked: { attempt, ...(claim === null ? NO_CALLS : callsOf(claim)) } }),
  }
}

/** Null: it is damaged. */
async function keptOf(shard: Shard, row: LiveRow, damaged: Damaged) {
  const { id, seq, acceptedAtMs, facts } = row
  const { names } = shard
  const key = keyOf(names, row)
  const [body, owner] = await asked(shard, ({ connection: { client } }) =>
    Promise.all([client.getBuffer(names.body(id)), key === '' ? null : client.get(key)]),
  )
  const request = body ?? NO_BLOB
  try {
    const pieces = await logOf(shard, id)
    return {
      value: {
        id,
        seq,
        acceptedAtMs,
        acceptedAgoMs: shard.nowMs - acceptedAtMs,
        facts: storedFacts(facts),
        keyed: owner?.startsWith(`${id} `) === true,
        body: request.length,
        log: pieces.map(runOf),
      },
      blob: Buffer.concat([request, ...pieces.map(({ data }) => data)]),
    }
  } catch (error) {
    if (!(error instanceof SluiceError) || error.code !== 'job_damaged') throw error
    damaged(`The log of ${id} is damaged: the job is left out.`)
    return null
  }
}

/** Each page of its chunks as pieces. Throws job_damaged. */
async function logOf(shard: Shard, id: string): Promise<readonly Piece[]> {
  const { names } = shard
  const pieces: Piece[] = []
  const decoder = new Decoder()
  let last = 0
  for (let from = 0; ; from += CHUNKS_AT_ONCE) {
    const stored = await asked(shard, ({ connection }) =>
      connection.client.lrangeBuffer(names.log(id), from, from + CHUNKS_AT_ONCE - 1),
    )
    let epoch = 0
    let records: string[] = []
    const flush = (): void => {
      if (records.length > 0) pieces.push(pieceOf(epoch, records))
      records = []
    }
    for (const each of stored) {
      const chunk = readChunk(each.toString('latin1'))
      if (chunk.firstSeq !== last + 1) throw new SluiceError('job_damaged')
      if (chunk.epoch !== epoch) flush()
      epoch = chunk.epoch
      for (const record of decoder.read(chunk, chunk.firstSeq)) records.push(record)
      last = chunk.firstSeq + chunk.count - 1
    }
    flush()
    if (stored.length < CHUNKS_AT_ONCE) return pieces
  }
}
