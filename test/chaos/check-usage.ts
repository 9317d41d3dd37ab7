/** M1: what was used is recorded once for each attempt, with its end; the sums are those of the records. */
import type { StoredUsage, UsageSum } from '../../src/core/ports/ledger.ts'
import type { History } from './history.ts'

/** What the store has of it at the end. */
export interface UsageLeft {
  readonly records: ReadonlyArray<Pick<StoredUsage, 'job' | 'attempt' | 'end' | 'usage'>>
  readonly sums: ReadonlyArray<Pick<UsageSum, 'attempts' | 'promptTokens' | 'completionTokens'>>
}

export function checkUsage({ usage, finals }: Pick<History, 'usage' | 'finals'>): readonly string[] {
  if (usage === undefined) return []
  const wrong: string[] = []
  const seen = new Set<string>()
  const done = new Map<string, number>()
  for (const { job, attempt, end } of usage.records) {
    const key = `${job} ${attempt}`
    if (seen.has(key)) wrong.push(`M1 ${job}: attempt ${attempt} is recorded twice`)
    seen.add(key)
    if (end === 'done') done.set(job, (done.get(job) ?? 0) + 1)
  }
  for (const { id, state } of finals.values())
    if (state === 'done' && done.get(id) !== 1)
      wrong.push(`M1 ${id}: is done, with ${done.get(id) ?? 0} records of that`)
  const ofRecords = [
    usage.records.length,
    total(usage.records, ({ usage: { promptTokens } }) => promptTokens),
    total(usage.records, ({ usage: { completionTokens } }) => completionTokens),
  ]
  const ofSums = [
    total(usage.sums, ({ attempts }) => attempts),
    total(usage.sums, ({ promptTokens }) => promptTokens),
    total(usage.sums, ({ completionTokens }) => completionTokens),
  ]
  if (`${ofRecords}` !== `${ofSums}`) wrong.push(`M1 the sums are ${ofSums}, of records ${ofRecords}`)
  return wrong
}

const total = <T>(values: readonly T[], of: (value: T) => number): number =>
  values.reduce((sum, value) => sum + of(value), 0)
