/** What a shard at rest holds, in the words of no store. */
import { SluiceError } from '../../../core/errors.ts'
import type { ApiKey } from '../../../core/ports/keys.ts'
import type { Selector } from '../../../core/ports/operations.ts'
import type { Item, Source } from '../../../core/ports/portable.ts'
import { FIRST_EPOCH } from '../../shared/portable/epochs.ts'
import {
  CONVERSATIONS,
  COUNTERS,
  type Counters,
  ENDED,
  type EndedJob,
  EPOCHS,
  type Epoch,
  KEYS,
  NO_BLOB,
  PAUSES,
  type StoredConversation,
  type StoredKey,
  type StoredTurn,
  storedFacts,
  TURNS,
  WAITING,
  type WaitingJob,
} from '../../shared/portable/kinds.ts'
import { type Piece, pieceOf, runOf } from '../../shared/portable/log.ts'
import { parse } from '../../shared/shape.ts'
import { storageError } from '../client/errors.ts'
import { readTurn } from '../conversations/turn.ts'
import { HeldJob } from '../coordinator/held.ts'
import { keyOf } from '../coordinator/known.ts'
import { Decoder, readChunk } from '../log/chunk.ts'
import { type EndedRow, type LiveRow, readEnded, readLive, readRun } from '../protocol/rows.ts'
import type { Shard } from './hold.ts'

const ROWS_AT_ONCE = 100
const TURNS_AT_ONCE = 16
const CHUNKS_AT_ONCE = 64

type Damaged = (detail: string) => void

export function sourcesOf(shard: Shard, damaged: Damaged): readonly Source[] {
  return [
    { kind: COUNTERS, read: () => countersOf(shard) },
    { kind: EPOCHS, read: () => epochsOf(shard) },
    { kind: KEYS, read: () => keysOf(shard, damaged) },
    { kind: PAUSES, read: () => pausesOf(shard) },
    { kind: CONVERSATIONS, read: () => conversationItems(shard) },
    { kind: TURNS, read: () => turnsOf(shard, damaged) },
    { kind: ENDED, read: () => endedOf(shard, damaged) },
    { kind: WAITING, read: () => waitingOf(shard, damaged) },
  ] satisfies Source[]
}

/** What Redis or its client throws, as an error of the table. */
async function asked<T>(shard: Shard, ask: (shard: Shard) => Promise<T>): Promise<T> {
  shard.expectHeld()
  try {
    return await ask(shard)
  } catch (error) {
    throw storageError(error)
  }
}

const plain = <T extends object>(value: T): Item<T> => ({ value, blob: NO_BLOB })
const byText = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))

async function* countersOf(shard: Shard): AsyncGenerator<Item<Counters>> {
  const { names } = shard
  const [orders, seq] = await asked(shard, ({ connection }) => connection.client.mget(names.orders(), names.seq()))
  yield plain({ orders: Number(orders ?? 0), seq: Number(seq ?? 0) })
}

async function* epochsOf(shard: Shard): AsyncGenerator<Item<Epoch>> {
  const stored = await asked(shard, ({ connection, names }) => connection.client.lrange(names.epochs(), 0, -1))
  for (const each of stored.reverse()) {
    const epoch = Number.parseInt(each, 10)
    if (epoch !== FIRST_EPOCH) yield plain({ epoch })
  }
}

async function* keysOf(shard: Shard, damaged: Damaged): AsyncGenerator<Item<StoredKey>> {
  const [keys, revoked] = await asked(shard, ({ connection: { client }, names }) =>
    Promise.all([client.hgetall(names.keys()), client.hgetall(names.revokedKeys())]),
  )
  for (const digest of Object.keys(keys).sort(byText)) {
    const key = parse(keys[digest]) as ApiKey | null
    if (key === null) damaged('An API key is damaged, and is left out: make a new one.')
    else
      yield plain({
        digest,
        key: revoked[digest] === undefined ? key : { ...key, revokedAtMs: Number(revoked[digest]) },
      })
  }
}

