import { expect, it } from 'vitest'
import { documentRecord, toBytes } from '../core/record.ts'
import { type BlockEvent, endBlocks, NO_BLOCKS } from './blocks.ts'
import { addRecord } from './record-blocks.ts'

const chunk = (delta: object, finish: string | null = null): string =>
  toBytes(JSON.stringify({ choices: [{ index: 0, delta, finish_reason: finish }] }))
const call = (index: number, id: string | undefined, name: string | undefined, input: string): string =>
  chunk({ tool_calls: [{ index, ...(id && { id }), function: { ...(name && { name }), arguments: input } }] })

function told(records: readonly string[]): readonly string[] {
  const events: BlockEvent[] = []
  let state = NO_BLOCKS
  for (const record of records) state = addRecord(state, record, events)
  endBlocks(state, events)
  return events.map(({ type, block, text }) => {
    const what = `${block.index} ${block.kind}${block.name && ` ${block.name}#${block.id}`}`
    return type === 'add' ? `${what} +${text}` : `${type} ${what}${type === 'end' ? ` ${block.text}` : ''}`
  })
}

it('tells a block after the other, each from its begin to its end', () => {
  const records = [
    chunk({ role: 'assistant', content: '' }),
    chunk({ reasoning_content: 'hm', reasoning: 'hm' }),
    chunk({ content: 'é€' }),
    chunk({ content: '😀' }),
    chunk({}, 'stop'),
  ]
  expect(told(records)).toEqual([
    'begin 0 reasoning',
    '0 reasoning +hm',
    'end 0 reasoning hm',
    'begin 1 text',
    '1 text +é€',
    '1 text +😀',
    'end 1 text é€😀',
  ])
})

it('tells calls that come one after the other as they come', () => {
  const calls = [call(0, 'a', 'f', ''), call(0, undefined, undefined, '{"x":1}'), call(1, 'b', 'g', '{}')]
  expect(told(calls)).toEqual([
    'begin 0 call f#a',
    '0 call f#a +{"x":1}',
    'end 0 call f#a {"x":1}',
    'begin 1 call g#b',
    '1 call g#b +{}',
    'end 1 call g#b {}',
  ])
})

it('puts calls that come mixed in order', () => {
  const calls = [
    call(0, 'a', 'f', '{"x"'),
    call(1, 'b', 'g', '{"y"'),
    call(0, undefined, undefined, ':1}'),
    call(1, undefined, undefined, ':2}'),
  ]
  expect(told(calls)).toEqual([
    'begin 0 call f#a',
    '0 call f#a +{"x"',
    '0 call f#a +:1}',
    'end 0 call f#a {"x":1}',
    'begin 1 call g#b',
    '1 call g#b +{"y":2}',
    'end 1 call g#b {"y":2}',
  ])
})

it('takes a whole answer', () => {
  const message = {
    role: 'assistant',
    content: 'x',
    tool_calls: [
      { id: 'a', type: 'function', function: { name: 'f', arguments: '{}' } },
      { id: 'b', type: 'custom', custom: { name: 'g', input: 'free' } },
    ],
  }
  const document = documentRecord(JSON.stringify({ choices: [{ index: 0, message, finish_reason: 'tool_calls' }] }))
  expect(told([document]).filter((event) => event.startsWith('end'))).toEqual([
    'end 0 text x',
    'end 1 call f#a {}',
    'end 2 call g#b free',
  ])
})

it('looks at the first choice only', () => {
  const other = toBytes(JSON.stringify({ choices: [{ index: 1, delta: { content: 'no' } }] }))
  expect(told([other, chunk({ content: 'yes' })]).at(-1)).toBe('end 0 text yes')
})

it('is linear in pieces that are held, and has a bound for calls', () => {
  const pieces = Array.from({ length: 60_000 }, (_, i) => call(i % 2, undefined, undefined, 'x'))
  const { user: before } = process.cpuUsage()
  expect(told([call(0, 'a', 'f', '{'), call(1, 'b', 'g', '{'), ...pieces])).toHaveLength(30_006)
  expect((process.cpuUsage().user - before) / 1000).toBeLessThan(2_000)
  const many = Array.from({ length: 1_026 }, (_, i) => call(i, `id${i}`, 'f', '{}'))
  const ends = told(many).filter((event) => event.startsWith('end'))
  expect([ends.length, ends.at(-1)]).toEqual([1_024, 'end 1023 call f#id1023 {}{}{}'])
})

it('tells what comes after a call was whole as another block, and nothing as part of what has ended', () => {
  const late = call(0, 'a', undefined, '{"a":1}')
  const ends = told([call(0, 'a', 'f', '{}'), call(1, 'b', 'g', '{}'), call(0, 'a', undefined, '\n'), late])
  expect(ends.filter((event) => event.startsWith('end'))).toEqual([
    'end 0 call f#a {}',
    'end 1 call g#b {}',
    'end 2 call f#a {"a":1}',
  ])
})

it('keeps a call open until its input is whole, whatever comes in between', () => {
  const records = [
    call(0, 'a', 'f', ''),
    call(1, 'b', 'g', ''),
    call(1, undefined, undefined, '{"b":2}'),
    chunk({ content: 'be' }),
    chunk({ content: 'tween' }),
    call(0, undefined, undefined, '{"a":1}'),
    chunk({ content: '.' }, 'tool_calls'),
  ]
  expect(told(records).filter((event) => event.startsWith('end'))).toEqual([
    'end 0 call f#a {"a":1}',
    'end 1 call g#b {"b":2}',
    'end 2 text between.',
  ])
})

it('tells two calls of one id as chat completions have them: two by their indexes, one while it is unfinished', () => {
  const same = (index: number, input: string): string => call(index, 'same', 'f', input)
  const ends = (...records: string[]): readonly string[] => told(records).filter((event) => event.startsWith('end'))
  expect(ends(same(0, '{"a":1}'), same(1, '{"a":2}'))).toEqual([
    'end 0 call f#same {"a":1}',
    'end 1 call f#same {"a":2}',
  ])
  expect(ends(same(0, '{"a":'), same(1, '2}'))).toEqual(['end 0 call f#same {"a":2}'])
})

it('tells the older form of a call, and a call that has no name', () => {
  const older = [
    chunk({ function_call: { name: 'f', arguments: '{"a"' } }),
    chunk({ function_call: { arguments: ':1}' } }),
  ]
  expect(told(older).at(-1)).toBe('end 0 call f# {"a":1}')
  expect(told([call(0, 'a', undefined, '{}')]).at(-1)).toBe('end 0 call {}')
})

it('tells what was spoken as text', () => {
  const spoken = (transcript: string): string => chunk({ audio: { id: 'a', data: 'AA==', transcript } })
  expect(told([spoken('Hel'), spoken('lo'), chunk({ audio: { expires_at: 9 } }, 'stop')])).toEqual([
    ...['begin 0 text', '0 text +Hel', '0 text +lo', 'end 0 text Hello'],
  ])
})
