import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Bytes } from '../../core/record.ts'
import { decode, Encoder, Extract } from './codec.ts'

const everything = (): Extract => new Extract(0, Infinity, Infinity)

function roundTrip(records: readonly Bytes[]): { readonly back: readonly Bytes[]; readonly encoded: Bytes } {
  const encoder = new Encoder()
  const encoded = records.map((r) => encoder.encode(r)).join('')
  const into = everything()
  decode(encoded, [], into)
  return { back: into.records, encoded }
}

const chunk = (content: string, more = ''): Bytes =>
  '{"id":"chatcmpl-9f8e7d6c5b4a39281706f5e4d3c2b1a0","object":"chat.completion.chunk","created":1750000000,' +
  '"model":"mock-model-2025-01-01","service_tier":"default","system_fingerprint":"fp_0123456789",' +
  `"choices":[{"index":0,"delta":{"content":"${content}"},"logprobs":null,"finish_reason":null}]${more}}`
const opening = chunk('').replace('{"content":""}', '{"role":"assistant","content":"","refusal":null}')

describe('the codec', () => {
  test('gives back any records, in order', () => {
    const bytes = fc.string({
      unit: fc.integer({ min: 0, max: 255 }).map((c) => String.fromCharCode(c)),
      maxLength: 80,
    })
    const shaped = fc
      .tuple(
        fc.constantFrom('{"a":"', '{"a":"b","content":"', `{"${'x'.repeat(60)}":"`),
        bytes,
        fc.constantFrom('"}', '","finish":null,"more":1}'),
      )
      .map((x) => x.join(''))
    const obfuscated = fc.tuple(bytes, bytes).map(([a, b]) => chunk(a, `,"obfuscation":"${b}"`))
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            bytes,
            shaped,
            obfuscated,
            bytes.map((b) => chunk(b)),
          ),
          { maxLength: 60 },
        ),
        (records) => {
          expect(roundTrip(records).back).toEqual(records)
        },
      ),
      { numRuns: 500 },
    )
  })

  test('learns nothing from a control record, and forgets nothing for it', () => {
    const records = [chunk(' one'), '@reset {"reason":"worker_lost"}', chunk(' two'), chunk(' three')]
    const { back, encoded } = roundTrip(records)
    expect(back).toEqual(records)
    // The second chunk already shares the first one's frame
    expect(encoded.length).toBeLessThan(2.2 * chunk(' one').length)
  })

  test('stores of a chunk only what is new', () => {
    const records = [
      opening,
      ...Array.from({ length: 500 }, (_, i) => chunk(` tok${String(i).padStart(6, '0')}.1750000000123`)),
    ]
    const { back, encoded } = roundTrip(records)
    expect(back).toEqual(records)
    expect(encoded.length / records.length).toBeLessThan(28)
  })

  test('knows chunks with two places that vary', () => {
    const records = [
      opening,
      ...Array.from({ length: 300 }, (_, i) =>
        chunk(` word${i}`, `,"obfuscation":"${'abcdefghijklm'.slice(0, i % 13)}"`),
      ),
    ]
    const { back, encoded } = roundTrip(records)
    expect(back).toEqual(records)
    expect(encoded.length / records.length).toBeLessThan(25)
  })

  test('is not confused by interleaved choices', () => {
    const records = Array.from({ length: 400 }, (_, i) => chunk(` w${i}`).replace('"index":0', `"index":${i % 4}`))
    const { back, encoded } = roundTrip(records)
    expect(back).toEqual(records)
    expect(encoded.length / records.length).toBeLessThan(25)
  })

  test('passes records by, stops at a budget, and starts in the middle with the templates of the whole', () => {
    const records = [opening, ...Array.from({ length: 100 }, (_, i) => chunk(` w${i}`))]
    const encoder = new Encoder()
    const pieces = records.map((r) => encoder.encode(r))
    const into = new Extract(10, Infinity, records[10].length * 3)
    decode(pieces.join(''), [], into)
    expect(into.records).toEqual(records.slice(10, 13))
    const tail = everything()
    decode(pieces.slice(50).join(''), [...encoder.templates], tail)
    expect(tail.records).toEqual(records.slice(50))
    const one = new Extract(0, 1, 0)
    decode(pieces.join(''), [], one)
    expect(one.records).toEqual(records.slice(0, 1))
  })

  test('says so when the text is damaged', () => {
    const { encoded } = roundTrip([opening, chunk(' a'), chunk(' b')])
    expect(() => decode(encoded.slice(0, -3), [], everything())).toThrow('damaged')
    expect(() => decode('\x09\x01a', [], everything())).toThrow('damaged')
  })

  test('cut short anywhere it ends: damaged, or a beginning of the records', () => {
    // Lengths of more than one byte among them
    const records = [opening, chunk(' a'), 'x'.repeat(300), chunk('y'.repeat(200)), 'z'.repeat(20_000)]
    const { encoded } = roundTrip(records)
    for (let length = 0; length < encoded.length; length++) {
      const into = everything()
      try {
        decode(encoded.slice(0, length), [], into)
      } catch (error) {
        expect(error).toMatchObject({ message: 'a stored log is damaged' })
      }
      expect(into.records.length).toBeLessThan(records.length)
      if (length % 100 === 0) expect(into.records).toEqual(records.slice(0, into.records.length))
    }
  })
})
