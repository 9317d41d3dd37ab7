/** The engine: decides who is next, and keeps what was promised. */
import { createCoordinator } from '../coordinator/coordinator.ts'
import type { Engine } from '../core/ports/engine.ts'
import { openEmbedded } from '../engines/embedded/open.ts'
import { thisBoot } from './boot.ts'
import type { Settings } from './in-force.ts'
import type { Runtime } from './runtime.ts'

/** J4: how long an SDK's retry joins a job that ended well. */
const JOIN_AFTER_END_MS = 60_000
/** A job that was running at its deadline, and comes back in line, is leased again within this or expires. */
const RETURN_ROOM_MS = 60_000

export function openEngine(settings: Settings, { clock, ids, wheel, emit }: Runtime): Engine {
  const { durability, dataDir, http, workers, queue, sessions } = settings.config
  const coordinator = createCoordinator({
    models: settings.routes(),
    ...queue,
    leaseMs: workers.leaseMs,
    maxQueuedPerSession: sessions.maxQueuedJobs,
    maxQueuedBytesPerSession: sessions.maxQueuedBytes,
    joinAfterEndMs: JOIN_AFTER_END_MS,
    returnRoomMs: RETURN_ROOM_MS,
    weight: (tenant) => settings.tenant(tenant)?.weight ?? 1,
    promptWeight: 1,
    outputWeight: 2,
    jitter: ids.jitter,
  })
  return openEmbedded({
    dir: dataDir,
    durability,
    coordinator,
    clock,
    ids,
    wheel,
    retention: settings.retention,
    disconnectGraceMs: http.disconnectGraceMs,
    joinAfterEndMs: JOIN_AFTER_END_MS,
    boot: thisBoot(ids),
    onFact: emit,
  })
}
