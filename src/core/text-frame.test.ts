/** Lengths at which the header changes, and back. */
import { expect, it } from 'vitest'
import { textBytesOf, textFrame } from './text-frame.ts'

it.each([0, 1, 125, 126, 127, 65_534, 65_535, 65_536, 70_000, 1 << 20])('a text of %i bytes', (bytes) => {
  const frame = Buffer.from(textFrame('x'.repeat(bytes)), 'latin1')
  const short = frame[1]
  const [length, head] =
    short < 126 ? [short, 2] : short === 126 ? [frame.readUInt16BE(2), 4] : [Number(frame.readBigUInt64BE(2)), 10]
  expect([frame[0], length, frame.length]).toEqual([0x81, bytes, bytes + head])
  expect(textBytesOf(frame.length)).toBe(bytes)
})
