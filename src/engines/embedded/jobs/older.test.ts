import { expect, it } from 'vitest'
import { withDialect } from './older.ts'

it.each([
  ['a stream', { kind: 'chat', stream: true, includeUsage: false }, { dialect: 'chat', takesBack: false }],
  [
    'a stream with its usage',
    { kind: 'chat', stream: true, includeUsage: true },
    { dialect: 'chat', shownAs: { include_usage: true }, takesBack: false },
  ],
  [
    'an answer in one piece',
    { kind: 'chat', stream: false, includeUsage: false },
    { dialect: 'chat', takesBack: true },
  ],
  [
    'an embedding',
    { kind: 'embedding', stream: false, includeUsage: false },
    { dialect: 'embeddings', takesBack: true },
  ],
] as const)('%s, as earlier versions stored it', (_name, { kind, ...stored }, expected) => {
  expect(withDialect({ kind, promptTokens: 7, ...stored })).toEqual({ kind, promptTokens: 7, ...expected })
})

it('leaves what this version stored as it is', () => {
  const facts = { kind: 'chat', dialect: 'other', shownAs: { a: [1] }, takesBack: true } as const
  expect(withDialect(facts)).toEqual(facts)
})
