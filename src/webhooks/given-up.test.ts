import { expect, it } from 'vitest'
import { fewLines, type GivenUp } from './given-up.ts'

it('of many events of a removed webhook there is a line, and one a minute with the number of the others', () => {
  const timers: Array<() => void> = []
  const after = (_ms: number, then: () => void): (() => void) => {
    timers.push(then)
    return () => {}
  }
  const lines: Array<GivenUp & { readonly more?: number }> = []
  const give = fewLines({ after }, (line) => lines.push(line))
  const of = (n: number, webhook = 'wh_1'): GivenUp => ({
    event: `evt_${n}`,
    webhook,
    reason: 'The webhook was removed.',
  })
  for (let n = 0; n < 2_500; n++) give(of(n))
  give(of(0, 'wh_2'))
  expect(lines).toEqual([of(0), of(0, 'wh_2')])
  for (const timer of timers.splice(0)) timer()
  expect(lines.slice(2)).toEqual([{ ...of(2_499), more: 2_499 }])
  give(of(7))
  for (const timer of timers.splice(0)) timer()
  expect(lines.slice(3)).toEqual([{ ...of(7), more: 1 }])
  // A minute without any: the next one is told at once
  for (const timer of timers.splice(0)) timer()
  give(of(8))
  expect(lines.slice(4)).toEqual([of(8)])
})
