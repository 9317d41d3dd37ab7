import { describe, expect, it } from 'vitest'
import { attemptRecord, type Bytes, resetRecord } from '../core/record.ts'
import { beginAttempt, shownBy } from './plan.ts'

const first = attemptRecord({ n: 1, mode: 'first', deployment: 'a' })
const chunk = (delta: string, index = 0): Bytes =>
  `{"id":"c1","created":7,"model":"m","choices":[{"index":${index},"delta":${delta},"finish_reason":null}]}`
const opening = chunk('{"role":"assistant","content":"","refusal":null}')
const options = (onWorkerLoss: 'continue' | 'restart' | 'fail', takesBack = true) => ({
  options: { onWorkerLoss } as never,
  takesBack,
})

describe('what was shown', () => {
  it('is nothing when only an attempt began, or only its role was said', () => {
    expect(shownBy([first])).toEqual({ text: false, onlyThought: false, identity: null, prefix: null })
    expect(shownBy([first, opening])).toEqual({
      text: false,
      onlyThought: false,
      identity: { id: 'c1', created: 7, model: 'm' },
      prefix: null,
    })
  })

  it('is a prefix when it is text of one choice', () => {
    expect(shownBy([first, opening, chunk('{"content":"One "}'), chunk('{"content":"two"}')])).toMatchObject({
      text: true,
      prefix: 'One two',
    })
  })

  it('counts from the last reset on', () => {
    const shown = shownBy([
      first,
      chunk('{"content":"x"}'),
      resetRecord('worker_lost'),
      attemptRecord({ n: 2, mode: 'restart', deployment: 'b' }),
    ])
    expect(shown).toMatchObject({ text: false, identity: { id: 'c1' } })
  })

  it.each([
    ['two choices', [chunk('{"content":"a"}'), chunk('{"content":"b"}', 1)]],
    ['a tool call', [chunk('{"content":"a","tool_calls":[{"index":0,"id":"t"}]}')]],
    ['reasoning', [chunk('{"reasoning_content":"hm"}'), chunk('{"content":"a"}')]],
  ])('has no prefix to prolong with %s', (_name, records) => {
    expect(shownBy(records)).toMatchObject({ text: true, prefix: null })
  })

  it.each([
    [
      "Azure's placeholder",
      '{"id":"","created":0,"model":"","choices":[],"prompt_filter_results":[{"prompt_index":0}]}',
    ],
    ['empty members', chunk('{"role":"assistant","content":"","tool_calls":[],"reasoning_content":"","audio":null}')],
    ['an empty call', chunk('{"tool_calls":[{"index":0,"id":"","function":{"name":"","arguments":""}}]}')],
    ['an empty part', chunk('{"content":[{"type":"text","text":""}]}')],
    ['the id of a sound', chunk('{"audio":{"id":"audio_1","transcript":""}}')],
  ])('is nothing after %s', (_name, record) => {
    expect(shownBy([first, record]).text).toBe(false)
  })

  it.each([
    ['a role with text', chunk('{"role":"assistant","content":"x"}')],
    [
      'the second of two choices',
      '{"choices":[{"index":0,"delta":{"role":"assistant","content":""}},{"index":1,"delta":{"content":"x"}}]}',
    ],
    ['reasoning', chunk('{"reasoning":"hm"}')],
    ['a call', chunk('{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":""}}]}')],
    ['a call as it was', chunk('{"function_call":{"name":"f","arguments":""}}')],
    ['a sound', chunk('{"audio":{"id":"audio_1","data":"AAAA"}}')],
    ['an image', chunk('{"images":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AA"}}]}')],
  ])('is something after %s', (_name, record) => {
    expect(shownBy([first, record]).text).toBe(true)
  })

  it('tells thought alone from more than that', () => {
    expect(shownBy([first, chunk('{"reasoning_content":"hm"}')])).toMatchObject({ text: true, onlyThought: true })
    expect(shownBy([first, chunk('{"reasoning":"hm","content":"a"}')])).toMatchObject({ onlyThought: false })
    expect(shownBy([first, opening])).toMatchObject({ onlyThought: false })
  })

  it('takes its identity from the first chunk that has one', () => {
    const placeholder = '{"id":"","created":0,"model":"","choices":[]}'
    expect(shownBy([first, placeholder]).identity).toEqual({})
    expect(shownBy([first, placeholder, opening]).identity).toEqual({ id: 'c1', created: 7, model: 'm' })
  })
})

describe('the next attempt', () => {
  const shown = { text: true, onlyThought: false, identity: {}, prefix: 'One' }
  const thought = { ...shown, onlyThought: true, prefix: null }
  const hides = { ...options('fail', false), hidesThought: true as const }
  it.each([
    ['first while nothing was shown', { ...shown, text: false, prefix: null }, options('fail', false), false, 'first'],
    ['continue where it can', shown, options('continue', false), true, 'continue'],
    ['restart where it can not', shown, options('continue'), false, 'restart'],
    ['fail where a chat stream would have to take text back', shown, options('continue', false), false, 'fail'],
    ['restart by policy', shown, options('restart'), true, 'restart'],
    ['fail by policy', shown, options('fail'), true, 'fail'],
    ['restart where nobody is shown the thought that there was', thought, hides, false, 'restart'],
    ['fail where somebody is', thought, options('continue', false), false, 'fail'],
    ['fail where there is more than thought', shown, hides, false, 'fail'],
    ['restart where there is no plain prefix', { ...shown, prefix: null }, options('continue'), true, 'restart'],
  ])('%s', (_name, left, job, continues, mode) => {
    expect(beginAttempt(job, left, continues).mode).toBe(mode)
  })
})
