/** Chunks fold in Python into what they fold into here, whatever upstreams send. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type JsonObject, MessageFold } from '../../src/core/fold.ts'
import { depth } from '../depth.ts'
import { interpreterWith, start } from './python.ts'

const python = interpreterWith('httpx')

const text = fc.constantFrom('', 'a', '{"x":', '1}', '{}', 'get', 'get_weather', ' "q" ', '}', '\u{1f30a}', 'é')
const index = fc.constantFrom<unknown>(undefined, 0, 1, 2, -1, '1', 'x', null, 1.5)
const call = fc.record(
  {
    index,
    id: fc.constantFrom<unknown>(undefined, '', 'call_1', 'call_2', 7, null),
    type: fc.constantFrom<unknown>('function', '', null),
    function: fc.record({ name: text, arguments: text }, { requiredKeys: [] }),
    custom: fc.record({ name: text, input: text }, { requiredKeys: [] }),
  },
  { requiredKeys: [] },
)
const part = fc.record(
  { type: fc.constantFrom('text', 'thinking', 'image'), text, thinking: text, index },
  { requiredKeys: ['type'] },
)
const anything = fc.letrec((tie) => ({
  value: fc.oneof({ depthSize: 'small' }, text, fc.constantFrom<unknown>(null, true, 3, 0), tie('list'), tie('object')),
  list: fc.array(fc.oneof(part, tie('value')), { maxLength: 3 }),
  object: fc.dictionary(
    fc.constantFrom('text', 'summary', 'name', 'data', 'index', 'type', 'reasoning', 'x', '__proto__'),
    tie('value'),
    { maxKeys: 3 },
  ),
})).value
const delta = fc.record(
  {
    role: fc.constantFrom<unknown>('assistant', '', null, 'model'),
    content: fc.oneof(text, fc.constant(null), fc.array(part, { maxLength: 3 })),
    reasoning_content: text,
    refusal: fc.oneof(text, fc.constant(null)),
    tool_calls: fc.oneof(fc.array(call, { maxLength: 3 }), call),
    audio: fc.record({ id: text, data: text, transcript: text }, { requiredKeys: [] }),
    function_call: fc.record({ name: text, arguments: text }, { requiredKeys: [] }),
    annotations: fc.array(anything, { maxLength: 2 }),
    other: anything,
  },
  { requiredKeys: [] },
)
const pieces = fc.array(fc.tuple(fc.boolean(), delta), { maxLength: 8 })

const PROGRAM = `
import json, sys
from sluice import MessageFold
for line in sys.stdin:
    answer = MessageFold()
    for whole, piece in json.loads(line):
        (answer.whole if whole else answer.delta)(piece)
    print(json.dumps([answer.message]))
`

describe.skipIf(python === undefined)('the fold of the Python package', () => {
  it('is that of the server', async () => {
    const many = fc.sample(pieces, depth(30_000, 2_000)).map((list) => JSON.parse(JSON.stringify(list)))
    const { code, err, out } = await start(
      python!,
      PROGRAM,
      {},
      many.map((list) => `${JSON.stringify(list)}\n`).join(''),
    ).done
    expect(code, err).toBe(0)
    const folded = out.trim().split('\n')
    expect(folded.length).toBe(many.length)
    for (const [i, list] of many.entries()) {
      const fold = new MessageFold({ role: 'assistant', content: null })
      for (const [whole, piece] of list as Array<[boolean, JsonObject]>) whole ? fold.whole(piece) : fold.delta(piece)
      expect(JSON.parse(folded[i]), JSON.stringify(list)).toEqual([JSON.parse(JSON.stringify(fold.message))])
    }
  })
})
