import { expect, it } from 'vitest'
import { childOf, readTraceparent, spanIdOf } from './trace.ts'

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const PARENT = '00f067aa0ba902b7'
const GOOD = `00-${TRACE}-${PARENT}-01`

it('reads what W3C Trace Context calls valid', () => {
  expect(readTraceparent(GOOD)).toBe(GOOD)
  expect(readTraceparent(`00-${TRACE}-${PARENT}-00`)).toBe(`00-${TRACE}-${PARENT}-00`)
})

it('reads of a later version what version 00 knows', () => {
  expect(readTraceparent(`cc-${TRACE}-${PARENT}-ff`)).toBe(GOOD)
  expect(readTraceparent(`01-${TRACE}-${PARENT}-02`)).toBe(`00-${TRACE}-${PARENT}-00`)
  expect(readTraceparent(`cc-${TRACE}-${PARENT}-01-what-the-future-brings`)).toBe(GOOD)
})

it.each([
  ['nothing', undefined],
  ['a list of two headers', [GOOD, GOOD]],
  ['two headers joined by node', `${GOOD}, ${GOOD}`],
  ['an empty one', ''],
  ['white space', ` ${GOOD}`],
  ['upper case', GOOD.toUpperCase()],
  ['version ff', `ff-${TRACE}-${PARENT}-01`],
  ['no trace id', `00-${'0'.repeat(32)}-${PARENT}-01`],
  ['no parent id', `00-${TRACE}-${'0'.repeat(16)}-01`],
  ['a short trace id', `00-${TRACE.slice(1)}-${PARENT}-01`],
  ['a letter that is no hex digit', `00-${TRACE.replace('4', 'g')}-${PARENT}-01`],
  ['version 00 with more', `${GOOD}-more`],
  ['a later version with a longer flag', `cc-${TRACE}-${PARENT}-011`],
  ['a line break', `${GOOD.slice(0, 54)}\n`],
  ['a text without end', `cc-${TRACE}-${PARENT}-01-${'x'.repeat(100_000)}`],
])('ignores %s', (_what, given) => {
  expect(readTraceparent(given)).toBeNull()
})

it('names a span by its name, and makes what is done within it a part of the trace', () => {
  const names = Array.from({ length: 2_000 }, (_, i) => `job_${i % 500}.${i >> 2}`)
  const ids = new Set([...names, 'ab', 'ba', ''].map(spanIdOf))
  expect(ids.size).toBe(new Set(names).size + 3)
  for (const id of ids) expect(id).toMatch(/^[0-9a-f]{16}$/)
  expect(childOf(GOOD, spanIdOf('job_1.2'))).toBe(`00-${TRACE}-${spanIdOf('job_1.2')}-01`)
})
