/**
 * A shard at rest: no process is there, and none can coordinate while it is held. What is held is the coordinator's own
 * place, so that one that was stopped, and wakes up, is fenced too.
 */
import { type Clock, sleep } from '../../../core/clock.ts'
import { SluiceError } from '../../../core/errors.ts'
import type { Ids } from '../../../core/ids.ts'
import { checkConnection, type Demands } from '../client/check.ts'
import { Connection, PING_MS, type RedisAddress } from '../client/connection.ts'
import { storageError, tooNew } from '../client/errors.ts'
import { Names } from '../client/names.ts'
import { openError } from '../client/open-error.ts'
import { type AskTime, RedisTime, timeOf } from '../client/redis-time.ts'
import { Scripts } from '../client/scripts.ts'
import { LAYOUT } from '../protocol/version.ts'

const TTL_MS = 5_000
const RENEW_MS = 1_000
/** A coordinator that died is gone when its key has expired. */
const WAIT_MS = 3_000
const LOOK_MS = 100
const HOST_BYTES = 8

export interface Shard {
  readonly names: Names
  readonly connection: Connection
  readonly scripts: Scripts
  /** Redis's clock when it was taken: for what is read and written, time stands still, so that nothing moves apart. */
  readonly nowMs: number
  /** Throws in_use, or storage_unavailable, where it is no longer held. */
  expectHeld(): void
  /** Safe to repeat. */
  release(): Promise<void>
}

/** Rejects with in_use while a process of the fleet is there; with storage_unavailable, config_invalid as a start. */
export async function holdShard(
  redis: RedisAddress,
  demands: Omit<Demands, 'cluster'>,
  clock: Clock,
  ids: Ids,
  askTime?: AskTime,
): Promise<Shard> {
  const names = new Names(redis.prefix)
  const host = ids.name('m', HOST_BYTES).slice(2)
  const connection = new Connection(redis)
  const subscriber = new Connection(redis)
  const scripts = new Scripts(connection, names.shard)
  const time = new RedisTime(clock, askTime ?? (() => timeOf(scripts)))
  const processes = names.processes()
  const take = (from: string): Promise<unknown> => scripts.run('hold', [host, TTL_MS, from, processes, LAYOUT])
  const stops: Array<() => void> = []
  let lost: SluiceError | null = null
  let released = false

  async function hold(): Promise<void> {
    const giveUpMono = clock.monoMs() + WAIT_MS
    for (let from = ''; ; await sleep(clock, LOOK_MS)) {
      const [held, detail, heard] = (await take(from)) as readonly [number, string | number, number?]
      if (held === -1) throw tooNew(Number(detail))
      if (held === 1) {
        if (Number(detail) > 0) throw inUse(Number(detail))
        return
      }
      if (Number(heard) > 0 || clock.monoMs() > giveUpMono) throw inUse(1)
      from = String(detail)
    }
  }
  async function renew(): Promise<void> {
    try {
      const [held] = (await take('')) as readonly [number]
      if (held !== 1) lost = inUse(1)
    } catch (error) {
      lost = storageError(error)
    }
  }
  async function release(): Promise<void> {
    if (released) return
    released = true
    for (const stop of stops) stop()
    time.stop()
    if (!connection.away) await scripts.run('release', [host]).catch(() => {}) // it expires
    connection.close()
    subscriber.close()
  }
  try {
    await Promise.all([connection.open(), subscriber.open()])
    await checkConnection(connection, demands)
    await subscriber.subscribe(names.host(host), () => {})
    await hold()
    await time.start()
    stops.push(
      clock.every(RENEW_MS, () => void renew()),
      clock.every(PING_MS, () => subscriber.ping()),
    )
    return {
      names,
      connection,
      scripts,
      nowMs: Math.floor(time.nowMs()),
      expectHeld() {
        if (lost !== null) throw lost
      },
      release,
    }
  } catch (error) {
    await release()
    throw openError(error, redis)
  }
}

export const inUse = (processes: number): SluiceError =>
  new SluiceError('in_use', {
    message:
      `The fleet on this Redis has ${processes === 1 ? 'a process' : `${processes} processes`} that ` +
      `${processes === 1 ? 'runs' : 'run'}: stop all of them (SIGTERM), or choose another engine.redis.prefix.`,
  })
