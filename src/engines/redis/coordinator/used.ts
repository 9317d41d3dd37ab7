/** What attempts came to that one commit ends: records by tenant, and what they add to the sums of the day. */
import { SUMS_A_DAY } from '../../../core/ports/ledger.ts'
import type { UsageRecord } from '../../../core/usage-record.ts'
import { dayOf } from '../../shared/calendar.ts'
import type { Argument } from '../client/scripts.ts'
import { addedBy, groupName, packRecord, writeRecords } from '../protocol/usage.ts'

export class Used {
  /** By Redis's clock: of all of the commit, so that no record is of another day than its sum. */
  #atMs = 0
  #mostSums = SUMS_A_DAY
  readonly #records = new Map<string, object[]>()
  readonly #sums = new Map<string, readonly number[]>()

  /** `mostSums`: of a tenant and day. */
  add(record: UsageRecord, atMs: number, mostSums = SUMS_A_DAY): void {
    this.#mostSums = mostSums
    if (this.#records.size === 0) this.#atMs = Math.floor(atMs)
    const records = this.#records.get(record.tenant)
    if (records === undefined) this.#records.set(record.tenant, [packRecord(record)])
    else records.push(packRecord(record))
    const group = groupName(record)
    const before = this.#sums.get(group)
    const added = addedBy(record)
    this.#sums.set(group, before === undefined ? added : before.map((sum, i) => sum + added[i]))
  }

  /** As lua/commit.lua takes them. */
  args(): readonly Argument[] {
    const args: Argument[] = [this.#records.size]
    if (this.#records.size === 0) return args
    for (const [tenant, records] of this.#records) args.push(tenant, writeRecords(this.#atMs, records))
    args.push(dayOf(this.#atMs), this.#mostSums, this.#sums.size)
    for (const [group, sums] of this.#sums) args.push(group, sums.join(' '))
    return args
  }
}
