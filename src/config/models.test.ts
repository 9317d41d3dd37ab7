import { expect, it } from 'vitest'
import { z } from 'zod'
import { demo } from '../routing/providers/demo/settings.ts'
import { type ProviderSettings, providerSettings } from '../settings/provider.ts'
import { asGiven } from './models.ts'

const canned = providerSettings({
  name: 'canned',
  about: 'always the same text',
  shape: { text: z.string().min(1).describe('What it answers.') },
  place: () => 'canned',
  seller: () => 'own',
})
const KINDS = [demo, canned] as readonly unknown[] as readonly ProviderSettings[]
const problemsOf = (model: object): readonly string[] =>
  asGiven(KINDS)
    .safeParse(model)
    .error?.issues.map(({ path }) => path.join('.')) ?? []

it('what one provider requires is required of its models alone', () => {
  expect(problemsOf({ name: 'a', provider: 'canned', text: 'Hello.' })).toEqual([])
  expect(problemsOf({ name: 'a', provider: 'canned' })).toEqual(['text'])
  expect(problemsOf({ name: 'a', provider: 'demo' })).toEqual([])
  expect(problemsOf({ name: 'a', provider: 'unknown' })).toEqual(['provider'])
})

it('what is left over from another provider is checked, and left out', () => {
  expect(problemsOf({ name: 'a', provider: 'demo', text: '' })).toEqual(['text'])
  expect(asGiven(KINDS).parse({ name: 'a', provider: 'demo', text: 'Hello.' })).not.toHaveProperty('text')
})
