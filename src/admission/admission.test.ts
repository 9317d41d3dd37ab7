/** The guards, each by itself and in their order: pure, so that the same request is answered alike. */
import { describe, expect, it } from 'vitest'
import type { z } from 'zod'
import type { Asked } from '../core/ports/admission.ts'
import { createAdmission } from './admission.ts'
import { type GuardSettings, guardSettings } from './settings.ts'

type GuardInput = z.input<typeof guardSettings>[number]

const asked = (more: Partial<Asked> = {}): Asked => ({
  tenant: 'acme',
  kind: 'chat',
  model: 'gpt-4o',
  promptTokens: 10,
  texts: () => ['Hello', 'World'],
  atMs: 0,
  ...more,
})
/** As the configuration reads them. */
const read = (guards: readonly GuardInput[]): readonly GuardSettings[] => guardSettings.parse(guards)
const code = (guards: readonly GuardInput[], more?: Partial<Asked>): string | null => {
  const settings = read(guards)
  return createAdmission(() => settings).check(asked(more)).error?.code ?? null
}

describe('max-context', () => {
  const guard: GuardInput = { guard: 'max-context', tokens: 10 }
  it('lets exactly so many tokens pass', () => {
    expect(code([guard])).toBe(null)
    expect(code([guard], { promptTokens: 11 })).toBe('context_length_exceeded')
  })
})

describe('allow-models', () => {
  const guard: GuardInput = { guard: 'allow-models', models: ['gpt-4o', 'text-*'] }
  it.each([
    ['gpt-4o', null],
    ['gpt-4o-mini', 'model_not_allowed'],
    ['text-embedding-3', null],
    ['text-', null],
    ['text', 'model_not_allowed'],
    ['GPT-4O', 'model_not_allowed'],
  ])('%s: %s', (model, refused) => {
    expect(code([guard], { model })).toBe(refused)
  })
})

it('allow-models: "*" allows every model', () => {
  const guard: readonly GuardInput[] = [{ guard: 'allow-models', models: ['*'] }]
  expect(code(guard, { model: 'any' })).toBe(null)
  expect(guardSettings.safeParse([{ guard: 'allow-models', models: [''] }]).success).toBe(false)
  expect(guardSettings.safeParse([{ guard: 'allow-models', models: ['**'] }]).success).toBe(false)
})

describe('deny-terms', () => {
  const guard: GuardInput = { guard: 'deny-terms', terms: ['WORLD peace', 'ü'] }
  it.each<[string, readonly string[], string | null]>([
    ['in any case, within a word', ['the New World Peaceful'], 'content_blocked'],
    ['in any text', ['fine', 'ÜBER'], 'content_blocked'],
    ['not across texts', ['world', 'peace'], null],
    ['nothing in nothing', [], null],
  ])('%s', (_name, texts, refused) => {
    expect(code([guard], { texts: () => texts })).toBe(refused)
  })
  it('does not repeat what it found', () => {
    const settings = read([guard])
    const { error } = createAdmission(() => settings).check(asked({ texts: () => ['secret world peace'] }))
    expect(error?.message).not.toMatch(/world|secret/)
  })
})

it('the first guard that blocks answers, and nothing is read for the others', () => {
  const guards: readonly GuardInput[] = [
    { guard: 'max-context', tokens: 5 },
    { guard: 'deny-terms', terms: ['hello'] },
  ]
  const unread = (): never => expect.unreachable()
  expect(code(guards, { texts: unread })).toBe('context_length_exceeded')
  expect(code(guards.toReversed())).toBe('content_blocked')
})

it('each tenant has its own, and a reload changes them at once', () => {
  let strict = read([{ guard: 'allow-models', models: ['other'] }])
  const admission = createAdmission((tenant) => (tenant === 'acme' ? strict : undefined))
  const refused = (tenant: string): boolean => admission.check(asked({ tenant })).error !== null
  expect([refused('acme'), refused('else')]).toEqual([true, false])
  strict = []
  expect(refused('acme')).toBe(false)
})
