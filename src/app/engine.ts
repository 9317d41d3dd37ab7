/** The engine: decides who is next, and keeps what was promised. */
import type { Engine } from '../core/ports/engine.ts'
import { openEmbedded } from '../engines/embedded/open.ts'
import { thisBoot } from './boot.ts'
import { coordinatorOf, decisionSettings, JOIN_AFTER_END_MS, MODULE } from './decisions.ts'
import type { Settings } from './in-force.ts'
import { redisAddress } from './redis.ts'
import type { Runtime } from './runtime.ts'

/** `advises`: tells the operator what other processes of this machine would, too. */
export async function openEngine(
  settings: Settings,
  { clock, ids, wheel, emit }: Runtime,
  advises: boolean,
): Promise<Engine> {
  const { durability, dataDir, http, engine, files } = settings.config
  const shared = {
    durability,
    clock,
    ids,
    wheel,
    retention: settings.retention,
    files: { bytes: files.maxBytes, tenantBytes: files.maxTenantBytes, tenantFiles: files.maxTenantFiles },
    disconnectGraceMs: http.disconnectGraceMs,
    joinAfterEndMs: JOIN_AFTER_END_MS,
    onFact: emit,
  }
  if (engine === 'embedded') {
    const coordinator = coordinatorOf(
      decisionSettings(settings, () => settings.stored),
      ids.jitter,
    )
    return openEmbedded({ ...shared, dir: dataDir, coordinator, boot: thisBoot(ids) })
  }
  const { openRedis } = await import('../engines/redis/open.ts')
  const opened = await openRedis({
    ...shared,
    redis: redisAddress(engine.redis),
    allowDataLoss: engine.redis.allowDataLoss,
    advises,
    coordinator: { module: MODULE, options: decisionSettings(settings) },
  })
  return opened.engine
}
