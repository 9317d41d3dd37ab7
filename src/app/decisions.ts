/**
 * What the coordinator decides by, as plain data: on Redis it runs in a thread of its own, which imports this module
 * (DecisionsModule).
 */
import { createCoordinator } from '../coordinator/coordinator.ts'
import { systemIds } from '../core/ids.ts'
import type { TenantId } from '../core/job.ts'
import type { Coordinator } from '../core/ports/coordinator.ts'
import type { Decisions } from '../engines/redis/coordinator/host-thread.ts'
import type { Settings } from './in-force.ts'

/** J4: how long an SDK's retry joins a job that ended well. */
export const JOIN_AFTER_END_MS = 60_000
/** A job that was running at its deadline, and comes back in line, is leased again within this or expires. */
const RETURN_ROOM_MS = 60_000

/** Its own URL, for the thread. */
export const MODULE = import.meta.url

/** What a reload changes is in it as it is now. */
export function decisionSettings({ config, plan }: Settings) {
  const { queue, sessions, workers, tenants, retention } = config
  return {
    models: plan(),
    queue,
    leaseMs: workers.leaseMs,
    maxQueuedPerSession: sessions.maxQueuedJobs,
    maxQueuedBytesPerSession: sessions.maxQueuedBytes,
    weights: new Map(tenants.map(({ name, weight }) => [name, weight])),
    keepMs: retention.logsMs,
    keepMsOf: new Map(tenants.map(({ name, retention: own }) => [name, own.logsMs])),
  }
}
export type DecisionSettings = ReturnType<typeof decisionSettings>

/** `weight`: of a tenant, asked each time. */
export const coordinatorOf = (
  { models, queue, leaseMs, maxQueuedPerSession, maxQueuedBytesPerSession }: DecisionSettings,
  weight: (tenant: TenantId) => number,
  jitter: () => number,
): Coordinator =>
  createCoordinator({
    models,
    ...queue,
    leaseMs,
    maxQueuedPerSession,
    maxQueuedBytesPerSession,
    joinAfterEndMs: JOIN_AFTER_END_MS,
    returnRoomMs: RETURN_ROOM_MS,
    weight,
    promptWeight: 1,
    outputWeight: 2,
    jitter,
  })

export function openDecisions(options: unknown): Decisions {
  let settings = options as DecisionSettings
  const { jitter } = systemIds()
  return {
    createCoordinator: () => coordinatorOf(settings, (tenant) => settings.weights.get(tenant) ?? 1, jitter),
    keepMs: (tenant) => settings.keepMsOf.get(tenant) ?? settings.keepMs,
    change(to) {
      settings = to as DecisionSettings
    },
  }
}
