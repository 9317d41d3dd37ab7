/** The guards, each by itself and in their order: pure, so that the same request is answered alike. */
import { describe, expect, it } from 'vitest'
import type { Asked } from '../core/ports/admission.ts'
import { createAdmission } from './admission.ts'
import { type GuardSettings, guardSettings } from './settings.ts'

const asked = (more: Partial<Asked> = {}): Asked => ({
  tenant: 'acme',
  kind: 'chat',
  model: 'gpt-4o',
  promptTokens: 10,
  texts: () => ['Hello', 'World'],
  atMs: 0,
  ...more,
})
const code = (guards: readonly GuardSettings[], more?: Partial<Asked>): string | null =>
  createAdmission(() => guards).check(asked(more))?.code ?? null

describe('max-context', () => {
  const guard: GuardSettings = { guard: 'max-context', tokens: 10 }
  it('lets exactly so many tokens pass', () => {
    expect(code([guard])).toBe(null)
    expect(code([guard], { promptTokens: 11 })).toBe('context_length_exceeded')
  })
})

describe('allow-models', () => {
  const guard: GuardSettings = { guard: 'allow-models', models: ['gpt-4o', 'text-*'] }
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
  const guard = guardSettings.parse([{ guard: 'allow-models', models: ['*'] }])
  expect(code(guard, { model: 'any' })).toBe(null)
  expect(guardSettings.safeParse([{ guard: 'allow-models', models: [''] }]).success).toBe(false)
  expect(guardSettings.safeParse([{ guard: 'allow-models', models: ['**'] }]).success).toBe(false)
})

describe('deny-terms', () => {
  const guard: GuardSettings = { guard: 'deny-terms', terms: ['WORLD peace', 'ü'] }
  it.each<[string, readonly string[], string | null]>([
    ['in any case, within a word', ['the New World Peaceful'], 'content_blocked'],
    ['in any text', ['fine', 'ÜBER'], 'content_blocked'],
    ['not across texts', ['world', 'peace'], null],
    ['nothing in nothing', [], null],
  ])('%s', (_name, texts, refused) => {
    expect(code([guard], { texts: () => texts })).toBe(refused)
  })
  it('does not repeat what it found', () => {
    const refusal = createAdmission(() => [guard]).check(asked({ texts: () => ['secret world peace'] }))
    expect(refusal?.message).not.toMatch(/world|secret/)
  })
})

it('the first guard that blocks answers, and nothing is read for the others', () => {
  const guards: readonly GuardSettings[] = [
    { guard: 'max-context', tokens: 5 },
    { guard: 'deny-terms', terms: ['hello'] },
  ]
  const unread = (): never => expect.unreachable()
  expect(code(guards, { texts: unread })).toBe('context_length_exceeded')
  expect(code(guards.toReversed())).toBe('content_blocked')
})

it('each tenant has its own, and a reload changes them at once', () => {
  let strict: readonly GuardSettings[] = [{ guard: 'allow-models', models: ['other'] }]
  const admission = createAdmission((tenant) => (tenant === 'acme' ? strict : undefined))
  const refused = (tenant: string): boolean => admission.check(asked({ tenant })) !== null
  expect([refused('acme'), refused('else')]).toEqual([true, false])
  strict = []
  expect(refused('acme')).toBe(false)
})
