/**
 * Which deployment answers a job. A slot, and what its provider allows it, is taken when the job is leased, so a job
 * that has none waits in line and is not failed with somebody's 429. Pure: time is an argument.
 *
 *   route        a model's deployments, and which of them can serve a job at all
 *   choice       who is left out now, and who comes first; policies/, how one of the rest is picked
 *   awaiting     is a full one worth waiting for?
 *   deciding     its own model, or one that answers in its place
 *   elsewhere    where one that failed could go
 *   deployments  those that there are, over reloads
 *   deployment   what is known of one: its calls, and
 *     health     is it left alone, because it is busy or because it fails
 *     checked    what checks tell of it
 *     quota      what its provider allows it in a minute
 *     speed      how fast it was, and how often it failed
 *   affinity     who has read a prompt's beginning
 *   trace        the same decision, told
 */
import type { ErrorCode } from '../../core/errors.ts'
import type { Usage } from '../../core/job.ts'
import type { FailedAt, PlanModel, ScheduledJob } from '../../core/ports/coordinator.ts'
import type { RouteTrace } from '../../core/ports/operations.ts'
import type { Claim, Quota as ToldQuota } from '../../core/ports/work.ts'
import { OutputLengths } from '../limits/output-lengths.ts'
import type { HeadroomRefusal } from '../scheduler/port.ts'
import { Timers } from '../scheduler/timers.ts'
import { Affinities } from './affinity.ts'
import { looksInMs } from './awaiting.ts'
import { Choice } from './choice.ts'
import { ALWAYS, Deciding, type MayAnswer } from './deciding.ts'
import type { DeploymentState } from './deployment.ts'
import { Deployments } from './deployments.ts'
import { BLAMES_DEPLOYMENT, Elsewhere, type Failure } from './elsewhere.ts'
import { failedThere, withFailure } from './failed-at.ts'
import type { Call, Planned } from './planned.ts'
import { fitFor, placesOf, type Route } from './route.ts'
import { workOf } from './speed.ts'
import { type Traced, traceOf } from './trace.ts'
import type { Cooling, Waiting } from './waiting.ts'

export type Claimed = Pick<Claim, 'deployment' | 'quotaTokens' | 'model' | 'hedgeAfterMs'>

/** Removed from the configuration while the job waited: usually a mistake, which a reload corrects. */
const NO_MODEL: HeadroomRefusal = { scope: 'model' }
const FULL: HeadroomRefusal = { scope: 'model' }
/** Who can go to the same places can't use what is free; others may. */
const NOT_THERE: HeadroomRefusal = { scope: 'places' }
/** It waits for a full one. */
const NOT_THIS_ONE: HeadroomRefusal = { scope: 'job' }

/** Of nine answers in ten what is held is enough; the tenth is counted as it is written. */
const OUTPUT_QUANTILE = 0.9
const UNKNOWN_OUTPUT_TOKENS = 1_024

