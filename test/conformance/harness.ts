/**
 * What the conformance suites are built on. A suite is a list of cases against the ports of core/ports alone; an engine
 * brings a way to be opened, killed and opened again. Cases are functions, so that planted bugs can be held against
 * them too.
 */
import { expect, test } from 'vitest'
import type { ShareRules } from '../../src/coordinator/shares/shares.ts'
import type { Clock } from '../../src/core/clock.ts'
import type { SluiceError } from '../../src/core/errors.ts'
import type { Happened } from '../../src/core/facts.ts'
import type { Job, JobId } from '../../src/core/job.ts'
import type { LimitSettings } from '../../src/core/limits.ts'
import type { ConversationInfo, Turn } from '../../src/core/ports/conversations.ts'
import type { PlanModel } from '../../src/core/ports/coordinator.ts'
import type { Engine } from '../../src/core/ports/engine.ts'
import type { FileCaps } from '../../src/core/ports/files.ts'
import type { Begun } from '../../src/core/ports/submissions.ts'
import type { Attachment, Lease, Outcome, Worker } from '../../src/core/ports/work.ts'
import type { Bytes } from '../../src/core/record.ts'
import { DONE, type DraftOptions, draft } from './words.ts'

export { DONE, draft }

/** What a case may ask of the engine it opens; all have defaults. */
export interface Settings {
  readonly leaseMs?: number
  readonly maxAttempts?: number
  readonly maxCrashes?: number
  readonly maxQueuedPerTenant?: number
  readonly maxQueuedPerSession?: number
  readonly retentionMs?: number
  readonly retentionOf?: (tenant: string) => number | null
  /** How long usage records are kept. */
  readonly usageMs?: number
  /** Sums of a tenant and day. */
  readonly usageSums?: number
  /** Absent: nothing is limited. */
  readonly limits?: LimitSettings
  /** Absent: one deployment for any model, and room for all. */
  readonly models?: readonly PlanModel[]
  /** Absent: as a server's. */
  readonly files?: Partial<FileCaps>
  /** Of all tenants. */
  readonly shares?: ShareRules
}

export interface Opened {
  readonly engine: Engine
  readonly clock: LeapClock
  readonly facts: readonly Happened[]
  /**
   * The process dies and a new one starts on what is left. `kill`: all that was committed is left. `power`: at least
   * what was synced is left, and perhaps no more; the machine restarts. `meanwhile` runs in between.
   */
  reopen(how: 'kill' | 'power', meanwhile?: () => void): Promise<Opened>
  /** Another process of the same fleet, on the same clock. Absent: there is only one. */
  beside?(): Promise<Opened>
  /** Cuts this process off from what stores, and from all others; returns what heals it. */
  cut?(): () => void
  close(): Promise<void>
}

export type Open = (settings?: Settings) => Promise<Opened>

export interface Case {
  readonly name: string
  /** What the engine must be able to do; one that can't gives the reason. */
  readonly needs?: 'kill' | 'power' | 'fleet' | 'cut'
  readonly run: (open: Open) => Promise<void>
}

/** Registers the cases. `gaps`: what this engine does not do, and why. */
export function conform(
  suite: string,
  cases: readonly Case[],
  open: Open,
  gaps: Readonly<Record<string, string>> = {},
): void {
  for (const one of cases) {
    const gap = gaps[one.needs ?? ''] ?? gaps[one.name]
    if (gap !== undefined) test.skip(`${suite}: ${one.name} (${gap})`, () => {})
    else test(`${suite}: ${one.name}`, () => runCase(one, open))
  }
}

/** Runs a case and closes all that it opened. */
export async function runCase(one: Case, open: Open): Promise<void> {
  const opened: Opened[] = []
  const remember = (o: Opened): Opened => {
    opened.push(o)
    return {
      ...o,
      reopen: async (...how) => remember(await o.reopen(...how)),
      ...(o.beside && { beside: async () => remember(await o.beside!()) }),
    }
  }
  try {
    await one.run(async (settings) => remember(await open(settings)))
  } finally {
    for (const o of opened) await o.close()
  }
}

/** A real clock that can also leap ahead: what is due then fires at once. */
export interface LeapClock extends Clock {
  /** As time passes for a process that runs: what beats each second is not late. */
  leap(ms: number): void
  /** At once, as after a SIGSTOP or a pause of the machine. */
  sleep(ms: number): void
  /** The wall clock alone: it was set. */
  jumpWall(ms: number): void
}

const BEAT_MS = 1_000

