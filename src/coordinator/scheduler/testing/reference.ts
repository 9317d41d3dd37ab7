/**
 * The scheduler once more, slowly and plainly: one array of jobs, everything found by looking at all of it. Held
 * against the real one, call by call. Without places and times: what is estimated is tested by itself.
 */
import { SluiceError } from '../../../core/errors.ts'
import type { JobState } from '../../../core/job.ts'
import type { ScheduledJob, Tally } from '../../../core/ports/coordinator.ts'
import type { Backlog, QueueDepth, Selector } from '../../../core/ports/operations.ts'
import type { Finished } from '../../../core/ports/work.ts'
import type { Ended, Headroom, Notes, SchedulerEvent, SchedulerOptions, SchedulerSubmit } from '../port.ts'

/** It keeps none. */
const NO_NOTES = null as unknown as Notes

interface RefJob {
  readonly job: ScheduledJob
  readonly seq: number
  state: 'queued' | 'delayed' | 'waiting' | 'leased'
  attempt: number
  fails: number
  deaths: number
  crashes: number
  ranMs: number
  notBeforeMono: number
  deadlineMono: number
  /** Place among ready jobs; null = not ready. */
  rank: number | null
  worker: string
  leasedMono: number
  /** Order of leases. */
  leaseSeq: number
  canceling: boolean
  wasSuspect: boolean
  prompt: number
  output: number
}

interface RefTenant {
  readonly id: string
  readonly order: number
  counter: number
  floor: number
  leases: number
  active: boolean
}

const PRIORITIES = ['high', 'normal', 'low']
const modelOf = (job: ScheduledJob): string => `${job.model}\n${job.kind}`
const flowOf = (job: ScheduledJob): string => `${job.pool}\n${modelOf(job)}`
const lineOf = (job: ScheduledJob): string => `${job.tenant}\n${flowOf(job)}`
const matches = (s: Selector, job: ScheduledJob): boolean =>
  (s.tenant === undefined || s.tenant === job.tenant) &&
  (s.lane === undefined || s.lane === job.lane) &&
  (s.model === undefined || s.model === job.model)
const least = <T>(items: readonly T[], ...by: ReadonlyArray<(item: T) => number>): T | undefined =>
  items.toSorted((a, b) => by.map((key) => key(a) - key(b)).find((difference) => difference !== 0) ?? 0)[0]

export class Reference {
  readonly #options: SchedulerOptions
  #jobs: RefJob[] = []
  readonly #tenants = new Map<string, RefTenant>()
  readonly #lineTurns = new Map<string, number>()
  readonly #flowFloors = new Map<string, number>()
  readonly #workers = new Map<string, { seq: number; beatMono: number }>()
  #workersMade = 0
  #ended: Array<{ readonly key: string; readonly id: string; readonly at: number }> = []
  #pauses: Selector[] = []
  #events: SchedulerEvent[] = []
  #seq = 0
  #turns = 0
  #leases = 0
  #back = 0
  #front = 0
  #virtual = 0
  #lastLeft: RefTenant | null = null

  constructor(options: SchedulerOptions) {
    this.#options = options
  }

  submit(
    job: ScheduledJob,
    now: number,
    known?: { readonly id: string; readonly sameBody: boolean },
    isRetry = false,
  ): SchedulerSubmit {
    if (known !== undefined)
      return known.sameBody
        ? { kind: 'joined', id: known.id }
        : { kind: 'refused', error: new SluiceError('idempotency_conflict') }
    if (isRetry && job.joinKey !== null) {
      const live = this.#jobs.findLast((j) => j.job.joinKey === job.joinKey && !j.canceling)
      if (live !== undefined) return { kind: 'joined', id: live.job.id }
      const ended = this.#ended.findLast((e) => e.key === job.joinKey && now < e.at + this.#options.joinAfterEndMs)
      if (ended !== undefined) return { kind: 'joined', id: ended.id }
    }
    const inLine = this.#jobs.filter((j) => j.state !== 'leased')
    const own = inLine.filter((j) => j.job.tenant === job.tenant)
    const { maxQueuedJobs, maxQueuedPerTenant, maxQueuedPerLane, maxQueuedBytesPerTenant } = this.#options
    const { maxQueuedPerSession, maxQueuedBytesPerSession } = this.#options
    const session = job.session === null ? [] : own.filter((j) => j.job.session === job.session)
    const full =
      inLine.length >= maxQueuedJobs ||
      own.length >= maxQueuedPerTenant ||
      own.reduce((sum, j) => sum + j.job.bodyBytes, job.bodyBytes) > maxQueuedBytesPerTenant ||
      (job.session !== null &&
        (session.length >= maxQueuedPerSession ||
          session.reduce((sum, j) => sum + j.job.bodyBytes, job.bodyBytes) > maxQueuedBytesPerSession)) ||
      (job.lane !== null && inLine.filter((j) => j.job.lane === job.lane).length >= maxQueuedPerLane)
    if (full) return { kind: 'refused', error: new SluiceError('queue_full') }
    this.#add(job, now, 0)
    return { kind: 'accepted' }
  }

