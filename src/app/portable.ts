/** What `sluice migrate`, `backup` and `restore` do with stores at rest. */
import type { Config } from '../config/schema.ts'
import { systemClock } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import { systemIds } from '../core/ids.ts'
import type { Filling, Held } from '../core/ports/portable.ts'
import { fillFolder, openHeldFolder } from '../engines/embedded/portable/folder.ts'
import type { ShardOptions } from '../engines/redis/portable/shard.ts'
import { decoded, encoded } from '../engines/shared/portable/file.ts'
import { type Part, partsOf } from '../engines/shared/portable/parts.ts'
import { type Count, differences, type Progress, receive, survey } from '../engines/shared/portable/transfer.ts'
import { thisBoot } from './boot.ts'
import { JOIN_AFTER_END_MS } from './decisions.ts'
import { redisAddress } from './redis.ts'

export type { Count, Progress } from '../engines/shared/portable/transfer.ts'

export interface Moved {
  /** Null: a file. */
  readonly from: string | null
  readonly to: string
  readonly counts: readonly Count[]
  /** What was left out because it is damaged. */
  readonly damaged: readonly string[]
  /** The target held exactly this before. */
  readonly wasThere: boolean
}

export type EngineName = 'embedded' | 'redis'

const ids = systemIds()

/** Rejects with in_use while either side is used, and leaves the source as it is. `dryRun`: nothing is moved. */
export async function migrate(config: Config, to: EngineName, dryRun: boolean, progress: Progress): Promise<Moved> {
  const from = await open(config, to === 'redis' ? 'embedded' : 'redis')
  try {
    const filling = await fill(config, to)
    if (filling === null) return await sameAs(from, config, to, progress)
    try {
      const counts = dryRun
        ? await survey(from.sources, false, progress)
        : await receive(confirmed(from), filling, progress)
      return { from: from.name, to: filling.name, counts, damaged: from.damaged, wasThere: false }
    } finally {
      await filling.close()
    }
  } finally {
    await from.close()
  }
}

/** All that it holds, if nobody changed it meanwhile. */
async function* confirmed(from: Held): AsyncGenerator<Part> {
  yield* partsOf(from.sources)
  await from.confirm()
}

/** The target is not empty. That is no failure where all of it is there: it was moved before. */
async function sameAs(from: Held, config: Config, to: EngineName, progress: Progress): Promise<Moved> {
  const there = await open(config, to)
  try {
    const counts = await survey(from.sources, true, progress)
    const found = await survey(there.sources, true, (section, items) => progress(`${section}, compared`, items))
    await Promise.all([from.confirm(), there.confirm()])
    if (differences(counts, found).length > 0) throw occupied(there.name)
    return { from: from.name, to: there.name, counts, damaged: from.damaged, wasThere: true }
  } finally {
    await there.close()
  }
}

/** Into the engine of the configuration, which must be empty. `name`: of the file. */
export async function restore(
  config: Config,
  chunks: AsyncIterable<Uint8Array>,
  name: string,
  progress: Progress,
): Promise<Moved> {
  const to = config.engine === 'embedded' ? 'embedded' : 'redis'
  const parts = decoded(chunks, name)
  // What is missing, or no backup at all, touches nothing
  const first = await parts.next()
  const filling = await fill(config, to)
  if (filling === null) throw occupied(to === 'embedded' ? `The data folder ${config.dataDir}` : 'This Redis')
  try {
    const counts = await receive(after(first, parts), filling, progress)
    return { from: null, to: filling.name, counts, damaged: [], wasThere: false }
  } finally {
    await filling.close()
  }
}

async function* after(first: IteratorResult<Part>, parts: AsyncGenerator<Part>): AsyncGenerator<Part> {
  if (first.done !== true) yield first.value
  yield* parts
}

/**
 * All that the engine of the configuration holds, in the form of a backup. Nobody may use it meanwhile: rejects with
 * in_use, the iteration too.
 */
export async function readStopped(config: Config): Promise<Pick<Held, 'name' | 'damaged' | 'close'> & Stored> {
  const held = await open(config, config.engine === 'embedded' ? 'embedded' : 'redis')
  const { name, damaged } = held
  return { name, damaged, chunks: encoded(confirmed(held)), close: () => held.close() }
}

interface Stored {
  readonly chunks: AsyncIterable<Uint8Array>
}

/** Is this file, which is just being written, a whole backup? */
export async function inspect(chunks: AsyncIterable<Uint8Array>, name: string): Promise<readonly Count[]> {
  const counts: Array<{ -readonly [K in keyof Count]: Count[K] }> = []
  for await (const part of decoded(chunks, name) as AsyncIterable<Part>) {
    const last = counts.at(-1)
    if ('section' in part) counts.push({ section: part.section, items: 0, bytes: 0, digest: '' })
    else if (last !== undefined) {
      last.items++
      last.bytes += part.item.blob.length
    }
  }
  return counts
}

const occupied = (name: string): SluiceError =>
  new SluiceError('config_invalid', {
    message:
      `${name} is not empty, and what comes is never mixed with what is there. Name a data folder without a store ` +
      '(--data-dir), or another engine.redis.prefix (--redis-prefix).',
  })

async function open(config: Config, engine: EngineName): Promise<Held> {
  if (engine === 'embedded') {
    expectStored(config)
    return openHeldFolder(config.dataDir, systemClock, ids, thisBoot(ids))
  }
  const { openShard } = await import('../engines/redis/portable/shard.ts')
  return openShard(shardOf(config))
}

async function fill(config: Config, engine: EngineName): Promise<Filling | null> {
  if (engine === 'embedded') {
    expectStored(config)
    return fillFolder(config.dataDir, ids)
  }
  const { fillShard } = await import('../engines/redis/portable/shard.ts')
  const keptBy = new Map(config.tenants.map(({ name, retention }) => [name, retention.logsMs]))
  return fillShard(shardOf(config), {
    keepMs(tenant) {
      const ms = keptBy.get(tenant) ?? config.retention.logsMs
      return ms === Infinity ? null : ms
    },
    joinAfterEndMs: JOIN_AFTER_END_MS,
  })
}

function expectStored({ durability }: Config): void {
  if (durability === 'memory')
    throw new SluiceError('config_invalid', { message: '"durability: memory" stores nothing that could be moved.' })
}

function shardOf({ engine, durability }: Config): ShardOptions {
  if (engine === 'embedded')
    throw new SluiceError('config_invalid', {
      message: 'Which Redis? Give its address with --redis-url, SLUICE_REDIS_URL or engine.redis.url.',
    })
  const redis = redisAddress(engine.redis)
  return { redis, durability, allowDataLoss: engine.redis.allowDataLoss, clock: systemClock, ids }
}
