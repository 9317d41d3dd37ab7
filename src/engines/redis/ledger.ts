/**
 * The ledger: written by the coordinator's commits alone (lua/used.lua), read here. Sums are in hashes of a day, beside
 * an index in the order of their names; records in one stream, in the order of their commits.
 */
import { SluiceError } from '../../core/errors.ts'
import type { TenantId } from '../../core/job.ts'
import type { Ledger, LedgerPage, StoredUsage, UsageFilter, UsageSum } from '../../core/ports/ledger.ts'
import { dayOf } from '../shared/calendar.ts'
import type { Ground } from './bus/ground.ts'
import { storageError } from './client/errors.ts'
import { following } from './client/stream-id.ts'
import { isLevelOf } from './protocol/levels.ts'
import { type Group, matches, readGroup, readRecords, readSum, tenantPrefix } from './protocol/usage.ts'

/** Redis does nothing else while it finds these. */
const NAMES_AT_ONCE = 1_000
const ENTRIES_AT_ONCE = 64
/** Looked at for one page: one that finds little ends early, and the next goes on. */
const NAMES_A_PAGE = 20_000
const ENTRIES_A_PAGE = 10_000
/** An entry is added a while after its records were decided, by a clock that is read now and then. */
const LATE_MS = 60_000
const DAY_MS = 86_400_000

type Parts = Pick<Ground, 'names' | 'commands'>

export class RedisLedger implements Ledger {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  // ------------------------------------------------------------ sums

  async sums(filter: UsageFilter, after: string | null, most: number): Promise<LedgerPage<UsageSum>> {
    const [fromDay, name] = after === null ? [filter.fromDay ?? '', ''] : readSumCursor(after)
    try {
      return await this.#sums(filter, fromDay, name, most)
    } catch (error) {
      throw storageError(error)
    }
  }