  restore(job: ScheduledJob, { attempts, ...tally }: Tally, now: number): void {
    Object.assign(this.#add(job, now, attempts), tally)
  }

  died(ids: readonly string[]): void {
    const found = ids.map((id) => this.#find(id)).filter((j) => j !== undefined)
    const poison = this.#blame(found, found.length)
    for (const j of found) {
      if (j === poison) this.#endAlone(j, 'failed', new SluiceError('poison_job'))
      else this.#events.push({ type: 'delayed', id: j.job.id, notBeforeMono: j.notBeforeMono })
    }
  }

  /** Of many that died together, the one suspect is to blame; one that was alone is. */
  #blame(died: readonly RefJob[], running: number): RefJob | undefined {
    const suspects = died.filter((j) => this.#isSuspect(j))
    const blamed = running === 1 ? died[0] : suspects.length === 1 ? suspects[0] : undefined
    for (const j of died) j.deaths++
    if (blamed === undefined) return undefined
    blamed.crashes++
    return blamed.crashes > this.#options.maxCrashes ? blamed : undefined
  }

  #isSuspect(j: RefJob): boolean {
    return j.deaths >= Math.max(1, this.#options.maxCrashes)
  }

  withdraw(id: string): void {
    const found = this.#find(id)
    if (found !== undefined) this.#end(found)
  }

  #add(job: ScheduledJob, now: number, attempt: number): RefJob {
    this.#tenant(job)
    const state = job.notBeforeMono > now ? 'delayed' : 'queued'
    const added: RefJob = {
      job,
      seq: ++this.#seq,
      state,
      attempt,
      fails: 0,
      deaths: 0,
      crashes: 0,
      ranMs: 0,
      notBeforeMono: job.notBeforeMono,
      deadlineMono: attempt === 0 ? job.deadlineMono : this.#extended(job, Math.max(now, job.notBeforeMono)),
      rank: null,
      worker: '',
      leasedMono: 0,
      leaseSeq: 0,
      canceling: false,
      wasSuspect: false,
      prompt: 0,
      output: 0,
    }
    this.#jobs.push(added)
    this.#settle()
    return added
  }

  lease(
    worker: string,
    pools: readonly string[],
    max: number,
    headroom: Headroom,
    now: number,
  ): Array<{ id: string; attempt: number; crashes: number }> {
    this.tick(now)
    const leased: Array<{ id: string; attempt: number; crashes: number }> = []
    const open = new Map(
      this.#leasable((j) => pools.length === 0 || pools.includes(j.job.pool)).map(({ job }) => [
        flowOf(job),
        modelOf(job),
      ]),
    )
    const noModel = new Set<string>()
    const noTenant = new Set<string>()
    const noJob = new Set<string>()
    const heldBack: Array<{ lift: () => void; leasedBefore: number }> = []
    const left: RefTenant[] = []
    while (leased.length < max) {
      const chosen = this.#next(
        (j) =>
          (pools.length === 0 || pools.includes(j.job.pool)) &&
          !noModel.has(modelOf(j.job)) &&
          !noTenant.has(j.job.tenant) &&
          !noJob.has(j.job.id),
      )
      if (chosen === undefined) break
      const { job } = chosen
      const tenant = this.#tenant(job)
      const isBusy = this.#jobs.some((j) => j.state === 'leased' && j.wasSuspect)
      const refusal = isBusy && this.#isSuspect(chosen) ? ({ scope: 'job' } as const) : headroom(job, NO_NOTES)
      if (refusal === null) {
        tenant.counter = Math.max(tenant.counter, tenant.floor, this.#flowFloors.get(flowOf(job)) ?? 0)
        tenant.leases++
        this.#virtual = Math.max(this.#virtual, tenant.counter)
        this.#lineTurns.set(lineOf(job), ++this.#turns)
        Object.assign(chosen, {
          state: 'leased',
          rank: null,
          worker,
          leasedMono: now,
          leaseSeq: ++this.#leases,
          attempt: chosen.attempt + 1,
          canceling: false,
          wasSuspect: this.#isSuspect(chosen),
          prompt: 0,
          output: 0,
        })
        if (!this.#workers.has(worker)) this.#workers.set(worker, { seq: -++this.#workersMade, beatMono: -Infinity })
        this.#charge(chosen, Math.max(1, job.promptTokens), 0)
        leased.push({ id: job.id, attempt: chosen.attempt, crashes: chosen.crashes })
        left.push(tenant)
      } else {
        chosen.state = 'waiting'
        if (refusal.scope === 'job') noJob.add(job.id)
        else if (refusal.scope === 'tenant') {
          noTenant.add(job.tenant)
          heldBack.push({ lift: () => (tenant.floor = this.#virtual), leasedBefore: leased.length })
        } else {
          for (const [flow, model] of open)
            if (model === modelOf(job))
              heldBack.push({ lift: () => this.#flowFloors.set(flow, this.#virtual), leasedBefore: leased.length })
          noModel.add(modelOf(job))
        }
      }
    }
    // Who left first, left first
    for (const tenant of left.filter((t, i) => left.lastIndexOf(t) === i)) this.#leaveIfIdle(tenant)
    this.#settle()
    for (const { lift, leasedBefore } of heldBack) if (leased.length > leasedBefore) lift()
    return leased
  }

  /** By tenant, then by class, then by turn; every eighth lease of a tenant takes the oldest that leads its class. */
  #next(eligible: (j: RefJob) => boolean): RefJob | undefined {
    const candidates = this.#leasable(eligible)
    const tenant = least(
      [...new Set(candidates.map((j) => this.#tenant(j.job)))],
      (t) => t.counter,
      (t) => t.order,
    )
    if (tenant === undefined) return undefined
    const own = candidates.filter((j) => j.job.tenant === tenant.id)
    const heads = own.filter(
      (j) =>
        !own.some((k) => lineOf(k.job) === lineOf(j.job) && k.job.priority === j.job.priority && k.rank! < j.rank!),
    )
    if (tenant.leases % 8 === 7) return least(heads, (j) => j.seq)
    return least(
      heads,
      (j) => PRIORITIES.indexOf(j.job.priority),
      (j) => this.#lineTurns.get(lineOf(j.job))!,
    )
  }

  heartbeat(worker: string, now: number): void {
    const found = this.#workers.get(worker)
    if (found !== undefined) found.beatMono = now
  }

  charge(id: string, attempt: number, tokens: number): void {
    const found = this.#find(id)
    if (found?.state === 'leased' && found.attempt === attempt) this.#charge(found, 0, tokens)
  }

  finish(id: string, attempt: number, outcome: Ended, now: number): Finished {
    const found = this.#find(id)
    if (found?.state !== 'leased' || found.attempt !== attempt) return { kind: 'fenced' }
    const usage = outcome.kind === 'released' ? undefined : outcome.usage
    if (usage !== undefined)
      this.#charge(found, Math.max(1, usage.promptTokens) - found.prompt, usage.completionTokens - found.output)
    if (outcome.kind === 'done') {
      if (found.job.joinKey !== null) this.#ended.push({ key: found.job.joinKey, id, at: now })
      this.#end(found)
      return { kind: 'ended', state: 'done' }
    }
    if (found.canceling || outcome.kind === 'canceled') {
      this.#end(found)
      return { kind: 'ended', state: 'canceled' }
    }
    if (outcome.kind === 'released') {
      this.#giveBack(found, now, true, now)
      return { kind: 'again', notBeforeMono: now }
    }
    found.fails++
    const { maxAttempts, retryBaseMs, retryCapMs, jitter } = this.#options
    const isUntried = outcome.isUntried === true
    if (!outcome.retry || found.fails >= (isUntried ? 16 : maxAttempts)) {
      this.#end(found)
      return { kind: 'ended', state: 'failed' }
    }
    const notBeforeMono =
      now +
      Math.max(
        isUntried ? 0 : jitter() * Math.min(retryCapMs, retryBaseMs * 2 ** (found.fails - 1)),
        Math.min(300_000, outcome.error.retryAfterMs ?? 0),
      )
    this.#giveBack(found, notBeforeMono, false, now)
    return { kind: 'again', notBeforeMono }
  }

  cancel(id: string): 'canceled' | 'canceling' | 'unknown' {
    const found = this.#find(id)
    if (found === undefined) return 'unknown'
    if (found.state !== 'leased') {
      this.#endAlone(found, 'canceled', new SluiceError('job_canceled'))
      return 'canceled'
    }
    if (!found.canceling)
      this.#events.push({ type: 'revoked', id, worker: found.worker, attempt: found.attempt, reason: 'canceled' })
    found.canceling = true
    return 'canceling'
  }

  lose(worker: string, now: number): void {
    this.#loseAll(
      this.#jobs.filter((j) => j.state === 'leased' && j.worker === worker),
      now,
    )
  }

  tick(now: number): void {
    for (;;) {
      const due = this.#due()
      if (due === undefined || due.at > now) return
      const { what } = due
      if (typeof what === 'string') {
        this.#loseAll(
          this.#jobs.filter((j) => j.state === 'leased' && j.worker === what && this.#leaseEnd(j) <= now),
          now,
        )
      } else if (what.deadlineMono <= now) this.#endAlone(what, 'expired', new SluiceError('deadline_exceeded'))
      else {
        what.state = 'queued'
        this.#settle()
      }
    }
  }

  nextAt(): number {
    return this.#due()?.at ?? Infinity
  }

  #due(): { readonly at: number; readonly seq: number; readonly what: RefJob | string } | undefined {
    const jobs = this.#jobs.map((what) => ({ what, seq: what.seq, at: this.#wakesAt(what) }))
    const workers = [...this.#workers].map(([what, { seq }]) => ({
      what,
      seq,
      at: Math.min(
        ...this.#jobs.filter((j) => j.state === 'leased' && j.worker === what).map((j) => this.#leaseEnd(j)),
      ),
    }))
    return least(
      [...jobs, ...workers].filter((each) => each.at !== Infinity),
      (each) => each.at,
      (each) => each.seq,
    )
  }

  #wakesAt(j: RefJob): number {
    if (j.state === 'leased') return Infinity
    return Math.min(j.state === 'delayed' ? j.notBeforeMono : Infinity, j.deadlineMono)
  }

  #leaseEnd(j: RefJob): number {
    return Math.max(j.leasedMono, this.#workers.get(j.worker)!.beatMono) + this.#options.leaseMs
  }

  /** The newest lease first. */
  #loseAll(jobs: readonly RefJob[], now: number): void {
    const running = this.#jobs.filter((j) => j.state === 'leased' && j.worker === jobs[0]?.worker)
    const poison = this.#blame(jobs, running.length)
    for (const j of jobs.toSorted((a, b) => b.leaseSeq - a.leaseSeq)) {
      const { id } = j.job
      this.#events.push({ type: 'revoked', id, worker: j.worker, attempt: j.attempt, reason: 'lost' })
      if (j.canceling) this.#endAlone(j, 'canceled', new SluiceError('job_canceled'))
      else if (j === poison) this.#endAlone(j, 'failed', new SluiceError('poison_job'))
      else {
        this.#events.push({ type: 'delayed', id, notBeforeMono: now })
        this.#giveBack(j, now, true, now)
      }
    }
  }

