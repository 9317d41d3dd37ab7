/**
 * The state of all jobs as it follows from the changes alone, and what no change may do. A simulation has two ledgers:
 * what was decided, where each change is checked as it is made, and what was stored, from which a restart begins.
 */
import type { Usage } from '../../src/core/job.ts'
import type { Amounts } from '../../src/core/limits.ts'
import type {
  Change,
  Died,
  EndState,
  FailedAt,
  PlanModel,
  ScheduledJob,
  Tally,
} from '../../src/core/ports/coordinator.ts'
import type { Selector } from '../../src/core/ports/operations.ts'
import type { Claim, Race } from '../../src/core/ports/work.ts'
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
  /** Calls of which it was told what they came to: see `callOf`. */
  readonly told: Set<string>
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
  /** One of an attempt's two calls is over, as its worker tells in this very call. */
  readonly race: { readonly id: string; readonly race: Race } | null
  /** Attempts that died with everything, and what was seen of their answers. */
  readonly died: ReadonlyMap<string, Died>
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
    for (const [id, known] of this.jobs)
      copy.jobs.set(id, { ...known, told: new Set(known.told), held: known.held && { ...known.held } })
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
      case 'hedged':
        return this.#judgeHedge(change, known, scene)
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
    const active = callsAt(held, deployment.name)
    must(active < deployment.concurrent, `${deployment.name} has no slot free`)
    const isBarred = (name: string): boolean => known.failedAt.some((at) => at.never && at.deployment === name)
    must(
      !isBarred(deployment.name) || able.every(({ name }) => isBarred(name)),
      `${id} was told to go elsewhere than ${deployment.name}`,
    )
  }

  /** A second call begins, or one of the two is over; `held.claim` is as it was. */
  #judgeHedge({ id, attempt, claim }: Of<'hedged'>, known: Known, { models, race }: Scene): void {
    const { held, job, failedAt } = known
    must(held?.attempt === attempt, `${id}: attempt ${attempt} does not run, and is hedged`)
    const { hedge, ...first } = held.claim
    if (hedge !== undefined) {
      must(race?.id === id && claim.hedge === undefined, `${id}: a call is over, and nobody said so`)
      const won = race.race.won === 'first' ? first : { ...hedge, reservation: first.reservation }
      must(JSON.stringify(claim) === JSON.stringify(won), `${id}: ${JSON.stringify(claim)} goes on`)
      return must(isTold(known, race.race.won === 'first' ? hedge : first), `${id}: nobody pays for the other call`)
    }
    const second = claim.hedge
    must(second?.isHedge === true && !held.claim.isHedge, `${id} is hedged once, by a second call`)
    must(held.streamed === 0, `${id} has shown text, and is hedged`)
    const able = (models.find(({ name }) => name === job.model)?.deployments ?? []).filter(({ kinds }) =>
      kinds.includes(job.kind),
    )
    const deployment = able.find(({ name }) => name === second.deployment)
    must(deployment !== undefined, `${second.deployment} does not serve ${job.kind} of ${job.model}`)
    must(deployment.name !== first.deployment, `${id} is hedged where it runs`)
    must(callsAt(this.held(), deployment.name) < deployment.concurrent, `${deployment.name} has no slot free`)
    must(!failedAt.some((at) => at.deployment === deployment.name), `${id} is hedged where it failed`)
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
        told: new Set(),
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
      case 'hedged':
        known.held = { ...known.held!, claim: change.claim }
        break
      case 'canceling':
        known.canceling = true
        break
      case 'used':
        known.told.add(callOf(change.record.attempt, change.record.hedge))
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

/** The name of a call. */
const callOf = (attempt: number, isHedge?: boolean): string => `${attempt}${isHedge === true ? ' hedge' : ''}`
/** Of the attempt that runs, or ran last. */
export const isTold = ({ told, tally }: Known, { isHedge }: Pick<Claim, 'isHedge'>): boolean =>
  told.has(callOf(tally.attempts, isHedge))

export const callsAt = (held: readonly Known[], deployment: string): number =>
  held.reduce((sum, { held: lease }) => {
    const { deployment: at, hedge } = lease!.claim
    return sum + Number(at === deployment) + Number(hedge?.deployment === deployment)
  }, 0)

/** Each call once, as what it came to. */
function judgeUse({ id, record }: Of<'used'>, known: Known, scene: Scene): void {
  const { held, told, tally, job } = known
  const { attempt, usage, hedge: isSecond = false } = record
  must(!told.has(callOf(attempt, isSecond)), `${id}: attempt ${attempt} is told a second time`)
  must(attempt === tally.attempts, `${id}: attempt ${attempt} of ${tally.attempts} is over`)
  judgePayer(id, record, job)
  const { finishing, died, race } = scene
  const second = held?.claim.hedge
  const dead = held === null ? died.get(id) : undefined
  const beside = second?.deployment ?? dead?.beside
  if (race?.id === id && second !== undefined) {
    const { won, usage: expected, end } = race.race
    const lost = won === 'first' ? second : held!.claim
    must(isSecond === (won === 'first'), `${id}: the call that goes on is over`)
    must(record.deployment === lost.deployment && record.end === end, `${id}: ${record.deployment} ${record.end}`)
    return must(
      JSON.stringify(usage) === JSON.stringify(expected),
      `${id}: the other call came to ${JSON.stringify(expected)}, not ${JSON.stringify(usage)}`,
    )
  }
  if (beside !== undefined && isSecond) {
    // It was running, and nobody can tell
    must(finishing?.id !== id, `${id}: its second call was not made, and is paid for`)
    must(record.deployment === beside, `${id}: its second call did not run on ${record.deployment}`)
    return must(
      usage.estimated && usage.promptTokens === job.promptTokens && usage.completionTokens === 0,
      `${id}: its second call came to ${JSON.stringify(usage)}`,
    )
  }
  const seen = held === null ? dead?.outputTokens : held.streamed
  must(seen !== undefined, `${id} did not run`)
  const isFinish = finishing?.id === id
  must(held === null || record.deployment === held.claim.deployment, `${id} did not run on ${record.deployment}`)
  const expected = isFinish ? finishing.usage : { promptTokens: job.promptTokens, completionTokens: seen }
  must(
    expected?.promptTokens === usage.promptTokens && expected.completionTokens === usage.completionTokens,
    `${id}: attempt ${attempt} came to ${JSON.stringify(expected)}, not ${JSON.stringify(usage)}`,
  )
  must(usage.estimated === !isFinish, `${id}: is ${JSON.stringify(usage)} what a provider told?`)
  must(isSecond === ((held?.claim ?? dead)?.isHedge ?? false), `${id}: which of its calls is ${attempt}?`)
}

function judgePayer(id: string, { attempt, tenant, keyId, user, run }: UsageRecord, job: ScheduledJob): void {
  must(
    tenant === job.tenant && keyId === job.keyId && user === job.user && run === job.run,
    `${id}: another pays for attempt ${attempt}`,
  )
}

/** Before an attempt is over, what it came to is told, if it came to anything. */
function judgeUsed(id: string, known: Known, { finishing }: Scene): void {
  const { held } = known
  if (held === null) return
  const isFinish = finishing?.id === id
  const { claim, attempt } = held
  if (!isFinish && claim.hedge !== undefined) must(isTold(known, claim.hedge), `${id}: nobody pays for its second call`)
  if (isFinish && finishing.usage === undefined) return
  must(isTold(known, claim), `${id}: attempt ${attempt} is over, and nobody pays for it`)
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
