/** What the tests of this folder share: a job, an outcome, a scheduler with plain options. */
import { SluiceError } from '../../../core/errors.ts'
import type { ScheduledJob } from '../../../core/ports/coordinator.ts'
import type { Outcome } from '../../../core/ports/work.ts'
import type { Headroom, Scheduler, SchedulerEvent, SchedulerOptions } from '../port.ts'
import { createScheduler } from '../scheduler.ts'

export const OPTIONS: SchedulerOptions = {
  leaseMs: 30_000,
  maxAttempts: 3,
  maxCrashes: 2,
  retryBaseMs: 200,
  retryCapMs: 5_000,
  maxQueuedJobs: 1_000_000,
  maxQueuedPerTenant: 1_000_000,
  maxQueuedPerLane: 1_000_000,
  maxQueuedBytesPerTenant: 1e12,
  maxQueuedPerSession: 1_000_000,
  maxQueuedBytesPerSession: 1e12,
  joinAfterEndMs: 60_000,
  returnRoomMs: 60_000,
  weight: () => 1,
  promptWeight: 1,
  outputWeight: 2,
  jitter: () => 0.5,
}

export const job = (id: string, more: Partial<ScheduledJob> = {}): ScheduledJob => ({
  id,
  kind: 'chat',
  tenant: 'a',
  lane: null,
  session: null,
  pool: 'text',
  model: 'chat',
  priority: 'normal',
  promptTokens: 100,
  bodyBytes: 400,
  keyId: 'key_1',
  user: null,
  run: null,
  route: '',
  maxOutputTokens: null,
  price: null,
  policy: 'wait',
  acceptedMono: 0,
  notBeforeMono: 0,
  deadlineMono: Infinity,
  joinKey: null,
  ...more,
})

const TIMING = { queuedMs: 0, totalMs: 0, attempts: 1 }
export const done = (promptTokens = 100, completionTokens = 10): Outcome => ({
  kind: 'done',
  usage: { promptTokens, completionTokens, estimated: false },
  timing: TIMING,
})
export const failed = (retry = true, retryAfterMs?: number): Outcome => ({
  kind: 'failed',
  retry,
  error: new SluiceError('provider_error', retryAfterMs === undefined ? {} : { retryAfterMs }),
})

export const yes: Headroom = () => null

/** A scheduler with one worker `w` that serves all pools, and a few short words for it. */
export function setUp(more: Partial<SchedulerOptions> = {}) {
  const scheduler: Scheduler = createScheduler({ ...OPTIONS, ...more })
  return {
    scheduler,
    submit: (now: number, ...jobs: ScheduledJob[]) => jobs.map((each) => scheduler.submit(each, now).kind),
    /** Ids leased, in order. */
    lease: (now = 0, max = 1, headroom: Headroom = yes, worker = 'w') =>
      scheduler.lease(worker, [], max, headroom, now).map((lease) => lease.id),
    events: (type?: SchedulerEvent['type']) =>
      scheduler.drain().filter((event) => type === undefined || event.type === type),
  }
}