export function leapClock(): LeapClock {
  let ahead = 0
  let wrong = 0
  const mono = (): number => performance.now() + ahead
  const timers = new Set<{ at: number; fn: () => void; every: number; handle: NodeJS.Timeout }>()
  const add = (ms: number, fn: () => void, every: number): (() => void) => {
    const timer = { at: mono() + ms, fn, every, handle: undefined as unknown as NodeJS.Timeout }
    const fire = (): void => {
      if (every > 0) {
        timer.at = mono() + every
        timer.handle = setTimeout(fire, every)
      } else timers.delete(timer)
      fn()
    }
    timer.handle = setTimeout(fire, ms)
    timers.add(timer)
    return () => {
      clearTimeout(timer.handle)
      timers.delete(timer)
    }
  }
  /** Fires what is due, and sets the other timers again. */
  const fireDue = (is: (timer: { readonly every: number }) => boolean): void => {
    for (const timer of [...timers].sort((a, b) => a.at - b.at)) {
      if (!timers.has(timer) || !is(timer)) continue
      clearTimeout(timer.handle)
      const fire = (): void => {
        if (timer.every > 0) {
          timer.at = mono() + timer.every
          timer.handle = setTimeout(fire, timer.every)
        } else timers.delete(timer)
        timer.fn()
      }
      if (timer.at <= mono()) fire()
      else timer.handle = setTimeout(fire, Math.max(0, timer.at - mono()))
    }
  }
  return {
    wallMs: () => Date.now() + ahead + wrong,
    monoMs: mono,
    after: (ms, fn) => add(ms, fn, 0),
    every: (ms, fn) => add(ms, fn, ms),
    soon: (fn) => void setImmediate(fn),
    jumpWall(ms) {
      wrong += ms
    },
    leap(ms) {
      let left = ms
      for (; left > BEAT_MS; left -= BEAT_MS) {
        ahead += BEAT_MS
        fireDue((timer) => timer.every > 0 && timer.every <= BEAT_MS)
      }
      this.sleep(left)
    },
    sleep(ms) {
      ahead += ms
      fireDue(() => true)
    },
  }
}

// ---------------------------------------------------------------- words for cases

export async function submit(engine: Engine, options: DraftOptions = {}): Promise<Job> {
  const [submitted] = await engine.submissions.submit([draft(options)])
  return accepted(submitted)
}

export function accepted(submitted: Begun): Job {
  if (submitted.kind === 'refused') throw submitted.error
  expect(submitted.kind).toBe('accepted')
  return submitted.job
}

/** What it was refused with. */
export function refusal(submitted: Begun): SluiceError {
  if (submitted.kind !== 'refused') throw new Error(`not refused but ${submitted.kind}`)
  return submitted.error
}

/** Who holds each lease. */
const holders = new WeakMap<Lease, TestWorker>()

/** The engine, with leases that TestWorkers know to be over when they are finished. */
export const counted = (engine: Engine): Engine => ({
  ...engine,
  work: {
    ...engine.work,
    attach: (worker) => engine.work.attach(worker),
    checked: (reports) => engine.work.checked(reports),
    onChecked: (fn) => engine.work.onChecked(fn),
    hedge: (lease) => engine.work.hedge(lease),
    raced: (lease, race) => engine.work.raced(lease, race),
    finish(lease, outcome) {
      holders.get(lease)?.over(lease)
      return engine.work.finish(lease, outcome)
    },
  },
})

/**
 * What was asked before has been decided, stored and told, if anything can be stored: an operator's change is stored
 * after it. Twice, as what comes of a change may be stored by the next commit.
 */
export async function settled({ operations }: Engine): Promise<void> {
  for (let i = 0; i < 2; i++) await operations.resume({ tenant: 'nobody' }).catch(() => {})
}

/**
 * Time passes, and processes hear each other meanwhile: in a fleet they beat once a second, and time in which nobody
 * could be heard ends no lease. What that takes on a busy machine is part of it.
 */
export async function pass({ engine, clock }: Pick<Opened, 'engine' | 'clock'>, ms: number): Promise<void> {
  const untilMono = clock.monoMs() + ms
  for (let left = ms; left > 0; left = untilMono - clock.monoMs()) {
    clock.leap(Math.min(left, BEAT_MS))
    await settled(engine)
  }
}

/** A worker that takes leases when told to, and remembers what it is told. Otherwise it has no room. */
export class TestWorker implements Worker {
  readonly id: string
  readonly pools: readonly string[]
  readonly slots = 0
  readonly #engine: Engine
  readonly #attachment: Attachment
  readonly #held = new Set<Lease>()
  /** All it was given, in order. */
  readonly taken: Lease[] = []
  /** What it was told, in order: "leased job_…", "canceled job_…". */
  readonly heard: string[] = []
  readonly revocations: Array<{ readonly job: JobId; readonly attempt: number; readonly reason: string }> = []