  async #sums(filter: UsageFilter, fromDay: string, after: string, most: number): Promise<LedgerPage<UsageSum>> {
    const { names, commands } = this.#parts
    const to = filter.toDay === undefined ? '+' : `[${filter.toDay}`
    const days = await commands.client.zrangebylex(names.usageDays(), `[${fromDay}`, to)
    const prefix = filter.tenant === undefined ? '' : tenantPrefix(filter.tenant)
    const end = prefix === '' ? '+' : `(${prefix.slice(0, -1)}\x01`
    const items: UsageSum[] = []
    let looked = 0
    for (const day of days) {
      let last = day === fromDay ? after : ''
      for (;;) {
        const start = last === '' ? `[${prefix}` : `(${last}`
        const found = await commands.client.zrangebylex(names.usageGroups(day), start, end, 'LIMIT', 0, NAMES_AT_ONCE)
        for (const { name, sum } of await this.#read(day, found, filter)) {
          if (sum !== null) {
            if (items.length === most) return { items, next: sumCursor(day, last) }
            items.push(sum)
          }
          last = name
        }
        if (found.length < NAMES_AT_ONCE) break
        looked += found.length
        if (looked >= NAMES_A_PAGE) return { items, next: sumCursor(day, last) }
      }
    }
    return { items, next: null }
  }

  /** Null: it does not match. */
  async #read(
    day: string,
    found: readonly string[],
    filter: UsageFilter,
  ): Promise<ReadonlyArray<{ readonly name: string; readonly sum: UsageSum | null }>> {
    const groups = found.map((name) => {
      const group = readGroup(name)
      return group !== null && matches(filter, group, day) ? group : null
    })
    const wanted = found.filter((_, i) => groups[i] !== null)
    const { names, commands } = this.#parts
    const stored = wanted.length === 0 ? [] : await commands.client.hmget(names.usageSums(day), ...wanted)
    let at = 0
    return found.map((name, i) => {
      const group: Group | null = groups[i]
      const numbers = group === null ? null : stored[at++]
      return { name, sum: numbers === null ? null : readSum(day, group!, numbers) }
    })
  }

  // ------------------------------------------------------------ records

  async records(filter: UsageFilter, after: string | null, most: number): Promise<LedgerPage<StoredUsage>> {
    const { fromDay } = filter
    const first = fromDay === undefined ? '-' : `${Math.max(0, Date.parse(fromDay) - LATE_MS)}-0`
    const [from, skip] = after === null ? [first, 0] : readRecordCursor(after)
    try {
      return await this.#records(filter, from, skip, most)
    } catch (error) {
      throw storageError(error)
    }
  }

  /** `skip`: records of the entry `from`. */
  async #records(filter: UsageFilter, from: string, skip: number, most: number): Promise<LedgerPage<StoredUsage>> {
    const { names, commands } = this.#parts
    const end = filter.toDay === undefined ? '+' : `${Date.parse(filter.toDay) + DAY_MS + LATE_MS}`
    const items: StoredUsage[] = []
    let start = from
    let at = skip
    for (let looked = 0; ; looked += ENTRIES_AT_ONCE) {
      const entries = await commands.client.xrange(names.usageRecords(), start, end, 'COUNT', ENTRIES_AT_ONCE)
      for (const [id, [tenant, value]] of entries) {
        const skipped = id === from ? at : 0
        if (filter.tenant === undefined || filter.tenant === tenant) {
          const records = readRecords(tenant, value)
          for (let i = skipped; i < records.length; i++) {
            const record = records[i]
            if (record === null || !matches(filter, record, dayOf(record.atMs))) continue
            if (items.length === most) return { items, next: `${id}.${i}` }
            items.push(record)
          }
        }
        start = `(${id}`
      }
      at = 0
      if (entries.length < ENTRIES_AT_ONCE) return { items, next: null }
      if (looked + ENTRIES_AT_ONCE >= ENTRIES_A_PAGE) return { items, next: `${following(start.slice(1))}.0` }
    }
  }

  // ------------------------------------------------------------ erasing

  /** Nothing is stored of it meanwhile. Rejects with storage_unavailable. */
  async removeTenant(tenant: TenantId): Promise<void> {
    try {
      await this.#removeSums(tenant)
      await this.#removeRecords(tenant)
      await this.#removeLevels(tenant)
    } catch (error) {
      throw storageError(error)
    }
  }

  async #removeSums(tenant: TenantId): Promise<void> {
    const { names, commands } = this.#parts
    const prefix = tenantPrefix(tenant)
    const end = `(${prefix.slice(0, -1)}\x01`
    for (const day of await commands.client.zrangebylex(names.usageDays(), '-', '+')) {
      const groups = names.usageGroups(day)
      for (;;) {
        const found = await commands.client.zrangebylex(groups, `[${prefix}`, end, 'LIMIT', 0, NAMES_AT_ONCE)
        if (found.length === 0) break
        // In this order: what is left of the index is found again
        await commands.client.hdel(names.usageSums(day), ...found)
        await commands.client.zrem(groups, ...found)
      }
      if ((await commands.client.zcard(groups)) === 0) await commands.client.zrem(names.usageDays(), day)
    }
  }

  /** The next coordinator finds nothing of them. */
  async #removeLevels(tenant: TenantId): Promise<void> {
    const { names, commands } = this.#parts
    let cursor = '0'
    do {
      const [next, pairs] = await commands.client.hscan(names.levels(), cursor, 'COUNT', NAMES_AT_ONCE)
      const own = pairs.filter((name, i) => i % 2 === 0 && isLevelOf(name, tenant))
      if (own.length > 0) await commands.client.hdel(names.levels(), ...own)
      cursor = next
    } while (cursor !== '0')
  }

  async #removeRecords(tenant: TenantId): Promise<void> {
    const { names, commands } = this.#parts
    for (let start = '-'; ; ) {
      const entries = await commands.client.xrange(names.usageRecords(), start, '+', 'COUNT', ENTRIES_AT_ONCE)
      const own = entries.filter(([, [of]]) => of === tenant).map(([id]) => id)
      if (own.length > 0) await commands.client.xdel(names.usageRecords(), ...own)
      if (entries.length < ENTRIES_AT_ONCE) return
      start = `(${entries.at(-1)![0]}`
    }
  }
}

// ---------------------------------------------------------------- cursors

const invalid = (): SluiceError => new SluiceError('cursor_invalid')

const sumCursor = (day: string, name: string): string => `${day}.${Buffer.from(name).toString('base64url')}`

function readSumCursor(cursor: string): readonly [day: string, name: string] {
  const [, day, name] = /^(\d{4}-\d\d-\d\d)\.([\w-]*)$/.exec(cursor) ?? []
  if (day === undefined) throw invalid()
  return [day, Buffer.from(name, 'base64url').toString()]
}

function readRecordCursor(cursor: string): readonly [entry: string, skip: number] {
  const [, entry, skip] = /^(\d{1,15}-\d{1,15})\.(\d{1,9})$/.exec(cursor) ?? []
  if (entry === undefined) throw invalid()
  return [entry, Number(skip)]
}
