/** What of the stored keys and tenants reaches the coordinator. */
import { expect, it } from 'vitest'
import { NO_LIMITS } from '../core/limits.ts'
import type { ApiKey } from '../core/ports/keys.ts'
import { inForce, storedLimits } from './stored-limits.ts'

const OFF = { running: 'finish', queued: 'keep', reason: '', atMs: 1 } as const
const key = (id: string, more: Partial<ApiKey>): ApiKey => ({
  id,
  tenant: 'acme',
  name: '',
  hint: '',
  createdAtMs: 1,
  ...more,
})
const stored = (...keys: readonly ApiKey[]) => storedLimits({ all: () => keys }, { all: () => [] })

it('a revoked key keeps its limits and its switch, for the jobs that it has', () => {
  const { keys, disabled } = stored(
    key('limited', { limits: { concurrent: 1 }, revokedAtMs: 5 }),
    key('stopped', { disabled: OFF, revokedAtMs: 5 }),
  )
  expect(keys['limited']).toMatchObject({ concurrent: 1 })
  expect(disabled.keys).toEqual({ stopped: 'acme' })
  const both = inForce(NO_LIMITS, stored(key('stopped', { disabled: OFF, revokedAtMs: 5 })))
  expect(both.keys['stopped']?.concurrent).toBe(0)
})

it('those of a rotated key are those beside its newest secret, in whatever order they come', () => {
  const old = key('k', { limits: { concurrent: 1 }, disabled: OFF, replacedAtMs: 3, expiresAtMs: 9 })
  const newest = key('k', { limits: { concurrent: 7 }, generation: 1, previousEndsAtMs: 9 })
  for (const both of [
    [old, newest],
    [newest, old],
  ]) {
    const { keys, disabled } = stored(...both)
    expect(keys['k']).toMatchObject({ concurrent: 7 })
    expect(disabled.keys).toEqual({})
  }
})
