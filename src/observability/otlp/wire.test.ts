/** The parts of the wire format, against protobufjs. */
import protobuf from 'protobufjs'
import { expect, it } from 'vitest'
import { readHeaderList } from './header-list.ts'
import { partialOf } from './partial.ts'
import { retryAfterMs } from './post.ts'
import { ProtoWriter } from './protobuf.ts'

const { root } = protobuf.parse(`
  syntax = "proto3";
  message Inner { string text = 1; repeated Inner inner = 2; }
  message All {
    string text = 1; uint64 n = 2; double d = 3; fixed64 f = 4; bytes id = 5;
    repeated fixed64 counts = 6; repeated double bounds = 7; repeated Inner inner = 8; fixed32 flags = 16;
  }
  message Partial { int64 rejected_spans = 1; string error_message = 2; }
  message Response { Partial partial_success = 1; }`)
const All = root.lookupType('All')
interface Outer {
  readonly inner: ReadonlyArray<{ readonly text: string; readonly inner: ReadonlyArray<{ readonly text?: string }> }>
}
const Response = root.lookupType('Response')

it.each([0, 1, 126, 127, 128, 129, 16_383, 16_384, 70_000, 2_100_000])('texts and messages of %i bytes', (length) => {
  for (const letter of ['a', 'ü', '€', '😀']) {
    const text = letter.repeat(Math.floor(length / Buffer.byteLength(letter)))
    const w = new ProtoWriter()
    const outer = w.begin(8)
    const inner = w.begin(2)
    w.text(1, text)
    w.end(inner)
    w.text(1, 'after')
    w.end(outer)
    const { inner: got } = All.toObject(All.decode(w.bytes())) as Outer
    expect((got[0].inner[0].text ?? '') === text, `${length} bytes of ${letter}`).toBe(true)
    expect(got[0].text).toBe('after')
  }
})

it('numbers', () => {
  for (const n of [1, 127, 128, 300, 2 ** 31, 2 ** 32, 2 ** 35 + 1, 2 ** 50 + 12_345, Number.MAX_SAFE_INTEGER]) {
    const w = new ProtoWriter()
    w.uint(2, n)
    w.double(3, n / 7)
    w.fixed64(4, n)
    w.hex(5, '00ff10ab')
    w.packedFixed64(6, [1, n, 2 ** 60])
    w.packedDoubles(7, [0.001, n])
    w.fixed32(16, 0x301)
    const got = All.toObject(All.decode(w.bytes()), { longs: String, bytes: String })
    expect(got).toEqual({
      n: String(n),
      d: n / 7,
      f: String(n),
      id: Buffer.from('00ff10ab', 'hex').toString('base64'),
      counts: ['1', String(n), String(2n ** 60n)],
      bounds: [0.001, n],
      flags: 0x301,
    })
  }
})

it('what a collector took only in part', () => {
  const of = (partial: object | null) =>
    partialOf(Response.encode(Response.create({ partialSuccess: partial })).finish())
  expect(of(null)).toBeNull()
  expect(of({})).toBeNull()
  expect(of({ rejectedSpans: 300, errorMessage: 'no' })).toEqual({ rejected: 300, message: 'no' })
  expect(of({ errorMessage: 'a warning' })).toEqual({ rejected: 0, message: 'a warning' })
  const whole = Response.encode(
    Response.create({ partialSuccess: { rejectedSpans: 3, errorMessage: 'x'.repeat(300) } }),
  ).finish()
  // Whatever a peer sends: an answer, and no throw
  for (let i = 0; i < whole.length; i++) {
    partialOf(whole.subarray(0, i))
    for (const byte of [0, 0x7f, 0x80, 0xff]) {
      const bent = Uint8Array.from(whole)
      bent[i] = byte
      const { rejected = 0 } = partialOf(bent) ?? {}
      expect(Number.isSafeInteger(rejected)).toBe(true)
    }
  }
})

it.each([
  ['120', 120_000],
  [' 0 ', 0],
  ['Fri, 27 Nov 2026 00:01:00 GMT', 60_000],
  ['Thu, 26 Nov 2026 00:00:00 GMT', 0],
  ['999999999', 300_000],
  ['soon', null],
  [undefined, null],
])('retry-after: %s', (given, ms) => {
  expect(retryAfterMs(given, Date.UTC(2026, 10, 27))).toBe(ms)
})

it.each<[string, object | null]>([
  ['a=b', { a: 'b' }],
  [' Authorization = Basic%20dXNlcg== , x-scope=1,', { authorization: 'Basic dXNlcg==', 'x-scope': '1' }],
  ['', {}],
  ['a', null],
  ['=b', null],
  ['a b=c', null],
  ['a=%zz', null],
  ['a=%0d%0ax', null],
])('headers in one text: %s', (text, headers) => expect(readHeaderList(text)).toEqual(headers))
