import { expect, test } from 'vitest'
import { isGood } from './goals.ts'
import type { JobState, Timing } from './job.ts'

const GOALS = { ttftMs: 1_000, tpotMs: 50 }
const PARTS = { admission: 1, queue: 400, retries: 0, routing: 1, connect: 0, upstream: 500, delivery: 0 }
const PARTS_LATE = { ...PARTS, upstream: 9_000 }
const TIMING: Timing = { queuedMs: 400, ttftMs: 901, tpotMs: 20, totalMs: 2_000, attempts: 1 }

test('of a batch no first token is late; its tokens may be', () => {
  expect(isGood('done', { ...TIMING, queuedMs: 60_000, ttftMs: 60_500 }, GOALS, true)).toBe(true)
  expect(isGood('done', { ...TIMING, tpotMs: 50.1 }, GOALS, true)).toBe(false)
})

test.each<readonly [string, JobState, Timing | undefined, boolean | null]>([
  ['an answer within both', 'done', TIMING, true],
  ['exactly at both', 'done', { ...TIMING, ttftMs: 1_000, tpotMs: 50 }, true],
  ['a late first token', 'done', { ...TIMING, ttftMs: 1_001 }, false],
  ['slow tokens', 'done', { ...TIMING, tpotMs: 50.1 }, false],
  ['admission counts', 'done', { ...TIMING, parts: { ...PARTS, admission: 200 } }, false],
  ['its parts, all within', 'done', { ...TIMING, parts: PARTS }, true],
  ['its own turn came late', 'done', { ...TIMING, ttftMs: 9_901, parts: { ...PARTS, turn: 9_000 } }, true],
  ['the same, of parts that nobody knows', 'done', { ...TIMING, ttftMs: 9_901, turnMs: 9_000 }, true],
  ['late from its own turn on', 'done', { ...TIMING, ttftMs: 9_901, turnMs: 8_000 }, false],
  ['a document, all of it late', 'done', { queuedMs: 0, totalMs: 9_000, attempts: 1, parts: PARTS_LATE }, true],
  ['an answer of one token', 'done', { queuedMs: 0, totalMs: 5, attempts: 1 }, true],
  ['one that was canceled', 'canceled', TIMING, null],
  ['one that failed, however fast', 'failed', TIMING, false],
  ['one that expired in line', 'expired', undefined, false],
])('%s', (_what, state, timing, good) => {
  expect(isGood(state, timing, GOALS)).toBe(good)
})
