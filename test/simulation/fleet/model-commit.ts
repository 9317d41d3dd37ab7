/** The coordinator's commit (lua/commit.lua, lua/used.lua, lua/jobs.lua), as a function of a simulated Redis. */
import type { Database } from './database.ts'
import { type Args, logEpoch, type Model, type Reach, type Reply } from './model.ts'
import { endChunk, headerOf, logTip, writeFrame } from './model-log.ts'

const JOB_BYTES = 1_024
const BACKSTOP_MS = 3_600_000
const LEAVING_MS = 3_000

/** Bugs that may be planted into it. */
export interface CommitFaults {
  readonly noFence?: boolean
  /** What is refused is told all the same. */
  readonly tellsRefused?: boolean
}

export const committing =
  ({ noFence = false, tellsRefused = false }: CommitFaults = {}): Model =>
  (reach, S, args) => {
    const { db } = reach
    const [term, number, epoch, random] = [args.take(), args.count(), args.count(), args.take()]
    const fence = db.get(`${S}:fence`)
    const next = `${term}:${number + 1}`
    if (fence?.startsWith(`${term}:`) && Number(fence.slice(term.length + 1)) > number) return ['in']
    if (fence === `${term}:${number}` || noFence) {
      if (logEpoch(db, S, random) !== epoch && !noFence) return ['other']
      db.set(`${S}:fence`, next)
      return committed(reach, S, random, args)
    }
    if (tellsRefused) committed({ ...reach, db: db.copy() }, S, random, args)
    return ['fenced', fence ?? 'false']
  }

function committed(reach: Reach, S: string, random: string, args: Args): Reply {
  const { db } = reach
  const keep = args.take()
  if (keep !== '') db.trim(`${S}:inbox`, keep)

  for (let left = args.count(); left > 0; left--) {
    const count = args.count()
    change(db, args.take(), `${S}:${args.take()}`, args.many(count))
  }
  used(db, S, args)
  for (let left = args.count(); left > 0; left--) {
    const [id, key, value, conversation] = args.many(4)
    db.persist(`${S}:b:${id}`)
    if (key !== '') db.set(key, value)
    if (conversation !== '') throw new Error('a conversation is not simulated')
  }
  const later = args.take() === '1'
  for (let left = args.count(); left > 0; left--) end(reach, S, random, args, later)

  const unheard: string[] = []
  const tell = (process: string, message: string): void => {
    if (reach.publish(`${S}:p:${process}`, message) === 0) unheard.push(process)
  }
  for (let left = args.count(); left > 0; left--) {
    const [process, message, withRows] = args.many(3)
    const notes: string[] = []
    const bodies: string[] = []
    for (let leases = args.count(); leases > 0; leases--) {
      const [id, withBody, mayHaveText] = args.many(3)
      const body = withBody === '1' ? db.get(`${S}:b:${id}`) : null
      const head = mayHaveText === '1' ? logTip(db, S, id)[0] : 0
      const ttft = head > 0 ? (db.hash(`${S}:ttft`).get(id) ?? '-') : '-'
      const row = withRows === '1' ? (db.hash(`${S}:live`).get(id) ?? '') : null
      notes.push(`${body?.length ?? -1} ${head} ${ttft}${row === null ? '' : ` ${row.length}`}`)
      if (row !== null) bodies.push(row)
      if (body !== null) bodies.push(body)
    }
    tell(process, `${message}\n${notes.join(',')}\n${bodies.join('')}`)
  }
  for (let left = args.count(); left > 0; left--) tell(args.take(), args.take())
  return ['ok', ...unheard]
}

/** The verbs that commits use. */
function change(db: Database, verb: string, key: string, args: readonly string[]): void {
  switch (verb) {
    case 'SET':
      return db.set(key, args[0])
    case 'SADD':
      return void db.members(key).add(args[0])
    case 'SREM':
      return void db.members(key).delete(args[0])
    case 'PEXPIRE':
      return db.expireAt(key, db.now + Number(args[0]))
    case 'HSET': {
      const hash = db.hash(key)
      for (let i = 0; i < args.length; i += 2) hash.set(args[i], args[i + 1])
      return
    }
    case 'HDEL':
      for (const field of args) db.hash(key).delete(field)
      return
    default:
      throw new Error(`${verb} is not simulated`)
  }
}

