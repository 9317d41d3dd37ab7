import { expect, test } from 'vitest'
import { ttftPartsOf } from './measured.ts'

const MARKS = { leasedMono: 1_000, calledMono: 1_010, sentMono: null, firstTokenMono: 1_200 }
const job = { admissionMs: 5 }

test.each([
  ['nothing', {}, { queue: 900, retries: 100 }],
  ['none', { turnMs: 0 }, { queue: 900, retries: 100 }],
  ['a part of its wait', { turnMs: 700.25 }, { turn: 700.25, queue: 199.75, retries: 100 }],
  ['more than its wait, by another clock', { turnMs: 2_000 }, { turn: 900, queue: 0, retries: 100 }],
])(
  'of a lease that tells of its own turn %s, all parts after admission add up to the time since acceptance',
  (_, told, parts) => {
    const found = ttftPartsOf({ job, sinceAcceptedMs: 1_000, queuedMs: 900, ...told }, MARKS)
    expect(found).toEqual({ admission: 5, ...parts, routing: 10, connect: 0, upstream: 190, delivery: 0 })
    const { admission, ...after } = found
    expect(Object.values(after).reduce((sum, ms) => sum + ms, 0)).toBe(1_200)
  },
)
