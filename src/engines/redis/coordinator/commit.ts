/** What one commit stores and tells, while it is being gathered; and its arguments, as lua/commit.lua takes them. */
import type { JobId, Place } from '../../../core/job.ts'
import type { Argument } from '../client/scripts.ts'
import type { LeaseNote, Message } from '../protocol/messages.ts'
import { Used } from './used.ts'

/** A job that is taken, where more than its row is stored for that. */
export interface Taken {
  readonly id: JobId
  /** Its idempotency key's name and value; '': none. */
  readonly key: string
  readonly value: string
  readonly turn: {
    readonly conversation: string
    readonly tenant: string
    readonly seq: number
    readonly acceptedAtMs: number
    readonly state: string
    readonly place: Place | null
  } | null
}

export interface Over {
  readonly id: JobId
  readonly record: string
  readonly tenant: string
  readonly seq: number
  readonly state: string
  readonly endedAtMs: number
  /** What of its row the store does not have yet. */
  readonly text: string
  readonly bodyBytes: number
  /** Is anything kept of it? */
  readonly keeps: boolean
  /** Where nothing is: how long it is all the same if nobody reads its end as it comes. */
  readonly unreadMs?: number
  readonly key: string
  /** Digest of its join key, where that is a key of its own; ''. */
  readonly join: string
  readonly joinMs: number
  readonly conversation: string
  readonly attempt: number
  /** Nothing was written to its log, as far as is known. */
  readonly isEmpty: boolean
}

/** What is indexed of a job that ended, but for its bytes: see lua/jobs.lua. */
export const filedOf = ({
  seq,
  endedAtMs,
  state,
  id,
  tenant,
}: Pick<Over, 'seq' | 'endedAtMs' | 'state' | 'id' | 'tenant'>): string =>
  `${seq} ${endedAtMs} ${state === 'done' ? 'd' : 'b'} ${id} ${tenant}`

/** A script unpacks no more than about 8,000 values. */
const PAIRS_AT_ONCE = 500
/** Longer requests are fetched by their worker. */
const ENCLOSED_BYTES = 64 << 10

/** A worker begins the first of a message before the last is stored. */
const LEASES_A_MESSAGE = 64

export class Commit {
  /** Entries of the inbox before this are done with; null: none. */
  keepFrom: string | null = null
  /** The last `seq` of the jobs that it takes; null: it takes none. */
  seq: number | null = null
  readonly taken: Taken[] = []
  readonly over: Over[] = []
  readonly used = new Used()
  /** May what is indexed of ended jobs wait? */
  filesLater = false
  readonly #afterwards = new Set<() => void>()
  readonly #live: string[] = []
  readonly #after: string[] = []
  readonly #followers: string[] = []
  /** By name; null: forgotten. One may be forgotten and made anew within one commit. */
  readonly #levels = new Map<string, string | null>()
  readonly #run = new Map<JobId, string>()
  readonly #joined = new Map<number, string[]>()
  #joinedMs = 0
  readonly #changes: Argument[][] = []
  readonly #leases: Array<{ readonly process: string; readonly notes: LeaseNote[] }> = []
  /** What runs once a lease is stored. */
  readonly #leased = new Map<LeaseNote, () => void>()
  readonly #mails = new Map<string, Message[]>()

  /** Nothing was decided, and nobody waits. */
  get isEmpty(): boolean {
    return (
      this.keepFrom === null &&
      this.#run.size === 0 &&
      this.#changes.length === 0 &&
      this.over.length === 0 &&
      this.#live.length === 0 &&
      this.#leases.length === 0 &&
      this.#mails.size === 0
    )
  }

  /** About how many jobs it concerns. */
  get weight(): number {
    return this.#live.length / 2 + this.over.length + this.#run.size
  }

  /** Runs `fn` once it is stored. */
  afterwards(fn: () => void): void {
    this.#afterwards.add(fn)
  }