function used(db: Database, S: string, args: Args): void {
  const tenants = args.count()
  if (tenants === 0) return
  for (let left = tenants; left > 0; left--) db.append(`${S}:use:log`, args.many(2)[1])
  const [day] = args.many(2)
  const sums = db.hash(`${S}:use:${day}`)
  for (let left = args.count(); left > 0; left--) {
    const [group, added] = args.many(2)
    const before = sums.get(group)?.split(' ').map(Number)
    if (before === undefined) {
      db.scores(`${S}:use:${day}:g`).set(group, 0)
      db.scores(`${S}:use:days`).set(day, 0)
    }
    const numbers = added.split(' ').map(Number)
    sums.set(group, (before === undefined ? numbers : numbers.map((n, i) => n + before[i])).join(' '))
  }
}

function end({ db, publish }: Reach, S: string, random: string, args: Args, later: boolean): void {
  const [id, record, text, , filed, about] = args.many(6)
  const [, keeps, unreadMs, atMs, key, join, joinMs, conversation = ''] = about === 'x' ? args.many(12) : ['', '1']
  if (conversation !== '') throw new Error('a conversation is not simulated')
  const staysMs = db.hash(`${S}:fol`).has(id) ? 0 : Number(unreadMs)
  const [epoch, head] = logEnd({ db, publish }, S, id, record, random)
  const kept = { isKept: keeps === '1', staysMs, atMs, key: key ?? '' }
  const ended = { id, text, filed, ...kept, join: join ?? '', joinMs, epoch, head }
  jobEnded(db, S, ended, later)
  for (const name of ['live', 'after', 'run', 'ttft']) db.hash(`${S}:${name}`).delete(id)
}

/** Returns the epoch and seq of the end. */
function logEnd(
  { db, publish }: Pick<Reach, 'db' | 'publish'>,
  S: string,
  id: string,
  record: string,
  random: string,
): readonly [epoch: number, head: number] {
  const log = db.list(`${S}:l:${id}`)
  const last = log.at(-1)
  let head = 0
  if (last !== undefined) {
    const { isEnd, epoch, last: seq } = headerOf(last)
    if (isEnd) return [epoch, seq]
    head = seq
  }
  const epoch = logEpoch(db, S, random)
  const chunk = endChunk(epoch, head + 1, record)
  const frame = writeFrame(id, 0, log.push(chunk) - 1, chunk)
  const followers = db.hash(`${S}:fol`)
  for (const process of (followers.get(id) ?? '').split(' ')) if (process !== '') publish(`${S}:t:${process}`, frame)
  followers.delete(id)
  return [epoch, head + 1]
}

interface Ended {
  readonly id: string
  readonly text: string
  readonly filed: string
  readonly isKept: boolean
  /** Where it is not. */
  readonly staysMs: number
  readonly atMs: string | undefined
  readonly key: string
  readonly join: string
  readonly joinMs: string | undefined
  readonly epoch: number
  readonly head: number
}

function jobEnded(db: Database, S: string, ended: Ended, later: boolean): void {
  const { id, text, filed, isKept, staysMs, atMs, key, join, joinMs, epoch, head } = ended
  const live = db.hash(`${S}:live`).get(id)
  if (live === undefined) return
  const [body, log, row] = [`${S}:b:${id}`, `${S}:l:${id}`, `${S}:r:${id}`]
  // Redis counts what these two take; nothing here depends on how much that is
  const bytes = JOB_BYTES + live.length + text.length
  db.set(row, `${bytes} ${epoch} ${head}\n${live}\n${text}`)
  if (later) db.list(`${S}:unfiled`).push(`${bytes} ${filed}`)
  else file(db, S, `${bytes} ${filed}`)
  if (join !== '') db.set(`${S}:j:${join}`, `${id} ${atMs}`, db.now + Number(joinMs))
  if (isKept) return
  for (const name of [body, log, row, ...(key === '' ? [] : [key])]) db.expireAt(name, db.now + staysMs + BACKSTOP_MS)
  db.scores(`${S}:leaving`).set(id, Number(atMs) + Math.max(staysMs, LEAVING_MS))
}

/** Into the indexes. What waits for that is never so much here that a commit does it. */
function file(db: Database, S: string, entry: string): void {
  const [bytes, seq, atMs, state, id, ...tenants] = entry.split(' ')
  const tenant = tenants.join(' ')
  for (const index of state === 'd' ? ['jobs'] : ['jobs', 'bad'])
    for (const name of [index, `${index}:${tenant}`]) db.scores(`${S}:${name}`).set(id, Number(seq))
  db.scores(`${S}:ends:${tenant}`).set(`${id}:${bytes}`, Number(atMs))
  const all = db.hash(`${S}:bytes`)
  all.set(tenant, String(Number(all.get(tenant) ?? 0) + Number(bytes)))
}
