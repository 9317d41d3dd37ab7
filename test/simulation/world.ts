/**
 * The real coordinator in a simulated world: a journal that stores its changes in commits, workers that are slow, lost
 * or come back as ghosts, and processes that die at every step. Whatever happens is decided by the seed.
 */
import { type CoordinatorOptions, createCoordinator } from '../../src/coordinator/coordinator.ts'
import type { Usage } from '../../src/core/job.ts'
import { type Amounts, type LevelState, type LimitSettings, NO_LIMITS, type Standing } from '../../src/core/limits.ts'
import type {
  Change,
  Coordinator,
  Died,
  Notice,
  PlanModel,
  ScheduledJob,
  Tally,
} from '../../src/core/ports/coordinator.ts'
import type { Selector } from '../../src/core/ports/operations.ts'
import type { Finished, Outcome, Race } from '../../src/core/ports/work.ts'
import { callsAt, isTold, Ledger, must, type Scene, type Seat } from './ledger.ts'
import { calendar, checkLevels, checkRest } from './limited.ts'

export const OPTIONS: Omit<CoordinatorOptions, 'models' | 'limits'> = {
  leaseMs: 100,
  maxAttempts: 3,
  maxCrashes: 2,
  retryBaseMs: 20,
  retryCapMs: 50,
  maxQueuedJobs: 40,
  maxQueuedPerTenant: 25,
  maxQueuedPerLane: 8,
  maxQueuedBytesPerTenant: 1e6,
  maxQueuedPerSession: 1e6,
  maxQueuedBytesPerSession: 1e12,
  joinAfterEndMs: 60,
  returnRoomMs: 30,
  weight: (tenant) => (tenant === 'c' ? 3 : 1),
  promptWeight: 1,
  outputWeight: 2,
  jitter: () => 0.5,
}
/** How the engine around it may be wrong: bugs that the simulation must find. */
export interface Faults {
  readonly make?: typeof createCoordinator
  readonly options?: Partial<typeof OPTIONS>
  readonly tellsBeforeCommit?: boolean
  /** Changes that the journal forgets to store. */
  readonly loses?: (change: Change) => boolean
}

/** A worker's process, as it sees itself. */
export interface Process {
  readonly id: string
  readonly pools: readonly string[]
  readonly runs: Map<string, number>
  /** "job attempt" of those that have a second call; null: both run. */
  readonly races: Map<string, Race | null>
  /** Attempts that were revoked, and continue nevertheless. */
  readonly ghosts: Array<{ readonly id: string; readonly attempt: number }>
}

const NONE: Pick<Scene, 'finishing' | 'losing' | 'died' | 'race'> = {
  ...{ finishing: null, losing: false, race: null },
  died: new Map(),
}
const STARTED_MONO = 1_000

export class World {
  now = STARTED_MONO
  coordinator: Coordinator
  models: readonly PlanModel[]
  readonly trace: string[] = []
  readonly processes = new Map<string, Process>()
  readonly acknowledged = new Set<string>()
  readonly submitted: string[] = []
  paused: Selector[] = []
  /** What was decided, and what of it is stored. */
  decided = new Ledger()
  stored = new Ledger()
  readonly #faults: Faults
  /** Limits hide wake-ups that are lost elsewhere: half of the worlds have none. */
  #limits: LimitSettings
  /** Other limits have come into force meanwhile. */
  #hasReloaded = false
  #levels = new Map<string, LevelState>()
  /** Something was taken from limits, not for a lease, since the last lease. */
  /** Attempts that got a second call. */
  readonly #hedged = new Set<string>()
  #hasTaken = false
  #seats = new Map<string, Seat>()
  readonly #jobs = new Map<string, ScheduledJob>()
  readonly #reservations = new Map<string, Amounts>()
  readonly #decidedMono = new WeakMap<Change, number>()
  #pending: Change[] = []
  #tells: Array<() => void> = []
  readonly #toldEnds = new Map<string, string>()
  /** Of returns that were told. */
  readonly #toldTallies = new Map<string, Tally>()

