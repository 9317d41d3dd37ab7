import { expect, it } from 'vitest'
import { silent } from './silent.ts'
import type { Situation } from './situation.ts'
import { textOf } from './words.ts'

const situation = (answers: number, forMs: number): Situation =>
  ({
    nowMs: 1_000_000,
    running: 20,
    silent: [{ deployment: 'stall', answers, forMs }],
    deployments: [{ deployment: 'stall', active: 6 }],
  }) as unknown as Situation

it('most of what a deployment answers stands still', () => {
  const brief = silent(situation(6, 28_000))
  expect(textOf(brief!.state)).toBe('6 of 6 answers of stall stand still: no token for 28 s.')
  expect([brief?.kind, brief?.sinceAtMs]).toEqual(['silent', 972_000])
})

it('some of them think', () =>
  expect([silent(situation(3, 28_000)), silent(situation(6, 9_000))]).toEqual([null, null]))
