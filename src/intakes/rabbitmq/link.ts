/**
 * A connection that comes back by itself. What uses it opens a session on each new connection; a session that breaks,
 * for whatever reason (cut, channel closed by the broker, consumer canceled, heartbeat missed), takes its connection
 * along, and the next one begins anew.
 */
import type { ChannelModel } from 'amqplib'
import { type Clock, sleep } from '../../core/clock.ts'

/** Rejects within its own bounds. */
export type Dial = () => Promise<ChannelModel>

export interface LinkOptions {
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly jitter: () => number
  /** Why it is away; null: it is there. Called when it changes. */
  readonly onChange: (error: unknown) => void
}

/** Opens what is to be used of a connection. `broken` ends it, at once. */
export type OpenSession = (connection: ChannelModel, broken: (why: unknown) => void) => Promise<void>

const FIRST_WAIT_MS = 100
const LAST_WAIT_MS = 3_000
/** For declarations and the like. */
const OPEN_WITHIN_MS = 15_000
const CLOSE_WITHIN_MS = 1_000

export class Link {
  readonly #dial: Dial
  readonly #open: OpenSession
  readonly #options: LinkOptions
  #connection: ChannelModel | null = null
  #isUp = false
  #isClosed = false
  #wake: () => void = () => {}
  /** Connections that served. */
  #served = 0
  #tries = 0
  readonly #running: Promise<void>
  /** Resolves when the first try has served or failed. */
  readonly tried: Promise<void>
  #firstTry: () => void = () => {}

  constructor(dial: Dial, open: OpenSession, options: LinkOptions) {
    this.#dial = dial
    this.#open = open
    this.#options = options
    this.tried = new Promise((done) => {
      this.#firstTry = done
    })
    this.#running = this.#run()
  }

  get isUp(): boolean {
    return this.#isUp
  }

  get reconnects(): number {
    return Math.max(0, this.#served - 1)
  }

  async #run(): Promise<void> {
    const { clock, jitter } = this.#options
    while (!this.#isClosed) {
      const why = await this.#serve()
      this.#isUp = false
      if (this.#isClosed) break
      this.#options.onChange(why)
      this.#firstTry()
      const most = Math.min(LAST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(this.#tries++, 10))
      await Promise.race([sleep(clock, most * (0.5 + jitter() / 2)), new Promise<void>((go) => (this.#wake = go))])
    }
    this.#firstTry()
  }

  /** From its dial to its end. Never rejects. */
  async #serve(): Promise<unknown> {
    const { clock, onChange } = this.#options
    let broken: (why: unknown) => void = () => {}
    const ended = new Promise<unknown>((resolve) => {
      broken = resolve
    })
    let connection: ChannelModel
    try {
      connection = await this.#dial()
    } catch (error) {
      return error
    }
    this.#connection = connection
    let last: unknown = null
    connection.on('error', (error) => {
      last = error
    })
    connection.on('close', (error) => broken(error ?? last ?? new Error('the connection was closed')))
    if (this.#isClosed) broken(null)
    const open = async (): Promise<void> => {
      await this.#open(connection, broken)
      this.#isUp = true
      this.#served++
      this.#tries = 0
      if (!this.#isClosed) onChange(null)
      this.#firstTry()
    }
    const tooLate = clock.after(OPEN_WITHIN_MS, () => broken(new Error('the broker does not answer')))
    open().then(tooLate, broken)
    const why = await ended
    tooLate()
    this.#isUp = false
    this.#connection = null
    // A cut one never says that it is closed
    await Promise.race([connection.close().catch(() => {}), sleep(clock, CLOSE_WITHIN_MS)])
    return why
  }

  /** Safe to repeat. Never rejects. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#wake()
    const connection = this.#connection
    if (connection !== null)
      await Promise.race([connection.close().catch(() => {}), sleep(this.#options.clock, CLOSE_WITHIN_MS)])
    await Promise.race([this.#running, sleep(this.#options.clock, CLOSE_WITHIN_MS)])
  }
}
