/** What is held leaks as what is used does, and gives back no more than is left of it. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { depth } from '../../../test/depth.ts'
import type { RateLimit } from '../../core/limits.ts'
import { Rate } from './rate.ts'

const LIMIT: RateLimit = { unit: 'tokens', burst: 600, perSecond: 10, whenOut: 'debt', oversize: 'refuse' }
const PER_MS = LIMIT.perSecond / 1_000

/** A list of what each hold has left in the bucket. */
class Plain {
  own = 0
  holds: Array<{ held: number; left: number }> = []

  get total(): number {
    return this.own + this.#left
  }

  get #left(): number {
    return this.holds.reduce((sum, { left }) => sum + left, 0)
  }

  pass(ms: number): void {
    const rest = Math.max(0, ms * PER_MS - this.own)
    this.own = Math.max(0, this.own - ms * PER_MS)
    const all = this.#left
    if (all > 0) for (const one of this.holds) one.left *= Math.max(0, all - rest) / all
  }

  settle(at: number, used: number): void {
    const [{ held, left }] = this.holds.splice(at, 1)
    this.own += used < held ? left - Math.min(held - used, left) : left + used - held
  }

  /** What each had leaked is forgotten. */
  restart(): void {
    const { total } = this
    const held = this.holds.reduce((sum, one) => sum + one.held, 0)
    const left = Math.min(held, total)
    for (const one of this.holds) one.left = (one.held * left) / held
    this.own = total - left
  }
}

const step = fc.oneof(
  fc.record({ do: fc.constant('hold' as const), amount: fc.integer({ min: 1, max: 400 }) }),
  fc.record({ do: fc.constant('more' as const), at: fc.nat(20), amount: fc.integer({ min: 1, max: 200 }) }),
  fc.record({ do: fc.constant('settle' as const), at: fc.nat(20), share: fc.constantFrom(0, 0.1, 0.5, 1, 1.5) }),
  fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(0, 10, 500, 5_000, 30_000) }),
  fc.record({ do: fc.constant('restart' as const) }),
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

interface Open {
  held: number
  mark: number
  readonly parts: Array<readonly [atMs: number, amount: number]>
}

/** Compares the two after each step. Returns what was really used, and when it was held, once all is settled. */
function play(steps: readonly Step[]) {
  let rate = new Rate(LIMIT)
  const plain = new Plain()
  const open: Open[] = []
  const uses: Array<readonly [atMs: number, amount: number]> = []
  let now = 0
  const settle = (at: number, used: number): void => {
    const [{ held, mark, parts }] = open.splice(at, 1)
    rate.settle(held, used, now, mark)
    plain.settle(at, used)
    let rest = used
    for (const [atMs, amount] of [...parts, [now, Infinity] as const]) {
      uses.push([atMs, Math.min(amount, rest)])
      rest -= Math.min(amount, rest)
    }
  }
  for (const one of steps) {
    const at = 'at' in one ? one.at % Math.max(1, open.length) : 0
    if (one.do === 'pass') {
      now += one.ms
      plain.pass(one.ms)
    } else if (one.do === 'hold') {
      open.push({ held: one.amount, mark: rate.hold(one.amount, now), parts: [[now, one.amount]] })
      plain.holds.push({ held: one.amount, left: one.amount })
    } else if (one.do === 'restart') {
      const stored = rate.usedBy(now)
      rate = new Rate(LIMIT)
      if (stored === null) continue
      rate.restore(stored, now, now)
      for (const each of open) each.mark = rate.adopt(each.held, now)
      plain.restart()
    } else if (open[at] === undefined) continue
    else if (one.do === 'settle') settle(at, Math.round(open[at].held * one.share))
    else {
      const { held, mark, parts } = open[at]
      open[at] = { held: held + one.amount, mark: rate.hold(one.amount, now, held, mark), parts }
      parts.push([now, one.amount])
      plain.holds[at].held += one.amount
      plain.holds[at].left += one.amount
    }
    expect(LIMIT.burst - rate.left(now)).toBeCloseTo(plain.total, 5)
  }
  while (open.length > 0) settle(0, 0)
  return { used: LIMIT.burst - rate.left(now), uses, now }
}

it('is as a plain list of holds counts it, restarts included', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => void play(steps)),
    { numRuns: depth(5_000, 500) },
  )
})

it('never has more room than a bucket that knew from the start what each hold would use', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const { used, uses, now } = play(steps.filter((one) => one.do !== 'restart'))
      let [level, atMs] = [0, 0]
      for (const [at, amount] of [...uses.sort(([a], [b]) => a - b), [now, 0] as const]) {
        level = Math.max(0, level - (at - atMs) * PER_MS) + amount
        atMs = at
      }
      expect(used).toBeGreaterThanOrEqual(level - 1e-3)
    }),
    { numRuns: depth(5_000, 500) },
  )
})

it('a hold gives back all of it while nothing of it has leaked: what was used leaks first', () => {
  const rate = new Rate(LIMIT)
  rate.settle(0, 300, 0, 0)
  const mark = rate.hold(300, 0)
  expect(rate.left(30_000)).toBe(300)
  rate.settle(300, 0, 30_000, mark)
  expect(rate.left(30_000)).toBe(600)
})
