import { expect, it } from 'vitest'
import { hasReferenceLoop } from './references.ts'

const tool = (parameters: unknown): { tools: unknown[] } => ({ tools: [{ function: { parameters } }] })
const format = (schema: unknown): object => ({ response_format: { type: 'json_schema', json_schema: { schema } } })

it.each<[string, boolean, object]>([
  ['to itself', true, { $ref: '#' }],
  ['in a circle', true, { $defs: { a: { $ref: '#/$defs/b' }, b: { $ref: '#/$defs/a' } } }],
  [
    'into a circle',
    true,
    { items: { $ref: '#/$defs/a' }, $defs: { a: { $ref: '#/$defs/b' }, b: { $ref: '#/$defs/b' } } },
  ],
  ['through escaped names', true, { 'a/b': { '~': { $ref: '#/a~1b/~0' } } }],
  ['a tree', false, { properties: { left: { $ref: '#' }, right: { $ref: '#' } } }],
  ['a chain that ends', false, { $ref: '#/$defs/a', $defs: { a: { $ref: '#/$defs/b' }, b: { type: 'string' } } }],
  ['to nowhere', false, { $ref: '#/nope' }],
  ['elsewhere', false, { $ref: 'http://169.254.169.254/' }],
  ['a property that is named $ref', false, { properties: { $ref: { type: 'string' } } }],
])('%s: %s', (_name, loops, schema) => {
  expect(hasReferenceLoop(tool(schema))).toBe(loops)
  expect(hasReferenceLoop(format(schema) as never)).toBe(loops)
})

it('takes time in proportion: a chain of 10,000', () => {
  const $defs = Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`d${i}`, { $ref: `#/$defs/d${i + 1}` }]))
  const { user: before } = process.cpuUsage()
  expect(hasReferenceLoop(tool({ $defs }))).toBe(false)
  expect((process.cpuUsage().user - before) / 1000).toBeLessThan(500)
})

it.each([{}, { tools: 'x' }, { tools: [null, 5, { function: 'f' }] }, { response_format: null }])(
  'needs no form: %j',
  (request) => {
    expect(hasReferenceLoop(request as never)).toBe(false)
  },
)
