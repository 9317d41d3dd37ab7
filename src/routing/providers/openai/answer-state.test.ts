/** Every spelling of reasons, errors, usage and placeholders that upstreams were seen to use, told as what it is. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../../../core/fold.ts'
import { AnswerState, type Ending, type Phase, type Seen } from './answer-state.ts'
import { errorIn } from './error-in.ts'

const chunk = (delta: object, finish: unknown = null, more: object = {}, index: number | undefined = 0): JsonObject =>
  ({ choices: [{ ...(index === undefined ? {} : { index }), delta, finish_reason: finish }], ...more }) as JsonObject
const OPENING = chunk({ role: 'assistant', content: '' })
const TEXT = chunk({ content: 'x' })
const STOP = chunk({}, 'stop')
const USAGE = { choices: [], usage: { prompt_tokens: 1, completion_tokens: 1 } } as JsonObject

const having = (events: readonly JsonObject[], asked = 1): AnswerState => {
  const state = new AnswerState(asked)
  for (const event of events) state.see(event)
  return state
}
const last = (events: readonly JsonObject[]): Seen => {
  const state = new AnswerState()
  return events.map((event) => state.see(event)).at(-1)!
}

it.each<[Phase, JsonObject[]]>([
  ['nothing', []],
  ['opening', [{ choices: [], prompt_filter_results: [{ prompt_index: 0 }] }]],
  ['opening', [{ type: 'ping' }]],
  ['opening', [OPENING, chunk({ content: null, tool_calls: [], reasoning_content: '' })]],
  ['shown', [OPENING, TEXT]],
  ['shown', [chunk({ reasoning: 'hm' })]],
  ['shown', [OPENING, chunk({ tool_calls: [{ index: 0, function: { name: 'f', arguments: '' } }] })]],
  [
    'shown',
    [
      {
        choices: [
          { index: 0, delta: {} },
          { index: 1, delta: { content: 'x' } },
        ],
      } as JsonObject,
    ],
  ],
  ['shown', [TEXT, chunk({}, '')]],
  ['shown', [TEXT, chunk({}, ' ')]],
  ['shown', [TEXT, chunk({}, 'null')]],
  ['shown', [TEXT, chunk({}, false)]],
  ['finished', [TEXT, STOP]],
  ['finished', [chunk({ content: 'x' }, 'stop')]],
  ['finished', [STOP]],
  ['finished', [TEXT, STOP, USAGE]],
  ['finished', [TEXT, STOP, { choices: null, usage: {} } as JsonObject]],
  ['finished', [TEXT, STOP, STOP]],
])('is %s after %j', (phase, events) => {
  expect(having(events).phase).toBe(phase)
})

describe('how it ends', () => {
  const complete = [OPENING, TEXT, STOP]
  it.each<[Ending, string, JsonObject[], ReturnType<AnswerState['end']>]>([
    ['told', 'a complete answer', complete, 'well'],
    ['end', 'a complete answer', complete, 'well'],
    ['break', 'a complete answer', complete, 'well'],
    ['silence', 'a complete answer', complete, 'well'],
    ['told', 'a complete answer with usage', [...complete, USAGE], 'well'],
    ['told', 'no finish reason', [OPENING, TEXT], 'cut'],
    ['told', 'an empty finish reason', [TEXT, chunk({}, '')], 'cut'],
    ['end', 'no finish reason', [TEXT], 'cut'],
    ['break', 'no finish reason', [TEXT], 'cut'],
    ['told', 'nothing at all', [], 'empty'],
    ['end', 'nothing at all', [], 'empty'],
    ['told', 'one choice of two that began', [TEXT, chunk({ content: 'y' }, null, {}, 1), STOP], 'cut'],
    ['told', 'a reason for each of two', [TEXT, STOP, chunk({ content: 'y' }, 'length', {}, 1)], 'well'],
    ['told', 'only usage', [USAGE], 'cut'],
    // Some upstreams give a reason with every chunk: it ends nothing, so a break after it is a cut
    [
      'break',
      'a choice that went on after its reason',
      [chunk({ content: 'x' }, 'stop'), chunk({ content: 'y' }, 'stop')],
      'cut',
    ],
    [
      'told',
      'a choice that went on after its reason',
      [chunk({ content: 'x' }, 'stop'), chunk({ content: 'y' }, 'stop')],
      'well',
    ],
    ['told', 'a choice that went on without another', [STOP, TEXT], 'well'],
    ['break', 'a choice that went on without another', [STOP, TEXT], 'cut'],
  ])('%s, after %s', (ending, _name, events, verdict) => {
    expect(having(events).end(ending)).toBe(verdict)
  })

  it('waits for the choices that were asked for, unless the upstream says [DONE]', () => {
    const state = having([TEXT, STOP], 2)
    expect(state.phase).toBe('shown')
    expect(['told', 'end', 'break'].map((ending) => state.end(ending as Ending))).toEqual(['well', 'cut', 'cut'])
  })
})

describe('an error', () => {
  it.each<[string, JsonObject]>([
    ["OpenAI's", { error: { message: 'no', type: 'server_error', code: null } }],
    ['a text', { error: 'overloaded' }],
    ['true, with the message beside it', { error: true, message: 'no' }],
    ['a list', { errors: [{ code: 7, message: 'no' }] }],
    ["Anthropic's", { type: 'error', error: { type: 'overloaded_error', message: 'no' } }],
    ["vLLM's", { object: 'error', message: 'no', code: 400 }],
    ["FastAPI's", { detail: 'no' }],
    ["FastAPI's list", { detail: [{ loc: ['body'], msg: 'no' }] }],
    ['a code and a message', { code: 429, message: 'no' }],
    ['beside choices', chunk({ content: '' }, null, { error: { message: 'no' } })],
    ['in a choice', { choices: [{ index: 0, delta: {}, error: { message: 'no' } }] } as JsonObject],
    ['as a finish reason', chunk({}, 'error')],
    ['as an abort', chunk({}, 'abort')],
  ])('%s', (_name, event) => {
    expect(last([TEXT, event]).kind).toBe('error')
    expect(last([event]).kind).toBe('error')
  })

  it.each<[string, unknown]>([
    ['null', null],
    ['false', false],
    ['an empty text', ''],
    ['an empty object', {}],
    ['an empty list', []],
    ['zero', 0],
    ['an object of empty members', { message: '', code: null }],
  ])('is none when it is %s', (_name, error) => {
    expect(last([chunk({ content: 'x' }, null, { error })]).kind).toBe('ordinary')
    expect(errorIn({ error, choices: [] } as never)).toBeNull()
  })
})

it('learns only from what shows something and ends nothing', () => {
  expect(
    [OPENING, STOP, USAGE, chunk({ content: 'x' }, null, { usage: { prompt_tokens: 1 } })].map((e) => last([e]).kind),
  ).toEqual(['notable', 'notable', 'notable', 'notable'])
  expect(last([TEXT])).toEqual({ kind: 'ordinary' })
  expect([having([TEXT]).isPlain, having([TEXT, STOP]).isPlain]).toEqual([true, false])
})

it('refuses more choices than any answer has', () => {
  const choices = Array.from({ length: 2_000 }, (_, index) => ({ index, delta: { content: 'x' } }))
  expect(last([{ choices } as JsonObject]).kind).toBe('excess')
})

it('never takes an answer for complete while a choice that began lacks its reason, in any order', () => {
  const event = fc.record({
    index: fc.integer({ min: 0, max: 3 }),
    delta: fc.constantFrom({}, { role: 'assistant' }, { content: 'x' }, { content: '' }),
    finish: fc.constantFrom(null, '', 'stop', 'length', undefined),
  })
  fc.assert(
    fc.property(fc.array(event, { maxLength: 12 }), (events) => {
      const state = new AnswerState()
      const open = new Map<number, boolean>()
      for (const { index, delta, finish } of events) {
        state.see(chunk(delta, finish, {}, index))
        open.set(index, !finish && open.get(index) !== false)
      }
      const isComplete = open.size > 0 && ![...open.values()].includes(true)
      expect(state.end('told')).toBe(events.length === 0 ? 'empty' : isComplete ? 'well' : 'cut')
      if (state.phase === 'finished') expect(isComplete).toBe(true)
    }),
    { numRuns: 500 },
  )
})
