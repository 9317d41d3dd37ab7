/**
 * What the coordinator decides by, as plain data: on Redis it runs in a thread of its own, which imports this module
 * (DecisionsModule).
 */
import { createCoordinator } from '../coordinator/coordinator.ts'
import { systemIds } from '../core/ids.ts'
import type { Coordinator } from '../core/ports/coordinator.ts'
import type { Decisions } from '../engines/redis/coordinator/host-thread.ts'
import type { Settings } from './in-force.ts'

/** J4: how long an SDK's retry joins a job that ended well. */
export const JOIN_AFTER_END_MS = 60_000
/** A job that was running at its deadline, and comes back in line, is leased again within this or expires. */
const RETURN_ROOM_MS = 60_000

/** Its own URL, for the thread. */
export const MODULE = import.meta.url

const settingsNow = ({ config, plan }: Settings) => {
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
export type DecisionSettings = ReturnType<typeof settingsNow>

/** As they are whenever it is asked: a reload changes them. */
export function decisionSettings(settings: Settings): () => DecisionSettings {
  let { config } = settings
  let now = settingsNow(settings)
  return () => {
    if (config !== settings.config) {
      config = settings.config
      now = settingsNow(settings)
    }
    return now
  }
}

export function coordinatorOf(settings: () => DecisionSettings, jitter: () => number): Coordinator {
  const { models, queue, leaseMs, maxQueuedPerSession, maxQueuedBytesPerSession } = settings()
  return createCoordinator({
    models,
    ...queue,
    leaseMs,
    maxQueuedPerSession,
    maxQueuedBytesPerSession,
    joinAfterEndMs: JOIN_AFTER_END_MS,
    returnRoomMs: RETURN_ROOM_MS,
    weight: (tenant) => settings().weights.get(tenant) ?? 1,
    promptWeight: 1,
    outputWeight: 2,
    jitter,
  })
}

export function openDecisions(options: unknown): Decisions {
  let settings = options as DecisionSettings
  const { jitter } = systemIds()
  return {
    createCoordinator: () => coordinatorOf(() => settings, jitter),
    keepMs: (tenant) => settings.keepMsOf.get(tenant) ?? settings.keepMs,
    change(to) {
      settings = to as DecisionSettings
    },
  }
}
