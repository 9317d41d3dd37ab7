import { expect, it } from 'vitest'
import { beginningOf, needsOf } from './needs.ts'

const IMAGE = {
  role: 'user',
  content: [
    { type: 'text', text: 'what?' },
    { type: 'image_url', image_url: { url: 'x' } },
  ],
}

it('tells what a request needs of its model', () => {
  const can = (request: Record<string, unknown>) => needsOf('chat', request, [])?.can
  expect(
    can({ messages: [{ role: 'user', content: 'hi' }], tools: [], response_format: { type: 'text' } }),
  ).toBeUndefined()
  expect(can({ tools: [{}] })).toEqual(['tools'])
  expect(can({ functions: [{}] })).toEqual(['tools'])
  expect(can({ messages: ['x', null, { content: [null] }, IMAGE] })).toEqual(['vision'])
  expect(can({ response_format: { type: 'json_schema' } })).toEqual(['json_schema'])
  expect(needsOf('embedding', { tools: [{}] }, [])).toBeUndefined()
  expect(needsOf('embedding', {}, ['eu'])).toEqual({ can: [], tags: ['eu'] })
})

it('tells chats apart by how they begin, whatever follows, and tenants from each other', () => {
  const system = { role: 'system', content: 'You are kind.' }
  const first = { role: 'user', content: 'Hello' }
  const chat = (...messages: unknown[]) => beginningOf('acme', { messages })
  expect(chat(system, first)).toBe(
    chat(system, first, { role: 'assistant', content: 'Hi' }, { role: 'user', content: 'x' }),
  )
  expect(chat(system, first)).not.toBe(chat(system, { role: 'user', content: 'Good day' }))
  expect(chat(system, first)).not.toBe(beginningOf('globex', { messages: [system, first] }))
  expect([chat(), beginningOf('acme', {}), chat('x')]).toEqual([undefined, undefined, undefined])
  expect(chat({ role: 'user', content: 'x'.repeat(1e6) })).toBe(chat({ role: 'user', content: 'x'.repeat(2_000) }))
})
