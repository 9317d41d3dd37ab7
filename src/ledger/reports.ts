/** Sums of the ledger, added up by what a report tells apart. */
import type { Clock } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import type {
  Ledger,
  UsageCounts,
  UsageFilter,
  UsageGroup,
  UsageGrouping,
  UsageReport,
  UsageReports,
  UsageSum,
} from '../core/ports/ledger.ts'

const PAGE = 1_000
export const MAX_SUMS = 1_000_000
export const MAX_GROUPS = 10_000
/** Reports of one tenant that wait, or are being made; and of all tenants together. */
const MAX_WAITING = 4

export function createReports(ledger: Ledger, clock: Pick<Clock, 'soon'>): UsageReports {
  // One at a time: whoever asks, and however often, the server's own work goes on
  let last: Promise<unknown> = Promise.resolve()
  const waiting = new Map<string, number>()

  async function add(filter: UsageFilter, by: readonly UsageGrouping[]): Promise<UsageReport> {
    const report = new Adding(by)
    for (let after: string | null = null, n = 0; ; ) {
      const { items, next } = await ledger.sums(filter, after, PAGE)
      for (const sum of items) report.add(sum)
      n += items.length
      if (next === null) return report.done()
      if (n > MAX_SUMS) throw tooMuch(`more than ${MAX_SUMS} sums`, 'from')
      after = next
      await new Promise<void>((done) => clock.soon(done))
    }
  }

  return {
    sums(filter, by) {
      const { tenant = '' } = filter
      const open = waiting.get(tenant) ?? 0
      if (open >= MAX_WAITING) return Promise.reject(new SluiceError('overloaded'))
      waiting.set(tenant, open + 1)
      const made = last
        .then(() => add(filter, by))
        .finally(() => {
          const left = waiting.get(tenant)! - 1
          if (left > 0) waiting.set(tenant, left)
          else waiting.delete(tenant)
        })
      last = made.catch(() => {})
      return made
    },
    records: (filter, after, most) => ledger.records(filter, after, most),
  }
}

const tooMuch = (what: string, param: string): SluiceError =>
  new SluiceError('invalid_request', {
    param,
    message: `The report is too large: it has ${what}. Ask for fewer days, name a tenant or a model, or group by less.`,
  })

type Counts = { -readonly [name in keyof UsageCounts]: UsageCounts[name] }

class Adding {
  readonly #by: readonly UsageGrouping[]
  readonly #total = nothing()
  readonly #groups = new Map<string, Counts & Pick<UsageGroup, 'names'>>()

  constructor(by: readonly UsageGrouping[]) {
    this.#by = by
  }

  add(sum: UsageSum): void {
    addTo(this.#total, sum)
    const names = this.#by.map((name) => (name === 'key' ? sum.keyId : sum[name]))
    const key = JSON.stringify(names)
    let group = this.#groups.get(key)
    if (group === undefined) {
      if (this.#groups.size >= MAX_GROUPS) throw tooMuch(`more than ${MAX_GROUPS} groups`, 'group_by')
      group = { names, ...nothing() }
      this.#groups.set(key, group)
    }
    addTo(group, sum)
  }

  done(): UsageReport {
    const groups = [...this.#groups.values()].sort(({ names: a }, { names: b }) => {
      const at = a.findIndex((name, i) => name !== b[i])
      return (a[at] ?? '') < (b[at] ?? '') ? -1 : 1
    })
    return { total: this.#total, groups }
  }
}

const nothing = (): Counts => ({
  attempts: 0,
  repeats: 0,
  estimated: 0,
  unpriced: 0,
  promptTokens: 0,
  cachedTokens: 0,
  completionTokens: 0,
  reasoningTokens: 0,
  nanoDollars: 0n,
})

function addTo(counts: Counts, sum: UsageSum): void {
  counts.attempts += sum.attempts
  counts.repeats += sum.repeats
  counts.estimated += sum.estimated
  counts.unpriced += sum.unpriced
  counts.promptTokens += sum.promptTokens
  counts.cachedTokens += sum.cachedTokens
  counts.completionTokens += sum.completionTokens
  counts.reasoningTokens += sum.reasoningTokens
  counts.nanoDollars += BigInt(sum.nanoDollars)
}
