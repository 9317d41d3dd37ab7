/**
 * The state of all jobs as it follows from the changes alone, and what no change may do. A simulation has two ledgers:
 * what was decided, where each change is checked as it is made, and what was stored, from which a restart begins.
 */
import type { Change, EndState, FailedAt, PlanModel, ScheduledJob, Tally } from '../../src/core/ports/coordinator.ts'
import type { Selector } from '../../src/core/ports/operations.ts'

type Of<T extends Change['type']> = Extract<Change, { type: T }>
export type Held = Pick<Of<'leased'>, 'worker' | 'attempt' | 'claim'> & { readonly sinceMono: number }

export interface Known {
  readonly job: ScheduledJob
  readonly order: number
  tally: Tally
  failedAt: FailedAt
  held: Held | null
  notBeforeMono: number
  /** When it expires, if it is still in line. */
  dueMono: number
  canceling: boolean
  end: EndState | null
}

export interface Seat {
  readonly pools: readonly string[]
  slots: number
  /** When it was last heard of. */
  heardMono: number
}

/** What else changes are checked against. */
export interface Scene {
  readonly now: number
  readonly models: readonly PlanModel[]
  readonly paused: readonly Selector[]
  readonly seats: ReadonlyMap<string, Seat>
  readonly leaseMs: number
  readonly returnRoomMs: number
  /** The lease that ends in this very call, if any, and whether it was reported as done. */
  readonly finishing: { readonly id: string; readonly done: boolean } | null
  /** Leases may be lost in this call, however fresh. */
  readonly losing: boolean
}

const matches = (selector: Selector, job: ScheduledJob): boolean =>
  (selector.tenant ?? job.tenant) === job.tenant &&
  (selector.lane === undefined || selector.lane === job.lane) &&
  (selector.model ?? job.model) === job.model

export class Ledger {
  /** In order of acceptance. */
  readonly jobs = new Map<string, Known>()
  #accepted = 0

  copy(): Ledger {
    const copy = new Ledger()
    copy.#accepted = this.#accepted
    for (const [id, known] of this.jobs) copy.jobs.set(id, { ...known })
    return copy
  }

  /** Those that have not ended. */
  open(): Known[] {
    return [...this.jobs.values()].filter(({ end }) => end === null)
  }

  held(): Known[] {
    return [...this.jobs.values()].filter(({ held }) => held !== null)
  }

  /** Throws if the change breaks a rule. */
  judge(change: Change, scene: Scene): void {
    const known = this.jobs.get(change.id)
    if (change.type === 'accepted') return
    must(known !== undefined, `${change.type}: ${change.id} was never accepted`)
    must(known.end === null, `${change.type}: ${change.id} has ended`)
    switch (change.type) {
      case 'leased':
        return this.#judgeLease(change, known, scene)
      case 'canceling':
        return must(known.held !== null, 'a job that does not run has no worker to stop')
      case 'returned':
        return judgeReturn(change, known, scene)
      case 'ended':
        return judgeEnd(change, known, scene)
    }
  }

  #judgeLease({ id, worker, attempt, claim }: Of<'leased'>, known: Known, scene: Scene): void {
    const { job } = known
    const { now } = scene
    must(known.held === null, `${id} is leased already`)
    must(attempt === known.tally.attempts + 1, `${id}: attempt ${attempt} after ${known.tally.attempts}`)
    must(!known.canceling, `${id} is to be canceled`)
    must(now >= known.notBeforeMono, `${id} is leased before its time`)
    must(now < known.dueMono, `${id} is leased after its deadline`)
    must(!scene.paused.some((selector) => matches(selector, job)), `${id} is paused`)
    const before = this.open().find((other) => other.order < known.order && other.job.lane === job.lane)
    must(job.lane === null || before === undefined, `${id} overtakes ${before?.job.id} of its lane`)

    const seat = scene.seats.get(worker)
    must(seat !== undefined, `${worker} is not there`)
    must(seat.pools.length === 0 || seat.pools.includes(job.pool), `${worker} does not serve ${job.pool}`)
    const held = this.held()
    must(held.filter((other) => other.held!.worker === worker).length < seat.slots, `${worker} has no slot free`)

