import { expect, it } from 'vitest'
import { type LevelLimits, type LimitSettings, levelsOf, limitsAt, NO_LIMITS } from './limits.ts'

const limits = (concurrent: number): LevelLimits => ({ rates: [], budgets: [], concurrent })
const whose = { tenant: 'acme', keyId: 'key_1', user: 'ann', run: 'r1', model: 'gpt-5-mini' }
const ALL: LimitSettings = {
  global: limits(1),
  models: { 'gpt-*': limits(2) },
  tenants: {
    acme: {
      all: limits(3),
      eachUser: limits(4),
      eachRun: limits(5),
      eachKey: limits(6),
      models: { 'gpt-5-mini': limits(7), 'gpt-*': limits(8) },
    },
  },
  eachTenant: null,
  keys: { key_2: limits(9) },
}

it('the levels of a request stand from the narrowest to the widest, each as limitsAt has it', () => {
  const found = levelsOf(ALL, whose)
  expect(found.map(({ kind, owner, name }) => [kind, owner, name])).toEqual([
    ['run', 'acme', 'r1'],
    ['key', 'acme', 'key_1'],
    ['user', 'acme', 'ann'],
    ['tenant_model', 'acme', 'gpt-5-mini'],
    ['tenant', '', 'acme'],
    ['model', '', 'gpt-*'],
    ['global', '', ''],
  ])
  for (const { kind, owner, name, limits } of found) expect(limits).toBe(limitsAt(ALL, kind, owner, name))
})

it('what is not limited, or not known, has no level; a key has its own limits, if any', () => {
  expect(levelsOf(NO_LIMITS, whose)).toEqual([])
  const known = levelsOf(ALL, { tenant: 'acme', keyId: 'key_2' })
  expect(known.map(({ kind, limits }) => [kind, limits.concurrent])).toEqual([
    ['key', 9],
    ['tenant', 3],
    ['global', 1],
  ])
  expect(levelsOf(ALL, { ...whose, tenant: 'constructor' }).map(({ kind }) => kind)).toEqual(['model', 'global'])
})
