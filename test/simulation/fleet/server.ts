/**
 * A simulated Redis: it executes one command after the other, tells subscribers, and keeps a log of what it changed.
 * A restart may lose the end of that log; it then has another run_id.
 */
import { Names } from '../../../src/engines/redis/client/names.ts'
import { LAYOUT } from '../../../src/engines/redis/protocol/version.ts'
import type { Random } from '../random.ts'
import { Database, isEarlier, type StreamEntry } from './database.ts'
import { Args, type Model, type Reply } from './model.ts'
import { READS, SCRIPTS } from './scripts.ts'
import type { Timeline } from './timeline.ts'

/** When its clock began. */
const EPOCH_MS = 1_800_000_000_000
/** Its database is copied after so many writes; the end of the log is done again from there. */
const COPY_EVERY = 64

/** What it tells a connection. */
export interface Subscriber {
  push(channel: string, message: string): void
}

/** A verb of Redis, or a script: its name and its arguments, the shard's name first. */
export interface Call {
  readonly name: string
  readonly args: readonly string[]
}

interface Write {
  readonly call: Call
  readonly now: number
  readonly runId: string
}

interface Reader {
  readonly after: string
  readonly reply: (entries: readonly StreamEntry[]) => void
}

/** Who looks at what was stored. */
export interface Observer {
  sent(call: Call): void
  /** After each call that may have changed something. */
  stored(call: Call, reply: Reply): void
  told(channel: string, message: string): void
  /** It lost its end: `db` is what it has now. */
  lost(): void
}

/** Bugs that may be planted. */
export interface ServerFaults {
  /** Scripts that are wrong. */
  readonly scripts?: Readonly<Record<string, Model>>
  /** Nobody can see that it was restarted. */
  readonly isAlwaysTheSame?: boolean
}

export class SimServer {
  readonly timeline: Timeline
  readonly draw: Random
  db = new Database()
  isUp = true
  observer: Observer | null = null
  readonly #planted: ServerFaults
  readonly #scripts: Readonly<Record<string, Model>>
  readonly #subscribers = new Map<string, Set<Subscriber>>()
  #readers: Reader[] = []
  #writes: Write[] = []
  #copy = new Database()
  #copiedBefore: { readonly db: Database; readonly writes: Write[] } | null = null
  #starts = 0

