/**
 * The scripts of src/engines/redis/lua as functions of a simulated Redis. model.test.ts holds each to the real one: the
 * same calls give the same answers, messages and keys. Jobs of conversations are left out.
 */
import type { Argument } from '../../../src/engines/redis/client/connection.ts'
import type { Database } from './database.ts'

/** What a script reaches. */
export interface Reach {
  readonly db: Database
  /** Returns how many heard it. */
  publish(channel: string, message: string): number
  subscribers(channel: string): number
  /** Those that somebody hears. */
  channels(): readonly string[]
}

export type Reply = string | number | null | ReadonlyArray<Reply>

/** A script with its arguments: first the shard's name, which all keys begin with. */
export type Model = (reach: Reach, shard: string, args: Args) => Reply

/** A script's arguments, one after the other. */
export class Args {
  readonly all: readonly string[]
  #at = 0

  constructor(all: readonly string[]) {
    this.all = all
  }

  get isDone(): boolean {
    return this.#at >= this.all.length
  }

  take(): string {
    if (this.isDone) throw new Error('the script has too few arguments')
    return this.all[this.#at++]
  }

  count(): number {
    return Number(this.take())
  }

  many(count: number): string[] {
    return Array.from({ length: count }, () => this.take())
  }
}

/** As Redis has them: bytes. */
export const bytesOf = (arg: Argument): string =>
  typeof arg === 'string' ? arg : typeof arg === 'number' ? String(arg) : arg.toString('latin1')

// ---------------------------------------------------------------- who coordinates

const takeover: Model = ({ db, subscribers }, S, args) => {
  const [host, ttl, from, random, readable] = args.many(5)
  const layout = Number(db.get(`${S}:layout`) ?? 1)
  if (layout > Number(readable)) return [-1, layout]
  const owner = db.get(`${S}:owner`)
  if (owner !== null && owner !== from) return [0, owner, subscribers(`${S}:h:${owner}`)]
  db.set(`${S}:owner`, host, db.now + Number(ttl))
  const term = `${db.incrBy(`${S}:term`, 1)}-${random}.${host}`
  db.set(`${S}:fence`, `${term}:0`)
  for (const name of ['fol', 'ttft']) db.hash(`${S}:${name}`).set('-', '-'.repeat(65))
  const before = db.list(`${S}:epochs`)[0]
  const epoch = logEpoch(db, S, random)
  const isOther = before !== undefined && db.list(`${S}:epochs`)[0] !== before
  return [1, term, epoch, Number(db.get(`${S}:seq`) ?? 0), isOther ? 1 : 0]
}

const renew: Model = ({ db }, S, args) => {
  const [host, term, ttl, random] = args.many(4)
  const owner = db.get(`${S}:owner`)
  const fence = db.get(`${S}:fence`) ?? ''
  if ((owner !== null && owner !== host) || !fence.startsWith(`${term}:`)) return 0
  db.set(`${S}:owner`, host, db.now + Number(ttl))
  return logEpoch(db, S, random)
}

const release: Model = ({ db, publish }, S, args) => {
  if (db.get(`${S}:owner`) !== args.take()) return 0
  db.del(`${S}:owner`)
  return publish(`${S}:ctl`, '{"type":"free"}')
}

const tell: Model = ({ db, publish }, S, args) => {
  const term = args.take()
  if (!(db.get(`${S}:fence`) ?? '').startsWith(`${term}:`)) return 0
  while (!args.isDone) publish(`${S}:p:${args.take()}`, args.take())
  return 1
}

const heard: Model = ({ subscribers }, S, args) => args.all.map((process) => subscribers(`${S}:p:${process}`))

const time: Model = ({ db }) => [
  String(Math.floor(db.now / 1_000)),
  String(Math.floor((db.now - 1_000 * Math.floor(db.now / 1_000)) * 1_000)),
]

const layout: Model = ({ db, channels }, S, args) => {
  const [term, layout] = [args.take(), args.count()]
  const now = Number(db.get(`${S}:layout`) ?? 1)
  if (!(db.get(`${S}:fence`) ?? '').startsWith(`${term}:`)) return now
  const processes = channels().filter((channel) => channel.startsWith(`${S}:p:`))
  if (processes.some((channel) => (Number.parseInt(channel.slice(`${S}:p:`.length), 10) || 0) < layout)) return now
  if (now < layout) db.set(`${S}:layout`, String(layout))
  return Math.max(now, layout)
}

/** There is always enough. */
const memory: Model = () => [0, 0, '']

// ---------------------------------------------------------------- logs, as lua/log.lua

const EPOCHS_KEPT = 1_000

/** The current epoch: another server begins another one. */
export function logEpoch(db: Database, S: string, random: string): number {
  const epochs = db.list(`${S}:epochs`)
  const [last, server] = epochs[0]?.split(' ') ?? []
  if (server === db.runId) return Number(last)
  const epoch = last === undefined ? 1 : Number(last) + 1 + Number(random)
  epochs.unshift(`${epoch} ${db.runId}`)
  epochs.length = Math.min(epochs.length, EPOCHS_KEPT)
  return epoch
}

// ---------------------------------------------------------------- what is asked

const join: Model = ({ db }, S) => [db.incrBy(`${S}:members`, 1), Number(db.get(`${S}:layout`) ?? 1)]

const inbox: Model = ({ db }, S, args) => db.append(`${S}:inbox`, args.take())

const submit: Model = ({ db }, S, args) => {
  const mostEntries = args.count()
  if (db.stream(`${S}:inbox`).entries.length >= mostEntries) return null
  const entries: string[] = []
  const ids: string[] = []
  const refused: number[] = []
  for (let n = 1; !args.isDone; n++) {
    const entry = args.take()
    const digests = args.many(args.count())
    const bodies = args.many(args.count())
    const isMissing = (id: string, i: number): boolean =>
      i % 2 === 0 &&
      bodies[i + 1] === '' &&
      !db.exists(`${S}:b:${id}`) &&
      !db.exists(`${S}:r:${id}`) &&
      !db.hash(`${S}:live`).has(id)
    if (bodies.some(isMissing)) {
      refused.push(-n)
      continue
    }
    const keys = db.hash(`${S}:keys`)
    const revoked = db.hash(`${S}:keys:revoked`)
    if (digests.some((digest) => !keys.has(digest) || revoked.has(digest))) {
      refused.push(n)
      continue
    }
    entries.push(entry)
    for (let i = 0; i < bodies.length; i += 2) {
      if (bodies[i + 1] === '') continue
      db.set(`${S}:b:${bodies[i]}`, bodies[i + 1])
      ids.push(bodies[i])
    }
  }
  if (ids.length > 0) db.append(`${S}:sent`, ids.join(' '))
  if (entries.length > 0) db.append(`${S}:inbox`, ...entries)
  return refused
}

const submitEnd: Model = ({ db }, S, args) => {
  const taken: string[] = []
  for (const id of args.all) {
    if (db.hash(`${S}:live`).has(id) || db.exists(`${S}:r:${id}`)) taken.push(id)
    else db.del(`${S}:b:${id}`)
  }
  return taken
}

const jobsGet: Model = ({ db }, S, args) => {
  const found = [db.list(`${S}:epochs`)[0] ?? '']
  for (const id of args.all) {
    const live = db.hash(`${S}:live`).get(id)
    if (live !== undefined) found.push(live, db.hash(`${S}:run`).get(id) ?? '', '')
    else found.push('', '', db.get(`${S}:r:${id}`) ?? '')
  }
  return found
}

/** By the name of their file. */
export const MODELS: Readonly<Record<string, Model>> = {
  takeover,
  join,
  renew,
  release,
  tell,
  heard,
  time,
  memory,
  layout,
  inbox,
  submit,
  'submit-end': submitEnd,
  'jobs-get': jobsGet,
}
