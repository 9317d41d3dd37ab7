/** The scheduler that engines are held against the suites with. */
import type { SchedulerOptions } from '../../src/core/ports/scheduler.ts'
import type { Settings } from './harness.ts'

export const schedulerOptions = (settings: Settings): SchedulerOptions => ({
  leaseMs: settings.leaseMs ?? 3_600_000,
  maxAttempts: settings.maxAttempts ?? 3,
  maxCrashes: settings.maxCrashes ?? 3,
  retryBaseMs: 100,
  retryCapMs: 1_000,
  maxQueuedJobs: 100_000,
  maxQueuedPerTenant: settings.maxQueuedPerTenant ?? 100_000,
  maxQueuedPerLane: 1_000,
  maxQueuedBytesPerTenant: 1 << 30,
  maxQueuedPerSession: settings.maxQueuedPerSession ?? 100_000,
  maxQueuedBytesPerSession: 1 << 30,
  joinAfterEndMs: 60_000,
  returnRoomMs: 60_000,
  weight: () => 1,
  promptWeight: 1,
  outputWeight: 2,
  jitter: () => 0.5,
})
