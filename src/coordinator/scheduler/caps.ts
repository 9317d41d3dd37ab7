/** What is refused at submit, and when to come back. */
import { SluiceError } from '../../core/errors.ts'
import type { ScheduledJob } from '../../core/ports/coordinator.ts'
import type { Entry } from './entry.ts'
import { earliestStartMs } from './estimate.ts'
import type { Fairness } from './fairness.ts'
import type { Flow, Tenant } from './flow.ts'
import type { Lane } from './lanes.ts'
import type { Caps, SchedulerOptions } from './port.ts'
import type { Share } from './shares.ts'

const LEAST_MS = 250
const MOST_MS = 60_000

/** Where a job would stand. */
interface Standing {
  readonly tenant: Tenant<Entry>
  readonly share: Share | null
  readonly flow: Flow<Entry>
  /** Undefined: none, or it would be its first. */
  readonly lane: Lane<Entry> | undefined
  /** Jobs that wait, of all tenants. */
  readonly inLine: number
}

/** Null: not refused. */
export function refusal(
  job: ScheduledJob,
  { tenant, share, flow, lane, inLine }: Standing,
  caps: Caps,
  fairness: Fairness,
  free: SchedulerOptions['free'],
  now: number,
): SluiceError | null {
  const { rate, meanOutput, meanMs } = flow.throughput
  const jobMs = rate === null ? null : (job.promptTokens + meanOutput) / rate
  const full = (what: string, cap: number, unit: string, goneMs: number | null): SluiceError =>
    new SluiceError('queue_full', {
      message: `${what} in the queue: the limit is ${cap} ${unit}. Retry later.`,
      ...(goneMs === null ? {} : { retryAfterMs: soon(goneMs) }),
    })

  if (inLine >= caps.maxQueuedJobs) return full('Too many jobs', caps.maxQueuedJobs, 'jobs', jobMs && jobMs * inLine)
  const tenantMs = jobMs && jobMs * tenant.queued * Math.max(1, flow.tenants)
  if (tenant.queued >= caps.maxQueuedPerTenant)
    return full('Too many jobs of this tenant', caps.maxQueuedPerTenant, 'jobs', tenantMs)
  if (tenant.bytes + job.bodyBytes > caps.maxQueuedBytesPerTenant)
    return full('Too many bytes of this tenant', caps.maxQueuedBytesPerTenant, 'bytes', tenantMs)
  const shareMs = share && jobMs && jobMs * share.queued
  if (share !== null && share.queued >= caps.maxQueuedPerSession)
    return full('Too many jobs of this session', caps.maxQueuedPerSession, 'jobs', shareMs)
  if (share !== null && share.bytes + job.bodyBytes > caps.maxQueuedBytesPerSession)
    return full('Too many bytes of this session', caps.maxQueuedBytesPerSession, 'bytes', shareMs)
  // Held back, it would hold back all that waits behind it in the broker, whoever's that is
  if (lane !== undefined && lane.waiting >= caps.maxQueuedPerLane && job.hasWaited !== true)
    return full(
      'Too many jobs of this lane',
      caps.maxQueuedPerLane,
      'jobs',
      meanMs === 0 ? null : meanMs * lane.waiting,
    )

  if (job.deadlineMono === Infinity) return null
  const room = job.deadlineMono - now
  const startMs = earliestStartMs(fairness, job, tenant, flow, lane, room)
  if (startMs === null || startMs <= room) return null
  // The speed of late may be that of fewer slots than there are now
  return flow.ready < (free?.(job) ?? 0)
    ? null
    : new SluiceError('deadline_unreachable', { retryAfterMs: within(startMs - room) })
}

const within = (ms: number): number => Math.ceil(Math.min(MOST_MS, Math.max(LEAST_MS, ms)))
/** When a tenth of the line will be gone. `ms`: when all of it will. */
const soon = (ms: number): number => within(ms / 10)