  stored(): void {
    for (const fn of this.#afterwards) fn()
  }

  live(id: JobId, text: string, after: readonly JobId[] = []): void {
    this.#live.push(id, text)
    if (after.length > 0) this.#after.push(id, after.join(' '))
  }

  /** The first follower of its log. */
  follow(id: JobId, process: string): void {
    this.#followers.push(id, process)
  }

  run(id: JobId, text: string): void {
    this.#run.set(id, text)
  }

  /** What a level of the limits has used; null: nothing any more. */
  level(name: string, use: string | null): void {
    this.#levels.set(name, use)
  }

  /** A retry may join it, by its digest; a window of such jobs is kept for so long. */
  joined(window: number, keptMs: number, digest: string, value: string): void {
    this.#joinedMs = keptMs
    const pairs = this.#joined.get(window)
    if (pairs === undefined) this.#joined.set(window, [digest, value])
    else pairs.push(digest, value)
  }

  /** A command on a key of the shard: `key` is what follows the shard's name. */
  change(verb: string, key: string, ...args: readonly Argument[]): void {
    this.#changes.push([args.length, verb, key, ...args])
  }

  /** `stored`: as for `afterwards`, unless the lease is taken back before. */
  lease(process: string, note: LeaseNote, stored?: () => void): void {
    if (stored !== undefined) {
      this.afterwards(stored)
      this.#leased.set(note, stored)
    }
    const last = this.#leases.findLast((each) => each.process === process)
    if (last === undefined || last.notes.length === LEASES_A_MESSAGE) this.#leases.push({ process, notes: [note] })
    else last.notes.push(note)
  }

  /** Where such a lease is in here, nobody is told of it. */
  unlease(id: JobId, attempt: number): void {
    for (const { notes } of this.#leases) {
      const at = notes.findIndex((note) => note.id === id && note.attempt === attempt)
      if (at < 0) continue
      const [note] = notes.splice(at, 1)
      const stored = this.#leased.get(note)
      if (stored !== undefined) this.#afterwards.delete(stored)
      return
    }
  }

  tell(process: string, message: Message): void {
    const mail = this.#mails.get(process)
    if (mail === undefined) this.#mails.set(process, [message])
    else mail.push(message)
  }

  /** As lua/commit.lua takes them. */
  args(term: string, number: number, epoch: number, random: number): readonly Argument[] {
    const args: Argument[] = [term, number, epoch, random, this.keepFrom ?? '']
    const ended = new Set(this.over.map(({ id }) => id))
    const changes = [...this.#changes]
    // With the rows that use it: a number that is taken is never given again
    if (this.seq !== null) changes.push([1, 'SET', 'seq', this.seq])
    const store = (key: string, pairs: readonly string[]): void => {
      for (let from = 0; from < pairs.length; from += 2 * PAIRS_AT_ONCE) {
        const part = pairs.slice(from, from + 2 * PAIRS_AT_ONCE)
        changes.push([part.length, 'HSET', key, ...part])
      }
    }
    store('live', this.#live)
    store('after', this.#after)
    store('fol', this.#followers)
    store(
      'run',
      [...this.#run].flatMap(([id, text]) => (ended.has(id) ? [] : [id, text])),
    )
    const levels = [...this.#levels]
    store(
      'lim',
      levels.flatMap(([name, use]) => (use === null ? [] : [name, use])),
    )
    const forgotten = levels.flatMap(([name, use]) => (use === null ? [name] : []))
    for (let from = 0; from < forgotten.length; from += PAIRS_AT_ONCE) {
      const names = forgotten.slice(from, from + PAIRS_AT_ONCE)
      changes.push([names.length, 'HDEL', 'lim', ...names])
    }
    for (const [window, pairs] of this.#joined) {
      store(`jw:${window}`, pairs)
      changes.push([1, 'PEXPIRE', `jw:${window}`, this.#joinedMs])
    }
    args.push(changes.length, ...changes.flat(), ...this.used.args())
    args.push(this.taken.length)
    for (const { id, key, value, turn } of this.taken) {
      args.push(id, key, value, turn?.conversation ?? '')
      if (turn === null) continue
      const { tenant, seq, acceptedAtMs, state, place } = turn
      args.push(tenant, seq, acceptedAtMs, state, place === null ? '' : JSON.stringify(place))
    }
    args.push(this.filesLater ? '1' : '', this.over.length)
    for (const over of this.over) {
      const { id, record, text, bodyBytes, keeps, endedAtMs, key, join, conversation, isEmpty } = over
      args.push(id, record, text, bodyBytes, filedOf(over))
      if (keeps && key === '' && join === '' && conversation === '') args.push(isEmpty ? 'e' : '')
      else {
        args.push('x', isEmpty ? '1' : '', keeps ? '1' : '', over.unreadMs ?? 0, endedAtMs, key, join, over.joinMs)
        args.push(conversation, over.tenant, over.seq, over.state, over.attempt)
      }
    }
    const leases = this.#leases.filter(({ notes }) => notes.length > 0)
    args.push(leases.length)
    for (const { process, notes } of leases) {
      args.push(process, JSON.stringify([{ type: 'leased', leases: notes }]))
      args.push(notes.some(({ row }) => row === undefined) ? '1' : '', notes.length)
      for (const { id, bodyBytes, attempt, again } of notes)
        args.push(id, bodyBytes <= ENCLOSED_BYTES ? '1' : '', attempt > 1 || again ? '1' : '')
    }
    args.push(this.#mails.size)
    for (const [process, mail] of this.#mails) args.push(process, JSON.stringify(mail))
    return args
  }
}
