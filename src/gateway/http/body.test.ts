import fc from 'fast-check'
import { expect, it } from 'vitest'
import { depth } from '../../../test/depth.ts'
import { scanArray, scanObject } from '../../core/json.ts'
import { memberBytes, parseBody } from './body.ts'

const LIMITS = { maxDepth: 64, maxKeys: 10_000 }
const codeOf = (raw: string): string => {
  try {
    parseBody(Buffer.from(raw), LIMITS)
    return 'ok'
  } catch (error) {
    return (error as { code: string }).code
  }
}

/** Text of any UTF-16 units, halves of pairs included. */
const units = fc
  .array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 20 })
  .map((codes) => String.fromCharCode(...codes))
const escaped = (text: string): string =>
  [...Array(text.length).keys()].map((i) => `\\u${text.charCodeAt(i).toString(16).padStart(4, '0')}`).join('')

it('takes escaped text exactly if it is well-formed', () => {
  fc.assert(
    fc.property(units, fc.boolean(), (text, upper) => {
      const escapes = escaped(text)
      const raw = `{"a":["${upper ? escapes.replaceAll(/[a-f]/g, (c) => c.toUpperCase()) : escapes}"]}`
      expect(codeOf(raw)).toBe(text.isWellFormed() ? 'ok' : 'invalid_json')
    }),
    { numRuns: depth(500, 100) },
  )
})

it('takes all that JSON can say, and gives its value and the bytes of its members', () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string({ maxLength: 6 }), fc.jsonValue({ maxDepth: 4 }), { maxKeys: 6 }),
      fc.constantFrom(0, 1, '\t'),
      (value, indent) => {
        const json = JSON.stringify(value, null, indent)
        fc.pre(JSON.stringify(JSON.parse(json)).isWellFormed())
        const body = parseBody(Buffer.from(json), LIMITS)
        expect(body.value).toEqual(JSON.parse(json))
        for (const key of Object.keys(body.value))
          expect(JSON.parse(Buffer.from(memberBytes(body, key)).toString())).toEqual(body.value[key])
      },
    ),
    { numRuns: depth(500, 100) },
  )
})

it('finds the items of a list, whatever is in them', () => {
  fc.assert(
    fc.property(
      fc.array(fc.jsonValue({ maxDepth: 3 }), { maxLength: 8 }),
      fc.constantFrom(0, 2, ' \n'),
      (list, indent) => {
        const bytes = Buffer.from(JSON.stringify(list, null, indent))
        const items = scanArray(bytes).map(({ start, end }) => bytes.subarray(start, end).toString())
        expect(items.map((item) => item.trim())).toEqual(items)
        expect(items.map((item) => JSON.parse(item) as unknown)).toEqual(JSON.parse(bytes.toString()))
      },
    ),
    { numRuns: depth(500, 100) },
  )
})

it('of a repeated member the last one counts', () => {
  const bytes = Buffer.from('{"a": 1, "b": 2, "a" : [3] }')
  const body = { bytes, members: scanObject(bytes, LIMITS) }
  expect(Buffer.from(memberBytes(body, 'a')).toString()).toBe('[3]')
  expect(memberBytes(body, 'c')).toHaveLength(0)
})

it('drops a BOM, and only there', () => {
  const body = parseBody(Buffer.from('\ufeff{"a":"\ufeff"}'), LIMITS)
  expect(body.value).toEqual({ a: '\ufeff' })
  expect(Buffer.from(body.bytes).toString()).toBe('{"a":"\ufeff"}')
})

it('never quotes the body in an error', () => {
  for (const raw of ['{"a": hunter2}', '{"hunter2', 'hunter2', '["hunter2"]']) {
    try {
      parseBody(Buffer.from(raw), LIMITS)
      expect.unreachable()
    } catch (error) {
      expect(`${(error as Error).stack} ${JSON.stringify((error as Error).cause ?? null)}`).not.toContain('hunter2')
    }
  }
})
