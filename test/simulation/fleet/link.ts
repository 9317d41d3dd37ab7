/**
 * A connection to a simulated Redis, as client/connection.ts has them: in order each way, slow, cut at any moment, and
 * silent while its process can't be reached. What is published may be lost, told twice, or late beside other channels.
 */
import type { Network } from './network.ts'
import type { SimProcess } from './timeline.ts'

/** As client/connection.ts has them. */
const COMMAND_TIMEOUT_MS = 4_000
const DEAD_MS = 5_000
const RETRY_STEP_MS = 25
const RETRY_MOST_MS = 500

interface Pending {
  readonly sentAt: number
  readonly resolve: (reply: unknown) => void
  readonly reject: (error: Error) => void
}

const CLOSED = (): Error => new Error('Connection is closed.')

export class SimLink {
  readonly process: SimProcess
  protected readonly network: Network
  readonly #listeners: Array<(back: boolean) => void> = []
  readonly #channels = new Map<string, Array<(message: Buffer) => void>>()
  #isBack = false
  #isClosed = false
  #isMade = false
  /** Of connections made; what belongs to an older one is void. */
  #made = 0
  #tries = 0
  #pending: Pending[] = []
  #isWatched = false
  /** When what was sent last arrives, each way. */
  #there = 0
  #here = 0
  readonly #channelHere = new Map<string, number>()
  /** What was sent over a connection that was cut may have arrived. */
  #arrivesUntil = 0
  #opened: { readonly resolve: () => void; readonly reject: (error: Error) => void } | null = null

  constructor(network: Network, process: SimProcess) {
    this.network = network
    this.process = process
  }

  get away(): boolean {
    return !this.#isBack
  }

  onTurn(fn: (back: boolean) => void): void {
    this.#listeners.push(fn)
  }

  open(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#opened = { resolve, reject }
      this.#dial()
    })
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.cut()
    this.network.forget(this)
  }

  // ------------------------------------------------------------ made and cut

  #dial(): void {
    const { timeline, server } = this.network
    const at = Math.max(timeline.now, this.network.silentUntil(this.process)) + this.network.latency()
    timeline.at(at, this.process, () => {
      if (this.#isClosed || this.#isMade) return
      if (server.isUp && this.network.silentUntil(this.process) <= timeline.now) return this.#ready()
      if (this.#opened === null) return this.#dialAgain()
      this.#opened.reject(new Error('connect ECONNREFUSED'))
      this.#opened = null
    })
  }

  #dialAgain(): void {
    const { timeline } = this.network
    const ms = Math.min(RETRY_MOST_MS, RETRY_STEP_MS * ++this.#tries)
    timeline.at(timeline.now + ms, this.process, () => {
      if (!this.#isClosed && !this.#isMade) this.#dial()
    })
  }

  #ready(): void {
    this.#isMade = true
    this.#tries = 0
    const made = ++this.#made
    const hears = [...this.#channels.keys()].map((channel) => this.#hear(channel))
    const isBack = (): void => {
      if (made !== this.#made || !this.#isMade) return
      this.#opened?.resolve()
      this.#opened = null
      this.#turned(true)
    }
    if (hears.length === 0) isBack()
    else Promise.all(hears).then(isBack, () => {})
  }

  /** Both sides know. */
  cut(): void {
    const { timeline, server } = this.network
    if (!this.#isMade) return
    this.#isMade = false
    this.#made++
    // What is on its way, up to some point
    this.#arrivesUntil = this.network.draw.chance(0.5) ? timeline.now : timeline.now + 2
    server.forget(this)
    this.#there = this.#here = 0
    this.#channelHere.clear()
    if (this.process.isDead) return
    const tell = (): void => {
      for (const { reject } of this.#pending.splice(0)) reject(CLOSED())
      this.#turned(false)
      if (!this.#isClosed) this.#dialAgain()
    }
    if (this.process.isPaused) timeline.at(timeline.now, this.process, tell)
    else tell()
  }

  #turned(back: boolean): void {
    if (this.#isBack === back) return
    this.#isBack = back
    for (const fn of this.#listeners) fn(back)
  }

  // ------------------------------------------------------------ commands

  /** Arrives in the order of sending. `execute` replies when it likes. */
  protected send(execute: (reply: (value: unknown) => void) => void): Promise<unknown> {
    if (!this.#isMade || this.#isClosed) return Promise.reject(CLOSED())
    const { timeline, server } = this.network
    const made = this.#made
    this.#there = this.#arrival(this.#there)
    return new Promise((resolve, reject) => {
      const pending: Pending = { sentAt: timeline.now, resolve, reject }
      this.#pending.push(pending)
      this.#watch()
      const done = (fn: () => void): void => {
        this.#here = this.#arrival(this.#here)
        timeline.at(this.#here, this.process, () => {
          if (made !== this.#made) return
          const at = this.#pending.indexOf(pending)
          if (at < 0) return
          this.#pending.splice(at, 1)
          fn()
        })
      }
      timeline.at(this.#there, null, () => {
        if (!server.isUp || (made !== this.#made && timeline.now > this.#arrivesUntil)) return
        try {
          execute((value) => made === this.#made && done(() => resolve(value)))
        } catch (error) {
          timeline.fail(error)
        }
      })
    })
  }

  #arrival(last: number): number {
    const { timeline } = this.network
    const from = Math.max(timeline.now, this.network.silentUntil(this.process))
    return Math.max(last, from + this.network.latency())
  }

  /** Commands have a bound, and a connection that owes an answer for long is made anew. */
  #watch(): void {
    if (this.#isWatched) return
    this.#isWatched = true
    const { timeline } = this.network
    timeline.at(this.#pending[0].sentAt + COMMAND_TIMEOUT_MS, this.process, () => {
      this.#isWatched = false
      const now = timeline.now
      const oldest = this.#pending[0]?.sentAt ?? now
      const late = this.#pending.filter(({ sentAt }) => sentAt + COMMAND_TIMEOUT_MS <= now)
      this.#pending = this.#pending.filter((each) => !late.includes(each))
      for (const { reject } of late) reject(new Error('Command timed out'))
      if (late.length > 0)
        timeline.at(oldest + DEAD_MS, this.process, () => {
          if (this.network.silentUntil(this.process) > timeline.now) this.cut()
        })
      if (this.#pending.length > 0) this.#watch()
    })
  }

  // ------------------------------------------------------------ messages

  async subscribe(channel: string, fn: (message: Buffer) => void): Promise<void> {
    const there = this.#channels.get(channel)
    if (there === undefined) this.#channels.set(channel, [fn])
    else there.push(fn)
    await this.#hear(channel)
  }

  #hear(channel: string): Promise<unknown> {
    return this.send((reply) => {
      this.network.server.subscribe(channel, this)
      reply(1)
    })
  }

  push(channel: string, message: string): void {
    const { draw, weather } = this.network
    if (draw.chance(weather.loses)) return
    this.#deliver(channel, message)
    if (draw.chance(weather.repeats)) this.#deliver(channel, message)
  }

  /** In the order of its channel; late, it is overtaken by others. */
  #deliver(channel: string, message: string): void {
    const { timeline, draw, weather } = this.network
    const made = this.#made
    const lateMs = draw.chance(weather.delays) ? draw.below(400) : 0
    const at = this.#arrival(this.#channelHere.get(channel) ?? 0) + lateMs
    this.#channelHere.set(channel, at)
    timeline.at(at, this.process, () => {
      if (made !== this.#made) return
      for (const fn of this.#channels.get(channel) ?? []) fn(Buffer.from(message, 'latin1'))
    })
  }
}
