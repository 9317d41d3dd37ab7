/** What every part of the Redis engine works with, in one process. */
import type { Clock } from '../../../core/clock.ts'
import type { Emit } from '../../../core/facts.ts'
import type { Ids } from '../../../core/ids.ts'
import { type Connect, Connection, type RedisAddress } from '../client/connection.ts'
import { storageError } from '../client/errors.ts'
import { Names } from '../client/names.ts'
import { openError } from '../client/open-error.ts'
import { type AskTime, RedisTime, timeOf } from '../client/redis-time.ts'
import { Room } from '../client/room.ts'
import { Scripts } from '../client/scripts.ts'
import { Bus } from './bus.ts'

export interface Ground {
  readonly names: Names
  readonly commands: Connection
  readonly scripts: Scripts
  /** Other channels of this process are heard here, too. */
  readonly subscriber: Connection
  readonly bus: Bus
  readonly room: Room
  readonly clock: Clock
  readonly time: RedisTime
  readonly ids: Ids
  readonly emit: Emit
  /** Safe to repeat. */
  readonly close: () => void
}

const PROCESS_BYTES = 8

/** Rejects where Redis can't be reached, or refuses. */
export async function openGround(
  redis: RedisAddress,
  clock: Clock,
  ids: Ids,
  emit: Emit,
  askTime?: AskTime,
  connect: Connect = () => new Connection(redis),
): Promise<Ground> {
  const names = new Names(redis.prefix)
  const commands = connect()
  const subscriber = connect()
  const scripts = new Scripts(commands, names.shard)
  const bus = new Bus(names, scripts, commands, subscriber, clock)
  const room = new Room(scripts, clock)
  const time = new RedisTime(clock, askTime ?? (() => timeOf(scripts)))
  const close = (): void => {
    bus.close()
    room.stop()
    time.stop()
    commands.close()
    subscriber.close()
  }
  try {
    await Promise.all([commands.open(), subscriber.open()]).catch((error: unknown) => {
      throw openError(error, redis)
    })
    await Promise.all([bus.open(ids.name('p', PROCESS_BYTES).slice(2)), time.start(), room.start()])
    commands.onTurn((back) => back && time.readAgain())
  } catch (error) {
    close()
    throw storageError(error)
  }
  return { names, commands, subscriber, scripts, bus, room, clock, time, ids, emit, close }
}
