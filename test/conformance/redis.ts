/** Opens the Redis engine for the suites, on a real server or a real cluster, and lets it die in two ways. */
import { createCoordinator } from '../../src/coordinator/coordinator.ts'
import { Wheel } from '../../src/core/clock.ts'
import type { Happened } from '../../src/core/facts.ts'
import { systemIds } from '../../src/core/ids.ts'
import type { RedisAddress } from '../../src/engines/redis/client/connection.ts'
import { openRedis } from '../../src/engines/redis/open.ts'
import { UNLIMITED } from '../../src/engines/shared/conversation-limits.ts'
import type { Durability } from '../../src/engines/shared/durability.ts'
import { FILE_CAPS } from '../../src/engines/shared/files.ts'
import { FaultProxy } from '../redis/proxy.ts'
import { counted, leapClock, type Opened, type Settings } from './harness.ts'
import { coordinatorOptions, GRACE_MS } from './settings.ts'

/** What the suites run on. */
export interface Store {
  readonly address: RedisAddress
  /** Where processes can be cut off: the port that theirs is a way to. */
  readonly port?: number
  /** Killed and started again, on what it has stored. */
  crash(): Promise<void>
  remove(): Promise<void>
}

const ids = systemIds()

/** `own`: each store is one case's, and removed with the last of its processes. */
export function redis(
  store: () => Promise<Store>,
  durability: Durability,
  { own = false } = {},
): (settings?: Settings) => Promise<Opened> {
  return async (settings = {}) => {
    const { address, port, crash, remove } = await store()
    let left = 0
    /** Each case has a part of the server to itself. */
    const prefix = `${ids.name('case', 6)}:`
    const clock = leapClock()
    const facts: Happened[] = []
    const begunMono = performance.now() - clock.monoMs()
    /** Redis's own clock, as if it had leapt too. */
    const askTime = async (): Promise<number> => Date.now() + clock.monoMs() - (performance.now() - begunMono)
    const start = async (): Promise<Opened> => {
      const proxy = port === undefined ? null : await FaultProxy.start(port)
      const { engine: real, kill } = await openRedis(
        {
          redis: { ...address, ...(proxy && { url: proxy.url }), prefix },
          durability,
          allowDataLoss: false,
          coordinator: () => createCoordinator(coordinatorOptions(settings)),
          clock,
          ids,
          wheel: new Wheel(clock),
          retention: {
            logsMs: settings.retentionMs ?? 86_400_000,
            bytes: 1 << 30,
            atLeastMs: 0,
            usageMs: settings.usageMs ?? 86_400_000,
            usageBytes: 1 << 30,
            ...(settings.usageSums !== undefined && { usageSums: settings.usageSums }),
            conversations: UNLIMITED,
            tenant: (tenant) => {
              const logsMs = settings.retentionOf?.(tenant) ?? null
              return logsMs === null ? null : { logsMs }
            },
          },
          joinAfterEndMs: 60_000,
          files: { ...FILE_CAPS, ...settings.files },
          disconnectGraceMs: GRACE_MS,
          onFact: (fact) => facts.push(fact),
        },
        { askTime },
      )
      left++
      const engine = counted(real)
      await engine.restore()
      return {
        engine,
        clock,
        facts,
        async reopen(how, meanwhile) {
          kill()
          await proxy?.close()
          if (how === 'power') await crash()
          meanwhile?.()
          return start()
        },
        beside: start,
        ...(proxy && {
          cut() {
            proxy.cut()
            return () => proxy.heal()
          },
        }),
        async close() {
          await engine.close()
          await proxy?.close()
          if (--left === 0 && own) await remove()
        },
      }
    }
    return start()
  }
}
