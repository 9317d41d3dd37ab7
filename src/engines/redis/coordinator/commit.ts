/** What one commit stores and tells, while it is being gathered; and its arguments, as lua/commit.lua takes them. */
import type { JobId, Place } from '../../../core/job.ts'
import type { Argument } from '../client/scripts.ts'
import type { LeaseNote, Message } from '../protocol/messages.ts'

/** A job that is taken. */
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
  /** UTF-8. */
  readonly record: Buffer
  readonly tenant: string
  readonly seq: number
  readonly state: string
  readonly endedAtMs: number
  /** What of its row the store does not have yet. */
  readonly text: string
  readonly bodyBytes: number
  /** Retention; null: for ever. */
  readonly keepMs: number | null
  readonly key: string
  /** Digest of its join key, where retries join it; ''. */
  readonly join: string
  readonly joinMs: number
  readonly conversation: string
  readonly attempt: number
}

/** A script unpacks no more than about 8,000 values. */
const PAIRS_AT_ONCE = 500
/** Longer requests are fetched by their worker. */
const ENCLOSED_BYTES = 64 << 10

/** A worker begins the first of a message before the last is stored. */
const LEASES_A_MESSAGE = 64

export class Commit {
  /** Entries of the inbox before this are done with; null: none. */
  keepFrom: string | null = null
  readonly taken: Taken[] = []
  readonly over: Over[] = []
  readonly #afterwards: Array<() => void> = []
  readonly #live: string[] = []
  readonly #followers: string[] = []
  readonly #run = new Map<JobId, string>()
  readonly #changes: Argument[][] = []
  readonly #leases: Array<{ readonly process: string; readonly notes: LeaseNote[] }> = []
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
    this.#afterwards.push(fn)
  }

  stored(): void {
    for (const fn of this.#afterwards) fn()
  }

  live(id: JobId, text: string): void {
    this.#live.push(id, text)
  }

  /** The first follower of its log. */
  follow(id: JobId, process: string): void {
    this.#followers.push(id, process)
  }

  run(id: JobId, text: string): void {
    this.#run.set(id, text)
  }

  /** A command on a key of the shard: `key` is what follows the shard's name. */
  change(verb: string, key: string, ...args: readonly Argument[]): void {
    this.#changes.push([args.length, verb, key, ...args])
  }

  lease(process: string, note: LeaseNote): void {
    const last = this.#leases.findLast((each) => each.process === process)
    if (last === undefined || last.notes.length === LEASES_A_MESSAGE) this.#leases.push({ process, notes: [note] })
    else last.notes.push(note)
  }

  /** False: no such lease is in here. */
  unlease(id: JobId, attempt: number): boolean {
    for (const { notes } of this.#leases) {
      const at = notes.findIndex((note) => note.id === id && note.attempt === attempt)
      if (at < 0) continue
      notes.splice(at, 1)
      return true
    }
    return false
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
    const store = (key: string, pairs: readonly string[]): void => {
      for (let from = 0; from < pairs.length; from += 2 * PAIRS_AT_ONCE) {
        const part = pairs.slice(from, from + 2 * PAIRS_AT_ONCE)
        changes.push([part.length, 'HSET', key, ...part])
      }
    }
    store('live', this.#live)
    store('fol', this.#followers)
    store(
      'run',
      [...this.#run].flatMap(([id, text]) => (ended.has(id) ? [] : [id, text])),
    )
    args.push(changes.length, ...changes.flat())
    args.push(this.taken.length)
    for (const { id, key, value, turn } of this.taken) {
      args.push(id, key, value, turn?.conversation ?? '')
      if (turn === null) continue
      const { tenant, seq, acceptedAtMs, state, place } = turn
      args.push(tenant, seq, acceptedAtMs, state, place === null ? '' : JSON.stringify(place))
    }
    args.push(this.over.length)
    for (const over of this.over) {
      args.push(over.id, over.record, over.tenant, over.seq, over.state, over.endedAtMs, over.text)
      args.push(over.bodyBytes, over.keepMs ?? '', over.key, over.join, over.joinMs, over.conversation, over.attempt)
    }
    const leases = this.#leases.filter(({ notes }) => notes.length > 0)
    args.push(leases.length)
    for (const { process, notes } of leases) {
      args.push(process, JSON.stringify([{ type: 'leased', leases: notes }]), notes.length)
      for (const { id, bodyBytes, attempt, again } of notes)
        args.push(id, bodyBytes <= ENCLOSED_BYTES ? '1' : '', attempt > 1 || again ? '1' : '')
    }
    args.push(this.#mails.size)
    for (const [process, mail] of this.#mails) args.push(process, JSON.stringify(mail))
    return args
  }
}
