/** What parts of the Redis engine are built on, for tests of one of them: the connections of one process. */

import type { Happened } from '../../src/core/facts.ts'
import { Connection, type RedisAddress } from '../../src/engines/redis/client/connection.ts'
import { Names } from '../../src/engines/redis/client/names.ts'
import { Scripts } from '../../src/engines/redis/client/scripts.ts'
import { type LeapClock, leapClock } from '../conformance/harness.ts'

export interface Parts {
  readonly names: Names
  readonly commands: Connection
  readonly subscriber: Connection
  readonly scripts: Scripts
  readonly clock: LeapClock
  readonly time: { nowMs(): number }
  readonly facts: readonly Happened[]
  readonly emit: (fact: Happened) => void
  close(): void
}

export async function openParts(address: RedisAddress): Promise<Parts> {
  const names = new Names(address.prefix)
  const commands = new Connection(address)
  const subscriber = new Connection(address)
  await Promise.all([commands.open(), subscriber.open()])
  const facts: Happened[] = []
  return {
    names,
    commands,
    subscriber,
    scripts: new Scripts(commands, names.shard),
    clock: leapClock(),
    time: { nowMs: () => Date.now() },
    facts,
    emit: (fact) => void facts.push(fact),
    close() {
      commands.close()
      subscriber.close()
    },
  }
}
