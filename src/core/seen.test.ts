import { expect, it } from 'vitest'
import type { Bytes } from './record.ts'
import { outputTokensIn } from './seen.ts'

const chunk = (delta: object, reason: string | null = null): Bytes =>
  JSON.stringify({ choices: [{ index: 0, delta, finish_reason: reason }] })
const [opening, token, end] = [chunk({ role: 'assistant', content: '' }), chunk({ content: 'a' }), chunk({}, 'stop')]

it.each<[string, readonly Bytes[], number]>([
  ['nothing', [], 0],
  ['an opening', [opening], 0],
  ['tokens', [opening, token, token], 2],
  ['tokens and their end', [opening, token, token, end], 2],
  ['an end with text', [token, chunk({ content: 'b' }, 'stop')], 2],
  ['an end alone', [end], 0],
  ['what can not be read', [token, '{"half'], 2],
])('%s', (_name, records, tokens) => {
  expect(outputTokensIn(records)).toBe(tokens)
})