  constructor(engine: Engine, id = 'w1', pools: readonly string[] = []) {
    this.#engine = engine
    this.id = id
    this.pools = pools
    this.#attachment = engine.work.attach(this)
  }

  cut(): void {}

  leased(leases: readonly Lease[]): void {
    for (const lease of leases) {
      holders.set(lease, this)
      this.#held.add(lease)
      this.taken.push(lease)
      this.heard.push(`leased ${lease.job.id}`)
    }
  }

  revoked(job: JobId, attempt: number, reason: 'canceled' | 'lost'): void {
    this.revocations.push({ job, attempt, reason })
    this.heard.push(`${reason} ${job}`)
    if (reason === 'lost')
      for (const lease of this.#held) if (lease.job.id === job && lease.attempt === attempt) this.over(lease)
  }

  over(lease: Lease): void {
    this.#held.delete(lease)
  }

  /** Has room for that many more from now on. */
  accept(max: number): void {
    this.#attachment.resize(max === 0 ? 0 : this.#held.size + max)
  }

  /** What it is given when it has room for a moment. */
  async lease(max = 100): Promise<readonly Lease[]> {
    const from = this.taken.length
    this.accept(max)
    // Many come in several commits
    for (let before = -1; before !== this.taken.length; await settled(this.#engine)) before = this.taken.length
    await this.#noRoom()
    return this.taken.slice(from)
  }

  /** Leases exactly this job. */
  async one(job?: Job): Promise<Lease> {
    const from = this.taken.length
    this.accept(1)
    await settled(this.#engine)
    // Its request may take longer to come than what was told after it
    await eventually(() => expect(this.taken.length).toBeGreaterThan(from))
    await this.#noRoom()
    const leases = this.taken.slice(from)
    expect(leases.length).toBe(1)
    if (job) expect(leases[0].job.id).toBe(job.id)
    return leases[0]
  }

  async #noRoom(): Promise<void> {
    this.accept(0)
    await settled(this.#engine)
  }

  heartbeat(): void {
    this.#attachment.heartbeat()
  }

  leave(): Promise<void> {
    return this.#attachment.leave()
  }
}

/** Submits, leases, appends and finishes. */
export async function runJob(
  engine: Engine,
  worker: TestWorker,
  options: DraftOptions = {},
  records: readonly Bytes[] = ['{"a":1}'],
  outcome: Outcome = DONE,
): Promise<Job> {
  const job = await submit(engine, options)
  const lease = await worker.one(job)
  engine.log.open(lease).append(records, records.length, false)
  expect((await engine.work.finish(lease, outcome)).kind).toBe('ended')
  return job
}

/** All that may be read, page by page. */
export async function readAll(
  engine: Engine,
  job: JobId,
  pageBytes = 1 << 20,
): Promise<{ readonly records: readonly Bytes[]; readonly epoch: number; readonly ended: boolean }> {
  const records: Bytes[] = []
  for (;;) {
    const page = await engine.log.read(job, records.length, pageBytes)
    if (page === null) throw new Error(`${job} has no log`)
    expect(page.firstSeq).toBe(records.length + 1)
    records.push(...page.records)
    if (records.length >= page.head) return { records, epoch: page.epoch, ended: page.ended }
    expect(page.records.length).toBeGreaterThan(0)
  }
}

/** What comes is waited for as long as a busy machine may need. Where a bug is planted it never comes. */
let patienceMs = 60_000
/** Returns what puts it back. */
export function waitAtMost(ms: number): () => void {
  const before = patienceMs
  patienceMs = ms
  return () => {
    patienceMs = before
  }
}

/** Waits until `check` passes; its last failure when it does not within `ms`. */
export async function eventually(check: () => void | Promise<void>, ms = patienceMs): Promise<void> {
  const giveUpAt = performance.now() + ms
  for (let pauseMs = 5; ; pauseMs = Math.min(pauseMs * 1.1, 200)) {
    try {
      await check()
      return
    } catch (error) {
      if (performance.now() > giveUpAt) throw error
      // Soon at first; what never comes is not asked for without end
      await new Promise((done) => setTimeout(done, pauseMs))
    }
  }
}

/** A conversation with its first turns, oldest first; null when there is none. */
export async function readConversation(
  { conversations }: Engine,
  tenant: string,
  id: string,
): Promise<{ readonly info: ConversationInfo; readonly turns: readonly Turn[] } | null> {
  const info = await conversations.get(tenant, id)
  const page = await conversations.turns(tenant, id, { from: 'oldest', limit: 1_000, maxBytes: 1 << 30 })
  expect(page === null).toBe(info === null)
  return info === null ? null : { info, turns: page!.turns }
}
