/**
 * A candidate for the coordinator of a fleet: while it holds the key, it runs the machine over the shard. It has
 * connections of its own, and needs an event loop that nobody else holds.
 */
import type { Clock } from '../../../core/clock.ts'
import type { Emit } from '../../../core/facts.ts'
import type { Ids } from '../../../core/ids.ts'
import type { Coordinator, PlanModel } from '../../../core/ports/coordinator.ts'
import { type Connect, Connection, PING_MS, type RedisAddress } from '../client/connection.ts'
import { storageError, tooNew } from '../client/errors.ts'
import { Names } from '../client/names.ts'
import { type AskTime, RedisTime, timeOf } from '../client/redis-time.ts'
import { Scripts } from '../client/scripts.ts'
import { following } from '../client/stream-id.ts'
import { type Command, readCommands, readQueries } from '../protocol/commands.ts'
import { marksOf } from '../protocol/marks.ts'
import { type Control, readBeats, readControl } from '../protocol/messages.ts'
import { nameOf } from '../protocol/version.ts'
import { Election, OTHER_SERVER, type Won } from './election.ts'
import type { Waiting } from './held.ts'
import type { Decisions, Rules } from './parts.ts'
import { ActingCoordinator } from './term.ts'

export interface HostOptions {
  readonly redis: RedisAddress
  readonly rules: Rules
  /** An empty one, for each term. */
  readonly createCoordinator: () => Coordinator
  /** Where that is made of settings which can change. */
  readonly decisions?: Pick<Decisions, 'settings' | 'change'>
  readonly clock: Clock
  readonly ids: Ids
  readonly emit: Emit
  /** What the one that coordinates does beside it. */
  readonly chores: Chores
  readonly askTime?: AskTime
  readonly connect?: Connect
}

/** Called in turns, one for each term. */
export interface Chores {
  start(): void
  stop(): void
}

type Entry = readonly [id: string, fields: readonly string[]]

const HOST_BYTES = 8
/** How long a read of the inbox waits for an entry. */
const BLOCK_MS = 250
const ENTRIES = 1_000
/** Commands that share a commit: beyond it Redis would be held. */
const COMMANDS_A_COMMIT = 256
const RETRY_MS = 50
/** A term that broke off is followed by another at once; each that breaks off soon after, by a longer rest. */
const REST_MS = 200
const REST_MOST_MS = 5_000
const SOON_MS = 10_000
const SUSPECT_MS = 60_000
const REASON_CHARS = 500
/** A stop waits so long for the commit that is under way. */
const STOP_MS = 1_000

export class Host {
  #id = ''
  readonly #options: HostOptions
  readonly #names: Names
  readonly #commands: Connection
  readonly #inbox: Connection
  readonly #subscriber: Connection
  readonly #electionLine: Connection
  readonly #scripts: Scripts
  #election: Election | null = null
  readonly #time: RedisTime
  #models: readonly PlanModel[] | null = null
  #term: ActingCoordinator | null = null
  #stopped = false
  /** Terms that broke off one soon after the other, and when the last of them did. */
  #broken = 0
  #brokenMono = -Infinity
  /** A term of some host broke off: until then, those that follow look for the reason. */
  #suspectsUntilMono = -Infinity
  #stopPings = (): void => {}

  constructor(options: HostOptions) {
    const { redis, clock, askTime, connect = () => new Connection(redis) } = options
    this.#options = options
    this.#names = new Names(redis.prefix)
    this.#commands = connect()
    this.#inbox = connect()
    this.#subscriber = connect()
    this.#electionLine = connect()
    this.#scripts = new Scripts(this.#commands, this.#names.shard)
    this.#time = new RedisTime(clock, askTime ?? (() => timeOf(this.#scripts)))
  }