  pause(selector: Selector): void {
    const same = (s: Selector): boolean =>
      s.tenant === selector.tenant && s.lane === selector.lane && s.model === selector.model
    if (!this.#pauses.some(same)) this.#pauses.push(selector)
    this.#settle()
  }

  resume(selector: Selector): void {
    this.#pauses = this.#pauses.filter(
      (s) => s.tenant !== selector.tenant || s.lane !== selector.lane || s.model !== selector.model,
    )
    this.#settle()
  }

  paused(): readonly Selector[] {
    return this.#pauses
  }

  purge(selector: Selector): readonly string[] {
    const gone = this.#jobs.filter((j) => j.state !== 'leased' && matches(selector, j.job))
    for (const j of gone) this.#endAlone(j, 'canceled', new SluiceError('job_canceled'))
    return gone.map((j) => j.job.id)
  }

  woke(now: number): void {
    for (const worker of this.#workers.values()) worker.beatMono = now
  }

  tally(id: string): Tally | null {
    const found = this.#find(id)
    return found === undefined
      ? null
      : {
          attempts: found.attempt,
          fails: found.fails,
          deaths: found.deaths,
          crashes: found.crashes,
          ranMs: found.ranMs,
          ttftMs: null,
        }
  }

  state(id: string): JobState | null {
    return this.#find(id)?.state ?? null
  }

  depth(): QueueDepth {
    const count = (state: JobState): number => this.#jobs.filter((j) => j.state === state).length
    return { queued: count('queued'), delayed: count('delayed'), waiting: count('waiting'), leased: count('leased') }
  }

  /** By what is asked, not by what is measured. */
  backlog(): readonly Backlog[] {
    const found = new Map<string, Backlog>()
    for (const { job } of this.#leasable(() => true)) {
      const { pool, model, promptTokens } = job
      const other = found.get(`${pool} ${model}`)
      const [jobs, tokens] = [(other?.jobs ?? 0) + 1, (other?.tokens ?? 0) + promptTokens]
      found.set(`${pool} ${model}`, { pool, model, jobs, tokens, waitMs: null })
    }
    return [...found.values()]
  }

  drain(): readonly SchedulerEvent[] {
    return this.#events.splice(0)
  }

  /** Ids that a worker of this pool could lease now, given headroom. */
  leasable(pool: string): readonly string[] {
    return this.#leasable((j) => j.job.pool === pool).map((j) => j.job.id)
  }

  counters(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#tenants.values()].map((t) => [t.id, t.counter]))
  }

  // ------------------------------------------------------------ the rules

  #extended(job: ScheduledJob, fromMono: number): number {
    return Math.max(job.deadlineMono, fromMono + this.#options.returnRoomMs)
  }

  #find(id: string): RefJob | undefined {
    return this.#jobs.find((j) => j.job.id === id)
  }