  constructor(models: readonly PlanModel[], limits: LimitSettings, faults: Faults = {}) {
    this.models = models
    this.#limits = limits
    this.#faults = faults
    this.coordinator = this.#create()
  }

  #create(): Coordinator {
    const { make = createCoordinator, options = {} } = this.#faults
    const coordinator = make({ ...OPTIONS, ...options, models: this.models, limits: () => this.#limits })
    coordinator.openLimits([...this.#levels.values()], calendar, this.now)
    return coordinator
  }

  log(line: string): void {
    this.trace.push(`${this.now} ${line}`)
  }

  // ------------------------------------------------------------ the engine

  /** One call of the coordinator, and what it decided: judged at once, stored and told with the next commit. */
  call<T>(what: string, fn: () => T, more: Partial<typeof NONE> = {}): T {
    this.log(what)
    const result = fn()
    const scene = this.#scene(more)
    for (const change of this.coordinator.changes()) {
      this.log(`  ${shown(change)}`)
      this.decided.judge(change, scene)
      this.#apply(this.decided, change, scene)
      this.#pending.push(change)
      this.#tells.push(() => this.#tell(change))
    }
    for (const notice of this.coordinator.notices()) {
      if (notice.type === 'cut') this.#judgeCut(notice)
      if (notice.type !== 'revoked') continue
      const { worker, id, attempt, reason } = notice
      this.log(`  revoked ${id} ${attempt} ${reason}`)
      this.#tells.push(() => this.#revoke(worker, id, attempt))
    }
    if (this.#faults.tellsBeforeCommit === true) this.#tellAll()
    this.#check()
    return result
  }

  #judgeCut({ id, worker, attempt, cause }: Extract<Notice, { type: 'cut' }>): void {
    const held = this.decided.jobs.get(id)?.held
    must(held?.worker === worker && held.attempt === attempt, `${id}: attempt ${attempt} does not run, and is cut`)
    must(cause.left < cause.weight, `${id} is cut, and ${cause.left} ${cause.unit} are left`)
    must(JSON.stringify(this.#limits).includes('"cut"') || this.#hasReloaded, `${id} is cut, and nothing asks for that`)
  }

  #scene(more: Partial<typeof NONE> = {}): Scene {
    const { leaseMs, returnRoomMs } = OPTIONS
    return {
      now: this.now,
      models: this.models,
      paused: this.paused,
      seats: this.#seats,
      leaseMs,
      returnRoomMs,
      ...NONE,
      ...more,
    }
  }

  /** Stores what was decided, in one piece. */
  store(): void {
    const { loses } = this.#faults
    for (const change of this.#pending.splice(0))
      if (loses?.(change) !== true) this.#apply(this.stored, change, this.#scene())
    for (const { job, held } of this.decided.held()) {
      const stored = this.stored.jobs.get(job.id)?.held
      if (stored?.attempt === held!.attempt) stored.streamed = held!.streamed
    }
    for (const state of this.coordinator.takeLevels(this.now)) {
      const id = JSON.stringify([state.kind, state.owner, state.name])
      if (state.used === null) this.#levels.delete(id)
      else this.#levels.set(id, JSON.parse(JSON.stringify(state)) as LevelState)
    }
  }

  #apply(ledger: Ledger, change: Change, scene: Scene): void {
    const decidedMono = this.#decidedMono.get(change) ?? scene.now
    this.#decidedMono.set(change, decidedMono)
    // Counted when it was decided, whenever it is stored
    ledger.apply(change, this.#jobs.get(change.id), change.type === 'used' ? { ...scene, now: decidedMono } : scene)
    const reservation = this.#reservations.get(change.id)
    if (change.type === 'accepted' && reservation !== undefined) ledger.jobs.get(change.id)!.reservation = reservation
  }

  commit(): void {
    this.store()
    this.#tellAll()
  }

  #tellAll(): void {
    for (const tell of this.#tells.splice(0)) tell()
  }

  #tell(change: Change): void {
    if (change.type === 'accepted') this.acknowledged.add(change.id)
    else if (change.type === 'leased') this.processes.get(change.worker)?.runs.set(change.id, change.attempt)
    else if (change.type === 'returned') this.#toldTallies.set(change.id, change.tally)
    else if (change.type === 'ended') {
      must(!this.#toldEnds.has(change.id), `${change.id} is told to have ended twice`)
      this.#toldEnds.set(change.id, change.state)
    }
  }

  #revoke(worker: string, id: string, attempt: number): void {
    const process = this.processes.get(worker)
    if (process?.runs.get(id) !== attempt) return
    process.runs.delete(id)
    process.ghosts.push({ id, attempt })
  }

  // ------------------------------------------------------------ clients and operators

  submit(job: ScheduledJob, isRetry: boolean, withdraws: boolean): void {
    this.#jobs.set(job.id, job)
    const decision = this.call(
      `submit ${job.id} ${job.tenant} ${job.lane} ${job.model} ${job.kind} due ${job.deadlineMono}`,
      () => {
        const decided = this.coordinator.submit(job, this.now, undefined, isRetry)
        if (decided.kind === 'accepted' && decided.reservation !== null) {
          this.#reservations.set(job.id, decided.reservation)
          this.#hasTaken = true
        }
        return decided
      },
    )
    if (decision.kind === 'joined') {
      const twin = this.decided.jobs.get(decision.id)
      must(twin !== undefined && isRetry, `${job.id} joins ${decision.id}, which is not there`)
      must(twin.job.joinKey === job.joinKey, `${job.id} joins another's ${decision.id}`)
      must(twin.end === null || twin.end === 'done', `${job.id} joins what ended ${twin.end}`)
    }
    if (decision.kind !== 'accepted') return
    must(this.decided.jobs.has(job.id), `${job.id} is accepted, and no change says so`)
    if (withdraws) return this.#withdraw(job.id)
    this.submitted.push(job.id)
  }

  /** It could not be stored: nothing of it is. */
  #withdraw(id: string): void {
    this.coordinator.withdraw(id)
    this.log(`withdrawn ${id}`)
    this.#pending = this.#pending.filter((change) => change.id !== id)
    this.#tells.pop()
    this.decided.jobs.delete(id)
  }

  cancel(id: string): void {
    const known = this.decided.jobs.get(id)
    const answer = this.call(`cancel ${id}`, () => this.coordinator.cancel(id, this.now))
    const expected =
      known === undefined || known.end !== null ? 'unknown' : known.held === null ? 'canceled' : 'canceling'
    // What has just been canceled has ended by now
    must(answer === expected || (answer === 'canceled' && known?.end === 'canceled'), `cancel: ${answer}`)
    must(answer !== 'canceling' || known!.canceling, `${id} is canceling, and no change says so`)
  }

  pause(selector: Selector, isOn: boolean): void {
    const text = JSON.stringify(selector)
    this.paused = this.paused.filter((other) => JSON.stringify(other) !== text)
    if (isOn) this.paused.push(selector)
    this.call(`${isOn ? 'pause' : 'resume'} ${text}`, () =>
      isOn ? this.coordinator.pause(selector, this.now) : this.coordinator.resume(selector, this.now),
    )
  }

  configure(models: readonly PlanModel[]): void {
    this.models = models
    this.call(
      `configure ${JSON.stringify(models.map((m) => m.deployments.map((d) => `${d.name}:${d.concurrent}`)))}`,
      () => this.coordinator.configure(models, this.now),
    )
  }

  reload(limits: LimitSettings): void {
    this.#limits = limits
    this.#hasReloaded = true
    this.call(`reload ${JSON.stringify(limits)}`, () => this.coordinator.configure(this.models, this.now))
  }

  // ------------------------------------------------------------ workers

  /** Tokens of an answer. */
  charge(id: string, attempt: number, tokens: number): void {
    const { held } = this.decided.jobs.get(id)!
    if (held?.attempt === attempt) held.streamed += tokens
    this.#hasTaken = this.#limits !== NO_LIMITS
    this.call(`charge ${id} ${attempt} ${tokens}`, () => this.coordinator.charge(id, attempt, tokens, this.now))
  }

  attach(id: string, pools: readonly string[], slots: number): void {
    if (!this.processes.has(id)) this.processes.set(id, { id, pools, runs: new Map(), races: new Map(), ghosts: [] })
    this.#seats.set(id, { pools, slots, heardMono: this.now })
    this.call(`attach ${id} ${slots}`, () => this.coordinator.attach({ id, pools, slots }, this.now))
  }

  heartbeat(id: string): void {
    const seat = this.#seats.get(id)
    if (seat === undefined) return
    seat.heardMono = this.now
    this.call(`heartbeat ${id}`, () => this.coordinator.heartbeat(id, this.now))
  }

  leave(id: string): void {
    const process = this.processes.get(id)
    this.processes.delete(id)
    this.call(`leave ${id}`, () => this.coordinator.leave(id, this.now), { losing: true })
    this.#seats.delete(id)
    must(!this.decided.held().some(({ held }) => held!.worker === id), `${id} has left, and holds leases`)
    if (process !== undefined && process.runs.size > 0) this.log(`  ${process.runs.size} died with it`)
  }

  /** A lease brings nothing unless it was announced that it may: the engine would not have called. */
  lease(): void {
    const { leasable } = this.coordinator
    if (!leasable && this.coordinator.nextAt() <= this.now) return
    const pending = this.#pending.length
    this.call('lease', () => this.coordinator.lease(this.now))
    const woken = this.#pending.slice(pending).find(({ type }) => type === 'leased')
    // What took room since may have put aside a job that others waited for
    must(leasable || woken === undefined || this.#hasTaken, `${woken?.id} could have been leased, and nobody said so`)
    // So may one that was leased before others of what all tenants share were asked
    this.#hasTaken = this.#limits.global !== null || Object.keys(this.#limits.models).length > 0
  }

  /** Its worker makes a second call once it is told; it asks until it gets one, also who took over. */
  hedge(id: string, attempt: number): void {
    const isOver = this.decided.jobs.get(id)?.held?.claim.hedge === undefined
    if (isOver && this.#hedged.has(`${id} ${attempt}`)) return
    const process = [...this.processes.values()].find(({ runs }) => runs.get(id) === attempt)
    const claim = this.call(`hedge ${id} ${attempt}`, () => this.coordinator.hedge(id, attempt, this.now))
    if (claim === null) return
    this.#hedged.add(`${id} ${attempt}`)
    const held = this.decided.jobs.get(id)?.held
    must(held?.attempt === attempt && held.claim.hedge !== undefined, `${id} has a second call, and no change says so`)
    this.#hasTaken = this.#limits !== NO_LIMITS
    this.#tells.push(() => process?.runs.get(id) === attempt && process.races.set(`${id} ${attempt}`, null))
  }

  /** Those that have two calls. */
  racing(): ReadonlyArray<{ readonly id: string; readonly attempt: number }> {
    return [...this.processes.values()].flatMap(({ races }) =>
      [...races].flatMap(([key, race]) => {
        const [id, attempt] = key.split(' ')
        return race === null ? [{ id, attempt: Number(attempt) }] : []
      }),
    )
  }

  /** Told now, or with its end alone. */
  raced(id: string, attempt: number, race: Race, isToldNow: boolean): void {
    for (const { races } of this.processes.values())
      if (races.has(`${id} ${attempt}`)) races.set(`${id} ${attempt}`, race)
    if (!isToldNow) return
    const told = () => this.coordinator.raced(id, attempt, race, this.now)
    this.call(`raced ${id} ${attempt} ${race.won} ${race.end}`, told, { race: { id, race } })
  }

  finish(id: string, attempt: number, ended: Outcome): Finished {
    const key = `${id} ${attempt}`
    const raced = [...this.processes.values()].find(({ races }) => races.has(key))?.races.get(key)
    const race = raced === null ? CANCELED : raced
    const outcome: Outcome = race === undefined ? ended : { ...ended, race }
    const known = this.decided.jobs.get(id)
    const isOurs = known?.end === null && known.held?.attempt === attempt
    const pending = this.#pending.length
    const finished = this.call(
      `finish ${id} ${attempt} ${outcome.kind}` +
        (outcome.kind === 'failed' ? ` ${outcome.error.code} ${outcome.retry}` : ''),
      () => this.coordinator.finish(id, attempt, outcome, this.now),
      isOurs
        ? {
            finishing: { id, done: outcome.kind === 'done', usage: usageOf(outcome) },
            race: race === undefined ? null : { id, race },
          }
        : {},
    )
    must((finished.kind !== 'fenced') === isOurs, `${id}, attempt ${attempt}: ${finished.kind}`)
    const change = this.#pending
      .slice(pending)
      .find((each) => each.id === id && each.type !== 'used' && each.type !== 'hedged')
    if (finished.kind === 'ended')
      must(change?.type === 'ended' && change.state === finished.state, `${id} ended, and no change says so`)
    if (finished.kind === 'again')
      must(
        change?.type === 'returned' && change.notBeforeMono === finished.notBeforeMono,
        `${id} comes back, and no change says so`,
      )
    this.#tells.push(() => {
      for (const { runs } of this.processes.values()) if (runs.get(id) === attempt) runs.delete(id)
      for (const { races } of this.processes.values()) if (isOurs) races.delete(key)
    })
    return finished
  }

  // ------------------------------------------------------------ time

  pass(ms: number): void {
    this.now += ms
    if (this.coordinator.nextAt() > this.now) return this.#checkTimes()
    this.call('tick', () => this.coordinator.tick(this.now))
    this.#checkTimes()
  }

  /** The machine slept: time passed, and nobody is to blame. */
  sleep(ms: number): void {
    this.now += ms
    for (const seat of this.#seats.values()) seat.heardMono = this.now
    for (const known of this.decided.held()) known.held = { ...known.held!, sinceMono: this.now }
    this.call(`woke after ${ms}`, () => {
      this.coordinator.woke(this.now)
      this.coordinator.tick(this.now)
    })
  }

  /** Deadlines and leases that are over have been noticed. */
  #checkTimes(): void {
    for (const { job, held, dueMono } of this.decided.open()) {
      if (held === null) {
        must(dueMono > this.now, `${job.id} is in line ${this.now - dueMono} ms after its deadline`)
        continue
      }
      const others = this.decided.held().filter((other) => other.held!.worker === held.worker)
      const lastMono = Math.max(
        this.#seats.get(held.worker)?.heardMono ?? 0,
        ...others.map((other) => other.held!.sinceMono),
      )
      must(this.now < lastMono + OPTIONS.leaseMs, `${job.id}: its lease is over, and nobody noticed`)
    }
  }

  // ------------------------------------------------------------ deaths

  /**
   * The coordinator's process dies: what was not stored is gone, and what was not told is never told. `alone`: workers
   * are in processes of their own, and live.
   */
  crash(alone: boolean): void {
    this.log(`crash ${alone ? 'of the coordinator' : 'of all'}`)
    this.#pending = []
    this.#tells = []
    this.#checkPromises()
    this.decided = this.stored.copy()
    this.coordinator = this.#create()
    if (!alone) this.processes.clear()
    this.#seats = new Map()
    const died: Died[] = []
    const canceled: string[] = []
    for (const known of this.decided.open()) {
      const { job, tally, failedAt, held, notBeforeMono } = known
      const isHeld = alone && held !== null
      if (known.canceling) canceled.push(job.id)
      if (held !== null && !isHeld)
        died.push({
          ...{ id: job.id, deployment: held.claim.deployment, outputTokens: held.streamed },
          ...(held.claim.isHedge && { isHedge: true }),
          ...(held.claim.hedge !== undefined && { beside: held.claim.hedge.deployment }),
        })
      known.canceling = false
      known.held = isHeld ? { ...held, sinceMono: this.now, streamed: 0 } : null
      if (tally.attempts > 0)
        known.dueMono = Math.max(job.deadlineMono, Math.max(this.now, notBeforeMono) + OPTIONS.returnRoomMs)
      this.coordinator.restore(
        { ...job, notBeforeMono },
        {
          tally,
          failedAt,
          reservation: known.reservation,
          held: isHeld ? { worker: held.worker, claim: held.claim } : null,
        },
        this.now,
      )
    }
    this.call(`died ${died.map(({ id }) => id)}`, () => this.coordinator.died(died, this.now), {
      losing: true,
      died: new Map(died.map((each) => [each.id, each])),
    })
    for (const { id, isHedge = false, beside } of died) {
      const known = this.decided.jobs.get(id)!
      must(isTold(known, isHedge ? { isHedge: true } : {}), `nobody pays for ${id}`)
      must(beside === undefined || isTold(known, { isHedge: true }), `nobody pays for the second call of ${id}`)
    }
    for (const id of canceled) if (this.decided.jobs.get(id)?.end === null) this.cancel(id)
    for (const selector of this.paused) this.coordinator.pause(selector, this.now)
  }

  /** What anybody was told is stored. */
  #checkPromises(): void {
    for (const id of this.acknowledged) must(this.stored.jobs.has(id), `${id} was acknowledged, and is lost`)
    for (const [id, state] of this.#toldEnds)
      must(this.stored.jobs.get(id)?.end === state, `${id} was told to be ${state}, which is lost`)
    for (const [id, { attempts, fails, deaths }] of this.#toldTallies) {
      const stored = this.stored.jobs.get(id)?.tally
      must(
        stored !== undefined && stored.attempts >= attempts && stored.fails >= fails && stored.deaths >= deaths,
        `${id} came back, and what became of its attempts is lost`,
      )
    }
    for (const { runs } of this.processes.values())
      for (const [id, attempt] of runs)
        must((this.stored.jobs.get(id)?.tally.attempts ?? 0) >= attempt, `${id}: attempt ${attempt} runs, and is lost`)
    for (const { id, attempt } of this.racing()) {
      const held = this.stored.jobs.get(id)?.held
      const isOver = held?.attempt !== attempt || held.claim.hedge !== undefined
      must(isOver, `${id}: a second call of attempt ${attempt} runs, and is lost`)
    }
  }

  // ------------------------------------------------------------ at any time

  #check(): void {
    const held = this.decided.held()
    const calls = new Map<string, number>()
    for (const { held: lease } of held)
      for (const at of [lease!.claim, lease!.claim.hedge])
        if (at !== undefined) calls.set(at.deployment, callsAt(held, at.deployment))
    for (const { deployment, active } of this.coordinator.status(this.now)) {
      must(
        active === (calls.get(deployment) ?? 0),
        `${deployment}: ${active} calls counted of ${calls.get(deployment)}`,
      )
      calls.delete(deployment)
    }
    must(
      [...calls.values()].every((count) => count === 0),
      `calls of ${[...calls.keys()]} are not counted`,
    )
    if (this.#limits !== NO_LIMITS && !this.#hasReloaded)
      checkLevels(this.#limits, this.decided, STARTED_MONO, this.now)
    const depth = this.coordinator.depth()
    must(depth.leased === held.length, `${depth.leased} leases counted of ${held.length}`)
    const inLine = this.decided.open().length - held.length
    must(depth.queued + depth.delayed + depth.waiting === inLine, `${JSON.stringify(depth)} in line of ${inLine}`)
  }

  /** Nothing comes any more: what still waits in the end, no restart would start either. */
  rest(pools: readonly string[]): void {
    this.#serve('rest', pools, () => {})
    const restarted = this.#create()
    for (const { job, tally, failedAt, notBeforeMono, reservation } of this.decided.open())
      restarted.restore({ ...job, notBeforeMono }, { tally, failedAt, reservation, held: null }, this.now)
    for (const selector of this.paused) restarted.pause(selector, this.now)
    restarted.attach({ id: 'rest', pools, slots: 4 }, this.now)
    restarted.lease(this.now)
    const woken = restarted.changes().find(({ type }) => type === 'leased')
    must(woken === undefined, `${woken?.id} waits for nothing: a restart starts it`)
  }

  /** One worker does what there is. `stuck`: nobody knows when there will be more. */
  #serve(worker: string, pools: readonly string[], stuck: () => void): void {
    for (const id of [...this.processes.keys()]) this.leave(id)
    this.attach(worker, pools, 4)
    const { runs } = this.processes.get(worker)!
    for (let idle = 0; this.decided.open().length > 0; ) {
      this.heartbeat(worker)
      this.lease()
      this.commit()
      for (const [id, attempt] of [...runs]) this.finish(id, attempt, DONE)
      this.commit()
      if (this.coordinator.leasable || this.decided.open().length === 0) continue
      const ms = this.coordinator.nextAt() - this.now
      if (ms === Infinity || ++idle > 1_000) return stuck()
      this.pass(Math.max(0, ms))
    }
    this.commit()
  }

  /** All is well from now on: then every job ends. */
  settle(models: readonly PlanModel[]): void {
    for (const selector of [...this.paused]) this.pause(selector, false)
    // What was accepted under one set of limits may be too heavy for another
    if (this.#hasReloaded) this.reload(NO_LIMITS)
    this.configure(models)
    this.#serve('last', [], () => must(false, `forgotten: ${this.decided.open().map(({ job }) => job.id)}`))
    this.#checkPromises()
    for (const id of this.acknowledged) must(this.#isTold(id), `the end of ${id} is not told`)
    for (const { deployment, active } of this.coordinator.status(this.now))
      must(active === 0, `${deployment} still has ${active} calls`)
    const standing = (job: ScheduledJob, now: number): Standing => this.coordinator.standing(job, now)
    if (!this.#hasReloaded) checkRest(this.#limits, this.decided, [...this.#jobs.values()], standing, this.now)
  }

  /** A job whose end was stored when the process died is not reported again: its end is read. */
  #isTold(id: string): boolean {
    return this.#toldEnds.has(id) || this.stored.jobs.get(id)?.end !== null
  }
}

const CANCELED: Race = {
  ...{ won: 'first', end: 'canceled' },
  usage: { promptTokens: 7, completionTokens: 0, estimated: true },
}

export const DONE: Outcome = {
  kind: 'done',
  usage: { promptTokens: 10, completionTokens: 5, estimated: false },
  timing: { queuedMs: 0, totalMs: 0, attempts: 1 },
}

const usageOf = (outcome: Outcome): Usage | undefined =>
  outcome.kind === 'released' ? outcome.attemptUsage : (outcome.attemptUsage ?? outcome.usage)

const shown = (change: Change): string =>
  `${change.type} ${change.id}` +
  (change.type === 'leased'
    ? ` ${change.attempt} ${change.worker} ${change.claim.deployment}`
    : change.type === 'returned'
      ? ` until ${change.notBeforeMono} ${JSON.stringify(change.tally)}`
      : change.type === 'ended'
        ? ` ${change.state} ${change.error?.code ?? ''}`
        : '')
