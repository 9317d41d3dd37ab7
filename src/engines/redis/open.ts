/**
 * The Redis engine, in a process of any role: what it asks and is told goes over the bus, what it decides nothing of is
 * read from Redis, and any process may run the coordinator of the fleet.
 */
import type { Clock, Wheel } from '../../core/clock.ts'
import type { Emit } from '../../core/facts.ts'
import type { Ids } from '../../core/ids.ts'
import { openGround } from './bus/ground.ts'
import type { RedisAddress } from './client/connection.ts'

export interface RedisOptions {
  readonly redis: RedisAddress
  readonly clock: Clock
  readonly ids: Ids
  readonly wheel: Wheel
  readonly onFact: Emit
}

/** Rejects where Redis can't be reached, or refuses. */
export async function openRedis({ redis, clock, ids, onFact }: RedisOptions): Promise<{ close(): Promise<void> }> {
  const ground = await openGround(redis, clock, ids, onFact)
  return {
    async close() {
      ground.close()
    },
  }
}
