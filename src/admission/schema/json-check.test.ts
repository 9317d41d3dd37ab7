/** Which schemas are used: what they may cost is bounded, whoever wrote them. */
import { describe, expect, it } from 'vitest'
import { expectInTime } from '../../../test/in-time.ts'
import type { Json, JsonObject } from '../../core/fold.ts'
import { compileSchema, schemaProblem } from './json-check.ts'

const problemOf = (schema: Json): string | null => schemaProblem(JSON.stringify(schema))
const both = (reference: string): JsonObject => ({ allOf: [{ $ref: reference }, { $ref: reference }] })

describe('a schema without end is refused', () => {
  const names = ['default', 'enum', 'const', 'examples', 'required', '$defs', 'definitions', 'pattern']
  it.each(names)('through a member that is called %s', (name) => {
    for (const map of ['properties', 'patternProperties'])
      expect(problemOf({ [map]: { [name]: both('#') } })).toBe('the schema refers to itself')
    const within = { properties: { a: { properties: { [name]: { additionalProperties: both('#/properties/a') } } } } }
    expect(problemOf(within)).toBe('the schema refers to itself')
  })

  it('where one object is a map and a schema', () => {
    const map = { properties: { properties: { default: both('#/properties') } } }
    expect(problemOf({ ...map, items: { $ref: '#/properties' } })).toBe('the schema refers to itself')
    const values = { default: both('#/default'), items: { $ref: '#/default' } }
    expect(problemOf(values)).toBe('the schema refers to itself')
  })

  it('where an id would lead its references elsewhere', () => {
    const at = { properties: { a: {} }, $defs: { b: { $id: '#/properties/a', items: both('#/properties/a') } } }
    expect(problemOf({ ...at, items: { $ref: '#/properties/a' } })).toBe('the schema has an $id below its root')
    expect(problemOf({ items: { $id: 'https://example.com/a', items: both('#') } })).toContain('$id below its root')
  })

  it('and what is named as a word of schemas is a member like any other', () => {
    const check = compileSchema(
      JSON.stringify({
        $id: 'http://json-schema.org/draft-07/schema',
        type: 'object',
        properties: { $id: { type: 'string' }, $ref: { $ref: '#/definitions/a' }, $async: { enum: [1] }, enum: {} },
        definitions: { a: { type: 'integer' } },
      }),
    )
    expect(check.problemOf('{"$id":"a","$ref":1,"$async":1,"enum":[]}')).toBe(null)
    expect(check.problemOf('{"$ref":"a"}')).toBe('type')
  })
})

it('a check is never a promise', () => {
  expect(problemOf({ $async: true, type: 'object' })).toBe('the schema has a $async')
})

describe('patterns', () => {
  it('have a size, together', () => {
    const of = (count: number): JsonObject => ({
      properties: Object.fromEntries(Array.from({ length: count }, (_, i) => [`p${i}`, { pattern: `${i}a{900}` }])),
    })
    expect(problemOf(of(5))).toBe(null)
    expect(problemOf(of(6))).toContain('too large')
    const names = Array.from({ length: 6 }, (_, i) => [`${i}a{900}`, {}])
    expect(problemOf({ patternProperties: Object.fromEntries(names) })).toContain('too large')
  })

  it('count as often as they are referred to', () => {
    const repeated = (count: number): JsonObject => ({
      $defs: { a: { pattern: 'a{900}' } },
      allOf: Array.from({ length: count }, () => ({ $ref: '#/$defs/a' })),
    })
    expect(problemOf(repeated(5))).toBe(null)
    expect(problemOf(repeated(6))).toContain('more than 20000 checks')
  })

  it('have a length, and the syntax of RE2', () => {
    expect(problemOf({ pattern: 'a'.repeat(1_000) })).toBe(null)
    expect(problemOf({ pattern: 'a'.repeat(1_001) })).toContain('more than 1000 characters')
    expect(problemOf({ patternProperties: { '(?=a)': {} } })).toContain('not an expression of RE2')
  })
})

it('listed values and names count, wherever they are', () => {
  const numbers = (count: number): Json => Array.from({ length: count }, (_, i) => i % 10)
  expect(problemOf({ enum: numbers(19_000) })).toBe(null)
  expect(problemOf({ enum: numbers(21_000) })).toContain('more than 20000 checks')
  expect(problemOf({ $defs: { a: { enum: numbers(1_000) } }, items: listsOf(21) })).toContain('more than 20000 checks')
  expect(problemOf({ const: numbers(21_000) })).toContain('more than 20000 checks')
  expect(problemOf({ required: Array.from({ length: 21_000 }, () => '') })).toContain('more than 20000 checks')
})

it('what a schema lists takes no time for each value of an answer', () => {
  const values = Array.from({ length: 8_000 }, (_, i) => i.toString(36).padStart(4, '0'))
  const listed = compileSchema(JSON.stringify({ items: { enum: values } }))
  const names = compileSchema(JSON.stringify({ items: { type: 'object', required: values.map(() => 'a') } }))
  const text = JSON.stringify(Array.from({ length: 20_000 }, () => values[7_999]))
  const objects = JSON.stringify(Array.from({ length: 10_000 }, () => ({ a: 1 })))
  const began = performance.now()
  expect(listed.problemOf(text)).toBe(null)
  const middle = performance.now()
  expect(names.begin().push(objects)).toBe(true)
  expectInTime(middle - began, 500)
  expectInTime(performance.now() - middle, 500)
})

it('a listed value may be of any type', () => {
  const { problemOf: rule } = compileSchema(JSON.stringify({ enum: [{ a: [1], b: null }, [2], 3, null, 'x', false] }))
  for (const text of ['{"b":null,"a":[1]}', '[2]', '3.0', 'null', '"x"', 'false'])
    expect([text, rule(text)]).toEqual([text, null])
  for (const text of ['{"a":[1]}', '[3]', '4', '"y"', 'true', '{}']) expect([text, rule(text)]).toEqual([text, 'enum'])
})

const listsOf = (count: number): JsonObject => ({
  anyOf: Array.from({ length: count }, () => ({ $ref: '#/$defs/a' })),
})
