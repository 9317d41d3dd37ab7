import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { Turn } from '../core/ports/conversations.ts'
import { Prompt, type PromptRequest } from './prompt.ts'

// biome-ignore lint/suspicious/noExplicitAny: members of any message
type Said = Record<string, any>

const user = (content: unknown): Said => ({ role: 'user', content })
const assistant = (content: string | null, more: object = {}): Said => ({ role: 'assistant', content, ...more })
const calls = (...ids: string[]): Said =>
  assistant(null, { tool_calls: ids.map((id) => ({ id, type: 'function', function: { name: 'f', arguments: '{}' } })) })
const tool = (id: string, content = 'result'): Said => ({ role: 'tool', tool_call_id: id, content })
const turn = (messages: readonly Said[], answer: Said | null, state: Turn['state'] = 'done'): Turn => ({
  job: `j${JSON.stringify(messages)}`,
  state,
  messages: JSON.stringify(messages),
  answer: answer === null ? null : JSON.stringify(answer),
})
const plain = (n: number, state: Turn['state'] = 'done'): Turn =>
  turn([user(`question ${n}`)], assistant(`answer ${n}`), state)
const long = (n: number): string => 'x'.repeat(n)

/** `turns` oldest first, as people tell them. */
function compose(turns: readonly Turn[], own: readonly Said[], more: Partial<PromptRequest> = {}) {
  const prompt = new Prompt({
    own: JSON.stringify(own),
    instructions: '[]',
    budgetTokens: 100_000,
    maxPromptBytes: 1 << 24,
    keepFailed: false,
    answerMembers: [],
    ...more,
  })
  let read = 0
  for (const one of turns.toReversed()) {
    read++
    if (!prompt.add(one)) break
  }
  const messages = prompt.messages().map((text) => JSON.parse(text) as Said)
  return { messages, read, said: messages.map((m) => m['tool_call_id'] ?? m['content'] ?? m['role']) }
}
const now = [user('and now?')]

it('is what was said, in order, and then the own messages', () => {
  expect(compose([plain(1), plain(2)], now).said).toEqual([
    'question 1',
    'answer 1',
    'question 2',
    'answer 2',
    'and now?',
  ])
  expect(compose([], now).messages).toEqual(now)
})

it('cuts from the oldest side, leaves no hole, and reads no further than it needs', () => {
  const turns = [plain(1), turn([user(long(4_000))], assistant('a')), plain(3)]
  expect(compose(turns, now, { budgetTokens: 500 })).toMatchObject({
    said: ['question 3', 'answer 3', 'and now?'],
    read: 2,
  })
  // An exchange: 2 messages of 4 + 10 tokens
  expect(compose([plain(1), plain(2), plain(3)], now, { budgetTokens: 60 }).said).toEqual([
    'question 3',
    'answer 3',
    'and now?',
  ])
})

it('is bounded in bytes, too', () => {
  const picture = (n: number): Turn =>
    turn(
      [user([{ type: 'image_url', image_url: { url: `data:image/png;base64,${long(50_000)}` } }])],
      assistant(`${n}`),
    )
  const { messages, read } = compose([picture(1), picture(2), picture(3)], now, { maxPromptBytes: 120_000 })
  expect([messages.length, read]).toEqual([5, 3])
})

it('cuts only before a user’s message: a result is never without its call (semantic-kernel#12708)', () => {
  const turns = [
    turn([user(long(5_000))], calls('c1')),
    turn([tool('c1', long(2_000))], assistant('done')),
    turn([user(long(1_200))], assistant('ok')),
  ]
  const { said } = compose(turns, now, { budgetTokens: 2_000 })
  expect(said).toEqual([long(1_200), 'ok', 'and now?'])
  // Within one turn's messages as well
  const inner = turn([user(long(5_000)), calls('c1'), tool('c1'), user('thanks')], assistant('welcome'))
  expect(compose([inner], now, { budgetTokens: 200 }).said).toEqual(['thanks', 'welcome', 'and now?'])
})

it('an own result brings its call, and the question that led to it, however long they are', () => {
  const turns = [plain(1), turn([user(long(9_000))], calls('c1')), turn([tool('c1'), tool('x')], calls('c2'))]
  const { messages } = compose(turns, [tool('c2')], { budgetTokens: 1_000 })
  expect(messages.map((m) => m['role'])).toEqual(['user', 'assistant', 'tool', 'assistant', 'tool'])
  // The user spoke in between
  const apart = [turn([user(long(9_000))], calls('c1')), turn([user('wait')], assistant('waiting'))]
  expect(compose(apart, [tool('c1')], { budgetTokens: 1_000 }).messages.map((m) => m['role'])).toEqual([
    'user',
    'assistant',
    'tool',
    'user',
    'assistant',
  ])
  // A call that nobody made brings nothing
  expect(compose(apart, [user('so?'), tool('nobody')], { budgetTokens: 1_000 }).said).toEqual([
    'wait',
    'waiting',
    'so?',
  ])
})

