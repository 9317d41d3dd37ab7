/** Limits and usage, on their way from or to another store. */
import type { LevelState } from '../../../core/limits.ts'
import type { LedgerPage, UsageSum } from '../../../core/ports/ledger.ts'
import type { Item } from '../../../core/ports/portable.ts'
import type { OpenWindow, OpenWindows } from '../../shared/calendar.ts'
import type { StoredLevel, StoredRecord, StoredWindow } from '../../shared/portable/kinds.ts'
import { RedisLedger } from '../ledger.ts'
import { readLevel, readWindows, WINDOWS, writeLevelName, writeLevelUse, writeWindows } from '../protocol/levels.ts'
import { groupName, packRecord, writeRecords, writeSum } from '../protocol/usage.ts'
import type { Change, Shard } from './hold.ts'
import { asked, byText, type Damaged, plain } from './reading.ts'

const LEVELS_AT_ONCE = 1_000
const PAGE = 1_000
const SPANS = ['hour', 'day', 'month'] as const

// ---------------------------------------------------------------- out

export async function* windowsOf(shard: Shard): AsyncGenerator<Item<StoredWindow>> {
  const stored = await asked(shard, ({ connection, names }) => connection.client.hget(names.levels(), WINDOWS))
  const open = readWindows(stored ?? '')
  for (const window of SPANS) {
    const one = open[window]
    if (one !== undefined) yield plain({ window, index: one.index, endsInMs: one.ends - shard.nowMs })
  }
}

export async function* levelsOf(shard: Shard, damaged: Damaged): AsyncGenerator<Item<StoredLevel>> {
  const found = new Map<string, LevelState>()
  for (let cursor = '0'; ; ) {
    const [next, pairs] = await asked(shard, ({ connection, names }) =>
      connection.client.hscan(names.levels(), cursor, 'COUNT', LEVELS_AT_ONCE),
    )
    for (let i = 0; i < pairs.length; i += 2) {
      if (pairs[i] === WINDOWS) continue
      const level = readLevel(pairs[i], pairs[i + 1], (atMs) => atMs)
      if (level === null) damaged('What was used of a limit is damaged, and is left out: it begins anew.')
      else found.set(pairs[i], level)
    }
    cursor = next
    if (cursor === '0') break
  }
  const levels = [...found.values()].sort(
    (a, b) => byText(a.kind, b.kind) || byText(a.owner, b.owner) || byText(a.name, b.name),
  )
  for (const { kind, owner, name, used } of levels) {
    const { atMono, ...amounts } = used!
    yield plain({ kind, owner, name, agoMs: shard.nowMs - atMono, ...amounts })
  }
}

export const sumsOf = (shard: Shard): AsyncGenerator<Item<UsageSum>> =>
  paged(shard, (ledger, after) => ledger.sums({}, after, PAGE))

export async function* recordsOf(shard: Shard): AsyncGenerator<Item<StoredRecord>> {
  for await (const { value, blob } of paged(shard, (ledger, after) => ledger.records({}, after, PAGE)))
    yield { value: { ...value, agoMs: shard.nowMs - value.atMs }, blob }
}

async function* paged<T extends object>(
  shard: Shard,
  read: (ledger: RedisLedger, after: string | null) => Promise<LedgerPage<T>>,
): AsyncGenerator<Item<T>> {
  const ledger = new RedisLedger({ names: shard.names, commands: shard.connection })
  for (let after: string | null = null; ; ) {
    const page: LedgerPage<T> = await asked(shard, () => read(ledger, after))
    yield* page.items.map(plain)
    after = page.next
    if (after === null) return
  }
}

// ---------------------------------------------------------------- in

type Put = (...changes: readonly Change[]) => Promise<void>

export function levelsWriter({ nowMs }: Shard, put: Put) {
  const open: { -readonly [W in keyof OpenWindows]: OpenWindow } = {}
  const set = (name: string, value: string): Promise<void> => put([2, 'HSET', 'lim', name, value])
  return {
    window({ window, index, endsInMs }: StoredWindow): Promise<void> {
      open[window] = { index, ends: nowMs + endsInMs }
      return set(WINDOWS, writeWindows(open))
    },
    level({ kind, owner, name, agoMs, ...amounts }: StoredLevel): Promise<void> {
      const use = { ...amounts, atMono: nowMs - agoMs }
      return set(
        writeLevelName({ kind, owner, name }),
        writeLevelUse(use, (atMs) => atMs),
      )
    },
  }
}

export function usageWriter(put: Put) {
  /** Of the last entry, whose ids grow: in the order of the commits, as old as the records where that is possible. */
  let last = { ms: 0, n: 0 }
  return {
    sum(value: UsageSum): Promise<void> {
      const key = `use:${value.day}`
      const group = groupName(value)
      return put(
        [2, 'HSET', key, group, writeSum(value)],
        [2, 'ZADD', `${key}:g`, 0, group],
        [2, 'ZADD', 'use:days', 0, value.day],
      )
    },
    record({ agoMs: _, atMs, ...record }: StoredRecord): Promise<void> {
      const ms = Math.max(last.ms, Math.floor(atMs), 1)
      last = { ms, n: ms === last.ms ? last.n + 1 : 0 }
      const written = writeRecords(Math.floor(atMs), [packRecord(record)])
      return put([3, 'XADD', 'use:log', `${last.ms}-${last.n}`, record.tenant, written])
    },
  }
}