  #tenant({ tenant: id }: ScheduledJob): RefTenant {
    const tenant = this.#tenants.get(id) ?? {
      id,
      order: this.#tenants.size,
      counter: 0,
      floor: 0,
      leases: 0,
      active: false,
    }
    this.#tenants.set(id, tenant)
    return tenant
  }

  #charge(j: RefJob, prompt: number, output: number): void {
    j.prompt += prompt
    j.output += output
    this.#tenant(j.job).counter +=
      (prompt * this.#options.promptWeight + output * this.#options.outputWeight) / this.#options.weight(j.job.tenant)
  }

  #giveBack(j: RefJob, notBeforeMono: number, inFront: boolean, now: number): void {
    j.ranMs += now - j.leasedMono
    j.state = notBeforeMono > now ? 'delayed' : 'queued'
    j.notBeforeMono = notBeforeMono
    j.deadlineMono = this.#extended(j.job, notBeforeMono)
    this.#settle(inFront)
  }

  #endAlone(j: RefJob, state: 'failed' | 'canceled' | 'expired', error: SluiceError): void {
    this.#end(j)
    this.#events.push({ type: 'ended', id: j.job.id, state, error })
  }

  #end(j: RefJob): void {
    this.#jobs = this.#jobs.filter((other) => other !== j)
    this.#settle()
  }

  #mayRun(j: RefJob): boolean {
    if (j.state === 'leased' || j.state === 'delayed') return false
    if (j.job.lane === null) return true
    return (
      this.#jobs.find((k) => k.job.lane === j.job.lane) === j &&
      !this.#pauses.some((s) => s.lane !== undefined && matches(s, j.job))
    )
  }

  #leasable(eligible: (j: RefJob) => boolean): RefJob[] {
    return this.#jobs.filter((j) => j.rank !== null && !this.#pauses.some((s) => matches(s, j.job)) && eligible(j))
  }

  /** After each change: who is ready, whose line is empty, which tenants have work. */
  #settle(inFront = false): void {
    for (const j of this.#jobs) if (j.rank !== null && !this.#mayRun(j)) j.rank = null
    const lines = (): Set<string> => new Set(this.#jobs.filter((j) => j.rank !== null).map((j) => lineOf(j.job)))
    const before = lines()
    for (const line of this.#lineTurns.keys()) if (!before.has(line)) this.#lineTurns.delete(line)
    for (const tenant of this.#tenants.values()) this.#leaveIfIdle(tenant)
    for (const j of this.#jobs) {
      if (j.rank !== null || !this.#mayRun(j)) continue
      j.rank = inFront ? --this.#front : ++this.#back
      if (!this.#lineTurns.has(lineOf(j.job))) this.#lineTurns.set(lineOf(j.job), ++this.#turns)
    }
    for (const tenant of this.#tenants.values()) {
      if (tenant.active || !this.#hasWork(tenant)) continue
      const others = [...this.#tenants.values()].filter((t) => t.active)
      const lowest = others.length === 0 ? (this.#lastLeft?.counter ?? 0) : Math.min(...others.map((t) => t.counter))
      tenant.counter = Math.max(tenant.counter, this.#virtual, lowest)
      tenant.active = true
    }
    for (const worker of this.#workers.keys())
      if (!this.#jobs.some((j) => j.state === 'leased' && j.worker === worker)) this.#workers.delete(worker)
  }

  #hasWork(tenant: RefTenant): boolean {
    return this.#leasable((j) => j.job.tenant === tenant.id).length > 0
  }

  #leaveIfIdle(tenant: RefTenant): void {
    if (!tenant.active || this.#hasWork(tenant)) return
    tenant.active = false
    this.#lastLeft = tenant
  }
}
