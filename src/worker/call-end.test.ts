import { expect, it } from 'vitest'
import { toBytes } from '../core/record.ts'
import { endOf } from './call-end.ts'

const of = (last: object | string) => endOf(toBytes(typeof last === 'string' ? last : JSON.stringify(last)))
const choice = (reason: unknown) => ({ index: 0, delta: {}, finish_reason: reason })

it('tells the model, and how each choice ended', () => {
  expect(of({ model: 'gpt-5.2-2026-01-01', choices: [choice('stop'), choice('length'), choice(null)] })).toEqual({
    model: 'gpt-5.2-2026-01-01',
    finishReasons: ['stop', 'length'],
  })
})

it.each([
  ['words that could be a user’s', { model: 'my secret prompt', choices: [choice('stopped, as "secret" was said')] }],
  ['what is no text', { model: { a: 1 }, choices: [choice(7), 'x', null] }],
  ['no JSON', '{"model": "m"'],
  ['a large document', { model: 'm', choices: [choice('stop')], data: 'x'.repeat(70_000) }],
  ['a name without end', { model: 'm'.repeat(129), choices: [choice('s'.repeat(41))] }],
])('%s: nothing', (_what, last) => expect(of(last)).toEqual({}))

it('of very many choices the first', () => {
  expect(of({ choices: Array.from({ length: 1_000 }, () => choice('stop')) }).finishReasons).toHaveLength(16)
})