it('a tool’s result is the client’s word: it stays, though its turn failed, was canceled or expired', () => {
  for (const state of ['failed', 'canceled', 'expired'] as const) {
    const turns = [turn([user('weather?')], calls('c1')), turn([tool('c1')], null, state)]
    expect(compose(turns, [user('again')]).said).toEqual(['weather?', 'assistant', 'c1', 'again'])
    // Sent again: the newer one
    expect(compose(turns, [tool('c1', 'newer')]).messages.at(-1)).toEqual(tool('c1', 'newer'))
    expect(compose(turns, [tool('c1', 'newer')]).messages).toHaveLength(3)
  }
})

it('a failed turn whose call was answered stays', () => {
  const turns = [plain(1), turn([user('weather?')], calls('c1'), 'failed')]
  expect(compose(turns, [tool('c1')]).said).toEqual(['question 1', 'answer 1', 'weather?', 'assistant', 'c1'])
  expect(compose(turns, now).said).toEqual(['question 1', 'answer 1', 'and now?'])
})

it('no call is sent without its result', () => {
  const spoken = { ...calls('c1', 'c2'), content: 'let me see' }
  const turns = [turn([user('weather?')], spoken)]
  expect(compose(turns, now).messages).toEqual([user('weather?'), assistant('let me see'), ...now])
  expect(compose([turn([user('weather?')], calls('c1'))], now).messages).toEqual([user('weather?'), ...now])
  // One of two: the other call is left out
  const [, made, result] = compose(turns, [tool('c2')]).messages
  expect([made['tool_calls'].map((c: Said) => c['id']), result]).toEqual([['c2'], tool('c2')])
})

it('ids that providers use again belong to the newest call', () => {
  const turns = [
    turn([user('a')], calls('call_0')),
    turn([tool('call_0', '1')], assistant('one')),
    turn([user('b')], calls('call_0')),
  ]
  expect(
    compose(turns, [tool('call_0', '2')])
      .messages.filter((m) => m['role'] === 'tool')
      .map((m) => m['content']),
  ).toEqual(['1', '2'])
  // Several calls without any id
  const blank = [turn([user('a')], calls('', ''))]
  expect(compose(blank, [tool('', '1'), tool('', '2')]).messages.slice(2)).toEqual([tool('', '1'), tool('', '2')])
})

it('refuses results that answer no call of the conversation', () => {
  expect(() => compose([plain(1)], [tool('c9')])).toThrow('answer no call')
})

it('the older function call keeps its result, and no other', () => {
  const called = assistant(null, { function_call: { name: 'f', arguments: '{}' } })
  const result = { role: 'function', name: 'f', content: '1' }
  expect(compose([turn([user('a')], called)], [result]).messages).toEqual([user('a'), called, result])
  expect(compose([plain(1)], [result, user('b')]).said).toEqual(['question 1', 'answer 1', 'b'])
})

it('keeps the instructions that the conversation began with, once', () => {
  const rules = [
    { role: 'system', content: 'be brief' },
    { role: 'developer', content: 'no jokes' },
  ]
  const instructions = JSON.stringify(rules)
  const turns = [
    turn([...rules, user('question 1')], assistant('answer 1')),
    plain(2),
    turn([...rules, user('3')], null),
  ]
  expect(compose(turns, [...rules, ...now], { instructions }).said).toEqual([
    'be brief',
    'no jokes',
    'question 1',
    'answer 1',
    'question 2',
    'answer 2',
    '3',
    'and now?',
  ])
  expect(compose(turns, now, { instructions, budgetTokens: 60 }).said).toEqual([
    'be brief',
    'no jokes',
    '3',
    'and now?',
  ])
  // New ones stay before the message that they came with
  const changed = turn([{ role: 'system', content: 'be long' }, user('4')], assistant('five'))
  expect(compose([...turns, changed], now, { instructions, budgetTokens: 90 }).said.slice(-4)).toEqual([
    'be long',
    '4',
    'five',
    'and now?',
  ])
})

it('leaves out turns that failed, or keeps them, by policy', () => {
  const turns = [plain(1), turn([user('question 2')], null, 'failed'), plain(3, 'canceled')]
  expect(compose(turns, now).said).toEqual(['question 1', 'answer 1', 'and now?'])
  expect(compose(turns, now, { keepFailed: true }).said).toHaveLength(6)
})

