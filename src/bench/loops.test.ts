import { describe, expect, it } from 'vitest'
import { manualClock } from '../../test/manual-clock.ts'
import { schedule } from './arrivals.ts'
import { closedLoop, openLoop } from './loops.ts'
import { quantile } from './quantile.ts'

const GO_ON = { isStopped: () => false }
const turn = (): Promise<void> => new Promise((done) => setImmediate(done))

describe('the open loop', () => {
  it('sends at the times of its schedule, whatever becomes of those before', async () => {
    const clock = manualClock()
    const times = schedule({ kind: 'poisson' }, 50, 200, 7)
    const sent: number[] = []
    const answered: Array<() => void> = []
    const loop = openLoop(clock, times, GO_ON, () => {
      sent.push(clock.monoMs())
      // A target so slow that none is answered before all are sent
      return new Promise((done) => answered.push(done))
    })
    clock.advance(times.at(-1)! + 10)
    expect(sent).toHaveLength(200)
    for (const [i, at] of sent.entries()) expect(Math.abs(at - times[i])).toBeLessThan(1e-6)
    for (const each of answered) each()
    expect((await loop).sent).toBe(200)
  })

  it('is late for those that were due in a stall of its own, and for none after', async () => {
    const clock = manualClock()
    const times = Array.from({ length: 100 }, (_, i) => (i + 1) * 10)
    const lag: number[] = []
    const late = { ...clock, after: (ms: number, fn: () => void) => clock.after(ms, () => stalled(fn)) }
    let hasStalled = false
    // The 20th wake-up comes 200 ms late
    const stalled = (fn: () => void): void => {
      if (hasStalled || lag.length < 20) return fn()
      hasStalled = true
      clock.after(200, fn)
    }
    const loop = openLoop(late, times, GO_ON, async (_, dueMono) => void lag.push(clock.monoMs() - dueMono))
    clock.advance(2_000)
    await loop
    expect(lag).toHaveLength(100)
    expect(lag.filter((ms) => ms > 1)).toHaveLength(20)
    expect(Math.max(...lag)).toBeCloseTo(200, 3)
    expect(lag.slice(45).every((ms) => ms < 1e-6)).toBe(true)
  })

  it('tells the wait that a stalled target makes all others suffer: no coordinated omission', async () => {
    // A target that answers at once, one at a time, and once stands still for 5 s: 10 requests a second
    const clock = manualClock()
    let freeMono = 0
    const times = Array.from({ length: 200 }, (_, i) => (i + 1) * 100)
    const ask = (index: number): Promise<void> => {
      const begins = Math.max(clock.monoMs(), freeMono)
      freeMono = begins + (index === 50 ? 5_000 : 1)
      return new Promise((done) => clock.after(freeMono - clock.monoMs(), done))
    }
    const open: number[] = []
    const loop = openLoop(clock, times, GO_ON, async (index, dueMono) => {
      await ask(index)
      open.push(clock.monoMs() - dueMono)
    })
    for (let i = 0; i < 600; i++) {
      clock.advance(50)
      await turn()
    }
    await loop
    const sorted = Float64Array.from(open).sort()
    // Truth: those due in the stall wait for the rest of it, a quarter of all
    expect(sorted.filter((ms) => ms > 100).length).toBeGreaterThan(45)
    expect(quantile(sorted, 0.9)!).toBeGreaterThan(2_500)
    expect(quantile(sorted, 0.5)!).toBeLessThan(60)
  })

  it('sends nothing more once it is stopped, and waits for what is open', async () => {
    const clock = manualClock()
    let isStopped = false
    let answer = (): void => {}
    const loop = openLoop(clock, [10, 20, 30, 1_000_000], { isStopped: () => isStopped }, (index) => {
      if (index === 1) isStopped = true
      return index === 0 ? Promise.resolve() : new Promise<void>((done) => (answer = done))
    })
    clock.advance(500)
    answer()
    expect((await loop).sent).toBe(2)
  })
})

it('the closed loop keeps as many under way as it was told to', async () => {
  const clock = manualClock()
  let [open, most, total] = [0, 0, 0]
  const loop = closedLoop(clock, { concurrency: 7, count: 50, untilMs: Number.POSITIVE_INFINITY }, GO_ON, async () => {
    total++
    most = Math.max(most, ++open)
    await new Promise<void>((done) => clock.after(10, done))
    open--
  })
  for (let i = 0; i < 20; i++) {
    clock.advance(10)
    await turn()
  }
  await loop
  expect({ most, total }).toEqual({ most: 7, total: 50 })
})

describe('schedules', () => {
  const gaps = (times: readonly number[]): number[] => times.map((time, i) => time - (i === 0 ? 0 : times[i - 1]))
  const spread = (values: readonly number[]): number => {
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length
    return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length) / mean
  }

  it.each([
    [{ kind: 'constant' } as const, 0],
    [{ kind: 'poisson' } as const, 1],
    [{ kind: 'gamma', shape: 0.25 } as const, 2],
    [{ kind: 'gamma', shape: 4 } as const, 0.5],
  ])('%j has the spread of its kind, and exactly the rate', (arrivals, deviation) => {
    const times = schedule(arrivals, 20, 20_000, 3)
    expect(times.at(-1)).toBeCloseTo(1_000_000, 3)
    expect(spread(gaps(times))).toBeCloseTo(deviation, 1)
    expect(schedule(arrivals, 20, 20_000, 3)).toEqual(times)
    if (deviation > 0) expect(schedule(arrivals, 20, 20_000, 4)).not.toEqual(times)
  })
})
