import { expect, it } from 'vitest'
import { Meter } from './meter.ts'

const token = '{"choices":[{"index":0,"delta":{"content":" \\"usage\\":{"},"finish_reason":null}],"usage":null}'

it('takes chunks for tokens until the provider reports', () => {
  const meter = new Meter()
  for (let i = 0; i < 3; i++) expect(meter.see(token)).toBe('chunk')
  expect(meter.usage(7)).toEqual({ promptTokens: 7, completionTokens: 3, estimated: true })
  expect(
    meter.see(
      '{"choices":[],"usage" : {"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":2}}}',
    ),
  ).toBe('usage')
  expect(meter.usage(7)).toEqual({ promptTokens: 9, completionTokens: 4, cachedTokens: 2, estimated: false })
})

it('shows a chunk that carries text and usage, and learns from it', () => {
  const meter = new Meter()
  expect(
    meter.see('{"choices":[{"index":0,"delta":{"content":"x"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}'),
  ).toBe('chunk')
  expect(meter.usage(0)).toEqual({ promptTokens: 1, completionTokens: 1, estimated: false })
})

it.each(['{"choices":[],"usage":{"prompt_tokens":-5,"completion_tokens":1e99}}', '{"choices":[],"usage":{}}'])(
  'does not believe %s',
  (chunk) => {
    const meter = new Meter()
    meter.see(token)
    meter.see(chunk)
    expect(meter.usage(3)).toEqual({ promptTokens: 3, completionTokens: 1, estimated: true })
  },
)
