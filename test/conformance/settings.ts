/** The coordinator that engines are held against the suites with. */
import type { CoordinatorOptions } from '../../src/coordinator/coordinator.ts'
import { NO_LIMITS } from '../../src/core/limits.ts'
import type { PlanModel } from '../../src/core/ports/coordinator.ts'
import type { Settings } from './harness.ts'

/** One deployment of this name for these models. */
export const model = (name: string, concurrent = Infinity): PlanModel => ({
  name,
  deployments: [
    { name: `d of ${name}`, kinds: ['chat', 'embedding'], upstreamModel: null, concurrent, order: 0, revision: '' },
  ],
})

/** All models, and room for all. */
export const ANY_MODEL = [model('*')]

/** In which a reader may come back. */
export const GRACE_MS = 15_000

export const coordinatorOptions = (settings: Settings): CoordinatorOptions => ({
  models: settings.models ?? ANY_MODEL,
  limits: () => settings.limits ?? NO_LIMITS,
  shares: () => settings.shares ?? null,
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