async function* pausesOf(shard: Shard): AsyncGenerator<Item<Selector>> {
  const stored = await asked(shard, ({ connection, names }) => connection.client.smembers(names.pauses()))
  for (const each of stored.sort(byText)) {
    const selector = parse(each) as Selector | null
    if (selector !== null) yield plain(selector)
  }
}

// ---------------------------------------------------------------- conversations

type ConversationRow = readonly [
  id: string,
  last: string,
  first: string | null,
  instructions: string | null,
  name: string | null,
  created: string | null,
  updated: string | null,
]

/** By tenant, the one that rests longest first. */
async function* conversationsOf(
  shard: Shard,
): AsyncGenerator<{ readonly tenant: string; readonly row: ConversationRow }> {
  const tenants = await asked(shard, ({ connection, names }) => connection.client.hkeys(names.conversationBytes()))
  for (const tenant of tenants.sort(byText))
    for (let from = 0; ; from += ROWS_AT_ONCE) {
      const rows = (await asked(shard, ({ scripts }) =>
        scripts.run('conversation-all', [tenant, from, ROWS_AT_ONCE]),
      )) as readonly ConversationRow[]
      for (const row of rows) yield { tenant, row }
      if (rows.length < ROWS_AT_ONCE) break
    }
}

async function* conversationItems(shard: Shard): AsyncGenerator<Item<StoredConversation>> {
  for await (const { tenant, row } of conversationsOf(shard)) {
    const [id, last, first, instructions, name, created, updated] = row
    const updatedAtMs = Math.floor(Number(updated))
    yield plain({
      tenant,
      id,
      name,
      createdAtMs: Math.floor(Number(created)),
      updatedAtMs,
      idleMs: Math.max(0, shard.nowMs - updatedAtMs),
      last: Number(last),
      first: first === null ? null : Number(first),
      instructions: instructions === '' ? null : instructions,
    })
  }
}

async function* turnsOf(shard: Shard, damaged: Damaged): AsyncGenerator<Item<StoredTurn>> {
  for await (const { tenant, row } of conversationsOf(shard)) {
    const [conversation] = row
    for (let from = 0; ; from += TURNS_AT_ONCE) {
      const found = (await asked(shard, ({ scripts }) =>
        scripts.runBuffer('conversation-raw', [tenant, conversation, from, TURNS_AT_ONCE]),
      )) as readonly Buffer[]
      for (let i = 0; i < found.length; i += 3) {
        const job = found[i].toString()
        const turn = readTurn(job, found[i + 2])
        if (turn === null) {
          damaged(`The turn of ${job} is damaged, and is left out.`)
          continue
        }
        const { state, messages, answer } = turn
        const asked = Buffer.from(messages)
        yield {
          value: {
            tenant,
            conversation,
            job,
            seq: Number(found[i + 1]),
            state,
            messages: asked.length,
            hasAnswer: answer !== null,
          },
          blob: answer === null ? asked : Buffer.concat([asked, Buffer.from(answer)]),
        }
      }
      if (found.length < 3 * TURNS_AT_ONCE) break
    }
  }
}

// ---------------------------------------------------------------- jobs

async function* endedOf(shard: Shard, damaged: Damaged): AsyncGenerator<Item<EndedJob>> {
  const { names, nowMs } = shard
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

async function* waitingOf(shard: Shard, damaged: Damaged): AsyncGenerator<Item<WaitingJob>> {
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
    yield { ...kept, value: { ...kept.value, ...standing(job, ttft, nowMs) } }
  }
}

/** An attempt that runs has begun: what follows is the next one, and nobody's crash. */
function standing(job: HeldJob, ttft: string | null, nowMs: number) {
  const { tally, attempts, attempt, leasedAtMs, failedAt, notBeforeAtMs, canceling } = job
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
