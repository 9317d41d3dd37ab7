/**
 * The state of all jobs as it follows from the changes alone, and what no change may do. A simulation has two ledgers:
 * what was decided, where each change is checked as it is made, and what was stored, from which a restart begins.
 */
import type { Usage } from '../../src/core/job.ts'
import type { Amounts } from '../../src/core/limits.ts'
import type { Change, EndState, FailedAt, PlanModel, ScheduledJob, Tally } from '../../src/core/ports/coordinator.ts'
import type { Selector } from '../../src/core/ports/operations.ts'
import type { UsageRecord } from '../../src/core/usage-record.ts'

type Of<T extends Change['type']> = Extract<Change, { type: T }>
export type Held = Pick<Of<'leased'>, 'worker' | 'attempt' | 'claim'> & {
  readonly sinceMono: number
  /** Output tokens, as they were charged. */
  streamed: number
}

/** What an attempt came to, and what was held for it when it began. */
export interface Used {
  readonly record: UsageRecord
  readonly atMono: number
  readonly job: ScheduledJob
  readonly reservation: Amounts | null
}

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
  /** What it holds since its submit, until its first lease. */
  reservation: Amounts | null
  /** Of its last lease. */
  leasedWith: Amounts | null
  /** The last attempt of which it was told what it came to. */
  usedBy: number
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
  readonly finishing: { readonly id: string; readonly done: boolean; readonly usage: Usage | undefined } | null
  /** Attempts that died with everything, and what was seen of their answers. */
  readonly died: ReadonlyMap<string, number>
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
  readonly used: Used[] = []
  #accepted = 0

  copy(): Ledger {
    const copy = new Ledger()
    copy.#accepted = this.#accepted
    copy.used.push(...this.used)
    for (const [id, known] of this.jobs) copy.jobs.set(id, { ...known, held: known.held && { ...known.held } })
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
      case 'used':
        return judgeUse(change, known, scene)
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
        reservation: null,
        leasedWith: null,
        usedBy: 0,
      })
      return
    }
    const known = this.jobs.get(change.id)!
    switch (change.type) {
      case 'leased':
        known.held = {
          ...{ worker: change.worker, attempt: change.attempt, claim: change.claim },
          ...{ sinceMono: now, streamed: 0 },
        }
        known.reservation = null
        known.leasedWith = change.claim.reservation
        known.tally = { ...known.tally, attempts: change.attempt }
        break
      case 'canceling':
        known.canceling = true
        break
      case 'used':
        known.usedBy = change.record.attempt
        this.used.push({ record: change.record, atMono: now, job: known.job, reservation: known.leasedWith })
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

/** Each attempt once, as what it came to. */
function judgeUse({ id, record }: Of<'used'>, { held, usedBy, tally, job }: Known, scene: Scene): void {
  const { attempt, usage } = record
  must(attempt > usedBy, `${id}: attempt ${attempt} is told a second time`)
  must(attempt === tally.attempts, `${id}: attempt ${attempt} of ${tally.attempts} is over`)
  const { finishing, died } = scene
  const seen = held === null ? died.get(id) : held.streamed
  must(seen !== undefined, `${id} did not run`)
  const isFinish = finishing?.id === id
  must(held === null || record.deployment === held.claim.deployment, `${id} did not run on ${record.deployment}`)
  const expected = isFinish ? finishing.usage : { promptTokens: job.promptTokens, completionTokens: seen }
  must(
    expected?.promptTokens === usage.promptTokens && expected.completionTokens === usage.completionTokens,
    `${id}: attempt ${attempt} came to ${JSON.stringify(expected)}, not ${JSON.stringify(usage)}`,
  )
  must(usage.estimated === !isFinish, `${id}: is ${JSON.stringify(usage)} what a provider told?`)
  const { tenant, keyId, user, run } = record
  must(
    tenant === job.tenant && keyId === job.keyId && user === job.user && run === job.run,
    `${id}: another pays for attempt ${attempt}`,
  )
}

/** Before an attempt is over, what it came to is told, if it came to anything. */
function judgeUsed(id: string, { held, usedBy }: Known, { finishing }: Scene): void {
  if (held === null || (finishing?.id === id && finishing.usage === undefined)) return
  must(usedBy === held.attempt, `${id}: attempt ${held.attempt} is over, and nobody pays for it`)
}

function judgeReturn({ id, tally, notBeforeMono }: Of<'returned'>, known: Known, scene: Scene): void {
  const before = known.tally
  must(tally.attempts === before.attempts, `${id} comes back from attempt ${tally.attempts}, not ${before.attempts}`)
  must(tally.deaths >= before.deaths && tally.crashes >= before.crashes, `${id} forgets who died`)
  const fails = tally.fails - before.fails
  must(fails === 0 || (fails === 1 && scene.finishing?.id === id), `${id} failed ${fails} times at once`)
  must(scene.finishing?.id === id || !known.canceling, `${id} is to be canceled, not tried again`)
  must(Number.isFinite(notBeforeMono), `${id} never comes back`)
  judgeUsed(id, known, scene)
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
  judgeUsed(id, known, scene)
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