  constructor(timeline: Timeline, draw: Random, planted: ServerFaults = {}) {
    this.timeline = timeline
    this.draw = draw
    this.#planted = planted
    this.#scripts = { ...SCRIPTS, ...planted.scripts }
    // The last upgrade was long ago
    for (const db of [this.db, this.#copy]) db.set(new Names().layout(), String(LAYOUT))
    this.#start()
  }

  #start(): void {
    if (this.#starts === 0 || this.#planted.isAlwaysTheSame !== true) this.#starts++
    this.db.runId = `${this.#starts}`.padStart(40, '0')
  }

  /** Throws what Redis replies as an error. */
  call(call: Call): Reply {
    this.db.now = EPOCH_MS + this.timeline.now
    if (!READS.has(call.name) && !VERBS_READ.has(call.name)) this.#note(call)
    const reply = this.#execute(this.db, call, true)
    this.observer?.stored(call, reply)
    this.#wake()
    return reply
  }

  #note(call: Call): void {
    if (this.#writes.length === COPY_EVERY) {
      this.#copiedBefore = { db: this.#copy, writes: this.#writes }
      this.#copy = this.db.copy()
      this.#writes = []
    }
    this.#writes.push({ call, now: this.db.now, runId: this.db.runId })
  }

  #execute(db: Database, { name, args }: Call, isTold: boolean): Reply {
    const script = this.#scripts[name]
    if (script === undefined) return verb(db, name, args)
    const reach = {
      db,
      publish: (channel: string, message: string) => (isTold ? this.publish(channel, message) : 1),
      subscribers: (channel: string) => this.#subscribers.get(channel)?.size ?? 0,
      channels: () => [...this.#subscribers].filter(([, { size }]) => size > 0).map(([channel]) => channel),
    }
    return script(reach, args[0], new Args(args.slice(1)))
  }

  // ------------------------------------------------------------ channels

  subscribe(channel: string, subscriber: Subscriber): void {
    const all = this.#subscribers.get(channel)
    if (all === undefined) this.#subscribers.set(channel, new Set([subscriber]))
    else all.add(subscriber)
  }

  /** Its connection is closed. */
  forget(subscriber: Subscriber): void {
    for (const all of this.#subscribers.values()) all.delete(subscriber)
  }

  publish(channel: string, message: string): number {
    this.observer?.told(channel, message)
    const all = this.#subscribers.get(channel)
    if (all === undefined) return 0
    for (const subscriber of all) subscriber.push(channel, message)
    return all.size
  }

  // ------------------------------------------------------------ the inbox

  /** Replies at once where there are entries after `after`, or when there are; with none after `blockMs`. */
  readStream(key: string, after: string, blockMs: number, reply: (entries: readonly StreamEntry[]) => void): void {
    const entries = this.db.stream(key).entries.filter(([id]) => isEarlier(after, id))
    if (entries.length > 0) return reply(entries)
    const reader: Reader = { after, reply }
    this.#readers.push(reader)
    this.#key = key
    this.timeline.at(this.timeline.now + blockMs, null, () => {
      if (!this.#readers.includes(reader)) return
      this.#readers = this.#readers.filter((other) => other !== reader)
      reply([])
    })
  }

  #key = ''

  #wake(): void {
    if (this.#readers.length === 0) return
    const { entries } = this.db.stream(this.#key)
    const readers = this.#readers
    this.#readers = []
    for (const reader of readers) {
      const found = entries.filter(([id]) => isEarlier(reader.after, id))
      if (found.length > 0) reader.reply(found)
      else this.#readers.push(reader)
    }
  }

  // ------------------------------------------------------------ restarts

  /** All connections are closed by whoever stops it. */
  stop(): void {
    this.isUp = false
    this.#subscribers.clear()
    this.#readers = []
  }

  /** Another server, with what the log has, less its last writes; returns how many of them. */
  restart(lost: number): void {
    this.isUp = true
    if (lost > 0) {
      let base = { db: this.#copy, writes: this.#writes }
      if (lost > base.writes.length && this.#copiedBefore !== null)
        base = { db: this.#copiedBefore.db, writes: [...this.#copiedBefore.writes, ...this.#writes] }
      const kept = base.writes.slice(0, Math.max(0, base.writes.length - lost))
      this.db = base.db.copy()
      for (const { call, now, runId } of kept) {
        this.db.now = now
        this.db.runId = runId
        this.#execute(this.db, call, false)
      }
      this.#copy = base.db
      this.#writes = kept
      this.#copiedBefore = null
    }
    this.#start()
    this.db.now = EPOCH_MS + this.timeline.now
    if (lost > 0) this.observer?.lost()
  }
}

const VERBS_READ: ReadonlySet<string> = new Set(['mget', 'hmget', 'smembers', 'hgetall', 'publish'])

/** What is called beside scripts; keys come first. */
function verb(db: Database, name: string, args: readonly string[]): Reply {
  switch (name) {
    case 'xadd':
      db.append(args[0], args[1])
      return null
    case 'mget':
      return args.map((key) => db.get(key))
    case 'hmget':
      return args.slice(1).map((field) => db.hash(args[0]).get(field) ?? null)
    case 'smembers':
      return [...db.members(args[0])]
    case 'hgetall':
      return [...db.hash(args[0])].flat()
    case 'incrby':
      return db.incrBy(args[0], Number(args[1]))
    case 'unlink':
      for (const key of args) db.del(key)
      return args.length
    default:
      throw new Error(`${name} is not simulated`)
  }
}
