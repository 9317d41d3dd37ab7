import fc from 'fast-check'
import { expect, it } from 'vitest'
import { Entry } from './entry.ts'
import { Flow, Tenant } from './flow.ts'
import { Joins } from './joins.ts'
import { Ranked } from './ranked.ts'
import { retryDelayMs } from './retry.ts'
import { job } from './testing/jobs.ts'
import { Throughput } from './throughput.ts'
import { type Timed, Timers } from './timers.ts'

const entry = (n: number, promptTokens = n): Entry =>
  new Entry(job(`j${n}`, { promptTokens }), n, new Tenant('a', 0), new Flow('text', 'chat', 'chat'), null)

it('ranks: knows what stands before each, as an array would', () => {
  const steps = fc.array(fc.tuple(fc.constantFrom('push', 'push', 'push', 'unshift', 'shift', 'remove'), fc.nat()), {
    maxLength: 900,
    size: 'max',
  })
  fc.assert(
    fc.property(steps, (walk) => {
      const ranked = new Ranked<Entry>()
      const plain: Entry[] = []
      for (const [i, [what, n]] of walk.entries()) {
        if (what === 'push') {
          plain.push(entry(i))
          ranked.push(plain.at(-1)!)
        } else if (what === 'unshift') {
          plain.unshift(entry(i))
          ranked.unshift(plain[0])
        } else if (plain.length > 0) ranked.remove(plain.splice(what === 'shift' ? 0 : n % plain.length, 1)[0])
        expect(ranked.head).toBe(plain[0] ?? null)
        expect(ranked.size).toBe(plain.length)
      }
      for (const [jobs, each] of plain.entries()) {
        expect(ranked.ahead(each)).toEqual({
          jobs,
          promptTokens: plain.slice(0, jobs).reduce((sum, e) => sum + e.job.promptTokens, 0),
        })
      }
    }),
    { numRuns: 60 },
  )
})

it('timers: come in order of time, then of number, wherever they were moved', () => {
  const steps = fc.array(fc.tuple(fc.nat({ max: 30 }), fc.option(fc.nat({ max: 50 }))), { maxLength: 200, size: 'max' })
  fc.assert(
    fc.property(steps, (walk) => {
      const timers = new Timers<Timed>()
      const items: Timed[] = Array.from({ length: 31 }, (_, seq) => ({ seq, due: Infinity, heapAt: -1 }))
      const plain = new Map<Timed, number>()
      for (const [i, due] of walk) {
        timers.set(items[i], due ?? Infinity)
        if (due === null) plain.delete(items[i])
        else plain.set(items[i], due)
        expect(timers.next()).toBe(Math.min(Infinity, ...plain.values()))
      }
      const order = [...plain]
        .toSorted(([a, dueA], [b, dueB]) => dueA - dueB || a.seq - b.seq)
        .map(([item]) => item.seq)
      const came: number[] = []
      for (let item = timers.shift(100); item !== null; item = timers.shift(100)) came.push(item.seq)
      expect(came).toEqual(order)
    }),
  )
})

it('throughput: counts only time in which work waited, and says nothing before it has seen enough', () => {
  const throughput = new Throughput()
  throughput.observe(0, false)
  for (let now = 100; now <= 4_000; now += 100) {
    throughput.serve(10)
    throughput.observe(now, false)
  }
  for (let i = 0; i < 19; i++) throughput.answered(50, 2_000)
  expect(throughput.rate).toBeNull()
  for (let now = 4_100; now <= 8_000; now += 100) {
    throughput.serve(50)
    throughput.observe(now, true)
  }
  expect(throughput.rate).toBeCloseTo(0.5, 1)
  expect(throughput.sureRate).toBeNull()
  throughput.answered(50, 2_000)
  for (let now = 8_100; now <= 10_000; now += 100) {
    throughput.serve(50)
    throughput.observe(now, true)
  }
  expect(throughput.sureRate).toBeCloseTo(0.5, 1)
  // What it can do changes, and the measure follows
  for (let now = 10_100; now <= 130_000; now += 100) {
    throughput.serve(5)
    throughput.observe(now, true)
  }
  expect(throughput.rate!).toBeLessThan(0.06)
  expect(throughput.meanOutput).toBeCloseTo(50)
  expect(throughput.sureMeanMs).toBeCloseTo(2_000)
})

it('backs off exponentially, with full jitter, and not before the provider asked for', () => {
  const options = { retryBaseMs: 200, retryCapMs: 1_000, jitter: () => 0.5 }
  expect([1, 2, 3, 4, 500].map((fails) => retryDelayMs(options, fails))).toEqual([100, 200, 400, 500, 500])
  expect(retryDelayMs({ ...options, jitter: () => 0 }, 3)).toBe(0)
  expect(retryDelayMs(options, 1, 20_000)).toBe(20_000)
  expect(retryDelayMs(options, 1, 3_600_000)).toBe(300_000)
})

it('remembers good ends for a while, in bounded memory', () => {
  const joins = new Joins(1_000)
  for (let i = 0; i < 300_000; i++) joins.endedWell(`k${i}`, `j${i}`, i / 1_000)
  expect(joins.remembered).toBeLessThanOrEqual(100_000)
  expect(joins.find('k299999', 300)).toBe('j299999')
  expect(joins.find('k250001', 300)).toBe('j250001')
  expect(joins.find('k0', 300)).toBeNull()
  joins.endedWell('late', 'j', 5_000)
  expect(joins.find('late', 5_999)).toBe('j')
  expect(joins.find('late', 6_000)).toBeNull()
  joins.endedWell('later', 'j', 6_001)
  expect(joins.remembered).toBe(2)
})
