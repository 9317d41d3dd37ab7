/** Held by every engine: the Keys port. */
import { expect } from 'vitest'
import type { ApiKey } from '../../src/core/ports/keys.ts'
import type { Case } from './harness.ts'

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
]
