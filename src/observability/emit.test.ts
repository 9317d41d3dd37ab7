import { expect, it } from 'vitest'
import { manualClock } from '../../test/manual-clock.ts'
import type { Fact } from '../core/facts.ts'
import { createEmit } from './emit.ts'

it('tells every observer, with the time, whatever one of them throws', () => {
  const clock = manualClock()
  const told: Fact[] = []
  const faults: unknown[] = []
  const broken = new Error('no room')
  const emit = createEmit(
    clock,
    [
      () => {
        throw broken
      },
      (fact) => void told.push(fact),
    ],
    (error, type) => void faults.push([error, type]),
  )
  emit({ type: 'store-recovered' })
  clock.advance(5)
  emit({ type: 'store-recovered' })
  expect(told.map(({ atMs }) => atMs - told[0].atMs)).toEqual([0, 5])
  expect(told[0].atMs).toBe(clock.wallMs() - 5)
  expect(faults).toEqual([
    [broken, 'store-recovered'],
    [broken, 'store-recovered'],
  ])
})