  /** Rejects with what Redis or its client throws. */
  async start(): Promise<void> {
    const all = [this.#commands, this.#inbox, this.#subscriber, this.#electionLine]
    await Promise.all(all.map((connection) => connection.open()))
    await this.#time.start()
    const election = await this.#candidate()
    await this.#subscriber.subscribe(election.channel, () => {})
    await this.#subscriber.subscribe(this.#names.beats(), (message) => {
      for (const beat of readBeats(message.toString())) this.#term?.beat(beat)
    })
    await this.#subscriber.subscribe(this.#names.queries(), (message) => {
      if (this.#term === null) return
      const unread: Waiting[] = []
      const queries = readQueries(message.toString(), (asked) => unread.push(asked))
      this.#term.ask(queries, unread)
    })
    await this.#subscriber.subscribe(this.#names.control(), (message) => {
      const control = readControl(message.toString())
      if (control?.type === 'free') void election.look()
      else if (control?.type === 'broken') this.#suspectsUntilMono = this.#options.clock.monoMs() + SUSPECT_MS
      else if (control?.type === 'checked') this.#term?.checked(control.reports)
      else if (control?.term === this.#term?.won.term) this.#term?.heardItself()
    })
    for (const connection of [this.#commands, this.#subscriber]) connection.onTurn((back) => back && this.#back())
    if (this.#stopped) return
    this.#stopPings = this.#options.clock.every(PING_MS, () => this.#subscriber.ping())
    this.#election = election
    election.start()
  }

  async #candidate(): Promise<Election> {
    const { clock, ids, emit } = this.#options
    const [number] = (await this.#scripts.run('join', [])) as readonly [number, number]
    this.#id = nameOf(number, ids.name('h', HOST_BYTES).slice(2))
    return new Election(this.#id, clock, this.#electionLine, this.#names, ids.jitter, {
      won: (won) => void this.#begin(won),
      lost: (reason) => this.#end(reason),
      outdated: (layout) => emit({ type: 'store-degraded', code: 'config_invalid', detail: tooNew(layout).message }),
    })
  }

  /** Part of the names of its terms. */
  get id(): string {
    return this.#id
  }

  get isActing(): boolean {
    return this.#term !== null
  }

  /** Of this term, and of those to come. `settings`: of what decides, where that is made of some. */
  configure(models: readonly PlanModel[], settings?: unknown): void {
    this.#adopt(models, settings)
    this.#term?.configure(models)
  }

  /** Groups of the settings, of this host alone: hosts of other processes are told by their own. */
  adjust(settings: object): void {
    this.#options.decisions?.change(settings)
    this.#term?.limitsChanged()
  }

  #adopt(models: readonly PlanModel[], settings: unknown): void {
    this.#models = models
    if (settings !== undefined) this.#options.decisions?.change(settings)
  }

  /** Hands over: what is decided is committed, and another candidate follows at once. Never rejects. */
  async stop(): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    const term = this.#term
    if (term !== null) await Promise.race([term.finish(), this.#after(STOP_MS)])
    this.#close()
    await this.#election?.stop(true)
    this.#disconnect()
  }

  /** As if its process were killed: no further command leaves. */
  kill(): void {
    this.#stopped = true
    void this.#election?.stop(false)
    this.#close()
    this.#disconnect()
  }

  // ------------------------------------------------------------ terms

  async #begin(won: Won): Promise<void> {
    const { rules, clock, ids, emit, createCoordinator, decisions, chores } = this.#options
    const coordinator = createCoordinator()
    const term = new ActingCoordinator({
      won,
      host: this.#id,
      rules,
      coordinator,
      connection: this.#commands,
      names: this.#names,
      clock,
      time: this.#time,
      random: ids.jitter,
      emit,
      marks: () => (decisions === undefined ? {} : marksOf(decisions.settings())),
      adopt: (models, settings) => this.#adopt(models, settings),
      isDeaf: () => [this.#commands, this.#inbox, this.#subscriber].some(({ away }) => away),
      isSuspect: clock.monoMs() < this.#suspectsUntilMono,
      ended: (reason, broke) => {
        this.#election?.stepDown()
        if (broke) this.#rest(reason)
        this.#end(reason)
      },
    })
    this.#term = term
    if (this.#models !== null) term.configure(this.#models)
    if (won.otherServer) this.#warnOfLoss()
    const opened = term.open().then(() => {
      if (this.#term === term) chores.start()
    })
    await this.#read(term, opened)
  }

  #end(reason: string): void {
    if (reason === OTHER_SERVER) this.#warnOfLoss()
    this.#close()
    if (!this.#stopped) void this.#election?.look()
  }

  /** What broke one term in what is stored breaks the next: no loop of takeovers, and of their errors. */
  #rest(reason: string): void {
    const now = this.#options.clock.monoMs()
    const control: Control = { type: 'broken', host: this.#id, reason: reason.split('\n')[0].slice(0, REASON_CHARS) }
    this.#commands.publish(this.#names.control(), JSON.stringify(control)).catch(() => {}) // the next one is told
    this.#suspectsUntilMono = now + SUSPECT_MS
    this.#broken = now - this.#brokenMono < SOON_MS ? this.#broken + 1 : 0
    this.#brokenMono = now
    if (this.#broken > 0) this.#election?.rest(Math.min(REST_MOST_MS, REST_MS * 2 ** (this.#broken - 1)))
  }

  #close(): void {
    const term = this.#term
    if (term === null) return
    this.#term = null
    term.end(null)
    this.#options.chores.stop()
  }

  #disconnect(): void {
    this.#stopPings()
    this.#time.stop()
    for (const connection of [this.#commands, this.#inbox, this.#subscriber, this.#electionLine]) connection.close()
  }

  #back(): void {
    this.#time.readAgain()
    this.#term?.woke()
    void this.#election?.look()
  }

  #warnOfLoss(): void {
    this.#options.emit({
      type: 'store-warned',
      code: 'commits_missing',
      detail:
        'Redis was restarted, or failed over: what it had not written, or not replicated, would be missing. Readers ' +
        'of unfinished jobs are told of text that is; docs/engines.md has what each durability keeps.',
    })
  }

  // ------------------------------------------------------------ the inbox

  /**
   * Reads without taking: what a commit is done with, it trims. The next read is on its way while one is decided; what
   * waits there at the start is fetched before `term` is open.
   */
  async #read(term: ActingCoordinator, opened: Promise<void>): Promise<void> {
    const entries: Entry[] = []
    let taking: Promise<void> | null = null
    const takeAll = async (): Promise<void> => {
      await opened
      while (entries.length > 0 && this.#term === term) await this.#take(term, entries)
      taking = null
    }
    let after = '0-0'
    while (this.#term === term) {
      try {
        const { client } = this.#inbox
        const read = await client.xread('COUNT', ENTRIES, 'BLOCK', BLOCK_MS, 'STREAMS', this.#names.inbox(), after)
        entries.push(...(read?.[0]?.[1] ?? []))
      } catch (error) {
        if (storageError(error).code === 'internal') {
          await opened // a term that is suspect finds the reason
          term.broke(error)
        }
        await this.#after(RETRY_MS) // away
        continue
      }
      if (entries.length === 0) continue
      after = entries.at(-1)![0]
      taking ??= takeAll()
      if (entries.length >= ENTRIES) await taking
    }
  }

  async #take(term: ActingCoordinator, entries: Entry[]): Promise<void> {
    const commands: Command[] = []
    const unread: Waiting[] = []
    let taken = 0
    for (; taken < entries.length && commands.length < COMMANDS_A_COMMIT; taken++)
      for (const [i, field] of entries[taken][1].entries())
        if (i % 2 === 1) commands.push(...readCommands(field, (asked) => unread.push(asked)))
    const [last] = entries[taken - 1]
    entries.splice(0, taken)
    await term.take(commands, unread, following(last))
  }

  #after(ms: number): Promise<void> {
    return new Promise((done) => this.#options.clock.after(ms, done))
  }
}
