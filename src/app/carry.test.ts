import { expect, it } from 'vitest'
import type { TenantRecord, Tenants } from '../core/ports/tenants.ts'
import { carryOf } from './carry.ts'

const OFF = { running: 'finish', queued: 'keep', reason: '', atMs: 1 } as const
const record = (id: string, changedAtMs: number, more: Partial<TenantRecord> = {}): TenantRecord => ({
  ...{ kind: 'deployment', id, label: '', models: null, limits: null, disabled: null, createdAtMs: 0, changedAtMs },
  ...more,
})

function setUp(...records: TenantRecord[]) {
  const all = new Map(records.map((each) => [each.id, each]))
  const tenants = {
    get: (_kind, id) => all.get(id) ?? null,
    async change(_kind, id, to) {
      all.set(id, to(all.get(id) ?? null))
      return all.get(id)!
    },
  } satisfies Pick<Tenants, 'get' | 'change'>
  return { all, carry: carryOf(tenants, { warn: () => {} } as never) }
}

it('what is drained stays drained under its new name, and keeps its weight', async () => {
  const { all, carry } = setUp(record('a', 5, { disabled: OFF, deployment: { weight: 3 } }))
  await carry(new Map([['a', 'b']]))
  expect(all.get('b')).toEqual(record('b', 5, { disabled: OFF, deployment: { weight: 3 } }))
  expect(all.get('a')?.disabled).toEqual(OFF)
})

it('an entry that was added stays under its own name', async () => {
  const { all, carry } = setUp(record('a', 5, { disabled: OFF, deployment: { added: { name: 'x' }, weight: 1 } }))
  await carry(new Map([['a', 'b']]))
  expect(all.get('b')?.deployment).toEqual({ weight: 1 })
})

it('what was set last holds: there and back again, and where another process has carried it already', async () => {
  const { all, carry } = setUp(record('a', 5, { disabled: OFF }))
  await carry(new Map([['a', 'b']]))
  all.set('b', record('b', 9))
  await carry(new Map([['a', 'b']]))
  expect(all.get('b')?.disabled).toBeNull()
  await carry(new Map([['b', 'a']]))
  expect(all.get('a')?.disabled).toBeNull()
})

it('nothing is stored where nothing was set', async () => {
  const { all, carry } = setUp()
  await carry(new Map([['a', 'b']]))
  expect(all.size).toBe(0)
})
