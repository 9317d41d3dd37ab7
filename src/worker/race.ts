/**
 * The calls of an attempt, until one of them is the attempt: the first one, and, where that shows nothing for long, a
 * second one elsewhere. Whichever shows text first goes on, and the other is aborted; what they bring before is held
 * back, so that nothing of the other is ever seen.
 */
import type { Clock } from '../core/clock.ts'
import { chunkShows } from '../core/delta.ts'
import type { JsonObject } from '../core/fold.ts'
import type { ProviderEnd, ProviderRun, ProviderSink } from '../core/ports/provider.ts'
import type { Claim, Race as Result } from '../core/ports/work.ts'
import { type Bytes, toText } from '../core/record.ts'

/** Held back at most; who sends more without a text goes on. */
const MOST_BYTES = 1 << 20

/** The call that is over, or is given up. */
export interface Lost extends Pick<Result, 'won' | 'end'> {
  /** As its provider told it; absent: it is given up. */
  readonly told?: ProviderEnd
  /** What it had brought; null: it was never made. */
  readonly held: readonly Bytes[] | null
}

export interface RaceEnds {
  /** Asks for a second call; null: there is none. */
  readonly ask: () => Promise<Claim | null>
  /** What it takes to make it; null: it can't be made here. */
  readonly prepare: (claim: Claim) => Promise<((sink: ProviderSink) => ProviderRun) | null>
  /** Which call goes on, before anything of it is told. Null: there was but one. */
  readonly decided: (lost: Lost | null) => void
  /** A second call that was granted is not made. */
  readonly unused: (lost: Lost) => void
  /** Nobody above a timer would catch it. */
  readonly threw: (thrown: unknown) => void
}

export class Race {
  readonly #to: ProviderSink
  readonly #ends: RaceEnds
  readonly #first = new Lane(this)
  #second: Lane | null = null
  #winner: Lane | null = null
  readonly #stopTimer: () => void

  /** `afterMs`: from now on, as its first call is made. */
  constructor(to: ProviderSink, afterMs: number, clock: Clock, ends: RaceEnds) {
    this.#to = to
    this.#ends = ends
    this.#stopTimer = clock.after(afterMs, () => {
      if (this.#winner === null) this.#hedge().catch(ends.threw)
    })
  }

  get first(): ProviderSink {
    return this.#first
  }

  began(call: ProviderRun): void {
    this.#first.call = call
  }

  async #hedge(): Promise<void> {
    const claim = await this.#ends.ask().catch(() => null)
    if (claim === null) return
    const start = this.#winner === null ? await this.#ends.prepare(claim).catch(() => null) : null
    if (this.#winner !== null || start === null) return this.#ends.unused({ won: 'first', end: 'canceled', held: null })
    const second = new Lane(this)
    second.call = start(second)
    this.#second = second
  }

  /** Both are given up; the first is the attempt. `end` null: nobody is to be told. */
  stop(end: 'canceled' | 'released' | null): void {
    if (this.#winner !== null) return
    if (end === null) this.#drop(this.#first)
    else this.#decide(this.#first, end)
  }

  // ------------------------------------------------------------ of a lane

  /** Does what comes of it go on? */
  isWinner(lane: Lane): boolean {
    return this.#winner === lane
  }

  isLost(lane: Lane): boolean {
    return this.#winner !== null && this.#winner !== lane
  }

  get to(): ProviderSink {
    return this.#to
  }

  shows(lane: Lane): void {
    this.#decide(lane, 'outrun')
    this.#show(lane)
  }

  #show({ held }: Lane): void {
    if (held.length > 0) this.#to.events(held)
  }

  ends(lane: Lane, end: ProviderEnd): void {
    const other = lane === this.#first ? this.#second : this.#first
    if (end.kind === 'failed' && other !== null) {
      this.#decide(other, 'failed', end)
      this.#show(other)
      return
    }
    this.shows(lane)
    this.#to.end(end)
  }

  #decide(winner: Lane, end: Result['end'], told?: ProviderEnd): void {
    const lost = this.#drop(winner)
    const won = winner === this.#first ? 'first' : 'second'
    this.#ends.decided(lost === null ? null : { won, end, held: lost.held, ...(told !== undefined && { told }) })
  }

  #drop(winner: Lane): Lane | null {
    this.#winner = winner
    this.#stopTimer()
    const lost = winner === this.#first ? this.#second : this.#first
    lost?.call?.abort()
    return lost
  }
}

class Lane implements ProviderSink {
  readonly #race: Race
  call: ProviderRun | null = null
  readonly held: Bytes[] = []
  #bytes = 0

  constructor(race: Race) {
    this.#race = race
  }

  events(payloads: readonly Bytes[]): void {
    if (this.#race.isWinner(this)) return this.#race.to.events(payloads)
    if (this.#race.isLost(this)) return
    for (const payload of payloads) {
      this.held.push(payload)
      this.#bytes += payload.length
    }
    if (this.#bytes > MOST_BYTES || payloads.some(showsText)) this.#race.shows(this)
  }

  document(document: Bytes, usage: unknown): void {
    if (this.#race.isLost(this)) return
    if (!this.#race.isWinner(this)) this.#race.shows(this)
    this.#race.to.document(document, usage)
  }

  end(end: ProviderEnd): void {
    if (this.#race.isWinner(this)) this.#race.to.end(end)
    else if (!this.#race.isLost(this)) this.#race.ends(this, end)
  }
}

/** What is no JSON is for the meter, which says so. */
function showsText(payload: Bytes): boolean {
  try {
    return chunkShows(JSON.parse(toText(payload)) as JsonObject)
  } catch {
    return true
  }
}
