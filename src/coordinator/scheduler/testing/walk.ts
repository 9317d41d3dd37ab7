/**
 * Random commands, and what each does to a scheduler. A command names its jobs by number, so that any mix of commands
 * makes sense.
 */
import fc from 'fast-check'
import { SluiceError } from '../../../core/errors.ts'
import type { JobId } from '../../../core/job.ts'
import type { ScheduledJob } from '../../../core/ports/coordinator.ts'
import type { Selector } from '../../../core/ports/operations.ts'
import type { Ended, Headroom, Scheduler, SchedulerOptions } from '../port.ts'
import { job } from './jobs.ts'

export const WALK_OPTIONS: SchedulerOptions = {
  leaseMs: 100,
  maxAttempts: 3,
  maxCrashes: 2,
  retryBaseMs: 20,
  retryCapMs: 50,
  maxQueuedJobs: 16,
  maxQueuedPerTenant: 9,
  maxQueuedPerLane: 4,
  maxQueuedBytesPerTenant: 3_000,
  maxQueuedPerSession: 4,
  maxQueuedBytesPerSession: 1_200,
  joinAfterEndMs: 60,
  returnRoomMs: 30,
  weight: (tenant) => (tenant === 'c' ? 3 : 1),
  promptWeight: 1,
  outputWeight: 2,
  jitter: () => 0.5,
}

const DOINGS = [
  'submit',
  'submit',
  'submit',
  'submit',
  'lease',
  'lease',
  'lease',
  'finish',
  'finish',
  'finish',
  'charge',
  'time',
  'time',
  'heartbeat',
] as const
const RARE = [
  ...['cancel', 'cancel', 'lose', 'lose', 'stale', 'pause', 'resume', 'resume', 'purge', 'withdraw'],
  ...['restore', 'restore', 'restart', 'woke'],
] as const

export interface Command {
  readonly what: (typeof DOINGS)[number] | (typeof RARE)[number]
  readonly n: number
  readonly m: number
}

const number = fc.nat({ max: 9_999 })
export const commands = fc.array(
  fc.record({
    what: fc.oneof(
      { weight: 5, arbitrary: fc.constantFrom(...DOINGS) },
      { weight: 1, arbitrary: fc.constantFrom(...RARE) },
    ),
    n: number,
    m: number,
  }),
  { minLength: 30, maxLength: 200, size: 'max' },
)

const pick = <T>(items: readonly T[], n: number): T => items[n % items.length]
const PLACES: ReadonlyArray<Pick<ScheduledJob, 'tenant' | 'lane'>> = [
  { tenant: 'a', lane: null },
  { tenant: 'a', lane: 'a1' },
  { tenant: 'a', lane: 'a2' },
  { tenant: 'b', lane: null },
  { tenant: 'b', lane: 'b1' },
  { tenant: 'c', lane: null },
  { tenant: 'c', lane: 'c1' },
]
const SELECTORS: readonly Selector[] = [
  { tenant: 'a' },
  { model: 'm1' },
  { tenant: 'b', model: 'm2' },
  { lane: 'a1' },
  { tenant: 'c', lane: 'c1', model: 'm1' },
  {},
]

/** What the walker knows; its choices depend on nothing else, so that two schedulers get the same commands. */
export class Walker {
  now = 0
  /** The last lease of each job, ended or not. */
  readonly leases: Array<{ readonly id: JobId; readonly attempt: number }> = []
  readonly submitted: JobId[] = []
  /** Restored, and running when the process died. */
  readonly open: JobId[] = []
  #made = 0

