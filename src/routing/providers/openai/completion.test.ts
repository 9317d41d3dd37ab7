import { expect, it } from 'vitest'
import { toBytes, toText } from '../../../core/record.ts'
import { asChat, isCompletion, withPrefix } from './completion.ts'

const bytes = (value: object): Uint8Array => Buffer.from(JSON.stringify(value))
const text = (body: Uint8Array): unknown => JSON.parse(Buffer.from(body).toString())

it('knows a completion from a chat', () => {
  expect(isCompletion(bytes({ prompt: 'x' }))).toBe(true)
  expect(isCompletion(bytes({ prompt: 'x', messages: [] }))).toBe(false)
  expect(isCompletion(bytes({ messages: [{ prompt: 'x' }] }))).toBe(false)
})

it('goes on as a longer prompt', () => {
  expect(text(withPrefix(bytes({ prompt: 'a', suffix: 'z' }), 'é'))).toEqual({ prompt: 'aé', suffix: 'z' })
  expect(text(withPrefix(bytes({ prompt: ['a'] }), 'b'))).toEqual({ prompt: 'ab' })
  const body = bytes({ prompt: [1] })
  expect(withPrefix(body, undefined)).toBe(body)
  for (const sent of [{ prompt: [1] }, { prompt: 'a', echo: true }])
    expect(() => withPrefix(bytes(sent), 'b')).toThrow('continued')
})

it('makes an answer one of the canonical dialect, whatever escapes and members it has', () => {
  const logprobs = { tokens: ['é'], token_logprobs: [-0.1], top_logprobs: [{}], text_offset: [0] }
  const event = toBytes(
    '{"id":"c","object":"text_completion","choices":[{"index":0,"text":"\\u00e9€",' +
      `"logprobs":${JSON.stringify(logprobs)},"finish_reason":null,"x":1}],"x_more":true}`,
  )
  expect(JSON.parse(toText(asChat(event, false)))).toEqual({
    ...{ id: 'c', object: 'chat.completion.chunk', x_more: true },
    choices: [{ index: 0, delta: { content: 'é€' }, logprobs, finish_reason: null, x: 1 }],
  })
  const last = '{"choices":[{"index":0,"text":"","finish_reason":"stop"}],"usage":{"completion_tokens":1}}'
  expect(JSON.parse(asChat(last, false))).toMatchObject({ choices: [{ delta: {}, finish_reason: 'stop' }] })
  expect(JSON.parse(asChat(last, true))).toMatchObject({ object: 'chat.completion', usage: { completion_tokens: 1 } })
})

it.each(['[DONE]', '{"error":{"message":"no"}}', '{"half":', '[]', `${'['.repeat(10_000)}`])(
  'leaves what is no completion as it is: %s',
  (payload) => {
    expect(asChat(payload, false)).toBe(payload)
    expect(asChat(payload, true)).toBe(payload)
  },
)
