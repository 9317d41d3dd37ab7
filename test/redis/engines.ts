/** Engines of one fleet, for tests: each a process of its own, as far as the others can tell. */
import { createCoordinator } from '../../src/coordinator/coordinator.ts'
import { systemClock, Wheel } from '../../src/core/clock.ts'
import type { Happened } from '../../src/core/facts.ts'
import { systemIds } from '../../src/core/ids.ts'
import type { Engine } from '../../src/core/ports/engine.ts'
import type { RedisAddress } from '../../src/engines/redis/client/connection.ts'
import { openRedis, type RedisOptions } from '../../src/engines/redis/open.ts'
import { UNLIMITED } from '../../src/engines/shared/conversation-limits.ts'
import { FILE_CAPS } from '../../src/engines/shared/files.ts'
import type { JobRetention } from '../../src/engines/shared/retention.ts'
import { counted, type Settings } from '../conformance/harness.ts'
import { coordinatorOptions } from '../conformance/settings.ts'

const ids = systemIds()

export interface EngineOptions extends Partial<Pick<RedisOptions, 'durability' | 'disconnectGraceMs' | 'ids'>> {
  /** By way of a proxy. */
  readonly url?: string
  readonly settings?: Settings
  readonly retention?: Partial<JobRetention>
}

export class Engines {
  readonly address: RedisAddress
  readonly facts: Happened[] = []
  readonly #opened: Array<() => Promise<void>> = []

  /** `address`: they have a part of it to themselves. */
  constructor(address: RedisAddress) {
    this.address = { prefix: `${ids.name('engines', 4)}:`, ...address }
  }

  /** The one that is opened first coordinates. */
  async open(options: EngineOptions = {}): Promise<Engine & { kill(): void }> {
    const { url, settings = {}, retention, durability = 'memory', disconnectGraceMs = 15_000 } = options
    const { engine, kill } = await openRedis({
      redis: { ...this.address, ...(url !== undefined && { url }) },
      durability,
      allowDataLoss: false,
      coordinator: () => createCoordinator(coordinatorOptions(settings)),
      clock: systemClock,
      ids: options.ids ?? ids,
      wheel: new Wheel(systemClock),
      retention: {
        logsMs: 3_600_000,
        bytes: 1 << 30,
        atLeastMs: 0,
        usageMs: 86_400_000,
        usageBytes: 1 << 30,
        tenant: () => null,
        ...retention,
        conversations: UNLIMITED,
      },
      disconnectGraceMs,
      joinAfterEndMs: 60_000,
      files: { ...FILE_CAPS, ...settings.files },
      onFact: (fact) => this.facts.push(fact),
    })
    this.#opened.push(() => engine.close())
    await engine.restore()
    return { ...counted(engine), kill }
  }

  async close(): Promise<void> {
    for (const close of this.#opened.splice(0).reverse()) await close()
  }
}
