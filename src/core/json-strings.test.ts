import fc from 'fast-check'
import { expect, it } from 'vitest'
import { depth } from '../../test/depth.ts'
import { editStrings } from './json-strings.ts'

const edit = (json: string, fn: (text: string, names: ReadonlyArray<string | number>) => string): string =>
  Buffer.from(editStrings(Buffer.from(json), fn)).toString('utf8')

it('every byte stays but those of the texts that change', () => {
  const json = '{ "a":"x", "big":9007199254740993 ,"b":["\\u00e9","x",{"x":"x"}], "e":1.50, "x" : "\\"x\\"" }'
  expect(edit(json, (text) => text)).toBe(json)
  expect(edit(json, (text) => (text === 'x' ? 'y"' : text))).toBe(
    '{ "a":"y\\"", "big":9007199254740993 ,"b":["\\u00e9","y\\"",{"x":"y\\""}], "e":1.50, "x" : "\\"x\\"" }',
  )
})

it('whatever the JSON, it visits each text with its way, and changes what JSON.parse would find there', () => {
  const text = fc.string({
    unit: fc.constantFrom('a', '"', '\\', '{', '}', '[', ']', ',', ':', 'é', '😀', '\n'),
    maxLength: 6,
  })
  const { value } = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      text,
      fc.constantFrom(null, true, 1.5, -2e3),
      fc.array(tie('value'), { maxLength: 4 }),
      fc.dictionary(
        text.filter((name) => name !== '__proto__'),
        tie('value'),
        { maxKeys: 4 },
      ),
    ),
  }))
  const changed = (value: unknown, names: ReadonlyArray<string | number>): unknown => {
    if (typeof value === 'string') return value.includes('a') ? `${value}:${names.join('.')}` : value
    if (Array.isArray(value)) return value.map((item, i) => changed(item, [...names, i]))
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, changed(each, [...names, name])]))
  }
  fc.assert(
    fc.property(value, fc.constantFrom(undefined, 1, '\t'), (json, space) => {
      const edited = edit(JSON.stringify(json, null, space), (text, names) =>
        text.includes('a') ? `${text}:${names.join('.')}` : text,
      )
      // As text: V8's JSON.parse takes a name with an escape for another one that it has seen, now and then
      expect(edited).toBe(JSON.stringify(changed(json, []), null, space))
    }),
    { numRuns: depth(10_000, 500) },
  )
})

it('takes any depth, and texts full of quotes, in one pass', () => {
  const deep = `${'['.repeat(200_000)}"a"${']'.repeat(200_000)}`
  expect(edit(deep, () => 'b')).toBe(deep.replace('a', 'b'))
  const quotes = JSON.stringify('\\"'.repeat(200_000))
  expect(edit(quotes, (text) => text)).toBe(quotes)
})
