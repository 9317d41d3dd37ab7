/** What of the stored keys and tenants reaches the coordinator. */
import { expect, it } from 'vitest'
import { NO_LIMITS } from '../core/limits.ts'
import type { ApiKey } from '../core/ports/keys.ts'
import type { TenantRecord } from '../core/ports/tenants.ts'
import { followStored, inForce, NOTHING_STORED, type StoredLimits, storedLimits } from './stored-limits.ts'

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

const NO_KEYS = { all: () => [] }
const tenant = (id: string, limits: object): TenantRecord => ({
  kind: 'tenant',
  id,
  label: '',
  models: null,
  limits: limits as TenantRecord['limits'],
  disabled: null,
  createdAtMs: 1,
  changedAtMs: 1,
})

it('are read once, however often others change', () => {
  let reads = 0
  const counted = (n: number) =>
    Object.defineProperty({}, 'requests_per_minute', {
      enumerable: true,
      get() {
        reads++
        return n
      },
    })
  const records = Array.from({ length: 10 }, (_, i) => tenant(`t${i}`, counted(i + 1)))
  const first = storedLimits(NO_KEYS, { all: () => records })
  expect(first.tenants['t3'].all?.rates[0].burst).toBe(4)
  const before = reads
  const next = storedLimits(NO_KEYS, { all: () => [...records, tenant('t10', { requests_per_minute: 7 })] })
  expect(reads).toBe(before)
  expect(next.tenants['t3']).toBe(first.tenants['t3'])
  expect(next.tenants['t10'].all?.rates[0].burst).toBe(7)
})

it('are told where they are others than before, and only then', () => {
  let records = [tenant('a', { concurrent: 1 })]
  let tell = (): void => {}
  const told: StoredLimits[] = []
  const engine = {
    keys: { all: () => [], onChange: () => {} },
    tenants: { all: () => records, onChange: (fn: () => void) => (tell = fn) },
    adjust: ({ stored }: { readonly stored: StoredLimits }) => told.push(stored),
  }
  followStored({ stored: NOTHING_STORED }, engine as unknown as Parameters<typeof followStored>[1])
  tell()
  records = [{ ...records[0], label: 'A' }]
  tell()
  expect(told.length).toBe(1)
  records = [{ ...records[0], disabled: { running: 'finish', queued: 'keep', reason: '', atMs: 1 } }]
  tell()
  records = [{ ...records[0], limits: { concurrent: 2 } }]
  tell()
  records = []
  tell()
  tell()
  expect(told.map(({ tenants, disabled }) => [tenants['a']?.all?.concurrent, disabled.tenants.length])).toEqual([
    [1, 0],
    [1, 1],
    [2, 1],
    [undefined, 0],
  ])
})
