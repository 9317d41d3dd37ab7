/** The coordinator against its suite, and the suite against planted bugs. */
import { expect, it } from 'vitest'
import { createCoordinator } from '../../src/coordinator/coordinator.ts'
import { PLANTS } from '../simulation/plants.ts'
import { CASES, type Make, Stage } from './coordinator.ts'

it.each(CASES)('%s', (_name, run) => run(new Stage(createCoordinator)))

/** Bugs of the journal around it show in no single command. */
const shown = PLANTS.filter(({ faults, breaks }) => faults?.make !== undefined || breaks !== undefined)

it.each(shown)('finds a planted bug: $name', ({ faults, breaks }) => {
  const make: Make = faults?.make ?? createCoordinator
  const repair = breaks?.()
  try {
    const red = CASES.filter(([, run]) => {
      try {
        run(new Stage(make))
        return false
      } catch {
        return true
      }
    })
    expect(red.map(([name]) => name)).not.toEqual([])
  } finally {
    repair?.()
  }
})
