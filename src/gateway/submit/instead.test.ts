import { expect, it } from 'vitest'
import { manualClock } from '../../../test/manual-clock.ts'
import { SluiceError } from '../../core/errors.ts'
import { NO_LIMITS } from '../../core/limits.ts'
import type { Price } from '../../core/ports/prices.ts'
import { type InsteadDeps, insteadOf } from './instead.ts'

const FALLBACKS = { general: ['a', 'b'], contextWindow: ['c', 'a'], contentPolicy: ['d'] }
const JOB = { tenant: 't', keyId: 'k', promptTokens: 10 }
const price: Price = { version: 'v', cost: ({ input, output }) => 2 * input + 3 * output }

function setUp({ key = undefined as string[] | undefined, tenant = undefined as string[] | undefined } = {}) {
  const limits = { current: NO_LIMITS }
  const deps = {
    clock: manualClock(),
    keys: { get: () => ({ ...(key && { models: key }) }) },
    tenants: { get: () => ({ ...(tenant && { models: tenant }) }), modelOff: (m: string) => (m === 'off' ? {} : null) },
    admission: {
      check: ({ model }: { model: string }) => ({
        error: model === 'd' ? new SluiceError('model_not_allowed') : null,
      }),
    },
    ownKeys: {
      refusal: (_tenant: string, model: string) => (model === 'c' ? new SluiceError('own_key_required') : null),
      covers: () => false,
    },
    prices: { dearest: (model: string) => (model === 'b' ? null : price) },
    limits: () => limits.current,
  } as unknown as InsteadDeps
  return { deps, limits }
}

it('names the fallbacks that the caller may use, and what they cost', () => {
  const { deps } = setUp()
  expect(insteadOf(deps, FALLBACKS, JOB)).toEqual([{ model: 'a', price: { input: 2, output: 3 } }, { model: 'b' }])
})

it('none without fallbacks, or where none may be used', () => {
  const { deps } = setUp({ key: ['other'] })
  expect(insteadOf(deps, undefined, JOB)).toBeUndefined()
  expect(insteadOf(deps, { general: [], contextWindow: [], contentPolicy: [] }, JOB)).toBeUndefined()
  expect(insteadOf(deps, FALLBACKS, JOB)).toBeUndefined()
})

it('not one that the key, the tenant or a switch forbids', () => {
  const models = (of: ReturnType<typeof setUp>) => insteadOf(of.deps, FALLBACKS, JOB)?.map(({ model }) => model)
  expect(models(setUp({ key: ['b'] }))).toEqual(['b'])
  expect(models(setUp({ tenant: ['a'] }))).toEqual(['a'])
  expect(insteadOf(setUp().deps, { ...FALLBACKS, general: ['off'] }, JOB)?.map(({ model }) => model)).toEqual(['a'])
})

it('not one whose price nobody knows, where a budget limits the request', () => {
  const { deps, limits } = setUp()
  const budgets = [{ window: 'day', nanoDollars: 1, whenOut: 'cut' }] as const
  limits.current = { ...NO_LIMITS, global: { rates: [], budgets, concurrent: null } }
  expect(insteadOf(deps, FALLBACKS, JOB)?.map(({ model }) => model)).toEqual(['a'])
})