  #job(n: number, m: number): ScheduledJob {
    const { now } = this
    return job(`j${++this.#made}`, {
      ...pick(PLACES, n),
      session: pick([null, 's1', 's2'], m >> 4),
      pool: pick(['text', 'text', 'image'], m),
      model: pick(['m1', 'm2'], n >> 3),
      kind: pick(['chat', 'chat', 'embedding'] as const, n >> 5),
      priority: pick(['normal', 'high', 'low'] as const, m >> 2),
      promptTokens: (n * 7) % 300,
      bodyBytes: 100 + (m % 500),
      acceptedMono: now,
      notBeforeMono: m % 5 === 0 ? now + (n % 60) : now,
      deadlineMono: m % 7 === 0 ? now + (n % 90) : Infinity,
      joinKey: m % 3 === 0 ? pick(['k1', 'k2', 'k3'], n) : null,
    })
  }

  /** Applies one command; returns what the scheduler said, for comparison. */
  apply({ what, n, m }: Command, scheduler: Scheduler): unknown {
    switch (what) {
      case 'submit': {
        const known =
          m % 23 === 0 && this.submitted.length > 0 ? { id: pick(this.submitted, n), sameBody: n % 2 === 0 } : undefined
        const made = this.#job(n, m)
        const result = scheduler.submit(made, this.now, known, m % 2 === 0)
        if (result.kind === 'accepted') this.submitted.push(made.id)
        return result.kind === 'refused' ? result.error.code : result
      }
      case 'restore': {
        const made = this.#job(n, m)
        this.submitted.push(made.id)
        const attempts = n % 5
        const deaths = m % 3 === 0 ? Math.min(attempts, 3) : 0
        const crashes = Math.min(deaths, m % 2)
        const fails = Math.min(2, attempts - deaths)
        scheduler.restore(made, { attempts, fails, deaths, crashes, ranMs: 0, ttftMs: null }, this.now)
        if (attempts > 0 && m % 2 === 0) this.open.push(made.id)
        return null
      }
      case 'restart':
        return scheduler.died(
          this.open.splice(0, m % 4).filter((id) => scheduler.state(id) !== 'leased'),
          this.now,
        )
      case 'woke':
        this.now += n % 200
        return scheduler.woke(this.now)
      case 'lease': {
        const asked: JobId[] = []
        const headroom: Headroom = (candidate) => {
          asked.push(candidate.id)
          if (n % 4 !== 0) return null
          if (candidate.model === pick(['m1', 'm2', '-'], m)) return { scope: 'model' }
          if (candidate.tenant === pick(['a', 'b', 'c', '-'], m >> 2)) return { scope: 'tenant' }
          return Number(candidate.id.slice(1)) % 4 === m % 8 ? { scope: 'job' } : null
        }
        const leases = scheduler.lease(
          pick(['w1', 'w2', 'w3'], n),
          pick<readonly string[]>([[], ['text'], ['image'], ['text', 'image']], m >> 4),
          1 + (m % 5),
          headroom,
          this.now,
        )
        this.leases.push(...leases)
        return { leases, asked }
      }
      case 'finish':
      case 'stale': {
        if (this.leases.length === 0) return null
        const held = this.leases.filter(
          ({ id, attempt }) =>
            scheduler.state(id) === 'leased' && this.leases.findLast((l) => l.id === id)!.attempt === attempt,
        )
        const lease = what === 'stale' || held.length === 0 ? pick(this.leases, n) : pick(held, n)
        return scheduler.finish(lease.id, lease.attempt, outcome(m), this.now)
      }
      case 'charge':
        return this.leases.length === 0
          ? null
          : scheduler.charge(pick(this.leases, n).id, pick(this.leases, n).attempt, m % 400)
      case 'time':
        this.now += n % 40
        return scheduler.tick(this.now)
      case 'heartbeat':
        return scheduler.heartbeat(pick(['w1', 'w2', 'w3'], n), this.now)
      case 'cancel':
        return this.submitted.length === 0 ? null : scheduler.cancel(pick(this.submitted, n), this.now)
      case 'withdraw':
        // What could not be stored was submitted last, and is not leased yet
        return this.submitted.length > 0 && scheduler.state(this.submitted.at(-1)!) !== 'leased'
          ? scheduler.withdraw(this.submitted.at(-1)!)
          : null
      case 'lose':
        return scheduler.lose(pick(['w1', 'w2', 'w3'], n), this.now)
      case 'pause':
        return scheduler.pause(pick(SELECTORS, n))
      case 'resume':
        return scheduler.resume(pick(scheduler.paused().length > 0 ? scheduler.paused() : SELECTORS, n))
      case 'purge':
        return m % 4 === 0 ? scheduler.purge(pick(SELECTORS, n), this.now) : null
    }
  }
}

function outcome(m: number): Ended {
  const usage = m % 3 === 0 ? undefined : { promptTokens: m % 250, completionTokens: m % 170, estimated: false }
  const timing = { queuedMs: 0, totalMs: 0, attempts: 1 }
  switch (m % 8) {
    case 0:
    case 1:
    case 2:
      return { kind: 'done', usage: usage ?? { promptTokens: 0, completionTokens: 0, estimated: true }, timing }
    case 3:
    case 4:
      return {
        kind: 'failed',
        error: new SluiceError('provider_error', m % 16 < 8 ? {} : { retryAfterMs: m % 90 }),
        retry: true,
        isUntried: m % 5 === 0,
        ...(usage && { usage }),
      }
    case 5:
      return { kind: 'failed', error: new SluiceError('provider_rejected'), retry: false, ...(usage && { usage }) }
    case 6:
      return { kind: 'canceled', ...(usage && { usage }) }
    default:
      return { kind: 'released' }
  }
}
