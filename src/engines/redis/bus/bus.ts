/**
 * One process on the bus: it puts commands into the inbox, all of a turn in one entry; it hears the coordinator on its
 * own channel, and who coordinates on the control channel. A command that is not answered in time is sent again with
 * `re`, until its bound.
 */
import type { Clock } from '../../../core/clock.ts'
import { Table } from '../../../core/table.ts'
import { type Connection, PING_MS } from '../client/connection.ts'
import { storageError, unavailable } from '../client/errors.ts'
import type { Names } from '../client/names.ts'
import { type Ask, type Command, writeCommands } from '../protocol/commands.ts'
import { unpackError } from '../protocol/errors.ts'
import { type Answers, type Control, type Enclosed, type Message, readControl, readMail } from '../protocol/messages.ts'

/** An answer takes a commit, a few ms; a takeover takes most of a second. */
const RESEND_MS = 1_500
/** After that long, whoever asked is told that the store can't be reached. */
const GIVE_UP_MS = 15_000
/** Commands that wait for their answer. Beyond them the store counts as away. */
const MAX_PENDING = 10_000
const RETRY_MS = 100
/** Commands in one entry of the inbox. */
const COMMANDS_AN_ENTRY = 64

interface Pending {
  command: Command
  /** Nobody waits for it any longer then. */
  readonly untilMono: number
  sentMono: number
  /** Sends it, as the command says. */
  readonly send: (pending: Pending) => void
  readonly answer: (is: unknown) => void
  readonly refuse: (error: unknown) => void
}

/** What `Bus.on` may listen to; answers go to who asked. */
type Told = Exclude<Message, { type: 'answer' | 'refused' }>

export class Bus {
  /** This process: 64 random bits. */
  readonly process: string
  readonly names: Names
  readonly #commands: Connection
  readonly #subscriber: Connection
  readonly #clock: Clock
  readonly #pending = new Table<string, Pending>()
  readonly #listeners: Array<(message: Told, enclosed: readonly Enclosed[]) => void> = []
  readonly #control: Array<(control: Control) => void> = []
  #stopTicks = (): void => {}
  #n = 0
  #unsent: Pending[] = []
  #sending = false
  #closed = false

  constructor(process: string, names: Names, commands: Connection, subscriber: Connection, clock: Clock) {
    this.process = process
    this.names = names
    this.#commands = commands
    this.#subscriber = subscriber
    this.#clock = clock
  }

  /** Rejects with what Redis or its client throws. */
  async open(): Promise<void> {
    await this.#subscriber.subscribe(this.names.process(this.process), (mail) => this.#hear(mail))
    await this.#subscriber.subscribe(this.names.control(), (message) => {
      const control = readControl(message.toString())
      if (control === null) return
      for (const fn of this.#control) fn(control)
    })
    // What was under way, either way, may be lost
    this.#commands.onTurn((back) => back && this.#resend(0))
    this.#subscriber.onTurn((back) => back && this.#resend(0))
    const stopPings = this.#clock.every(PING_MS, () => this.#subscriber.ping())
    const stopResends = this.#clock.every(RETRY_MS, () => this.#resend(RESEND_MS))
    this.#stopTicks = () => {
      stopPings()
      stopResends()
    }
  }

  /** Messages to this process that are no answers. */
  onMessage(fn: (message: Told, enclosed: readonly Enclosed[]) => void): void {
    this.#listeners.push(fn)
  }

  onControl(fn: (control: Control) => void): void {
    this.#control.push(fn)
  }

  /**
   * Resolves with the answer, which left in the commit of what was asked. Rejects with the coordinator's refusal, or
   * storage_unavailable: it may have been done all the same.
   */
  ask<A extends Ask>(ask: A): Promise<Answers[A['type']]> {
    return this.#wait<A>(ask, GIVE_UP_MS, (pending) => this.#send(pending))
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
      store(writeCommands([pending.command])).catch((error: unknown) => this.#failed([pending], error))
    })
  }

  get pending(): number {
    return this.#pending.size
  }

  /** Rejects all that waits. */
  close(): void {
    this.#closed = true
    this.#stopTicks()
    for (const pending of this.#pending.values()) this.#refuse(pending, unavailable())
  }

  // ------------------------------------------------------------ out

  #wait<A extends Ask>(ask: A, giveUpMs: number, send: (pending: Pending) => void): Promise<Answers[A['type']]> {
    if (this.#closed || this.#pending.size >= MAX_PENDING) return Promise.reject(unavailable())
    const n = ++this.#n
    return new Promise((answer, refuse) => {
      const now = this.#clock.monoMs()
      const command = { ...ask, from: this.process, n } as Command
      const pending: Pending = {
        command,
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

  #send(pending: Pending): void {
    this.#unsent.push(pending)
    if (this.#sending) return
    this.#sending = true
    // All of this turn in one entry
    queueMicrotask(() => void this.#flush())
  }

  async #flush(): Promise<void> {
    const sent = this.#unsent
    this.#unsent = []
    this.#sending = false
    if (this.#closed) return
    const now = this.#clock.monoMs()
    for (const pending of sent) pending.sentMono = now
    const parts: Pending[][] = []
    for (let at = 0; at < sent.length; at += COMMANDS_AN_ENTRY) parts.push(sent.slice(at, at + COMMANDS_AN_ENTRY))
    await Promise.all(
      parts.map((part) =>
        this.put(writeCommands(part.map(({ command }) => command))).catch((error: unknown) =>
          this.#failed(part, error),
        ),
      ),
    )
  }

  /** Puts an entry into the inbox. Rejects with what Redis or its client throws. */
  async put(entry: string): Promise<void> {
    await this.#commands.client.xadd(this.names.inbox(), '*', 'c', entry)
  }

  /** While Redis is away they wait. */
  #failed(sent: readonly Pending[], error: unknown): void {
    const reason = storageError(error)
    if (reason.code === 'storage_unavailable') return
    for (const pending of sent) this.#refuse(pending, reason)
  }

  /** What has waited for `afterMs` since it was last sent. */
  #resend(afterMs: number): void {
    const now = this.#clock.monoMs()
    for (const pending of this.#pending.values()) {
      if (now > pending.untilMono) this.#refuse(pending, unavailable())
      else if (!this.#commands.away && now - pending.sentMono >= afterMs) {
        pending.command = { ...pending.command, re: true }
        pending.send(pending)
      }
    }
  }

  // ------------------------------------------------------------ in

  #hear(mail: Buffer): void {
    const { messages, enclosed } = readMail(mail)
    for (const message of messages) {
      if (message.type === 'answer' || message.type === 'refused') {
        const pending = this.#pending.get(String(message.n))
        if (pending === undefined) continue
        this.#pending.delete(String(message.n))
        if (message.type === 'answer') pending.answer(message.is)
        else pending.refuse(unpackError(message.error))
      } else for (const fn of this.#listeners) fn(message, enclosed)
    }
  }

  #refuse(pending: Pending, error: unknown): void {
    if (this.#pending.delete(String(pending.command.n))) pending.refuse(error)
  }
}
