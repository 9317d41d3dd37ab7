/** Held by every engine: the ports of tenants and of the audit. */
import { expect } from 'vitest'
import { AUDIT_KEPT, type AuditEntry } from '../../src/core/ports/audit.ts'
import type { TenantRecord } from '../../src/core/ports/tenants.ts'
import { type Case, eventually } from './harness.ts'

const record = (id: string, more: Partial<TenantRecord> = {}): TenantRecord => ({
  kind: 'tenant',
  id,
  label: '',
  models: null,
  limits: null,
  disabled: null,
  createdAtMs: 1,
  changedAtMs: 1,
  ...more,
})
const OFF = { running: 'cut', queued: 'keep', reason: 'why', atMs: 3 } as const
const entry = (n: number): AuditEntry => ({
  atMs: n,
  from: '127.0.0.1',
  requestId: `r${n}`,
  action: 'key-changed',
  target: 'key k1',
  tenant: null,
  before: { name: 'a' },
  after: { name: 'b' },
})

export const tenantCases: readonly Case[] = [
  {
    name: 'a record is made of what is stored; a tenant and a model of one name are two; lists are in order',
    async run(open) {
      const { tenants } = (await open()).engine
      expect(tenants.get('tenant', 'a')).toBeNull()
      let told = 0
      tenants.onChange(() => told++)
      const made = await tenants.change('tenant', 'a', (known) => {
        expect(known).toBeNull()
        return record('a', { limits: { requests_per_minute: 1 } })
      })
      expect(made).toEqual(record('a', { limits: { requests_per_minute: 1 } }))
      expect(tenants.get('tenant', 'a')).toEqual(made)
      expect(tenants.get('model', 'a')).toBeNull()
      expect(told).toBeGreaterThan(0)
      await tenants.change('model', 'a', () => record('a', { kind: 'model', disabled: OFF }))
      await tenants.change('tenant', 'a', (known) => ({ ...known!, label: 'A' }))
      expect(tenants.get('model', 'a')?.disabled).toEqual(OFF)
      expect(tenants.get('tenant', 'a')).toEqual({ ...made, label: 'A' })
      await tenants.change('tenant', 'Z', () => record('Z'))
      expect((await tenants.list()).map(({ kind, id }) => `${kind} ${id}`)).toEqual(['model a', 'tenant Z', 'tenant a'])
      expect([...tenants.all()].length).toBe(3)
    },
  },
  {
    name: 'a model is held back by its own switch, or by that of the longest beginning of its name',
    async run(open) {
      const { tenants } = (await open()).engine
      const off = (reason: string) => ({ ...OFF, reason })
      const turn = (id: string, disabled: TenantRecord['disabled']) =>
        tenants.change('model', id, () => record(id, { kind: 'model', disabled }))
      const reasons = () => ['m/a', 'm/b', 'm', 'x'].map((model) => tenants.modelOff(model)?.reason ?? null)
      await tenants.change('tenant', 'x', () => record('x', { disabled: OFF }))
      await turn('m/*', off('all'))
      expect(reasons()).toEqual(['all', 'all', null, null])
      await turn('m/a', off('one'))
      await turn('*', off('any'))
      expect(reasons()).toEqual(['one', 'all', 'any', 'any'])
      await turn('m/a', null)
      await turn('*', null)
      expect(reasons()).toEqual(['all', 'all', null, null])
    },
  },
  {
    name: 'no change is lost among others of the same moment',
    async run(open) {
      const { tenants } = (await open()).engine
      await Promise.all(
        Array.from({ length: 10 }, (_, i) =>
          tenants.change('tenant', 'a', (known) => ({
            ...(known ?? record('a')),
            models: [...(known?.models ?? []), `m${i}`],
          })),
        ),
      )
      expect(tenants.get('tenant', 'a')!.models!.toSorted()).toEqual(Array.from({ length: 10 }, (_, i) => `m${i}`))
    },
  },
  {
    name: 'records and the audit survive a power loss',
    needs: 'power',
    async run(open) {
      const first = await open()
      await first.engine.tenants.change('model', 'm/1:x', () => record('m/1:x', { kind: 'model', disabled: OFF }))
      await first.engine.audit.add(entry(1))
      const { engine } = await first.reopen('power')
      expect(engine.tenants.get('model', 'm/1:x')?.disabled).toEqual(OFF)
      expect(await engine.audit.list(10)).toEqual([entry(1)])
    },
  },
  {
    name: 'what one process sets all know, also where several set it at once',
    needs: 'fleet',
    async run(open) {
      const a = await open()
      const b = await a.beside!()
      await a.engine.tenants.change('tenant', 'a', () => record('a', { disabled: OFF }))
      await eventually(() => expect(b.engine.tenants.get('tenant', 'a')?.disabled).toEqual(OFF))
      await Promise.all(
        [a, b, a, b].map(({ engine }, i) =>
          engine.tenants.change('tenant', 'a', (known) => ({ ...known!, models: [...(known!.models ?? []), `m${i}`] })),
        ),
      )
      expect((await a.engine.tenants.list())[0].models!.toSorted()).toEqual(['m0', 'm1', 'm2', 'm3'])
      expect(await b.engine.tenants.list()).toEqual(await a.engine.tenants.list())
    },
  },
  {
    name: 'an erased tenant has no record',
    async run(open) {
      const { engine } = await open()
      await engine.tenants.change('tenant', 'acme', () => record('acme', { disabled: OFF }))
      await engine.tenants.change('tenant', 'other', () => record('other'))
      await engine.eraseTenant('acme')
      expect(engine.tenants.get('tenant', 'acme')).toBeNull()
      expect((await engine.tenants.list()).map(({ id }) => id)).toEqual(['other'])
    },
  },
  {
    name: 'the newest changes are kept, the newest first',
    async run(open) {
      const { audit } = (await open()).engine
      expect(await audit.list(10)).toEqual([])
      for (let n = 0; n < 3; n++) await audit.add(entry(n))
      expect((await audit.list(2)).map(({ atMs }) => atMs)).toEqual([2, 1])
      for (let n = 3; n < AUDIT_KEPT + 20; n += 500)
        await Promise.all(Array.from({ length: Math.min(500, AUDIT_KEPT + 20 - n) }, (_, i) => audit.add(entry(n + i))))
      const all = await audit.list(AUDIT_KEPT + 100)
      expect(all.length).toBe(AUDIT_KEPT)
      expect(all[0].atMs).toBe(AUDIT_KEPT + 19)
    },
  },
]
