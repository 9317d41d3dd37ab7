/** Can this process take work? Tells Redis away, refusing writes or full from a fleet that nobody coordinates. */
import type { SluiceError } from '../../../core/errors.ts'
import { gauge, type Metric } from '../../../core/numbers.ts'
import { FULL, unavailable } from '../client/errors.ts'
import type { Control } from '../protocol/messages.ts'
import type { Ground } from './ground.ts'

/** What was under way at a cut is sent again: one that is over sooner than this is no reason to send clients away. */
const AWAY_MS = 2_000
/** A takeover takes half a second, or 2.5 s where a host was stopped; a coordinator is heard once a second. */
const UNCOORDINATED_MS = 5_000
/** A term that broke off once is followed by another at once. One that lasts for so long is sound. */
const BROKEN_MS = 2_000
const SOUND_MS = 3_000
const LOOK_MS = 500

const AWAY = unavailable('Redis cannot be reached: new work is refused, and what runs goes on, until it is back.')
const NOBODY = unavailable(
  'No process coordinates the fleet: start one that may (sluice serve), and see the log of those that run.',
)

const brokenBy = (reason: string): SluiceError =>
  unavailable(`What is decided cannot be stored, so nothing is: ${reason}`)

export class Health {
  readonly #ground: Ground
  #awayMono: number | null = null
  /** When a coordinator was heard, or could have been; Infinity before there may be one. */
  #heardMono = Infinity
  /** Terms break off: since when, and why. */
  #broken: { readonly sinceMono: number; readonly error: SluiceError } | null = null
  /** The term that was heard last, and since when. */
  #term = ''
  #termMono = 0
  #told: SluiceError | null = null
  readonly #stop: () => void

  constructor(ground: Ground) {
    const { bus, clock, commands, subscriber } = ground
    this.#ground = ground
    bus.onControl((control) => this.#hear(control))
    for (const connection of [commands, subscriber]) connection.onTurn(() => this.#turned())
    this.#stop = clock.every(LOOK_MS, () => this.#look())
  }

  /** From now on there is a candidate: this process. */
  begin(): void {
    this.#heardMono = this.#ground.clock.monoMs()
  }

  get metrics(): readonly Metric[] {
    const as = (error: SluiceError) => (): number => (this.#error() === error ? 1 : 0)
    return [
      gauge('redis_away', 'Is 1 while Redis cannot be reached, in any process', as(AWAY), 'max'),
      gauge('uncoordinated', 'Is 1 while no process coordinates the fleet, as any process sees it', as(NOBODY), 'max'),
    ]
  }

  read(): { readonly ok: true } | { readonly ok: false; readonly error: SluiceError } {
    const error = this.#error()
    return error === null ? { ok: true } : { ok: false, error }
  }

  close(): void {
    this.#stop()
  }

  #hear(control: Control): void {
    const now = this.#ground.clock.monoMs()
    if (control.type === 'broken') {
      this.#broken = { sinceMono: this.#broken?.sinceMono ?? now, error: brokenBy(control.reason) }
      this.#term = ''
    } else if (control.type === 'coordinator') {
      this.#heardMono = now
      if (control.term !== this.#term) {
        this.#term = control.term
        this.#termMono = now
      } else if (now - this.#termMono >= SOUND_MS) this.#broken = null
    }
  }

  #turned(): void {
    const { commands, subscriber, clock } = this.#ground
    if (commands.away || subscriber.away || this.#ground.room.refusal !== null) this.#awayMono ??= clock.monoMs()
    else if (this.#awayMono !== null) {
      this.#awayMono = null
      // Nobody could be heard meanwhile
      this.#heardMono = Math.max(this.#heardMono, clock.monoMs())
    }
  }

  #error(): SluiceError | null {
    const now = this.#ground.clock.monoMs()
    if (this.#ground.bus.outdated !== null) return this.#ground.bus.outdated
    if (this.#awayMono !== null) return now - this.#awayMono > AWAY_MS ? (this.#ground.room.refusal ?? AWAY) : null
    if (this.#broken !== null && now - this.#broken.sinceMono > BROKEN_MS) return this.#broken.error
    if (now - this.#heardMono > UNCOORDINATED_MS) return NOBODY
    return this.#ground.room.isFull ? FULL : null
  }

  /** For the log, once for each change. */
  #look(): void {
    this.#turned()
    const error = this.#error()
    if (error?.message === this.#told?.message) return
    this.#told = error
    if (error === null) this.#ground.emit({ type: 'store-recovered' })
    else this.#ground.emit({ type: 'store-degraded', code: error.code, detail: error.message })
  }
}
