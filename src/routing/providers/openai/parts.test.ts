import { describe, expect, it } from 'vitest'
import { PartCutter } from './parts.ts'

interface Cut {
  readonly rest: string
  readonly parts: ReadonlyArray<{ readonly type: string; readonly bytes: Buffer }>
  readonly fault: string | null
}

function cut(text: string, size = text.length): Cut {
  const parts: Array<{ type: string; bytes: Buffer }> = []
  const cutter = new PartCutter({
    part: (type) => void parts.push({ type, bytes: Buffer.alloc(0) }),
    bytes(chunk) {
      const last = parts.at(-1)!
      last.bytes = Buffer.concat([last.bytes, chunk])
    },
  })
  for (let at = 0; at < text.length; at += size) cutter.feed(text.slice(at, at + size))
  return { rest: cutter.rest, parts, fault: cutter.fault }
}

const png = Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), Buffer.from([...Array(60).keys()])])
const jpeg = Buffer.concat([Buffer.from([0xff, 0xd8, 0xff]), Buffer.alloc(50, 9)])
const answer = {
  created: 1,
  data: [
    { b64_json: png.toString('base64'), revised_prompt: 'a "b64_json": \\ lake, b64_json' },
    { revised_prompt: 'b64_json', b64_json: jpeg.toString('base64') },
  ],
  usage: { input_tokens: 3 },
}
const left = {
  ...answer,
  data: [
    { ...answer.data[0], b64_json: { part: 0 } },
    { ...answer.data[1], b64_json: { part: 1 } },
  ],
}

describe('images are cut out', () => {
  it('wherever the text is cut, with white space, and with escaped slashes', () => {
    for (const text of [
      JSON.stringify(answer),
      JSON.stringify(answer, null, 2),
      JSON.stringify(answer).replaceAll('/', '\\/'),
    ])
      for (let size = 1; size <= 40; size++) {
        const found = cut(text, size)
        expect(found.fault).toBeNull()
        expect(JSON.parse(found.rest)).toEqual(left)
        expect(found.parts).toEqual([
          { type: 'image/png', bytes: png },
          { type: 'image/jpeg', bytes: jpeg },
        ])
      }
  })
  it('one that is no text stays where it is', () => {
    expect(cut('{"data":[{"b64_json":null,"url":"x"}]}').rest).toBe('{"data":[{"b64_json":null,"url":"x"}]}')
  })
})

describe('what is no image', () => {
  it.each([
    ['no base64', '{"b64_json":"a b c d"}'],
    ['an escape', '{"b64_json":"aaaa\\u0041"}'],
    ['nothing', '{"b64_json":""}'],
    ['too much beside them', `{"x":"${'y'.repeat(2 << 20)}"}`],
    ['too many', `[${'{"b64_json":"aaaaaaaaaaaaaaaaaaaa"},'.repeat(65)}`],
  ])('%s', (_what, text) => {
    expect(cut(text, 1_000).fault).not.toBeNull()
  })
  it('holds no image: 64 MiB of one are handed on as they come', () => {
    let [handed, most] = [0, 0]
    const cutter = new PartCutter({
      part() {},
      bytes: (chunk) => {
        handed += chunk.length
        most = Math.max(most, chunk.length)
      },
    })
    cutter.feed('{"data":[{"b64_json":"')
    const piece = 'A'.repeat(65_536)
    for (let i = 0; i < 1_024; i++) cutter.feed(piece)
    cutter.feed('"}]}')
    expect([handed, most <= 65_536, cutter.rest]).toEqual([50_331_648, true, '{"data":[{"b64_json":{"part":0}}]}'])
  })
})
