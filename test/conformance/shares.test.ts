/** Shared answers: the coordinator against their suite, and the suite against planted bugs. */
import { expect, it } from 'vitest'
import { createCoordinator } from '../../src/coordinator/coordinator.ts'
import { SharedAnswer } from '../../src/coordinator/shares/answer.ts'
import { Shares } from '../../src/coordinator/shares/shares.ts'
import { Spending } from '../../src/coordinator/spending.ts'
import { NO_LIMITS } from '../../src/core/limits.ts'
import { CASES, LIMITED, SharingStage } from './shares.ts'

it.each(CASES)('%s', (_name, run) => run(new SharingStage(createCoordinator)))
it.each(LIMITED)('%s', (_name, limits, run) => run(new SharingStage(createCoordinator, limits)))

type Verbs = Record<string, (...args: never[]) => unknown>
const instead =
  (of: object, name: string, made: (real: (...args: never[]) => unknown) => unknown) => (): (() => void) => {
    const verbs = of as Verbs
    const real = verbs[name]
    verbs[name] = made(real) as Verbs[string]
    return () => {
      verbs[name] = real
    }
  }
const nothing = { promoted: [], canceled: null }

const PLANTS: ReadonlyArray<readonly [name: string, plant: () => () => void]> = [
  ['nobody takes over from a maker that failed', instead(Shares.prototype, 'ended', () => () => nothing)],
  ['a maker that runs is not told of', instead(Shares.prototype, 'leased', () => () => null)],
  ['a maker that is in line again counts as running', instead(Shares.prototype, 'returned', () => () => [])],
  ['a source that is gone is repeated again', instead(Shares.prototype, 'broken', () => () => true)],
  ['a job with readers is canceled all the same', instead(Shares.prototype, 'abandon', () => () => false)],
  ['what runs is not adopted', instead(Shares.prototype, 'adopt', () => () => {})],
  ["who waits for another's limit", instead(Spending.prototype, 'accountsOf', () => () => '')],
  ['those that stood apart make their own answer', instead(Shares.prototype, 'gather', () => () => [])],
  ['those that are leased together all ask', instead(Shares.prototype, 'startedBefore', () => () => null)],
  ['limits that come later are not looked at', instead(Shares.prototype, 'limitsChanged', () => () => [])],
  [
    'all that was ever answered is kept',
    instead(
      Shares.prototype,
      'made',
      (real) =>
        function (this: Shares, ...[job]: never[]) {
          return real.call(this, job, Infinity as never)
        },
    ),
  ],
  [
    'readers are forgotten',
    () => {
      const real = Object.getOwnPropertyDescriptor(SharedAnswer.prototype, 'isRead')!
      Object.defineProperty(SharedAnswer.prototype, 'isRead', { configurable: true, get: () => false })
      return () => Object.defineProperty(SharedAnswer.prototype, 'isRead', real)
    },
  ],
]

it.each(PLANTS)('finds a planted bug: %s', (_name, plant) => {
  const repair = plant()
  try {
    const cases = [...CASES.map(([name, run]) => [name, NO_LIMITS, run] as const), ...LIMITED]
    const red = cases.filter(([, limits, run]) => {
      try {
        run(new SharingStage(createCoordinator, limits))
        return false
      } catch {
        return true
      }
    })
    expect(red.map(([name]) => name)).not.toEqual([])
  } finally {
    repair()
  }
})