    const able = (scene.models.find(({ name }) => name === job.model)?.deployments ?? []).filter((deployment) =>
      deployment.kinds.includes(job.kind),
    )
    const deployment = able.find(({ name }) => name === claim.deployment)
    must(deployment !== undefined, `${claim.deployment} does not serve ${job.kind} of ${job.model}`)
    const active = held.filter((other) => other.held!.claim.deployment === deployment.name).length
    must(active < deployment.concurrent, `${deployment.name} has no slot free`)
    const isBarred = (name: string): boolean => known.failedAt.some((at) => at.never && at.deployment === name)
    must(
      !isBarred(deployment.name) || able.every(({ name }) => isBarred(name)),
      `${id} was told to go elsewhere than ${deployment.name}`,
    )
  }

  apply(change: Change, job: ScheduledJob | undefined, { now, returnRoomMs }: Scene): void {
    if (change.type === 'accepted') {
      this.jobs.set(change.id, {
        job: job!,
        order: ++this.#accepted,
        tally: { attempts: 0, fails: 0, deaths: 0, crashes: 0, ranMs: 0, ttftMs: null },
        failedAt: [],
        held: null,
        notBeforeMono: job!.notBeforeMono,
        dueMono: job!.deadlineMono,
        canceling: false,
        end: null,
      })
      return
    }
    const known = this.jobs.get(change.id)!
    switch (change.type) {
      case 'leased':
        known.held = { worker: change.worker, attempt: change.attempt, claim: change.claim, sinceMono: now }
        known.tally = { ...known.tally, attempts: change.attempt }
        break
      case 'canceling':
        known.canceling = true
        break
      case 'returned':
        known.held = null
        known.tally = change.tally
        known.failedAt = change.failedAt
        known.notBeforeMono = change.notBeforeMono
        known.dueMono = Math.max(known.job.deadlineMono, Math.max(now, change.notBeforeMono) + returnRoomMs)
        break
      case 'ended':
        known.held = null
        known.end = change.state
    }
  }
}

function judgeReturn({ id, tally, notBeforeMono }: Of<'returned'>, known: Known, scene: Scene): void {
  const before = known.tally
  must(tally.attempts === before.attempts, `${id} comes back from attempt ${tally.attempts}, not ${before.attempts}`)
  must(tally.deaths >= before.deaths && tally.crashes >= before.crashes, `${id} forgets who died`)
  const fails = tally.fails - before.fails
  must(fails === 0 || (fails === 1 && scene.finishing?.id === id), `${id} failed ${fails} times at once`)
  must(scene.finishing?.id === id || !known.canceling, `${id} is to be canceled, not tried again`)
  must(Number.isFinite(notBeforeMono), `${id} never comes back`)
  judgeLoss(id, known, scene)
}

function judgeEnd({ id, state, error, deployment }: Of<'ended'>, known: Known, scene: Scene): void {
  must((error === null) === (state === 'done'), `${id}: ${state} with ${error?.code}`)
  const isFinish = scene.finishing?.id === id
  must((state === 'done') === (isFinish && scene.finishing!.done), `${id} is ${state}, which nobody told`)
  if (state === 'expired') {
    must(known.held === null, `${id} runs, and expires`)
    must(scene.now >= known.dueMono, `${id} expires ${known.dueMono - scene.now} ms too early`)
  }
  must(!known.canceling || state === 'canceled' || state === 'done', `${id} was canceled, and ${state}`)
  must(deployment === (isFinish ? (known.held?.claim.deployment ?? null) : null), `${id} ended at ${deployment}`)
  judgeLoss(id, known, scene)
}

/** No worker that was heard of lately loses a lease. */
function judgeLoss(id: string, { held }: Known, scene: Scene): void {
  if (held === null || scene.losing || scene.finishing?.id === id) return
  const heardMono = scene.seats.get(held.worker)?.heardMono ?? held.sinceMono
  must(scene.now >= heardMono + scene.leaseMs, `${id}: its lease is lost too early`)
}

export function must(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Error(otherwise)
}
