/**
 * The topic of events: what becomes of jobs, for other programs. Events of one job keep their order; each may be there
 * twice. Nobody waits for the brokers: while they are away what does not fit is dropped, the oldest first, and told
 * once they are back. Events are numbered without gaps by the process that tells them, so that a reader sees what is
 * missing, also after a kill.
 */
import type { Fact } from '../../core/facts.ts'
import { counter, gauge, type NumberSource } from '../../core/numbers.ts'
import { eventOf } from './event.ts'
import { type Message, Sender, type SenderOptions } from './sender.ts'

export interface EventsOptions extends Omit<SenderOptions, 'onCut'> {
  readonly topic: string
  /** Of this start of the process. */
  readonly source: string
  readonly jitter: () => number
  /** Of what waits. */
  readonly maxWaitingBytes: number
  /** Of a batch. */
  readonly maxBatchBytes: number
  /** Why the brokers take none; null: they do again. Told when it changes. */
  readonly onTurn: (error: unknown, dropped: number) => void
  readonly onStop: () => void
}

interface Waiting {
  readonly key: string
  readonly value: Uint8Array
}

/** Events of this time share a batch. */
const GATHER_MS = 50
const FIRST_RETRY_MS = 200
const MAX_RETRY_MS = 10_000
/** Of an event beside its text. */
const OVERHEAD_BYTES = 120

export class Events implements NumberSource {
  readonly #options: EventsOptions
  readonly #sender: Sender
  #waiting: Waiting[] = []
  #bytes = 0
  /** So many at the head are under way. */
  #underWay = 0
  #seq = 0
  #failures = 0
  #dropped = 0
  #isSending = false
  #isClosed = false
  #onIdle = (): void => {}
  readonly #sent = counter('kafka_events', 'Events of jobs that Kafka has')
  readonly #lost = counter('kafka_dropped_events', 'Events of jobs that were dropped, as Kafka was away')
  readonly metrics

  constructor(options: EventsOptions) {
    this.#options = options
    this.#sender = new Sender({ ...options, onCut: () => {} })
    this.metrics = [
      this.#sent,
      this.#lost,
      gauge('kafka_waiting_events_bytes', 'Events of jobs that wait for Kafka', () => this.#bytes),
    ]
  }

  readonly observe = (fact: Fact): void => {
    if (this.#isClosed) return
    const event = eventOf(fact)
    if (event === null) return
    this.#add(event.job, { source: this.#options.source, seq: ++this.#seq, ...event })
  }

  #add(key: string, event: object): void {
    const value = Buffer.from(JSON.stringify(event))
    this.#waiting.push({ key, value })
    this.#bytes += value.length + OVERHEAD_BYTES
    if (this.#bytes > this.#options.maxWaitingBytes) this.#drop()
    if (this.#isSending) return
    this.#isSending = true
    this.#options.clock.after(GATHER_MS, () => void this.#sendAll())
  }

  /** A tenth of what waits at once, so that it is not done for each one. */
  #drop(): void {
    const { maxWaitingBytes } = this.#options
    const from = this.#underWay
    let to = from
    while (to < this.#waiting.length - 1 && this.#bytes > 0.9 * maxWaitingBytes)
      this.#bytes -= this.#waiting[to++].value.length + OVERHEAD_BYTES
    this.#waiting.splice(from, to - from)
    this.#dropped += to - from
    this.#lost.add(to - from)
  }

  async #sendAll(): Promise<void> {
    const { clock, jitter, onTurn } = this.#options
    while (this.#waiting.length > 0) {
      const batch = this.#next()
      const error = await this.#sender.send(batch)
      if (error === null) this.#took(batch.length)
      this.#underWay = 0
      if (error === null) continue
      this.#sender.forget()
      if (this.#failures++ === 0) onTurn(error, this.#dropped)
      if (this.#isClosed) break
      const ms = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(this.#failures, 10)) * (0.5 + jitter() / 2)
      await new Promise<void>((next) => clock.after(ms, next))
    }
    this.#isSending = false
    this.#onIdle()
  }

  #next(): readonly Message[] {
    const { topic, maxBatchBytes } = this.#options
    let [count, bytes] = [0, 0]
    while (count < this.#waiting.length) {
      bytes += this.#waiting[count].value.length + OVERHEAD_BYTES
      if (count > 0 && bytes > maxBatchBytes) break
      count++
    }
    this.#underWay = count
    return this.#waiting.slice(0, count).map(({ key, value }) => ({ topic, key, value, headers: {} }))
  }

  #took(count: number): void {
    for (const { value } of this.#waiting.splice(0, count)) this.#bytes -= value.length + OVERHEAD_BYTES
    this.#sent.add(count)
    const [failures, dropped] = [this.#failures, this.#dropped]
    this.#failures = 0
    this.#dropped = 0
    if (failures > 0) this.#options.onTurn(null, dropped)
    if (dropped > 0) this.#tellDropped(dropped)
  }

  /** Numbered like any other: which are missing the numbers tell. */
  #tellDropped(dropped: number): void {
    const { source, clock } = this.#options
    const at = new Date(clock.wallMs()).toISOString()
    this.#add(source, { source, seq: ++this.#seq, type: 'events.dropped', at, dropped })
  }

  /** Sends what waits, by then at the latest. Safe to repeat. */
  async stop(withinMs: number): Promise<void> {
    this.#isClosed = true
    this.#options.onStop()
    if (this.#isSending)
      await new Promise<void>((done) => {
        this.#onIdle = done
        this.#options.clock.after(withinMs, done)
      })
    this.#waiting = []
    await this.#sender.close()
  }
}