it('of an answer it sends back what the dialect takes as input', () => {
  const answer = {
    role: 'system',
    content: 'yes',
    refusal: null,
    reasoning_content: 'hm',
    annotations: [],
    tool_calls: [],
    function_call: null,
    audio: { id: 'audio_1', data: long(90_000), transcript: 'yes', expires_at: 1 },
  }
  const back = (answerMembers: string[], of: Said = answer): Said | undefined =>
    compose([turn([user('a')], of)], now, { answerMembers }).messages[1]
  expect(back([])).toEqual({ role: 'assistant', content: 'yes', audio: { id: 'audio_1' } })
  expect(back(['reasoning_content', 'role'])).toEqual({
    role: 'assistant',
    content: 'yes',
    reasoning_content: 'hm',
    audio: { id: 'audio_1' },
  })
  expect(back([], { role: 'assistant', content: null, refusal: 'no' })).toEqual(assistant(null, { refusal: 'no' }))
  expect(back([], { content: null, audio: { transcript: 'hello' } })).toEqual(assistant('hello'))
  const parts = [
    { type: 'thinking', thinking: [] },
    { type: 'text', text: 'b' },
  ]
  expect(back([], { content: parts })).toEqual({ role: 'assistant', content: [{ type: 'text', text: 'b' }] })
  // Nothing to send back: the user's next message follows
  expect(back([], { content: '', reasoning_content: 'hm' })).toEqual(now[0])
})

it('an image, a sound or a file costs the same, whatever its size (codex#12104)', () => {
  const media = [
    { type: 'image_url', image_url: { url: `data:image/png;base64,${long(700_000)}` } },
    { type: 'input_audio', input_audio: { data: long(700_000), format: 'wav' } },
    { type: 'file', file: { filename: 'a.pdf', file_data: long(700_000) } },
    { type: 'image', source: { type: 'base64', media_type: 'image/png', data: long(700_000) } },
  ]
  for (const part of media) {
    const turns = [plain(1), turn([user([{ type: 'text', text: 'look' }, part])], assistant('seen'))]
    expect(compose(turns, now, { budgetTokens: 4_000 }).said[0], part.type).toBe('question 1')
    expect(compose([plain(1)], [user([part])], { budgetTokens: 4_000 }).said[0], part.type).toBe('question 1')
    const shown = [
      plain(1),
      turn([user('show')], calls('c')),
      turn([{ ...tool('c'), content: [part] }], assistant('ok')),
    ]
    expect(compose(shown, now, { budgetTokens: 4_000 }).said[0], part.type).toBe('question 1')
  }
  // Text stays text
  const pasted = turn([user([{ type: 'text', text: `data:${long(700_000)}` }])], assistant('seen'))
  expect(compose([plain(1), pasted], now, { budgetTokens: 4_000 }).said).toEqual(['and now?'])
})

it('whatever was said: within the budget, calls beside results, a user’s message first', () => {
  const id = fc.constantFrom('a', 'b', 'c')
  const message = fc.oneof(
    { weight: 3, arbitrary: fc.string({ maxLength: 100 }).map(user) },
    { weight: 2, arbitrary: fc.array(id, { minLength: 1, maxLength: 3 }).map((ids) => calls(...ids)) },
    { weight: 3, arbitrary: fc.tuple(id, fc.string({ maxLength: 90 })).map(([call, text]) => tool(call, text)) },
    fc.string({ minLength: 1, maxLength: 50 }).map((text) => assistant(text)),
  )
  const answer = fc.option(
    fc.oneof(
      fc.string({ minLength: 1 }).map((text) => assistant(text)),
      fc.array(id, { minLength: 1, maxLength: 3 }).map((ids) => calls(...ids)),
    ),
  )
  const turns = fc.array(
    fc.record({
      messages: fc.array(message, { minLength: 1, maxLength: 4 }),
      answer,
      state: fc.constantFrom('done' as const, 'failed' as const),
    }),
    { maxLength: 8 },
  )
  fc.assert(
    fc.property(turns, fc.nat({ max: 900 }), (told, budgetTokens) => {
      const { messages } = compose(
        told.map((t) => turn(t.messages, t.answer, t.state)),
        now,
        { budgetTokens },
      )
      const tokens = messages.reduce((all, m) => all + 4 + Math.ceil(Buffer.byteLength(JSON.stringify(m)) / 4), 0)
      expect(messages.length === 1 || tokens <= budgetTokens).toBe(true)
      expect(messages.at(-1)).toEqual(now[0])
      const open: string[] = []
      for (const m of messages) {
        if (m['role'] === 'tool') expect(open.splice(open.indexOf(m['tool_call_id']), 1)).toEqual([m['tool_call_id']])
        else expect(open).toEqual([])
        for (const call of m['tool_calls'] ?? []) open.push(call.id)
      }
      expect(open).toEqual([])
    }),
    { numRuns: 80 },
  )
})

it('costs linear time: 100,000 calls and results in one conversation', () => {
  const ids = Array.from({ length: 50_000 }, (_, i) => `c${i}`)
  const began = process.threadCpuUsage().user
  const one = turn([user('a'), calls(...ids), ...ids.map((id) => tool(id))], assistant('done'))
  const same = turn([user('a'), calls(...ids.map(() => 'x')), ...ids.map(() => tool('x'))], assistant('done'))
  expect(compose([one, same], now, { budgetTokens: 1e9, maxPromptBytes: 1 << 30 }).messages).toHaveLength(100_007)
  expect((process.threadCpuUsage().user - began) / 1e6).toBeLessThan(8) // 0.6 s
})
