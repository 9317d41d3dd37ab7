/**
 * One process on the bus: it puts commands into the inbox, all of a turn in one entry, and publishes its queries; it
 * hears the coordinator on its own channel, and who coordinates on the control channel. What is not answered in time is
 * sent again, a command with `re`, until its bound: the inbox grows by that only while somebody reads it.
 */
import type { Clock } from '../../../core/clock.ts'
import { SluiceError } from '../../../core/errors.ts'
import { Table } from '../../../core/table.ts'
import { type Connection, PING_MS } from '../client/connection.ts'
import { storageError, tooNew, unavailable } from '../client/errors.ts'
import type { Names } from '../client/names.ts'
import type { Scripts } from '../client/scripts.ts'
import { type Ask, isQuery, type Request, writeRequests } from '../protocol/commands.ts'
import { unpackError } from '../protocol/errors.ts'
import { type Answers, type Control, type Enclosed, type Message, readControl, readMail } from '../protocol/messages.ts'
import { LAYOUT, nameOf } from '../protocol/version.ts'

/** An answer takes a commit, a few ms; a takeover takes most of a second. */
const RESEND_MS = 1_500
/** A query is lost where nobody coordinates. */
const ASK_AGAIN_MS = 500
/** After that long, whoever asked is told that the store can't be reached. */
const GIVE_UP_MS = 15_000
const GIVE_UP_QUERY_MS = 5_000
/** Requests that wait for their answer, of each sort. Beyond them the store counts as away. */
const MAX_PENDING = 10_000
const RETRY_MS = 100
/** Requests in one entry of the inbox, or one message. */
const AT_ONCE = 64

/** A command that changes nothing. */
const NOTHING = { type: 'bar', tenant: '', ms: 0 } as const

interface Pending {
  request: Request
  readonly isQuery: boolean
  /** Nobody waits for it any longer then. */
  readonly untilMono: number
  sentMono: number
  /** Sends it, as the command says. */
  readonly send: (pending: Pending) => void
  readonly answer: (is: unknown) => void
  readonly refuse: (error: unknown) => void
}

/** What `onMessage` listens to; answers go to who asked. */
type Told = Exclude<Message, { type: 'answer' | 'refused' }>

export class Bus {
  #process = ''
  readonly names: Names
  readonly #commands: Connection
  readonly #subscriber: Connection
  readonly #scripts: Scripts
  readonly #clock: Clock
  readonly #pending = new Table<string, Pending>()
  #queries = 0
  #outdated: SluiceError | null = null
  /** When somebody was last heard who coordinates. */
  #coordinatedMono = -Infinity
  readonly #listeners: Array<(message: Told, enclosed: readonly Enclosed[]) => void> = []
  readonly #control: Array<(control: Control) => void> = []
  #stopTicks = (): void => {}
  #n = 0
  #unsent: Pending[] = []
  #sending = false
  #closed = false

  constructor(names: Names, scripts: Scripts, commands: Connection, subscriber: Connection, clock: Clock) {
    this.names = names
    this.#scripts = scripts
    this.#commands = commands
    this.#subscriber = subscriber
    this.#clock = clock
  }

  /** Of this process in the fleet: see protocol/version.ts. */
  get process(): string {
    return this.#process
  }

  /** Why this process may not take part any longer: the store's layout is newer than it; null: it may. */
  get outdated(): SluiceError | null {
    return this.#outdated
  }

