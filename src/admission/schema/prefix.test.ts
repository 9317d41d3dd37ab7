/** The check of beginnings: never stricter than that of the whole, and sure of syntax. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { depth } from '../../../test/depth.ts'
import { expectInTime } from '../../../test/in-time.ts'
import type { JsonObject } from '../../core/fold.ts'
import { compileSchema } from './json-check.ts'
import { PrefixCheck } from './prefix.ts'

/** Up to which character it is taken; all of them: its length. */
function taken(schema: JsonObject, text: string): number {
  const check = new PrefixCheck(schema)
  for (let i = 0; i < text.length; i++) if (!check.push(text[i])) return i
  return text.length
}

const leaf = fc.oneof(
  fc.constantFrom(null, true, false, 0, 1, -1.5, 2e3, '', 'a', 'ab', 'é\n"\\'),
  fc.string({ maxLength: 4 }),
)
const NAMES = ['a', 'b', 'c']
const { value, schema } = fc.letrec<{ value: unknown; schema: JsonObject }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    leaf,
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom(...NAMES), tie('value'), { maxKeys: 3 }),
  ),
  schema: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom<JsonObject>(
      {},
      { type: 'string' },
      { type: ['integer', 'null'] },
      { type: 'number' },
      { enum: ['a', 'ab', 1, null] },
      { const: 'a' },
      { $ref: '#/$defs/x' },
      { type: 'boolean' },
    ),
    fc.record({ type: fc.constant('array'), items: tie('schema') }) as fc.Arbitrary<JsonObject>,
    fc.record({ anyOf: fc.array(tie('schema'), { minLength: 1, maxLength: 3 }) }) as fc.Arbitrary<JsonObject>,
    fc.record({
      type: fc.constantFrom('object', ['object', 'string']),
      properties: fc.dictionary(fc.constantFrom(...NAMES), tie('schema'), { maxKeys: 3 }),
      required: fc.subarray(NAMES),
      additionalProperties: fc.constantFrom(true, false),
    }) as fc.Arbitrary<JsonObject>,
  ),
}))

it('takes whatever the whole check takes, however it is written', () => {
  let valid = 0
  fc.assert(
    fc.property(schema, value, fc.constantFrom(undefined, 1), (made, json, space) => {
      const rooted: JsonObject = { ...made, $defs: { x: { type: 'object', required: ['a'] } } }
      const text = JSON.stringify(json, null, space)
      const isValid = compileSchema(JSON.stringify(rooted)).problemOf(text) === null
      if (!isValid) return
      valid++
      expect(taken(rooted, text)).toBe(text.length)
    }),
    { numRuns: depth(5_000, 200) },
  )
  expect(valid).toBeGreaterThan(depth(200, 5))
})

it('takes no character after which nothing can be JSON', () => {
  const any = fc.string({ unit: fc.constantFrom(...'{}[]":,\\1-.e0 tfnrualse'.split('')), maxLength: 12 })
  fc.assert(
    fc.property(any, (text) => {
      let isJson = false
      try {
        JSON.parse(text)
        isJson = true
      } catch {}
      if (isJson) expect(taken({}, text)).toBe(text.length)
    }),
    { numRuns: depth(20_000, 2_000) },
  )
  for (const [text, at] of [
    ['{,', 1],
    ['[1,,', 3],
    ['{"a" 1', 5],
    ['01', 1],
    ['tru3', 3],
    ['1 2', 2],
    ['"\n"', 1],
    ['[}', 1],
    ['{"a":1]', 6],
    ['x', 0],
    ['1.e', 2],
  ] as const)
    expect([text, taken({}, text)]).toEqual([text, at])
})

describe('follows', () => {
  const pet = { type: 'object', properties: { kind: { const: 'cat' }, n: { type: 'integer' } }, required: ['kind'] }
  const or = { anyOf: [pet, { type: 'null' }] }
  it.each<[string, JsonObject, string, number]>([
    ['references', { $ref: '#/$defs/pet', $defs: { pet } }, '{"kind":"d', 9],
    ['alternatives', or, '"', 0],
    ['and what they have in common', or, '{"kind":"d', 9],
    ['lists', { type: 'array', items: pet }, '[{"kind":"cat"},{}', 17],
    ['members that must be there', pet, '{"n":1}', 6],
    ['what is no member', { ...pet, additionalProperties: false }, '{"m":', 3],
    ['a name in another spelling', { ...pet, additionalProperties: false }, '{"\\u006b\\u0069nd":"c', 20],
    ['a value in another spelling', pet, '{"kind":"\\u0063at"', 18],
    ['and another one', pet, '{"kind":"\\u0064at"', 17],
    ['not what it does not know', { not: { type: 'string' } }, '"a"', 3],
  ])('%s', (_name, schema, text, at) => {
    expect(taken(schema, text)).toBe(at)
  })
})

it('an answer of 4 MB takes time in proportion, and bounded memory', () => {
  const check = new PrefixCheck({ type: 'array', items: { type: 'object', additionalProperties: { type: 'string' } } })
  const item = `{"${'a'.repeat(50)}":"${'b'.repeat(500)}"}`
  expect(check.push(`[${Array.from({ length: 7_000 }, () => item).join(',')}]`)).toBe(true)
  const deep = new PrefixCheck({})
  expect(deep.push('['.repeat(128))).toBe(true)
  expect(deep.push('[')).toBe(false)
})

it('a listed value takes no time for each of the others at each character', () => {
  const values = Array.from({ length: 4_000 }, (_, i) => `${'a'.repeat(40)}${i}`)
  const listed = Array.from({ length: 15 }, () => ({ enum: [...values, 7, 8.5] }))
  const check = new PrefixCheck({ type: 'array', items: { anyOf: listed } })
  const item = `"${values[777]}",7,8.5`
  const began = performance.now()
  expect(check.push(`[${Array.from({ length: 400 }, () => item).join(',')}`)).toBe(true)
  expectInTime(performance.now() - began, 1_000)
  expect(check.push(`,"${'a'.repeat(40)}x`)).toBe(false)
})
