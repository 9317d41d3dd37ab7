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
import { type Argument, Scripts } from '../client/scripts.ts'
import { LAYOUT } from '../protocol/version.ts'

const TTL_MS = 5_000
const RENEW_MS = 1_000
/** A coordinator that died is gone when its key has expired. */
const WAIT_MS = 3_000
const LOOK_MS = 100
const HOST_BYTES = 8

/** How many arguments, a command, its key without the shard's name, and the arguments. */
export type Change = readonly Argument[]

export interface Shard {
  readonly names: Names
  readonly connection: Connection
  readonly scripts: Scripts
  /** Runs one of the put scripts, which change nothing where another one holds the shard: then rejects with in_use. */
  put(script: string, changes: readonly Change[], args?: readonly Argument[]): Promise<void>
  /** Redis's clock when it was taken: for what is read and written, time stands still, so that nothing moves apart. */
  readonly nowMs: number
  /** Throws in_use, or storage_unavailable, where it is known that it is no longer held. */
  expectHeld(): void
  /** Rejects so where it was not held all the time: what was read may not be of one moment. */
  confirm(): Promise<void>
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
  let fence = ''
  const take = (from: string): Promise<unknown> => scripts.run('hold', [host, TTL_MS, from, processes, LAYOUT, fence])
  const stops: Array<() => void> = []
  let lost: SluiceError | null = null
  let heldMono = clock.monoMs()
  let released = false

  async function hold(): Promise<void> {
    const giveUpMono = clock.monoMs() + WAIT_MS
    for (let from = ''; ; await sleep(clock, LOOK_MS)) {
      const [held, detail, more] = (await take(from)) as readonly [number, string | number, (string | number)?]
      if (held === -1) throw tooNew(Number(detail))
      if (held === 1) {
        if (Number(detail) > 0) throw inUse(Number(detail))
        fence = String(more)
        heldMono = clock.monoMs()
        return
      }
      if (Number(more) > 0 || clock.monoMs() > giveUpMono) throw inUse(1)
      from = String(detail)
    }
  }
  async function renew(): Promise<void> {
    try {
      const askedMono = clock.monoMs()
      const [held] = (await take('')) as readonly [number]
      if (held === 1) heldMono = askedMono
      else lost ??= inUse(1)
    } catch (error) {
      lost ??= storageError(error)
    }
  }
  function expectHeld(): void {
    // This process was stopped meanwhile
    if (clock.monoMs() - heldMono > TTL_MS) lost ??= inUse(1)
    if (lost !== null) throw lost
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
      async put(script, changes, args = []) {
        expectHeld()
        try {
          const put = await scripts.run(script, [fence, changes.length, ...changes.flat(), ...args])
          if (put === 'fenced') lost ??= inUse(1)
        } catch (error) {
          throw storageError(error)
        }
        expectHeld()
      },
      expectHeld,
      async confirm() {
        await renew()
        expectHeld()
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
      `The fleet on this Redis has ${processes === 1 ? 'a process that runs' : `${processes} processes that run`}, ` +
      'or is being moved by another command: stop all of them (SIGTERM), or choose another engine.redis.prefix.',
  })
