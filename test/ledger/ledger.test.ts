/** M1: what is charged is what the provider reports, once for each call, however it ended. `npm run test:ledger`. */
import { describe, expect, it } from 'vitest'
import type { MockCall } from '../../src/mock/server.ts'
import { depth } from '../depth.ts'
import { NO_REDIS } from '../redis/server.ts'
import { type Booked, judge, priceOf, type Sums, tableOf } from './judge.ts'
import { runLedger } from './run.ts'

const ENGINES = NO_REDIS ? (['embedded'] as const) : (['embedded', 'redis'] as const)
const REQUESTS = depth(4_000, 800)
const RUN_MS = 900_000

describe.each(ENGINES)('the ledger on %s', (engine) => {
  it(
    `is the provider's, over ${REQUESTS} requests with cancels, cuts, fail-overs and crashes`,
    async () => {
      const lines: string[] = []
      const report = await runLedger({ engine, requests: REQUESTS, kills: 3, seed: 1, log: (line) => lines.push(line) })
      console.log(tableOf(report).join('\n'))
      expect(report.faults).toEqual([])
      expect(report.difference).toEqual({ tokens: 0, nanoDollars: 0 })
      // Nothing is shown by what did not happen
      const ends = report.rows.filter(({ estimated }) => estimated).map(({ end }) => end)
      expect(ends).toEqual(expect.arrayContaining(['canceled', 'cut', 'done', 'failed', 'lost']))
      const at = (name: string): number => report.deployments.get(name) ?? 0
      const routed = ['keyed-0', 'keyed-0#2', 'keyed-0#3', 'keyed-1', 'crawls-0', 'crawls-1', 'falls-0']
      for (const name of [...routed, 'balanced-0', 'balanced-1', 'balanced-2'])
        expect([name, at(name) > 0]).toEqual([name, true])
      expect(report.movedOn).toBeGreaterThan(REQUESTS / 40)
      expect(report.reported).toBeGreaterThan(REQUESTS / 2)
      expect(report.unanswered).toBeLessThan(REQUESTS / 3)
    },
    RUN_MS,
  )
})

describe('the verdict knows', () => {
  const call = (n: number, more: Partial<MockCall> = {}): MockCall => ({
    id: `job_${n}.1`,
    user: 'answered',
    path: '/v1/chat/completions',
    servedMs: null,
    firstTokenMs: null,
    lastTokenMs: null,
    startMs: 0,
    endMs: 10,
    promptTokens: 19,
    cachedTokens: 5,
    tokens: 10,
    reported: true,
    ...more,
  })
  const record = (n: number, more: Partial<Booked> = {}): Booked => {
    const tokens = { prompt_tokens: 19, cached_tokens: 5, completion_tokens: 10 }
    const booked = {
      job: `job_${n}`,
      attempt: 1,
      hedge: false,
      tenant: 't',
      model: 'm',
      deployment: 'd',
      end: 'done',
      estimated: false,
      ...tokens,
    }
    const { prompt_tokens, cached_tokens, completion_tokens } = { ...booked, ...more }
    return { ...booked, nano_dollars: priceOf(prompt_tokens, cached_tokens, completion_tokens), ...more }
  }
  const SEEN = { crashes: [{ fromMs: 100, toMs: 200 }], answered: new Set(['answered']) }
  const sumOf = (records: readonly Booked[]): Sums => {
    const sum = (of: (record: Booked) => number): number => records.reduce((all, each) => all + of(each), 0)
    return {
      attempts: records.length,
      estimated: sum((r) => Number(r.estimated)),
      unpriced: sum((r) => Number(r.nano_dollars === null)),
      prompt_tokens: sum((r) => r.prompt_tokens),
      cached_tokens: sum((r) => r.cached_tokens),
      completion_tokens: sum((r) => r.completion_tokens),
      nano_dollars: sum((r) => r.nano_dollars ?? 0),
    }
  }
  const faultsOf = (calls: readonly MockCall[], records: readonly Booked[], sums = sumOf(records)) =>
    judge(calls, records, sums, SEEN).faults

  it('what is right', () => {
    const calls = [
      call(1),
      call(2, { reported: false }),
      call(3, { tokens: 0, promptTokens: 0, cachedTokens: 0, reported: false }),
      call(4, { startMs: 90, endMs: 95, user: 'unanswered' }),
    ]
    const records = [
      record(1),
      record(2, { end: 'canceled', estimated: true, completion_tokens: 8 }),
      record(3, { end: 'failed', prompt_tokens: 0, cached_tokens: 0, completion_tokens: 0 }),
      record(5, { end: 'lost', estimated: true, completion_tokens: 0 }),
    ]
    expect(faultsOf(calls, records)).toEqual([])
    const { difference, reported, neverArrived, unknown } = judge(calls, records, sumOf(records), SEEN)
    expect([difference, reported, neverArrived, unknown]).toEqual([{ tokens: 0, nanoDollars: 0 }, 2, 1, [10]])
  })

  it.each<[string, readonly MockCall[], readonly Booked[], RegExp]>([
    ['a record that is lost', [call(1)], [], /job_1.1 was called \(10 tokens\), and is not booked/],
    ['one that is lost long after a crash', [call(1, { user: 'u', startMs: 300, endMs: 400 })], [], /is not booked/],
    ['one that is lost long before', [call(1, { user: 'u', startMs: -9_000, endMs: -8_000 })], [], /is not booked/],
    ['one that is there twice', [call(1)], [record(1), record(1)], /booked twice/],
    ['a call made twice', [call(1), call(1)], [record(1)], /called twice/],
    ['one that was not made', [], [record(1)], /was not called/],
    ['a token too many', [call(1)], [record(1, { completion_tokens: 11 })], /19 \+ 11, its provider has 19 \+ 10/],
    ['a cached token too few', [call(1)], [record(1, { cached_tokens: 4 })], /its provider has/],
    ['a nano-dollar too many', [call(1)], [record(1, { nano_dollars: 1 })], /costs 1: its tokens cost/],
    ['what has no cost', [call(1)], [record(1, { nano_dollars: null })], /costs null/],
    [
      'what was reported and is estimated',
      [call(1)],
      [record(1, { estimated: true })],
      /though its usage was reported/,
    ],
    ['what is estimated and is told as reported', [call(1, { reported: false })], [record(1)], /told as reported/],
    [
      'an estimate of more than there was',
      [call(1, { reported: false })],
      [record(1, { estimated: true, end: 'cut', completion_tokens: 11 })],
      /11 estimated, of 10/,
    ],
  ])('%s', (_name, calls, records, fault) => {
    expect(faultsOf(calls, records)).toEqual(expect.arrayContaining([expect.stringMatching(fault)]))
  })

  it.each(Object.keys(sumOf([])) as Array<keyof Sums>)('sums of %s that are not those of the records', (name) => {
    const sums = sumOf([record(1)])
    const wrong = { ...sums, [name]: sums[name] + 1 }
    expect(faultsOf([call(1)], [record(1)], wrong)).toEqual([expect.stringContaining(`the sum of ${name}`)])
  })
})
