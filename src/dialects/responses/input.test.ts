import { describe, expect, it } from 'vitest'
import { messagesOf } from './input.ts'

const read = (...input: readonly object[]): readonly object[] => messagesOf(input, () => [])
const call = (id: string) => ({ type: 'function_call', call_id: id, name: 'view', arguments: '{}' })
const called = (...ids: readonly string[]) => ({
  ...{ role: 'assistant', content: null },
  tool_calls: ids.map((id) => ({ id, type: 'function', function: { name: 'view', arguments: '{}' } })),
})
const output = (id: string, result: unknown, type = 'function_call_output') => ({ type, call_id: id, output: result })
const image = { type: 'input_image', image_url: 'data:image/png;base64,AA==', detail: 'high' }
const seen = { type: 'image_url', image_url: { url: 'data:image/png;base64,AA==', detail: 'high' } }
const lead = (id: string) => ({ type: 'text', text: `Returned by the tool call ${id}:` })
const ELSEWHERE = 'What the tool returned is in the next message.'

describe("a tool's output", () => {
  it.each(['function_call_output', 'custom_tool_call_output'])('%s: texts are one text', (type) => {
    const parts = [
      { type: 'input_text', text: 'a' },
      { type: 'input_text', text: 'b' },
    ]
    expect(read(output('c1', parts, type), output('c2', 'x', type), output('c3', [], type))).toEqual([
      { role: 'tool', tool_call_id: 'c1', content: 'a\nb' },
      { role: 'tool', tool_call_id: 'c2', content: 'x' },
      { role: 'tool', tool_call_id: 'c3', content: '' },
    ])
  })
  it.each(['function_call_output', 'custom_tool_call_output'])(
    "%s: what no tool's message can hold follows after all outputs, as the user's",
    (type) => {
      const file = { type: 'input_file', filename: 'a.pdf', file_data: 'data:application/pdf;base64,AA==' }
      const both = [{ type: 'input_text', text: 'Two:' }, image, file]
      expect(read(call('c1'), call('c2'), output('c1', [image], type), output('c2', both, type), call('c3'))).toEqual([
        called('c1', 'c2'),
        { role: 'tool', tool_call_id: 'c1', content: ELSEWHERE },
        { role: 'tool', tool_call_id: 'c2', content: 'Two:' },
        {
          role: 'user',
          content: [
            ...[lead('c1'), seen, lead('c2'), seen],
            { type: 'file', file: { filename: 'a.pdf', file_data: 'data:application/pdf;base64,AA==' } },
          ],
        },
        called('c3'),
      ])
    },
  )
  it('is followed by it where nothing else comes', () => {
    const said = { role: 'user', content: 'Well?' }
    const both = [
      { role: 'tool', tool_call_id: 'c1', content: ELSEWHERE },
      { role: 'user', content: [lead('c1'), seen] },
    ]
    expect(read(output('c1', [image]))).toEqual(both)
    expect(read(output('c1', [image]), { type: 'message', ...said })).toEqual([...both, said])
  })
})

it.each([
  ['file_url', { file_url: 'https://x.example/y.pdf' }, /an address.*"file_data"/],
  ['an address as data', { file_data: 'https://x.example/y.pdf' }, /an address.*"file_data"/],
  ['an id', { file_id: 'file-1' }, /only OpenAI has.*"file_data"/],
])('a file by %s is refused, with what to send', (_name, file, message) => {
  const content = [{ type: 'input_file', filename: 'y.pdf', ...file }]
  expect(() => read({ role: 'user', content })).toThrow(message)
})
