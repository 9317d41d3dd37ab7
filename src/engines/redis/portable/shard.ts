/** A shard of Redis at rest, to be read or filled. */
import type { Clock } from '../../../core/clock.ts'
import { SluiceError } from '../../../core/errors.ts'
import type { Ids } from '../../../core/ids.ts'
import { DOCUMENT_KINDS } from '../../../core/ports/documents.ts'
import type { Filling, Held } from '../../../core/ports/portable.ts'
import type { Durability } from '../../shared/durability.ts'
import { FIRST_EPOCH } from '../../shared/portable/epochs.ts'
import type { RedisAddress } from '../client/connection.ts'
import { storageError } from '../client/errors.ts'
import type { AskTime } from '../client/redis-time.ts'
import { holdShard, type Shard } from './hold.ts'
import { sourcesOf } from './read.ts'
import { sinksOf, type WriteRules } from './write.ts'

export interface ShardOptions {
  readonly redis: RedisAddress
  readonly durability: Durability
  readonly allowDataLoss: boolean
  readonly clock: Clock
  readonly ids: Ids
  /** Where tests reach in. */
  readonly askTime?: AskTime
}

const KEYS_AT_ONCE = 1_000
const MARK_BYTES = 8

const hold = ({ redis, durability, allowDataLoss, clock, ids, askTime }: ShardOptions): Promise<Shard> =>
  holdShard(redis, { durability, allowDataLoss }, clock, ids, askTime)

/** Rejects with in_use, and with config_invalid where commands are left that no coordinator took. */
export async function openShard(options: ShardOptions): Promise<Held> {
  const shard = await hold(options)
  const damaged: string[] = []
  try {
    await expectUsable(shard)
    await expectTaken(shard)
  } catch (error) {
    await shard.release()
    throw storageError(error)
  }
  return {
    name: nameOf(options.redis),
    sources: sourcesOf(shard, (detail) => damaged.push(detail)),
    damaged,
    confirm: () => shard.confirm(),
    close: () => shard.release(),
  }
}

/** Null: it holds something, and not what a filling left that was cut. Rejects with in_use. */
export async function fillShard(options: ShardOptions, rules: WriteRules): Promise<Filling | null> {
  const shard = await hold(options)
  const { names, connection } = shard
  try {
    const wasCut = (await connection.client.exists(names.filling())) === 1
    if (!wasCut && !(await isEmpty(shard))) {
      await shard.release()
      return null
    }
    await shard.put('put', [[1, 'SET', 'filling', options.ids.name('f', MARK_BYTES)]])
    if (wasCut) await empty(shard)
    await shard.put('put', [
      [0, 'DEL', 'epochs'],
      // What a fleet that held nothing had used
      [0, 'DEL', 'lim'],
      [0, 'DEL', 'use:log'],
      [1, 'LPUSH', 'epochs', `${FIRST_EPOCH} 0`],
    ])
  } catch (error) {
    await shard.release()
    throw storageError(error)
  }
  const undo = async (): Promise<void> => {
    await empty(shard)
    await shard.put('put', [DONE])
  }
  let finished = false
  return {
    name: nameOf(options.redis),
    sinks: sinksOf(shard, rules),
    sources: sourcesOf(shard, () => {}, true),
    async finish() {
      await shard.put('put', [DONE])
      finished = true
    },
    async close() {
      // Where that fails, the next one that fills it begins with that
      if (!finished && !connection.away) await undo().catch(() => {})
      await shard.release()
    },
  }
}

/** It is no longer being filled. */
const DONE = [0, 'DEL', 'filling'] as const

/** Without its password. */
function nameOf({ url, prefix = '' }: RedisAddress): string {
  const { host } = new URL(url)
  return `Redis at ${host}${prefix === '' ? '' : ` (prefix "${prefix}")`}`
}

async function expectUsable({ connection, names }: Shard): Promise<void> {
  if ((await connection.client.exists(names.filling())) === 1) throw halfFilled()
}

/** What `sluice migrate` left when it was cut is nothing that a server may run on. */
export const halfFilled = (): SluiceError =>
  new SluiceError('config_invalid', {
    message:
      'This Redis is half filled: a migration, or a restore, was cut short, or is still under way. Run it again; ' +
      'what it left is removed first.',
  })

async function expectTaken({ connection, names }: Shard): Promise<void> {
  const commands = await connection.client.xlen(names.inbox())
  if (commands > 0)
    throw new SluiceError('config_invalid', {
      message:
        `${commands} commands in Redis were not taken by a coordinator: the fleet was killed. Start one process of ` +
        'it, wait until it is ready, stop it (SIGTERM), and try again.',
    })
}

async function isEmpty({ connection: { client }, names }: Shard): Promise<boolean> {
  const held = [
    names.live(),
    names.run(),
    names.jobs(),
    names.unfiled(),
    names.keys(),
    names.tenants(),
    names.audit(),
    names.pauses(),
    names.conversationBytes(),
    names.usageDays(),
    ...DOCUMENT_KINDS.map(names.documents),
  ]
  return (await client.exists(...held)) === 0 && (await client.xlen(names.inbox())) === 0
}

/** Removes all of the shard but what holds it. */
async function empty(shard: Shard): Promise<void> {
  const { connection, names } = shard
  const kept = new Set([names.owner(), names.term(), names.fence(), names.filling()])
  const { client } = connection
  const pattern = `${names.shard.replace(/[*?[\]\\]/g, '\\$&')}:*`
  for (let cursor = '0'; ; ) {
    const [next, found] = await client.scan(cursor, 'MATCH', pattern, 'COUNT', KEYS_AT_ONCE)
    const gone = found.filter((key) => !kept.has(key))
    await shard.put(
      'put',
      gone.map((key) => [0, 'UNLINK', key.slice(names.shard.length + 1)]),
    )
    cursor = next
    if (cursor === '0') return
  }
}
