/**
 * What the coordinator decides by, as plain data: on Redis it runs in a thread of its own, which imports this module
 * (DecisionsModule), and a reload of one process reaches the coordinator in another, as JSON.
 */
import { createCoordinator } from '../coordinator/coordinator.ts'
import { systemIds } from '../core/ids.ts'
import { isRecord } from '../core/json.ts'
import type { Coordinator, PlanModel } from '../core/ports/coordinator.ts'
import type { Decisions } from '../engines/redis/coordinator/parts.ts'
import {
  count,
  flag,
  list,
  maybe,
  members,
  number,
  object,
  oneOf,
  orNull,
  positive,
  record,
  type Shape,
  text,
} from '../engines/shared/shape.ts'
import type { Settings } from './in-force.ts'
import { type StoredLimits, withStored } from './stored-limits.ts'

/** J4: how long an SDK's retry joins a job that ended well. */
export const JOIN_AFTER_END_MS = 60_000
/** A job that was running at its deadline, and comes back in line, is leased again within this or expires. */
const RETURN_ROOM_MS = 60_000

/** Its own URL, for the thread. */
export const MODULE = import.meta.url

/** By the groups of the configuration that they come from. Null: no limit, as JSON has no Infinity. */
const settingsNow = (settings: Settings) => {
  const { config } = settings
  const { queue, sessions, workers, tenants, retention } = config
  const { plainDeadlineMs: _plain, jobDeadlineMs: _job, ...decides } = queue
  return {
    models: settings.plan(),
    queue: decides,
    workers: { leaseMs: workers.leaseMs },
    sessions: { maxQueuedJobs: sessions.maxQueuedJobs, maxQueuedBytes: sessions.maxQueuedBytes },
    tenants: tenants.map(({ name, weight, retention: own, cache }) => ({
      name,
      weight,
      keepMs: finite(own.logsMs ?? retention.logsMs),
      cache: { ttlMs: cache.ttlMs, maxEntries: cache.maxEntries, coalesce: cache.coalesce },
    })),
    retention: { keepMs: finite(retention.logsMs) },
    limits: settings.limits(),
  }
}
/** `stored`: what the store has of limits and switches, of which each process is told by it. */
export type DecisionSettings = ReturnType<typeof settingsNow> & { readonly stored?: StoredLimits }

const finite = (ms: number): number | null => (ms === Infinity ? null : ms)

const whenOut = oneOf('debt', 'deny_next', 'cut')
const level = members({
  rates: list(
    members({
      unit: oneOf('input_tokens', 'output_tokens', 'tokens', 'requests'),
      burst: positive,
      perSecond: positive,
      whenOut,
      oversize: oneOf('refuse', 'debt'),
    }),
  ),
  budgets: list(members({ window: oneOf('hour', 'day', 'month'), nanoDollars: count, whenOut })),
  velocity: maybe(members({ nanoDollarsPerHour: number, fiveMinutes: number, hour: number, coolDownMs: number })),
  concurrent: orNull(count),
  depth: maybe(count),
  maxRequestBytes: maybe(count),
})
const tenantLevels = members({
  all: orNull(level),
  eachUser: orNull(level),
  eachRun: orNull(level),
  eachKey: orNull(level),
  models: record(level),
})

/**
 * What is read of those that another process sends. A group that its version does not know, or can't read, stays as it
 * is: the marks of what is in force tell the sender.
 */
const GROUPS: Shape = {
  models: list(members({ name: text, deployments: list(object) })),
  queue: members({
    maxAttempts: count,
    maxCrashes: count,
    retryBaseMs: number,
    retryCapMs: number,
    maxQueuedJobs: count,
    maxQueuedPerTenant: count,
    maxQueuedPerLane: count,
    maxQueuedBytesPerTenant: count,
  }),
  workers: members({ leaseMs: number }),
  sessions: members({ maxQueuedJobs: count, maxQueuedBytes: count }),
  tenants: list(
    members({
      name: text,
      weight: number,
      keepMs: maybe(number),
      cache: maybe(members({ ttlMs: number, maxEntries: count, coalesce: flag })),
    }),
  ),
  retention: members({ keepMs: maybe(number) }),
  limits: members({
    global: orNull(level),
    models: record(level),
    tenants: record(tenantLevels),
    eachTenant: orNull(tenantLevels),
    keys: record(level),
  }),
  stored: members({
    tenants: record(tenantLevels),
    keys: record(level),
    disabled: members({
      tenants: list(text),
      models: list(text),
      deployments: maybe(list(text)),
      keys: record(text),
    }),
  }),
}

/** As they are whenever it is asked: a reload changes them. `stored`: see Engine.adjust. */
export function decisionSettings(settings: Settings, stored?: () => StoredLimits): () => DecisionSettings {
  let { config } = settings
  const read = (): DecisionSettings => ({ ...settingsNow(settings), ...(stored && { stored: stored() }) })
  let now = read()
  return () => {
    if (config !== settings.config || now.limits !== settings.limits() || now.stored !== stored?.()) {
      config = settings.config
      now = read()
    }
    return now
  }
}

type Tenants = ReadonlyMap<string, DecisionSettings['tenants'][number]>

/** By name; made once for each settings, as tokens are charged by it. */
function tenantsOf(settings: () => DecisionSettings): () => Tenants {
  let of: DecisionSettings['tenants'] | null = null
  let byName: Tenants = new Map()
  return () => {
    const { tenants } = settings()
    if (tenants !== of) byName = new Map(tenants.map((tenant) => [tenant.name, tenant]))
    of = tenants
    return byName
  }
}

export function coordinatorOf(settings: () => DecisionSettings, jitter: () => number): Coordinator {
  const tenants = tenantsOf(settings)
  const caps = () => {
    const { queue, sessions } = settings()
    return {
      ...queue,
      maxQueuedPerSession: sessions.maxQueuedJobs,
      maxQueuedBytesPerSession: sessions.maxQueuedBytes,
    }
  }
  const { models, workers } = settings()
  return createCoordinator({
    models: models.map(withoutLimits),
    limits: withStored(settings),
    isDrained: (deployment) => settings().stored?.disabled.deployments?.includes(deployment) ?? false,
    ...caps(),
    caps,
    leaseMs: workers.leaseMs,
    joinAfterEndMs: JOIN_AFTER_END_MS,
    returnRoomMs: RETURN_ROOM_MS,
    weight: (tenant) => tenants().get(tenant)?.weight ?? 1,
    // One of an older version has none
    shares: (tenant) => tenants().get(tenant)?.cache ?? null,
    promptWeight: 1,
    outputWeight: 2,
    jitter,
  })
}

const withoutLimits = (model: PlanModel): PlanModel => ({
  ...model,
  deployments: model.deployments.map((each) => ({ ...each, concurrent: each.concurrent ?? Infinity })),
})

export function openDecisions(options: unknown): Decisions {
  let settings = options as DecisionSettings
  const { jitter } = systemIds()
  const tenants = tenantsOf(() => settings)
  return {
    createCoordinator: () => coordinatorOf(() => settings, jitter),
    keepMs: (tenant) => (tenants().get(tenant) ?? settings.retention).keepMs,
    settings: () => settings,
    change(to) {
      const groups = Object.entries(isRecord(to) ? to : {})
      const read = groups.filter(([name, group]) => Object.hasOwn(GROUPS, name) && GROUPS[name](group))
      if (read.length > 0) settings = { ...settings, ...Object.fromEntries(read) }
    },
  }
}
