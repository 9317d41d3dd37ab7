/** The real machine beside other rules, on the same requests: what DESIGN and docs/limits.md claim of it. */
import { describe, expect, it } from 'vitest'
import { depth } from '../depth.ts'
import { compare } from './main.ts'

describe('rules of admission', () => {
  const found = compare(
    depth(2, 0.5),
    Array.from({ length: depth(5, 1) }, (_, i) => i + 1),
  )
  const of = (name: string) => found.find((one) => one.name.startsWith(name))!
  const [LARGE, SMALL, OVERLOADED] = [0, 1, 2]
  const sluice = of('Sluice')

  it('a limit and one full burst are never exceeded by more than what streams at that time', () => {
    for (const { peak } of sluice.of) expect(peak).toBeLessThanOrEqual(2.05)
    expect(sluice.burst).toBeLessThanOrEqual(2)
    expect(of('charge after').of[SMALL]!.peak).toBeGreaterThan(2.5)
    expect(of('charge after').burst).toBeGreaterThan(2)
  })

  it('what is there is used', () => {
    expect(sluice.of[LARGE]!.utilisation).toBeGreaterThan(0.97)
    expect(sluice.of[SMALL]!.utilisation).toBeGreaterThan(0.88)
    expect(of('3 × input').of[SMALL]!.utilisation).toBeLessThan(0.75)
  })

  it('more is let in than by any other rule on a small limit; little is refused that would have fitted', () => {
    for (const { name, of } of found)
      if (name !== sluice.name) expect([name, sluice.of[SMALL]!.admitted >= of[SMALL]!.admitted]).toEqual([name, true])
    expect(sluice.of[SMALL]!.falselyRefused).toBeLessThan(0.02)
    expect(sluice.of[OVERLOADED]!.falselyRefused).toBeLessThan(0.06)
    expect(of('3 × input').of[SMALL]!.falselyRefused).toBeGreaterThan(0.15)
    expect(of('LiteLLM').of[OVERLOADED]!.falselyRefused).toBeGreaterThan(0.3)
  })

  it('large requests are served on a small limit', () => {
    expect(sluice.of[SMALL]!.bigServed).toBeGreaterThan(4 * of('3 × input').of[SMALL]!.bigServed)
  })
})
