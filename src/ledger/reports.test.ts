import { describe, expect, it } from 'vitest'
import type { Ledger, UsageFilter, UsageSum } from '../core/ports/ledger.ts'
import { createReports, MAX_GROUPS, MAX_SUMS } from './reports.ts'

const sum = (more: Partial<UsageSum>): UsageSum => ({
  day: '2026-11-26',
  tenant: 't',
  keyId: 'k',
  user: null,
  model: 'm',
  attempts: 1,
  repeats: 0,
  estimated: 0,
  unpriced: 0,
  promptTokens: 10,
  cachedTokens: 1,
  completionTokens: 5,
  reasoningTokens: 2,
  nanoDollars: 7,
  ...more,
})

/** In pages of two. */
function ledgerOf(sums: readonly UsageSum[], page = 2): Ledger & { readonly asked: UsageFilter[] } {
  const asked: UsageFilter[] = []
  return {
    asked,
    async sums(filter, after) {
      asked.push(filter)
      const from = Number(after ?? 0)
      const next = from + page
      return { items: sums.slice(from, next), next: next < sums.length ? String(next) : null }
    },
    records: async () => ({ items: [], next: null }),
  }
}

const clock = { soon: (fn: () => void) => setImmediate(fn) } as never
const reports = (ledger: Ledger) => createReports(ledger, clock)

describe('sums of usage', () => {
  const sums = [
    sum({ tenant: 'b', user: 'u1', repeats: 1 }),
    sum({ tenant: 'a', user: 'constructor', nanoDollars: Number.MAX_SAFE_INTEGER }),
    sum({ tenant: 'a', user: null, unpriced: 1, estimated: 1, nanoDollars: 0 }),
    sum({ tenant: 'a', user: 'null', day: '2026-11-27', nanoDollars: Number.MAX_SAFE_INTEGER }),
    sum({ tenant: 'a', user: 'a\nb' }),
  ]

  it('are one row where nothing is told apart, exact beyond what a number holds', async () => {
    const { total, groups } = await reports(ledgerOf(sums)).sums({}, [])
    expect(total).toEqual({
      attempts: 5,
      repeats: 1,
      estimated: 1,
      unpriced: 1,
      promptTokens: 50,
      cachedTokens: 5,
      completionTokens: 25,
      reasoningTokens: 10,
      nanoDollars: 2n * BigInt(Number.MAX_SAFE_INTEGER) + 14n,
    })
    expect(groups).toEqual([{ names: [], ...total }])
  })

  it('are told apart as asked, in that order, by name', async () => {
    const { groups } = await reports(ledgerOf(sums)).sums({}, ['tenant', 'user'])
    expect(groups.map(({ names }) => names)).toEqual([
      ['a', null],
      ['a', 'a\nb'],
      ['a', 'constructor'],
      ['a', 'null'],
      ['b', 'u1'],
    ])
    const byDay = await reports(ledgerOf(sums)).sums({}, ['day', 'key', 'model'])
    expect(byDay.groups.map(({ names, attempts }) => [...names, attempts])).toEqual([
      ['2026-11-26', 'k', 'm', 4],
      ['2026-11-27', 'k', 'm', 1],
    ])
  })

  it('of nothing are zero', async () => {
    const { total, groups } = await reports(ledgerOf([])).sums({}, ['day'])
    expect([total.attempts, total.nanoDollars, groups]).toEqual([0, 0n, []])
  })

  it('hand the filter on', async () => {
    const ledger = ledgerOf(sums)
    await reports(ledger).sums({ tenant: 'a', user: 'u' }, [])
    expect(ledger.asked[0]).toEqual({ tenant: 'a', user: 'u' })
  })

  it.each<[string, number, Partial<UsageSum>[], string]>([
    ['rows', 20_000, Array.from({ length: MAX_SUMS + 40_000 }, () => ({})), 'from'],
    ['groups', 20_000, Array.from({ length: MAX_GROUPS + 1 }, (_, i) => ({ user: `u${i}` })), 'group_by'],
  ])('of too many %s are refused, and what to do is told', async (_what, page, all, param) => {
    const one = all.map(sum)
    await expect(reports(ledgerOf(one, page)).sums({}, ['user'])).rejects.toMatchObject({
      code: 'invalid_request',
      param,
    })
  })

  it('are made one report after the other, and one that fails stops no other', async () => {
    let open = 0
    let fails = true
    const ledger: Ledger = {
      async sums() {
        expect(++open).toBe(1)
        await new Promise((next) => setImmediate(next))
        open--
        if (fails) throw new Error('away')
        return { items: [], next: null }
      },
      records: async () => ({ items: [], next: null }),
    }
    const { sums } = reports(ledger)
    const asked = (tenant: string) => Array.from({ length: 6 }, () => sums({ tenant }, []))
    const all = [...asked('a'), ...asked('b')]
    all[0].catch(() => {
      fails = false
    })
    const ended = await Promise.allSettled(all)
    const codes = ended.map((end) => (end.status === 'fulfilled' ? 'made' : (end.reason.code ?? end.reason.message)))
    const busy = ['overloaded', 'overloaded']
    expect(codes).toEqual(['away', 'made', 'made', 'made', ...busy, 'made', 'made', 'made', 'made', ...busy])
    expect(await sums({}, [])).toMatchObject({ groups: [] })
  })
})
