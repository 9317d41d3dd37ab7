/**
 * One term of the coordinator: commands, heartbeats and time reach the machine one after the other. What it decides is
 * told by the very commit that stores it; meanwhile the next is decided (see Journal). It ends when a commit is fenced:
 * then all that was in memory is dropped, and nothing of it was told.
 */
import { hostname } from 'node:os'
import type { Clock } from '../../../core/clock.ts'
import type { CheckReport } from '../../../core/engine-check.ts'
import type { Emit } from '../../../core/facts.ts'
import type { JobId } from '../../../core/job.ts'
import type { Coordinator } from '../../../core/ports/coordinator.ts'
import type { Selector } from '../../../core/ports/operations.ts'
import type { Connection } from '../client/connection.ts'
import { storageError } from '../client/errors.ts'
import type { Names } from '../client/names.ts'
import type { RedisTime } from '../client/redis-time.ts'
import { Room } from '../client/room.ts'
import { Scripts } from '../client/scripts.ts'
import { LogReader } from '../log/read.ts'
import type { Command, Query } from '../protocol/commands.ts'
import type { Beat, Control } from '../protocol/messages.ts'
import { VERSION } from '../protocol/version.ts'
import { Attendance } from './attendance.ts'
import type { Won } from './election.ts'
import { Fleet } from './fleet.ts'
import { type HeldJob, HeldJobs, type Waiting } from './held.ts'
import { Journal } from './journal.ts'
import { KnownJobs } from './known.ts'
import { StoredLevels } from './levels.ts'
import { absorb } from './outcomes.ts'
import type { Joinable, Rules, Term, TermOptions } from './parts.ts'
import { reconcile } from './reconcile.ts'
import { Replies, refusedUnread } from './replies.ts'
import { restore } from './restore.ts'
import { processGone, RollCall, workerLeft, workersOf } from './roll-call.ts'
import { streamedBy } from './streamed.ts'
import { wrongType } from './types.ts'
import { apply } from './verbs.ts'

/** It announces itself, and hears that as it hears all others; where it does not for so long, it hears nobody. */
const BEAT_MS = 1_000
const DEAF_MS = 2_500
const CHECK_MS = 250
/** After time in which it could hear nobody, all have this long to be heard again. */
const PATIENCE_MS = 3_000
/** Jobs leased in one commit. */
const LEASES_A_COMMIT = 256
const RETRY_MS = 50
/** What is not counted by then is what the last beat told. */
const COUNTED_WITHIN_MS = 1_000
/** For people. */
const PLACE = `${hostname()} (pid ${process.pid})`

export class ActingCoordinator implements Term {
  readonly won: Won
  readonly rules: Rules
  readonly names: Names
  readonly connection: Connection
  readonly clock: Clock
  readonly time: RedisTime
  readonly startedAtMs: number
  readonly coordinator: Coordinator
  readonly emit: Emit
  readonly journal: Journal
  readonly fleet: Fleet
  readonly attendance: Attendance
  readonly held = new HeldJobs()
  readonly levels: StoredLevels
  readonly room: Room
  readonly pauses = new Map<string, Selector>()
  readonly barred = new Map<string, number>()
  readonly greeting: Waiting[] = []
  readonly #options: TermOptions
  readonly #scripts: Scripts
  readonly #replies: Replies
  readonly #rollCall: RollCall
  readonly #logs: LogReader
  #isChecking = false
  #seq: number
  /** When it heard its own announcement. */
  #heardMono: number
  #over = false
  /** How often it could hear nobody for a while: what it was told then is lost, and told again. */
  #wakes = 0
  /** What the store has is in the machine. */
  #open = false
  #cancelTick = (): void => {}
  #tickAt = Infinity
  #last: Promise<void> = Promise.resolve()
  readonly #stopTimers: Array<() => void> = []

