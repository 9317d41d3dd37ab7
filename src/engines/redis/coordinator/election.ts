/**
 * Who coordinates: the holder of a key that expires. It renews the key on a connection of its own, from before it
 * restores anything; a candidate looks ten times a second, and takes over where the key is gone, or where nobody hears
 * for its holder any more. Too early a takeover harms nothing: every commit is fenced by its term.
 */
import type { Clock } from '../../../core/clock.ts'
import type { Connection } from '../client/connection.ts'
import type { Names } from '../client/names.ts'
import { Scripts } from '../client/scripts.ts'
import { LAYOUT } from '../protocol/version.ts'

/** A host that is lost, or stopped, is replaced after this. */
const TTL_MS = 2_000
const RENEW_MS = TTL_MS / 4
const LOOK_MS = 100
/** In a row: so often must nobody hear for the holder. */
const UNHEARD = 3
const RANDOM = 2 ** 28
/** Why a term ends when Redis was restarted, or failed over. */
export const OTHER_SERVER = 'this is another Redis server than before'

export interface Won {
  /** Unique, over failures of Redis too. */
  readonly term: string
  /** Of logs: another one means that history may have been lost. */
  readonly epoch: number
  /** The last `seq` that was given. */
  readonly seq: number
  /** This is another server than that of the term before. */
  readonly otherServer: boolean
}

export interface ElectionEvents {
  won(won: Won): void
  /** It coordinates no longer, or its memory may be ahead of what Redis has. */
  lost(reason: string): void
  /** What is stored is too new for this version, which coordinates nothing. Called once. */
  outdated(layout: number): void
}

export class Election {
  readonly #host: string
  readonly #clock: Clock
  readonly #connection: Connection
  readonly #scripts: Scripts
  readonly #names: Names
  readonly #random: () => number
  readonly #events: ElectionEvents
  #won: Won | null = null
  #unheard = 0
  #holder = ''
  #asking = false
  #stopped = false
  #isOutdated = false
  #restsUntilMono = -Infinity
  readonly #stopTimers: Array<() => void> = []

  /** `connection`: its own. */
  constructor(
    host: string,
    clock: Clock,
    connection: Connection,
    names: Names,
    random: () => number,
    events: ElectionEvents,
  ) {
    this.#host = host
    this.#clock = clock
    this.#connection = connection
    this.#scripts = new Scripts(connection, names.shard)
    this.#names = names
    this.#random = random
    this.#events = events
  }

  start(): void {
    this.#stopTimers.push(
      this.#clock.every(LOOK_MS, () => void this.look()),
      this.#clock.every(RENEW_MS, () => void this.#renew()),
    )
    void this.look()
  }

  /** Is there a coordinator? If not, this one tries. */
  async look(from = ''): Promise<void> {
    if (this.#won !== null || this.#asking || this.#stopped || this.#connection.away) return
    if (this.#clock.monoMs() < this.#restsUntilMono) return
    this.#asking = true
    try {
      const random = Math.floor(this.#random() * RANDOM)
      const args = [this.#host, TTL_MS, from, random, LAYOUT]
      const answer = (await this.#scripts.run('takeover', args)) as readonly unknown[]
      if (this.#stopped) return
      if (answer[0] === 1) this.#win(answer)
      else if (answer[0] === -1) this.#outdated(Number(answer[1]))
      else await this.#watch(String(answer[1]), Number(answer[2]))
    } catch {
      // Redis is away, or full: at the next look
    } finally {
      this.#asking = false
    }
  }

  /** It may be won again, at once. */
  stepDown(): void {
    this.#won = null
    this.#unheard = 0
  }

  /** It stands for no election for so long. */
  rest(ms: number): void {
    this.#restsUntilMono = this.#clock.monoMs() + ms
  }

  /** No command leaves any more; `handOver`: but that which lets another follow at once. */
  async stop(handOver: boolean): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    for (const stop of this.#stopTimers) stop()
    const wasHolder = this.#won !== null
    this.#won = null
    if (!handOver || !wasHolder || this.#connection.away) return
    await this.#scripts.run('release', [this.#host]).catch(() => {}) // the key expires
  }

  #outdated(layout: number): void {
    if (this.#isOutdated) return
    this.#isOutdated = true
    this.#events.outdated(layout)
  }

  #win([, term, epoch, seq, other]: readonly unknown[]): void {
    this.#won = { term: String(term), epoch: Number(epoch), seq: Number(seq), otherServer: other === 1 }
    this.#unheard = 0
    this.#events.won(this.#won)
  }

  async #watch(holder: string, heard: number): Promise<void> {
    // Its own key, of a term that it gave up: it can be taken again
    const isGone = holder === this.#host || (heard === 0 && holder === this.#holder)
    this.#unheard = isGone ? this.#unheard + 1 : heard === 0 ? 1 : 0
    this.#holder = holder
    if (holder !== this.#host && this.#unheard < UNHEARD) return
    this.#asking = false
    await this.look(holder)
  }

  async #renew(): Promise<void> {
    const won = this.#won
    if (won === null || this.#connection.away) return
    try {
      const random = Math.floor(this.#random() * RANDOM)
      const epoch = Number(await this.#scripts.run('renew', [this.#host, won.term, TTL_MS, random]))
      if (this.#won !== won) return
      if (epoch === 0) this.#lose('another one coordinates')
      else if (epoch !== won.epoch) this.#lose(OTHER_SERVER)
    } catch {
      // Redis is away: its commits are fenced, whoever holds the key when it is back
    }
  }

  #lose(reason: string): void {
    this.stepDown()
    this.#events.lost(reason)
  }

  /** The channel on which a candidate's presence is seen. */
  get channel(): string {
    return this.#names.host(this.#host)
  }
}
