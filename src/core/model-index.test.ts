import { expect, it } from 'vitest'
import { ModelIndex } from './model-index.ts'

it('finds exact names before the longest pattern', () => {
  const index = new ModelIndex([{ name: 'gpt-*' }, { name: 'gpt-4*' }, { name: 'gpt-4.1' }])
  const names = ['gpt-4.1', 'gpt-4o', 'gpt-3', 'claude', 'gpt-4o']
  expect(names.map((name) => index.find(name)?.name)).toEqual(['gpt-4.1', 'gpt-4*', 'gpt-*', undefined, 'gpt-4*'])
})
