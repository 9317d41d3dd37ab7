/** Can this process take work? Redis away, and a fleet that nobody coordinates, are told apart. */
import type { SluiceError } from '../../../core/errors.ts'
import { unavailable } from '../client/errors.ts'
import type { Ground } from './ground.ts'

/** A takeover takes half a second, or 2.5 s where a host was stopped; a coordinator is heard once a second. */
const UNCOORDINATED_MS = 5_000
const LOOK_MS = 500

const AWAY = unavailable('Redis cannot be reached: new work is refused, and what runs goes on, until it is back.')
const NOBODY = unavailable(
  'No process coordinates the fleet: start one that may (sluice serve), and see the log of those that run.',
)

export class Health {
  readonly #ground: Ground
  #heardMono: number
  #told: SluiceError | null = null
  readonly #stop: () => void

  constructor(ground: Ground) {
    const { bus, clock } = ground
    this.#ground = ground
    this.#heardMono = clock.monoMs()
    bus.onControl((control) => {
      if (control.type === 'coordinator') this.#heardMono = clock.monoMs()
    })
    this.#stop = clock.every(LOOK_MS, () => this.#look())
  }

  read(): { readonly ok: true } | { readonly ok: false; readonly error: SluiceError } {
    const error = this.#error()
    return error === null ? { ok: true } : { ok: false, error }
  }

  close(): void {
    this.#stop()
  }

  #error(): SluiceError | null {
    const { commands, subscriber, clock } = this.#ground
    if (commands.away || subscriber.away) return AWAY
    return clock.monoMs() - this.#heardMono > UNCOORDINATED_MS ? NOBODY : null
  }

  /** For the log, once for each change. */
  #look(): void {
    const error = this.#error()
    if (error === this.#told) return
    this.#told = error
    if (error === null) this.#ground.emit({ type: 'store-recovered' })
    else this.#ground.emit({ type: 'store-degraded', code: error.code, detail: error.message })
  }
}