  constructor(options: TermOptions) {
    const { won, rules, names, connection, clock, time, coordinator, emit, random } = options
    this.#options = options
    this.won = won
    this.rules = rules
    this.names = names
    this.connection = connection
    this.clock = clock
    this.time = time
    this.coordinator = coordinator
    this.emit = emit
    this.levels = new StoredLevels(coordinator, clock, time)
    this.#seq = won.seq
    this.#scripts = new Scripts(connection, names.shard)
    this.room = new Room(this.#scripts, clock)
    this.#heardMono = clock.monoMs()
    this.startedAtMs = time.atMs(this.#heardMono)
    this.journal = new Journal(this.#scripts, clock, won, random, {
      closing: (commit) => this.levels.into(commit),
      fenced: (reason) => this.end(reason),
      broke: (error) => this.broke(error),
      unheard: (processes) => {
        for (const process of processes) this.fleet.presence(process, false, this.now())
      },
    })
    this.attendance = new Attendance(clock, rules.disconnectGraceMs, (job) =>
      this.#turn(() => {
        if (this.attendance.isLeft(job)) coordinator.abandon(job, this.now())
      }),
    )
    this.fleet = new Fleet(rules.goneMs, {
      seated: (seat) => coordinator.attach(seat, this.now()),
      left: (worker, wasDraining) => workerLeft(this, worker, wasDraining),
      gone: (process) => processGone(this, process),
    })
    this.#rollCall = new RollCall(this, this.#scripts)
    this.#logs = new LogReader({
      commands: connection,
      scripts: this.#scripts,
      clock,
      ids: { random: bytesOf(random) },
    })
    this.#replies = new Replies(this, this.#scripts, () => this.end('another one coordinates'))
  }

  /** Resolves when it takes commands, or is over. */
  async open(): Promise<void> {
    let damaged = 0
    let levels = 0
    let unforeseen: unknown = null
    try {
      ;[{ damaged, levels }] = await Promise.all([restore(this, () => this.#over), this.room.start()])
    } catch (error) {
      if (storageError(error).code !== 'internal') return this.end('Redis is away')
      unforeseen = error
    }
    if (this.#over) return
    const isSuspect = this.#options.isSuspect || unforeseen !== null
    const wrong = (isSuspect ? await wrongType(this).catch(() => null) : null) ?? unforeseen
    if (wrong !== null) return this.broke(wrong)
    if (this.#over) return
    this.#open = true
    this.#heardMono = this.clock.monoMs()
    this.#rollCall.wait()
    if (damaged > 0) this.emit({ type: 'store-warned', code: 'job_damaged', detail: `${damaged} jobs ${DAMAGED}` })
    if (levels > 0) this.emit({ type: 'store-warned', code: 'row_damaged', detail: `${levels} levels ${FORGOTTEN}` })
    const { clock } = this
    this.#stopTimers.push(
      clock.every(BEAT_MS, () => this.#announce()),
      clock.every(CHECK_MS, () => void this.#check()),
    )
    this.#announce()
    this.#turn(() => {})
    await this.#check()
  }

  now(): number {
    return this.clock.monoMs()
  }

  adopt(models: Parameters<Coordinator['configure']>[0], settings: unknown): void {
    this.#options.adopt(models, settings)
  }

  seq(): number {
    this.#seq++
    return this.#seq
  }

  taken(seq: number): void {
    this.#seq = Math.max(this.#seq, seq)
  }

  get layout(): number {
    return this.#rollCall.layout
  }

  get joinable(): Joinable | null {
    const fromMs = this.time.atMs(this.now()) - this.rules.joinAfterEndMs
    return fromMs < this.startedAtMs ? { fromMs, toMs: this.startedAtMs } : null
  }

  /** It could hear nobody for a while: no lease ends, and nobody is taken for gone, because of that. */
  woke(): void {
    const now = this.now()
    this.#wakes++
    this.coordinator.woke(now)
    this.fleet.wait(now, PATIENCE_MS)
    this.attendance.wait()
    this.#rollCall.wait()
  }

  /** Its own announcement has come back. */
  heardItself(): void {
    this.#heardMono = this.now()
  }

  /** `keepFrom`: the inbox is done with what is before. Resolves when their commit is under way: see Journal. */
  take(commands: readonly Command[], unread: readonly Waiting[], keepFrom: string): Promise<void> {
    return this.#turn(async () => {
      const known = await this.#known(commands)
      if (known === null) return
      for (const command of commands) apply(this, command, known)
      for (const { from, n } of unread) this.journal.draft.tell(from, refusedUnread(n))
      this.journal.draft.keepFrom = keepFrom
    })
  }

  /** Answered from what is committed. What comes too early is asked again. */
  ask(queries: readonly Query[], unread: readonly Waiting[]): void {
    if (!this.#open || this.#over) return
    for (const { from, n } of unread) this.#replies.tell(from, refusedUnread(n))
    if (this.#replies.ask(queries)) this.#turn(() => this.#replies.answer())
    else this.#replies.send()
  }

  beat(beat: Beat): void {
    if (!this.#open || this.#over) return
    const now = this.now()
    this.fleet.beat(beat, now)
    for (const { id, alive } of beat.workers) if (alive) this.coordinator.heartbeat(id, now)
    for (const [id, attempt, tokens] of beat.charges) this.#charge(id, attempt, tokens, now)
    for (const [id, attempt, tokens] of beat.streamed ?? []) {
      const untold = tokens - (this.held.get(id)?.streamed ?? tokens)
      if (untold > 0) this.#charge(id, attempt, untold, now)
    }
    for (const id of beat.reading ?? []) this.attendance.entered(id, beat.process, beat.atMs)
    reconcile(this, beat, now)
    this.#turn(() => {})
  }

  checked(reports: readonly CheckReport[]): void {
    if (!this.#open || this.#over) return
    this.#turn(() => {
      for (const report of reports) this.coordinator.checked(report, this.now())
    })
  }

  #charge(id: JobId, attempt: number, tokens: number, now: number): void {
    const job = this.held.get(id)
    if (job?.attempt === attempt) job.streamed += tokens
    this.coordinator.charge(id, attempt, tokens, now)
  }

  limitsChanged(): void {
    this.#turn(() => this.coordinator.limitsChanged(this.now()))
  }

  configure(models: Parameters<Coordinator['configure']>[0]): void {
    this.#turn(() => this.coordinator.configure(models, this.now()))
  }

  /** All that was decided is committed, and nothing more is taken. */
  async finish(): Promise<void> {
    await this.#last
    await this.journal.settled()
    this.end(null)
  }

  /** `reason`: null where it is no surprise. */
  end(reason: string | null, broke = false): void {
    if (this.#over) return
    this.#over = true
    this.journal.stop()
    this.#logs.close()
    this.room.stop()
    this.attendance.stop()
    this.#cancelTick()
    for (const stop of this.#stopTimers) stop()
    if (reason !== null) this.#options.ended(reason, broke)
  }

  // ------------------------------------------------------------ one after the other

  /** Runs `decide` when all before is decided, and on its way into the store; then commits what was decided. */
  #turn(decide: () => void | Promise<void>): Promise<void> {
    const turn = async (): Promise<void> => {
      await this.#hearing()
      if (this.#over) return
      await decide()
      this.#lease()
      absorb(this)
      this.#greet()
      this.#replies.send()
      await this.journal.commit()
      this.#arm()
    }
    this.#last = this.#last.then(turn).catch((error: unknown) => this.broke(error))
    return this.#last
  }

  /** Its memory may not be what it should be: the next term restores what is stored. */
  broke(error: unknown): void {
    if (this.#over) return
    const detail = `The coordinator: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`
    this.emit({ type: 'store-degraded', code: 'internal', detail })
    this.end(detail, true)
  }

  /** Resolves when others can be heard. */
  async #hearing(): Promise<void> {
    if (!this.#isDeaf()) return
    this.#announce()
    while (!this.#over && this.#isDeaf()) await new Promise<void>((again) => this.clock.after(RETRY_MS, again))
    this.woke()
  }

  /** Away, stopped or suspended itself, or with silent connections, which are known to be dead only after a while. */
  #isDeaf(): boolean {
    return this.#options.isDeaf() || (this.#open && this.now() - this.#heardMono > DEAF_MS)
  }

  /** What may start, as many as a commit takes. */
  #lease(): void {
    if (!this.#open || this.room.isCritical) return
    const { coordinator } = this
    for (let left = LEASES_A_COMMIT; coordinator.leasable && left > 0; left -= 64) {
      coordinator.lease(this.now())
      absorb(this)
    }
    if (coordinator.leasable) this.clock.soon(() => void this.#turn(() => {}))
  }

  #arm(): void {
    if (this.#over) return
    const at = this.coordinator.nextAt()
    if (at >= this.#tickAt) return
    this.#cancelTick()
    this.#tickAt = at
    this.#cancelTick = this.clock.after(Math.max(0, at - this.clock.monoMs()), () => {
      this.#tickAt = Infinity
      void this.#turn(() => this.coordinator.tick(this.now()))
    })
  }

  /** Null: it is over. */
  async #known(commands: readonly Command[]): Promise<KnownJobs | null> {
    while (!this.#over)
      try {
        return await KnownJobs.of(commands, this)
      } catch (error) {
        if (storageError(error).code !== 'storage_unavailable') throw error
        await new Promise<void>((again) => this.clock.after(RETRY_MS, again))
      }
    return null
  }

  // ------------------------------------------------------------ the fleet

  #announce(): void {
    const { host, marks } = this.#options
    const about = { host, term: this.won.term, wakes: this.#wakes, place: PLACE, marks: marks() }
    const control: Control = { type: 'coordinator', ...about }
    const message = JSON.stringify({ ...control, version: VERSION })
    this.connection.publish(this.names.control(), message).catch(() => {}) // told again in a second
  }

  /** Who is still there? */
  async #check(): Promise<void> {
    if (this.#isChecking) return
    this.#isChecking = true
    try {
      if (!(await this.#rollCall.call())) return
      await this.#countStreamed()
      await this.#turn(() => this.fleet.check(this.now()))
    } finally {
      this.#isChecking = false
    }
  }

  /** What those that are given up now have streamed since their last beats. */
  async #countStreamed(): Promise<void> {
    const workers = this.fleet.leaving(this.now()).flatMap((process) => [...workersOf(this, process)])
    const jobs = workers.flatMap((worker) => [...this.held.of(worker)])
    if (jobs.length === 0) return
    const count = async (job: HeldJob): Promise<void> => {
      const { id, attempt } = job
      const tokens = await streamedBy(this.#logs, job).catch(() => null)
      if (tokens !== null && job.attempt === attempt && tokens > job.streamed)
        this.#charge(id, attempt, tokens - job.streamed, this.now())
    }
    await Promise.race([
      Promise.all(jobs.map(count)),
      new Promise<void>((late) => this.clock.after(COUNTED_WITHIN_MS, late)),
    ])
  }

  #greet(): void {
    if (this.greeting.length === 0 || !this.#open || !this.fleet.isSettled(this.now())) return
    for (const { from, n } of this.greeting.splice(0)) this.#replies.tell(from, { type: 'answer', n, is: null })
  }
}

const bytesOf =
  (random: () => number) =>
  (bytes: number): Uint8Array =>
    Uint8Array.from({ length: bytes }, () => Math.floor(256 * random()))

const FORGOTTEN = 'of the limits are damaged in Redis, and begin anew: check what else writes to it.'
const DAMAGED = 'that had not ended are damaged in Redis, and are left out: check what else writes to it.'
