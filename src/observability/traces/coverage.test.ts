import { expect, it } from 'vitest'
import { coverageOf, type Visit } from './coverage.ts'

const visit = (from: number, to: number, complete = false): Visit => ({ from, to, complete })

it.each<[string, Visit[], [shown: number, lost: number, twice: number]]>([
  ['nobody', [], [0, 0, 0]],
  ['one who has all', [visit(0, 50, true)], [50, 0, 0]],
  ['one who was cut, and came back where they were', [visit(0, 20), visit(20, 50, true)], [50, 0, 0]],
  ['what was on its way at the cut never arrived', [visit(0, 20), visit(17, 50, true)], [50, 0, 0]],
  ['a cursor beyond what was sent', [visit(0, 20), visit(25, 50, true)], [45, 5, 0]],
  ['a cursor that goes back', [visit(0, 20), visit(20, 30), visit(10, 50, true)], [50, 0, 10]],
  ['somebody else, from the start', [visit(0, 50, true), visit(0, 50, true)], [50, 0, 0]],
  ['again after all of it', [visit(0, 50, true), visit(40, 50, true)], [50, 0, 10]],
  ['two of them side by side', [visit(0, 30), visit(0, 50, true), visit(30, 50, true)], [50, 0, 0]],
])('counts of %s', (_, visits, [shown, lost, twice]) => {
  expect(coverageOf(visits)).toEqual({ shown, lost, twice })
})