export class Plan {
  readonly deployments: Deployments
  /** Where a job that failed could go. */
  readonly elsewhere: Elsewhere
  /** Deployments that are left alone, by when that ends. */
  readonly #cooling: Cooling = new Timers<Waiting>()
  readonly #lengths = new OutputLengths()
  readonly #affinities = new Affinities()
  readonly #choice: Choice
  readonly #deciding: Deciding
  readonly #look: Waiting = { seq: 0, due: Infinity, heapAt: -1, nextMono: () => Infinity }
  #roomCame = false
  /** How often room has come. */
  #rooms = 0
  /** Who waits for a full one, since then. */
  readonly #awaiting = new WeakMap<Planned, { readonly state: DeploymentState; readonly rooms: number }>()
  readonly #opened = (): void => {
    this.#roomCame = true
  }

  constructor(models: readonly PlanModel[], isDrained: (deployment: string) => boolean = () => false) {
    this.deployments = new Deployments(this.#cooling, this.#opened, isDrained)
    this.#choice = new Choice(isDrained)
    this.#deciding = new Deciding(this.#choice, this.#affinities, (model) => this.deployments.find(model))
    this.elsewhere = new Elsewhere(this.deployments, this.#choice)
    this.configure(models)
  }

  /** As of Deployments. */
  configure(models: readonly PlanModel[]): void {
    this.deployments.configure(models)
    this.#roomCame = true
  }

  // ------------------------------------------------------------ claim

  /**
   * Takes a slot, and what the call weighs there. Every claim must be released, once. `may`: asked last, before another
   * model answers in the place of the job's; then it does.
   */
  claim(notes: Planned, now: number, may: MayAnswer = ALWAYS): Claimed | HeadroomRefusal {
    const { job, failedAt } = notes
    const route = this.deployments.find(job.model)
    if (route === null) return NO_MODEL
    const outputTokens = route.isWeighed ? this.#expected(job) : 0
    const lone = route[job.kind].all
    // Of most models there is one deployment, and no choice
    if (
      lone.length === 1 &&
      failedAt.length === 0 &&
      job.needs === undefined &&
      !route.isWeighed &&
      !route.isReplaceable
    )
      return this.#isOpen(lone[0], job.model, now) ? this.#begin(notes, lone[0], route, job.model, 0, now) : FULL
    if (this.#stillAwaits(notes, now)) return NOT_THIS_ONE
    let refusal: HeadroomRefusal | null = null
    const chosen = this.#deciding.decide(route, job, failedAt, outputTokens, now, may, (step) => {
      if (step.chosen !== null) return
      // Of a fallback, too: what it waits for there is told
      const one = this.#refusal(step, notes, failedAt, now)
      refusal ??= one
    })
    return chosen === null
      ? (refusal ?? FULL)
      : this.#begin(notes, chosen.state, chosen.route, chosen.model, outputTokens, now)
  }

  #isOpen(state: DeploymentState, model: string, now: number): boolean {
    const { health, active, settings, name } = state
    if (active >= settings!.concurrent || this.deployments.isDrained(name)) return false
    if (health.isWell && !state.quota.isTold) return true
    return health.coolUntilMono(state.upstreamName(model)) <= now && this.#fits(state, 0, 0, now)
  }

  #fits({ quota }: DeploymentState, promptTokens: number, outputTokens: number, now: number): boolean {
    const waitMs = quota.waitMs(promptTokens, outputTokens, now)
    if (waitMs > 0) this.#await(quota, waitMs, now)
    return waitMs <= 0
  }

  #await(quota: DeploymentState['quota'], waitMs: number, now: number): void {
    quota.isAwaited = true
    if (waitMs < Infinity && (quota.heapAt < 0 || now + waitMs < quota.due)) this.#cooling.set(quota, now + waitMs)
  }

  /** Nothing is open to the job: who else has to wait for that, and until when. */
  #refusal({ route, asked, awaits }: Traced, notes: Planned, failedAt: FailedAt, now: number): HeadroomRefusal {
    const { job } = notes
    if (awaits !== null) {
      awaits.state.awaited.add(now)
      this.#awaiting.set(notes, { state: awaits.state, rooms: this.#rooms })
      this.#lookAgain(now + looksInMs(awaits.inMs))
      return NOT_THIS_ONE
    }
    for (const one of fitFor(route[job.kind], job))
      if (!failedThere(failedAt, one.name)) this.#fits(one, asked.promptTokens, asked.outputTokens, now)
    return this.places(job, failedAt) === '' ? FULL : NOT_THERE
  }

  /** Where it can go, as a name (route.ts). */
  places(job: ScheduledJob, failedAt: FailedAt): string {
    const route = this.deployments.find(job.model)
    if (route === null) return ''
    const isOne = route[job.kind].all.length < 2 && !route.isReplaceable && job.needs === undefined
    return isOne ? '' : placesOf(route, job, failedAt)
  }

  /** It is not asked about again before room has come, or is expected: see `#lookAgain`. */
  #stillAwaits(notes: Planned, now: number): boolean {
    const awaits = this.#awaiting.get(notes)
    if (awaits === undefined || awaits.rooms !== this.#rooms) return false
    awaits.state.awaited.add(now)
    return true
  }

  /** Nothing may happen meanwhile that has those in line asked about. */
  #lookAgain(at: number): void {
    if (this.#look.heapAt < 0 || at < this.#look.due) this.#cooling.set(this.#look, at)
  }

  #begin(
    notes: Planned,
    state: DeploymentState,
    route: Route,
    model: string,
    outputTokens: number,
    now: number,
    isHedge = false,
  ): Claimed {
    const { job } = notes
    const { promptTokens } = job
    const { quota } = state
    const hold = quota.isLimited ? quota.take(promptTokens, outputTokens, now) : null
    const work = workOf(promptTokens, outputTokens)
    if (!state.health.isWell) state.health.begins(state.upstreamName(model), job.id, now)
    const call: Call = { state, model, fromMono: now, work, beside: state.load(work), hold }
    notes.call = call
    if (route.isWeighed) state.calls.add(call)
    state.active++
    state.work += work
    state.turn = ++route.turn
    if (!isHedge) {
      route.retries.called()
      if (job.affinity) this.#affinities.set(job.affinity, state.name)
    }
    const afterMs = isHedge || !route.isWeighed || job.kind !== 'chat' ? null : state.hedgeAfterMs
    const claimed = { deployment: state.name, ...(afterMs !== null && { hedgeAfterMs: afterMs }) }
    const isOwn = model === job.model
    if (hold === null) return isOwn ? claimed : { ...claimed, model }
    const held = { ...claimed, quotaTokens: promptTokens + outputTokens }
    return isOwn ? held : { ...held, model }
  }

  /**
   * A second call for a job whose first has shown nothing: of the same model, where it could go at once and has not
   * failed, as far as the model's budget of retries goes. Null: there is none. It is released as any other.
   */
  hedge({ job, failedAt, call }: Planned, second: Planned, now: number): Claimed | null {
    const { state: first, model } = call as Call
    const route = this.deployments.find(model)
    if (route === null) return null
    const outputTokens = this.#expected(job)
    const without = withFailure(failedAt, first.name, true)
    const chosen = this.#deciding.beside(route, model, job, without, outputTokens, now)
    if (chosen === null || chosen.health.isBroken(chosen.upstreamName(model)) || !route.retries.takesLeft(now))
      return null
    return this.#begin(second, chosen, route, model, outputTokens, now, true)
  }

  #expected(job: ScheduledJob): number {
    const expected = this.#lengths.quantile(job, OUTPUT_QUANTILE) ?? UNKNOWN_OUTPUT_TOKENS
    return Math.min(job.maxOutputTokens ?? Infinity, expected)
  }

  /** Where a job like this one would go now, and why. Nothing is taken. `notes`: of a job that is there. */
  explain(asked: ScheduledJob, now: number, notes: Pick<Planned, 'job' | 'failedAt'> | null = null): RouteTrace {
    const job = notes?.job ?? asked
    const route = this.deployments.find(job.model)
    const steps: Traced[] = []
    if (route !== null) {
      // Who asks for no job may use all of them
      const all = Object.values(route.fallbacks)
        .flat()
        .map((model) => ({ model }))
      const free = notes === null ? { ...job, instead: all } : job
      this.#deciding.decide(route, free, notes?.failedAt ?? [], this.#expected(job), now, ALWAYS, (step) =>
        steps.push({ ...step, candidates: [...step.candidates] }),
      )
    }
    return traceOf(job, steps, this.#choice, now)
  }

  // ------------------------------------------------------------ while it runs, and its end

  /** Counts a call that runs already, even if its deployment has no room for it. */
  adopt(notes: Planned, { deployment, quotaTokens = 0, model }: Claim, now: number): void {
    const { job } = notes
    const state = this.deployments.adopt(deployment)
    const outputTokens = Math.max(0, quotaTokens - job.promptTokens)
    const hold = state.quota.isLimited ? state.quota.adopt(job.promptTokens, outputTokens, now) : null
    const work = workOf(job.promptTokens, outputTokens)
    notes.call = {
      state,
      model: model ?? job.model,
      fromMono: now,
      work,
      beside: state.load(work),
      hold,
    } satisfies Call
    state.active++
    state.work += work
  }

  streamed({ call }: Planned, tokens: number, now: number): void {
    const { state, hold } = call as Call
    state.health.answers(now)
    if (hold !== null) state.quota.streamed(hold, tokens, now)
  }

  /** `used`: what it came to there; null: nothing. `sentMono`: when it was sent there; null: not known. */
  release(
    notes: Planned,
    used: (Pick<Usage, 'promptTokens' | 'completionTokens'> & Partial<Pick<Usage, 'estimated'>>) | null,
    now: number,
    sentMono: number | null = null,
  ): void {
    const { state, model, work, hold } = notes.call as Call
    state.calls.delete(notes.call as Call)
    notes.call = null
    if (hold !== null) {
      const amounts = used && {
        promptTokens: used.promptTokens,
        outputTokens: used.completionTokens,
        isEstimate: used.estimated === true,
      }
      state.quota.settle(hold, amounts, now, sentMono)
    }
    state.work = Math.max(0, state.work - work)
    if (!state.health.isWell) state.health.ends(state.upstreamName(model), notes.job.id)
    if (state.active-- >= (state.settings?.concurrent ?? Infinity) || state.quota.isAwaited) this.#roomCame = true
    state.quota.isAwaited = false
    this.deployments.letGo(state)
  }

  /** What the upstream's headers told, at the end of a call. */
  tell({ call }: Planned, { agoMs, ...limits }: ToldQuota, now: number): void {
    ;(call as Call).state.quota.tell(limits, agoMs, now)
  }

  /** Learns from a call that ended well. `ttftMs`: from the job's acceptance. */
  answered(
    { job, call }: Planned,
    { completionTokens }: Pick<Usage, 'completionTokens'>,
    { ttftMs, tpotMs }: { readonly ttftMs?: number; readonly tpotMs?: number },
    now: number,
  ): void {
    const { state, model, fromMono, work, beside } = call as Call
    state.health.answers(now)
    if (!state.health.isWell) state.health.answered(state.upstreamName(model), fromMono, now)
    state.answeredMono = now
    state.speed.answered(workOf(job.promptTokens, completionTokens), beside, now - fromMono, now)
    // None of an attempt before this one
    const ownTtftMs = ttftMs === undefined ? -1 : ttftMs - (fromMono - job.acceptedMono)
    if (ownTtftMs >= 0) {
      state.speed.texts(ownTtftMs, tpotMs)
      state.texts(ownTtftMs)
    }
    if (work > 0 && this.deployments.find(job.model)?.isWeighed === true) this.#lengths.learn(job, completionTokens)
  }

  /** Learns from one that was given up for another, which had shown text before it. */
  outrun({ call }: Planned, now: number): void {
    const { state, fromMono } = call as Call
    state.speed.outrun(now - fromMono, now)
    state.texts(now - fromMono)
  }

  /** Learns from one that failed. Returns where the job failed now, and how long the deployment is newly left alone. */
  failed(
    notes: Planned,
    failure: Failure,
    now: number,
  ): { readonly failedAt: FailedAt; readonly coolingMs: number | null } {
    const { job } = notes
    const { state, model, fromMono } = notes.call as Call
    const isBlamed = BLAMES_DEPLOYMENT.has(failure.code)
    let coolingMs: number | null = null
    if (state.settings !== null) {
      const { code, retryAfterMs } = failure
      const upstream = state.upstreamName(model)
      if (code === 'provider_rate_limited' || (retryAfterMs !== undefined && isUpstreams(code)))
        coolingMs = state.health.cool(upstream, job.id, code, retryAfterMs ?? 0, now)
      if (isBlamed) {
        state.health.failed(upstream, code, fromMono, now)
        state.speed.failed(now)
      }
    }
    return { coolingMs, failedAt: this.elsewhere.failedAt(notes, failure) }
  }

  /** Has it answered anybody since then? */
  hasAnsweredSince({ call }: Planned, sinceMono: number): boolean {
    return (call as Call).state.answeredMono >= sinceMono
  }

  /** How long no call starts where this one ran. */
  coolsForMs({ call }: Planned, now: number): number {
    const { state, model } = call as Call
    return Math.max(0, state.health.coolUntilMono(state.upstreamName(model)) - now)
  }

  /** It is to be tried again: how long until that is no storm, ms. */
  retriesInMs({ job }: Planned, now: number): number {
    return this.deployments.find(job.model)?.retries.takes(now) ?? 0
  }

  // ------------------------------------------------------------ time

  /** When the next deployment that was left alone is open again. */
  nextAt(): number {
    return this.#cooling.next()
  }

  tick(now: number): void {
    for (let one = this.#cooling.shift(now); one !== null; one = this.#cooling.shift(now)) {
      this.#cooling.set(one, one.nextMono(now))
      this.#roomCame = true
    }
  }

  /** Has room come free since the last look? */
  takeRoom(): boolean {
    const came = this.#roomCame
    this.#roomCame = false
    if (came) this.#rooms++
    return came
  }
}

const isUpstreams = (code: ErrorCode): boolean => code === 'overloaded' || code.startsWith('provider_')
