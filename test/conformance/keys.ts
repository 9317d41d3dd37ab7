/** Held by every engine: the Keys port. */
import { expect } from 'vitest'
import type { ApiKey } from '../../src/core/ports/keys.ts'
import { type Case, settled } from './harness.ts'

const key = (id: string, more: Partial<ApiKey> = {}): ApiKey => ({
  id,
  tenant: 'acme',
  name: `key ${id}`,
  hint: 'sk-sluice-ab',
  createdAtMs: 1,
  ...more,
})

export const keyCases: readonly Case[] = [
  {
    name: 'of several first keys that are added at once, one is; a key that was revoked counts as one',
    async run(open) {
      const { engine } = await open()
      const adding = ['k1', 'k2', 'k3'].map((id) => engine.keys.addFirst(key(id), `d${id}`))
      expect((await Promise.all(adding)).filter(Boolean)).toEqual([true])
      const [first, ...others] = await engine.keys.list()
      expect(others).toEqual([])
      expect(engine.keys.find(`d${first.id}`)).toEqual(first)
      await engine.keys.revoke(first.id, 5)
      expect(await engine.keys.addFirst(key('k4'), 'd4')).toBe(false)
      expect(engine.keys.find('d4')).toBeNull()
    },
  },
  {
    name: 'a key is found by its digest alone, from when add resolved; lists are in order of creation',
    async run(open) {
      const { engine } = await open()
      expect(engine.keys.find('d1')).toBeNull()
      await engine.keys.add(key('k2', { createdAtMs: 2, expiresAtMs: 99 }), 'd2')
      await engine.keys.add(key('k1'), 'd1')
      expect(engine.keys.find('d2')).toEqual(key('k2', { createdAtMs: 2, expiresAtMs: 99 }))
      expect(engine.keys.find('k1')).toBeNull()
      expect(engine.keys.get('k2')).toEqual(engine.keys.find('d2'))
      expect(engine.keys.get('d2')).toBeNull()
      expect((await engine.keys.list()).map((k) => k.id)).toEqual(['k1', 'k2'])
    },
  },
  {
    name: 'when keys were last used is kept, over a restart too; of keys that are gone nothing is',
    needs: 'kill',
    async run(open) {
      let opened = await open()
      const { keys } = opened.engine
      expect([...(await keys.lastUses())]).toEqual([])
      await keys.add(key('k1'), 'd1')
      await keys.add(key('k2', { tenant: 'globex' }), 'd2')
      await keys.noteUses([
        ['k1', 1_000.7],
        ['k2', 2_000],
        ['nobody', 3_000],
      ])
      await keys.noteUses([['k1', 61_000]])
      const last = async () => [...(await opened.engine.keys.lastUses())].sort()
      expect(await last()).toEqual([
        ['k1', 61_000],
        ['k2', 2_000],
      ])
      // A process killed at once may take the last minute along, as it takes what was not noted yet
      await settled(opened.engine)
      opened = await opened.reopen('kill')
      expect((await last()).map(([id]) => id)).toEqual(['k1', 'k2'])
      await opened.engine.eraseTenant('globex')
      expect((await last()).map(([id]) => id)).toEqual(['k1'])
    },
  },
  {
    name: 'revoking is remembered and told; an unknown key is not revoked; the first time counts',
    async run(open) {
      const { engine } = await open()
      await engine.keys.add(key('k1'), 'd1')
      expect(await engine.keys.revoke('k9', 5)).toBe(false)
      const revoking = engine.keys.revoke('k1', 5)
      expect(engine.keys.find('d1')?.revokedAtMs).toBe(5)
      expect(engine.keys.get('k1')?.revokedAtMs).toBe(5)
      expect(await revoking).toBe(true)
      expect(await engine.keys.revoke('k1', 9)).toBe(true)
      expect(engine.keys.find('d1')?.revokedAtMs).toBe(5)
      expect((await engine.keys.list())[0].revokedAtMs).toBe(5)
    },
  },
  {
    name: 'a key that another process has added is known once it was looked for, as is that one was revoked',
    needs: 'fleet',
    async run(open) {
      const a = await open()
      const b = await a.beside!()
      for (let i = 0; i < 10; i++) {
        await a.engine.keys.add(key(`k${i}`), `d${i}`)
        await b.engine.keys.refresh()
        expect(b.engine.keys.find(`d${i}`)).toEqual(key(`k${i}`))
        await a.engine.keys.revoke(`k${i}`, 5)
        await b.engine.keys.refresh()
        expect(b.engine.keys.get(`k${i}`)?.revokedAtMs).toBe(5)
      }
    },
  },
  {
    name: 'a key is changed as it is stored; what it is, whose, and its revocation stay',
    async run(open) {
      const { engine } = await open()
      const { keys } = engine
      expect(await keys.change('k1', (known) => known)).toBeNull()
      await keys.add(key('k1'), 'd1')
      let told = 0
      keys.onChange(() => told++)
      const changed = await keys.change('k1', (known) => ({
        ...known,
        name: 'new',
        tenant: 'x',
        id: 'k2',
        scopes: ['read'],
      }))
      expect(changed).toEqual(key('k1', { name: 'new', scopes: ['read'] }))
      expect(keys.find('d1')).toEqual(changed)
      expect(told).toBeGreaterThan(0)
      await Promise.all(
        Array.from({ length: 10 }, (_, i) =>
          keys.change('k1', (known) => ({ ...known, models: [...(known.models ?? []), `m${i}`] })),
        ),
      )
      expect(keys.get('k1')!.models!.toSorted()).toEqual(Array.from({ length: 10 }, (_, i) => `m${i}`))
      await keys.revoke('k1', 5)
      await keys.change('k1', (known) => ({ ...known, name: 'newer' }))
      expect([keys.get('k1')?.name, keys.get('k1')?.revokedAtMs]).toEqual(['newer', 5])
    },
  },
  {
    name: 'a rotation: one id, the new secret, the one before until its end, those before that no more',
    async run(open) {
      const { engine } = await open()
      const { keys } = engine
      const secret = (n: number, endsAtMs = 1_000) => ({ digest: `d${n}`, hint: `h${n}`, nowMs: 100 * n, endsAtMs })
      expect(await keys.rotate('k1', secret(2))).toBeNull()
      await keys.add(key('k1', { scopes: ['read'], expiresAtMs: 5_000 }), 'd1')
      const second = await keys.rotate('k1', secret(2))
      expect(second).toEqual(
        key('k1', { scopes: ['read'], hint: 'h2', expiresAtMs: 5_000, generation: 1, previousEndsAtMs: 1_000 }),
      )
      expect(keys.find('d2')).toEqual(second)
      expect(keys.get('k1')).toEqual(second)
      expect(keys.find('d1')).toMatchObject({ id: 'k1', expiresAtMs: 1_000, replacedAtMs: 200 })
      // No secret lives longer by a rotation
      await keys.rotate('k1', secret(3, 9_000))
      expect(keys.get('k1')).toMatchObject({ hint: 'h3', generation: 2, previousEndsAtMs: 5_000 })
      expect(keys.find('d2')?.expiresAtMs).toBe(5_000)
      expect(keys.find('d1')?.expiresAtMs).toBe(300)
      expect((await keys.list()).map(({ hint }) => hint)).toEqual(['sk-sluice-ab', 'h2', 'h3'])
      // Nothing is kept of what has ended
      await keys.rotate('k1', secret(4, 9_000))
      expect([keys.find('d1'), keys.find('d2')?.expiresAtMs]).toEqual([null, 400])
      expect((await keys.list()).map(({ hint }) => hint)).toEqual(['h2', 'h3', 'h4'])
      await keys.revoke('k1', 7)
      for (const digest of ['d2', 'd3', 'd4']) expect(keys.find(digest)?.revokedAtMs).toBe(7)
      expect(await keys.rotate('k1', secret(5))).toBeNull()
    },
  },
  {
    name: 'changes and rotations survive a kill',
    needs: 'kill',
    async run(open) {
      const first = await open()
      await first.engine.keys.add(key('k1'), 'd1')
      await first.engine.keys.change('k1', (known) => ({ ...known, models: ['a*'] }))
      await first.engine.keys.rotate('k1', { digest: 'd2', hint: 'h2', nowMs: 10, endsAtMs: 20 })
      const known = [first.engine.keys.find('d1'), first.engine.keys.find('d2')]
      const second = await first.reopen('kill')
      expect([second.engine.keys.find('d1'), second.engine.keys.find('d2')]).toEqual(known)
      expect(second.engine.keys.get('k1')).toEqual(known[1])
      await second.engine.keys.rotate('k1', { digest: 'd3', hint: 'h3', nowMs: 30, endsAtMs: 40 })
      const { engine } = await second.reopen('kill')
      expect((await engine.keys.list()).map(({ hint }) => hint)).toEqual(['h2', 'h3'])
      expect(engine.keys.find('d1')).toBeNull()
    },
  },
]
