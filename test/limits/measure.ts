/** `node test/limits/measure.ts`: CPU of a reserve and its settlement, over 5 levels with 14 accounts. */

import { type Hold, type LimitedJob, Limits } from '../../src/coordinator/limits/limits.ts'
import { type LevelLimits, type LimitSettings, NO_LIMITS } from '../../src/core/limits.ts'

const rate = (unit: 'tokens' | 'requests') =>
  ({ unit, burst: 1e9, perSecond: 1e6, whenOut: 'debt', oversize: 'refuse' }) as const
const BOTH: LevelLimits = { rates: [rate('tokens'), rate('requests')], budgets: [], concurrent: null }
const ALL: LevelLimits = {
  rates: [rate('tokens'), rate('requests')],
  budgets: [{ window: 'day', nanoDollars: 1e15, whenOut: 'cut' }],
  concurrent: 1_000,
}
const models = Object.fromEntries(Array.from({ length: 7 }, (_, i) => [`m${i}`, BOTH]))
const eachTenant = { all: ALL, eachUser: BOTH, eachRun: null, eachKey: BOTH, models }
const settings: LimitSettings = { ...NO_LIMITS, global: ALL, eachTenant }
const limits = new Limits({
  settings: () => settings,
  outputQuantile: 0.5,
  unknownOutputTokens: 1_024,
})
const jobs = Array.from(
  { length: 10_000 },
  (_, i): LimitedJob => ({
    tenant: `t${i % 300}`,
    model: `m${i % 7}`,
    keyId: `k${i % 1_000}`,
    user: `u${i}`,
    run: null,
    route: `r${i % 5}`,
    promptTokens: 500,
    maxOutputTokens: null,
    price: { input: 250, output: 2_000 },
  }),
)
let now = 0
function measure(what: string, between: (hold: Hold) => void, after: (hold: Hold) => void): void {
  const took: number[] = []
  for (let round = 0; round < 12; round++) {
    const before = process.cpuUsage()
    for (const job of jobs) {
      const hold = limits.reserve(job, true, now++)
      if (hold === null || 'waitMs' in hold) throw new Error('refused')
      between(hold)
      limits.settle(hold, { inputTokens: 500, outputTokens: 300, requests: 1, nanoDollars: 725_000 }, now)
      after(hold)
    }
    const { user, system } = process.cpuUsage(before)
    took.push((user + system) / jobs.length)
  }
  const sorted = took.slice(2).sort((a, b) => a - b)
  const us = (share: number): string =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!.toFixed(1)
  console.log(`${what}, 5 levels with 14 accounts: ${us(0)} to ${us(1)} µs of CPU, median ${us(0.5)}`)
}

const nothing = (): void => {}
measure('reserve and settle', nothing, nothing)
measure(
  'reserve, stream, settle and learn',
  (hold) => void limits.streamed(hold, 300, now),
  (hold) => limits.answered(hold.job, 300),
)