  /** Rejects with config_invalid where the store is too new, and with what Redis or its client throws. */
  async open(random: string): Promise<void> {
    const [number] = await this.#join()
    this.#process = nameOf(number, random)
    await this.#subscriber.subscribe(this.names.process(this.process), (mail) => this.#hear(mail))
    await this.#subscriber.subscribe(this.names.control(), (message) => {
      const control = readControl(message.toString())
      if (control === null) return
      if (control.type === 'coordinator') this.#coordinatedMono = this.#clock.monoMs()
      for (const fn of this.#control) fn(control)
    })
    // Whoever raised the layout meanwhile did not see this process; from now on it is seen
    await this.#join()
    // What was under way, either way, may be lost
    this.#commands.onTurn((back) => back && this.#back())
    this.#subscriber.onTurn((back) => back && this.#back())
    const stopPings = this.#clock.every(PING_MS, () => this.#subscriber.ping())
    const stopResends = this.#clock.every(RETRY_MS, () => this.#resend())
    this.#stopTicks = () => {
      stopPings()
      stopResends()
    }
  }

  /** Rejects with config_invalid where the store is too new. */
  async #join(): Promise<readonly [number: number, layout: number]> {
    const [number, layout] = (await this.#scripts.run('join', [])) as readonly [number, number]
    if (layout > LAYOUT) throw tooNew(layout)
    return [number, layout]
  }

  #back(): void {
    this.#resend(true)
    this.#join().catch((error: unknown) => {
      if (!(error instanceof SluiceError)) return // one of the two is away: when that is back
      this.#outdated = error
      for (const pending of this.#pending.values()) this.#refuse(pending, error)
    })
  }

  /** Messages to this process that are no answers. */
  onMessage(fn: (message: Told, enclosed: readonly Enclosed[]) => void): void {
    this.#listeners.push(fn)
  }

  /** To all processes, this one included; may be lost. */
  tell(control: Control): void {
    if (this.#closed) return
    this.#commands.publish(this.names.control(), JSON.stringify(control)).catch(() => {}) // told again
  }

  onControl(fn: (control: Control) => void): void {
    this.#control.push(fn)
  }

  /**
   * Resolves with the answer, which left in the commit of what was asked. Rejects with the coordinator's refusal, or
   * storage_unavailable: it may have been done all the same.
   */
  ask<A extends Ask>(ask: A): Promise<Answers[A['type']]> {
    const giveUpMs = isQuery(ask) && ask.type !== 'hello' ? GIVE_UP_QUERY_MS : GIVE_UP_MS
    return this.#wait<A>(ask, giveUpMs, (pending) => this.#send(pending))
  }

  /**
   * As `ask`, for a command that a script stores together with other things: `store` gets it as an entry of the inbox,
   * and is called again where no answer comes. Rejects with what `store` rejects with, unless Redis is away.
   */
  askVia<A extends Ask>(
    ask: A,
    store: (entry: string) => Promise<void>,
    giveUpMs = GIVE_UP_MS,
  ): Promise<Answers[A['type']]> {
    return this.#wait<A>(ask, giveUpMs, (pending) => {
      pending.sentMono = this.#clock.monoMs()
      store(writeRequests([pending.request])).catch((error: unknown) => this.#failed([pending], error))
    })
  }

  /** Resolves when all that is in the inbox now is decided, and stored. Rejects as `ask`. */
  settled(): Promise<unknown> {
    return this.ask(NOTHING)
  }

  /** Commands. Queries are not among them: each look at the numbers asks some. */
  get pending(): number {
    return this.#pending.size - this.#queries
  }

  /** Rejects all that waits. */
  close(): void {
    this.#closed = true
    this.#stopTicks()
    for (const pending of this.#pending.values()) this.#refuse(pending, unavailable())
  }

  // ------------------------------------------------------------ out

  #wait<A extends Ask>(ask: A, giveUpMs: number, send: (pending: Pending) => void): Promise<Answers[A['type']]> {
    const isQueried = isQuery(ask)
    if (this.#outdated !== null) return Promise.reject(this.#outdated)
    if (this.#closed || this.#isFull(ask, isQueried)) return Promise.reject(unavailable())
    if (isQueried) this.#queries++
    const n = ++this.#n
    return new Promise((answer, refuse) => {
      const now = this.#clock.monoMs()
      const pending: Pending = {
        request: { ...ask, from: this.process, n } as Request,
        isQuery: isQueried,
        untilMono: now + giveUpMs,
        sentMono: now,
        send,
        answer: answer as (is: unknown) => void,
        refuse,
      }
      this.#pending.set(String(n), pending)
      send(pending)
    })
  }

  /** What ends work, and frees room, always finds its own: there is no more of it than runs here. */
  #isFull({ type }: Ask, isQueried: boolean): boolean {
    if (isQueried) return this.#queries >= MAX_PENDING
    return type !== 'finish' && type !== 'leave' && this.pending >= MAX_PENDING
  }

  #send(pending: Pending): void {
    this.#unsent.push(pending)
    if (this.#sending) return
    this.#sending = true
    // All of this turn at once
    queueMicrotask(() => void this.#flush())
  }

  async #flush(): Promise<void> {
    const sent = this.#unsent
    this.#unsent = []
    this.#sending = false
    if (this.#closed) return
    const now = this.#clock.monoMs()
    for (const pending of sent) pending.sentMono = now
    await Promise.all([
      ...inParts(sent.filter((pending) => !pending.isQuery)).map((part) =>
        this.put(written(part)).catch((error: unknown) => this.#failed(part, error)),
      ),
      ...inParts(sent.filter((pending) => pending.isQuery)).map((part) =>
        this.#commands
          .publish(this.names.queries(), written(part))
          .catch((error: unknown) => this.#failed(part, error)),
      ),
    ])
  }

  /** Puts an entry into the inbox. Rejects with what Redis or its client throws. */
  async put(entry: string): Promise<void> {
    await this.#scripts.run('inbox', [entry])
  }

  /** While Redis is away they wait. */
  #failed(sent: readonly Pending[], error: unknown): void {
    const reason = storageError(error)
    if (reason.code === 'storage_unavailable') return
    for (const pending of sent) this.#refuse(pending, reason)
  }

  /** What has waited for too long; `all`: what was under way at a cut. */
  #resend(all = false): void {
    const now = this.#clock.monoMs()
    for (const pending of this.#pending.values()) {
      if (now > pending.untilMono) this.#refuse(pending, unavailable())
      else if (!this.#commands.away && (all || this.#isDue(pending, now))) {
        pending.request = { ...pending.request, re: true }
        pending.send(pending)
      }
    }
  }

  /** While nobody coordinates, what is in the inbox stays there. */
  #isDue({ isQuery: isQueried, sentMono }: Pending, now: number): boolean {
    if (isQueried) return now - sentMono >= ASK_AGAIN_MS
    return now - sentMono >= RESEND_MS && this.#coordinatedMono > sentMono
  }

  // ------------------------------------------------------------ in

  #hear(mail: Buffer): void {
    const { messages, enclosed } = readMail(mail)
    for (const message of messages) {
      if (message.type === 'answer' || message.type === 'refused') {
        const pending = this.#pending.get(String(message.n))
        if (pending === undefined) continue
        this.#forget(pending)
        if (message.type === 'answer') pending.answer(message.is)
        else pending.refuse(unpackError(message.error))
      } else for (const fn of this.#listeners) fn(message, enclosed)
    }
  }

  #refuse(pending: Pending, error: unknown): void {
    if (this.#forget(pending)) pending.refuse(error)
  }

  #forget({ request: { n }, isQuery: isQueried }: Pending): boolean {
    if (!this.#pending.delete(String(n))) return false
    if (isQueried) this.#queries--
    return true
  }
}

const written = (part: readonly Pending[]): string => writeRequests(part.map(({ request }) => request))

function inParts(all: readonly Pending[]): readonly Pending[][] {
  const parts: Pending[][] = []
  for (let at = 0; at < all.length; at += AT_ONCE) parts.push(all.slice(at, at + AT_ONCE))
  return parts
}
