/** Two stores between which things are moved: a data folder, and a shard of a real Redis. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createCoordinator } from '../../src/coordinator/coordinator.ts'
import { systemClock, Wheel } from '../../src/core/clock.ts'
import { systemIds } from '../../src/core/ids.ts'
import type { Boot, Engine } from '../../src/core/ports/engine.ts'
import type { Filling, Held, Item } from '../../src/core/ports/portable.ts'
import { openEmbedded } from '../../src/engines/embedded/open.ts'
import { fillFolder, openHeldFolder } from '../../src/engines/embedded/portable/folder.ts'
import { openRedis } from '../../src/engines/redis/open.ts'
import { fillShard, openShard } from '../../src/engines/redis/portable/shard.ts'
import { UNLIMITED } from '../../src/engines/shared/conversation-limits.ts'
import { type Part, partsOf } from '../../src/engines/shared/portable/parts.ts'
import { type Count, receive } from '../../src/engines/shared/portable/transfer.ts'
import { counted, type LeapClock, leapClock, type Settings } from '../conformance/harness.ts'
import { coordinatorOptions, GRACE_MS } from '../conformance/settings.ts'

export const ids = systemIds()
export const KEPT_MS = 86_400_000
const JOIN_MS = 60_000
const RETENTION = {
  logsMs: KEPT_MS,
  bytes: 1 << 30,
  atLeastMs: 0,
  usageMs: 86_400_000,
  usageBytes: 1 << 30,
  conversations: UNLIMITED,
  tenant: () => null,
}

export interface Process {
  readonly engine: Engine
  readonly clock: LeapClock
  /** As kill -9. */
  kill(): Promise<void>
  close(): Promise<void>
}

/** Enough to make it again in another thread. */
export type Described = { readonly dir: string } | { readonly url: string; readonly prefix: string }

export const sideOf = (of: Described): Side => ('dir' in of ? folderSide(of.dir) : redisSide(of, of.prefix))

export interface Side {
  readonly described: Described
  open(settings?: Settings): Promise<Process>
  held(): Promise<Held>
  filling(): Promise<Filling | null>
}

export function folderSide(dir = mkdtempSync(join(tmpdir(), 'sluice-portable-'))): Side & { readonly dir: string } {
  /** The machine's clock, as if it had leapt with those of the processes. */
  let aheadMs = (): number => 0
  const boot: Boot = { id: 'boot', ms: () => performance.now() + aheadMs() }
  return {
    dir,
    described: { dir },
    async open(settings = {}) {
      const clock = leapClock()
      const begunMs = aheadMs()
      aheadMs = () => begunMs + clock.monoMs() - performance.now()
      const engine = counted(
        openEmbedded({
          dir,
          durability: 'process',
          coordinator: createCoordinator(coordinatorOptions(settings)),
          clock,
          ids,
          wheel: new Wheel(clock),
          retention: RETENTION,
          disconnectGraceMs: GRACE_MS,
          joinAfterEndMs: JOIN_MS,
          boot,
          onFact() {},
        }),
      )
      await engine.restore()
      const close = (): Promise<void> => engine.close()
      return { engine, clock, kill: close, close }
    },
    held: async () => openHeldFolder(dir, systemClock, ids, boot),
    filling: async () => fillFolder(dir, ids),
  }
}

export const removeFolder = ({ dir }: { readonly dir: string }): void => rmSync(dir, { recursive: true, force: true })

/** A shard to itself. */
export function redisSide(
  { url, others }: { readonly url: string; readonly others?: readonly string[] },
  prefix = `${ids.name('moved', 6)}:`,
): Side & { readonly prefix: string } {
  const redis = { url, prefix, ...(others && { nodes: others }) }
  /** Redis's own clock, as if it had leapt with those of the processes. */
  let aheadMs = 0
  const askTime = async (): Promise<number> => Date.now() + aheadMs
  const shard = { redis, durability: 'process', allowDataLoss: false, clock: systemClock, ids, askTime } as const
  return {
    prefix,
    described: redis,
    async open(settings = {}) {
      const clock = leapClock()
      const begunMs = aheadMs
      const left = (): void => {
        aheadMs = begunMs + clock.monoMs() - performance.now()
      }
      const { engine, kill } = await openRedis(
        {
          redis,
          durability: 'process',
          allowDataLoss: false,
          coordinator: () => createCoordinator(coordinatorOptions(settings)),
          clock,
          ids,
          wheel: new Wheel(clock),
          retention: RETENTION,
          disconnectGraceMs: GRACE_MS,
          joinAfterEndMs: JOIN_MS,
          onFact() {},
        },
        { askTime },
      )
      const process = counted(engine)
      await process.restore()
      return {
        engine: process,
        clock,
        async kill() {
          left()
          kill()
        },
        close() {
          left()
          return process.close()
        },
      }
    },
    held: () => openShard(shard),
    filling: () => fillShard(shard, { keepMs: () => KEPT_MS, joinAfterEndMs: JOIN_MS }),
  }
}

/** A bug, planted into what is moved, or into the target after it. */
export interface Bend {
  /** Null: left out. */
  item?(section: string, item: Item): Item | null
  after?(to: Side): Promise<void>
}

async function* bent(parts: AsyncIterable<Part>, { item }: Bend): AsyncGenerator<Part> {
  let section = ''
  for await (const part of parts) {
    if ('section' in part) section = part.section
    const other = 'item' in part && item !== undefined ? item(section, part.item) : null
    if (other !== null) yield { item: other }
    else if (!('item' in part) || item === undefined) yield part
  }
}

/** As `sluice migrate`. */
export async function move(from: Side, to: Side, bend: Bend = {}): Promise<readonly Count[]> {
  const held = await from.held()
  try {
    const filling = await to.filling()
    if (filling === null) throw new Error(`it is not empty`)
    try {
      return await receive(bent(partsOf(held.sources), bend), filling)
    } finally {
      await filling.close()
      await bend.after?.(to)
    }
  } finally {
    await held.close()
  }
}
