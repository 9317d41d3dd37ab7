/** Since when: as exactly as is known. */
import { expect, it } from 'vitest'
import type { Fact } from '../../core/facts.ts'
import { History } from '../history/history.ts'
import { sincesOf } from './now.ts'

const MINUTE_MS = 1_800_000_000_000
const GOALS = { ttftMs: 1_500, tpotMs: 50, good: 0.99 }

function setUp() {
  const history = new History(MINUTE_MS + 2_000)
  const end = (second: number, state: 'done' | 'failed'): void =>
    history.observe({ type: 'job-ended', atMs: MINUTE_MS + second * 1_000, job: 'j', state, deployment: 'a' } as Fact)
  const since = (second: number): number | undefined => {
    const { failing } = sincesOf(history, MINUTE_MS + second * 1_000, GOALS)
    return failing === undefined ? undefined : (failing - MINUTE_MS) / 1_000
  }
  return { end, since }
}

it('a trouble began when the first of it was seen, not with the minute of that', () => {
  const { end, since } = setUp()
  for (let second = 3; second < 38; second++) end(second, 'done')
  for (let second = 31; second < 38; second++) end(second, 'failed')
  expect(since(38)).toBe(30)
})

it('and before that minute, if it was so without a break', () => {
  const { end, since } = setUp()
  // Too little for that minute as a whole
  for (let second = 3; second < 55; second++) for (let i = 0; i < 10; i++) end(second, 'done')
  for (let second = 55; second < 200; second++) end(second, 'failed')
  expect(since(200)).toBe(55)
})

it('what no fine bucket is left of, began with its minute', () => {
  const { end, since } = setUp()
  for (let second = 3; second < 2_400; second++) end(second, second < 150 ? 'done' : 'failed')
  expect(since(2_400)).toBe(120)
})

it('it goes on though the present minute began well', () => {
  const { end, since } = setUp()
  for (let second = 3; second < 120; second++) end(second, second < 60 ? 'done' : 'failed')
  end(120, 'done')
  expect(since(121)).toBe(60)
})
