/** Held by every engine: the Documents port. */
import { expect } from 'vitest'
import { type Document, type Documents, MAX_DOCUMENT_BYTES, type NewDocument } from '../../src/core/ports/documents.ts'
import { type Case, eventually, pass } from './harness.ts'

const KIND = 'webhook_delivery'
const HOUR_MS = 3_600_000

const make = (id: string, more: Partial<NewDocument> = {}): NewDocument => ({
  kind: KIND,
  id,
  tenant: 'acme',
  body: { id, text: 'é "quoted" \\ 9007199254740993' },
  dueAtMs: null,
  expiresAtMs: null,
  ...more,
})

async function add(documents: Documents, id: string, more: Partial<NewDocument> = {}): Promise<Document> {
  const added = await documents.put(make(id, more), 0)
  expect(added).toEqual({ ...make(id, more), version: 1 })
  return added!
}

const idsOf = (documents: readonly Document[]): readonly string[] => documents.map(({ id }) => id)

export const documentCases: readonly Case[] = [
  {
    name: 'those that somebody has to look at are counted, due or not, a kind by itself',
    async run(open) {
      const { documents } = (await open()).engine
      expect(await documents.waiting(KIND)).toBe(0)
      const [due] = [await add(documents, 'a', { dueAtMs: 5 })]
      await add(documents, 'b', { dueAtMs: 4e12 })
      await add(documents, 'c')
      await add(documents, 'd', { kind: 'batch', dueAtMs: 5 })
      expect([await documents.waiting(KIND), await documents.waiting('batch')]).toEqual([2, 1])
      await documents.put(make('a'), due.version)
      await documents.remove(KIND, 'b', 1)
      expect(await documents.waiting(KIND)).toBe(0)
    },
  },
  {
    name: 'a change succeeds in place of the version that it names, and is read at once; a kind has its own ids',
    async run(open) {
      const { documents } = (await open()).engine
      expect(await documents.get(KIND, 'a')).toBeNull()
      expect(await documents.put(make('a'), 1)).toBeNull()
      const first = await add(documents, 'a', { dueAtMs: 5, expiresAtMs: 4e12 })
      expect(await documents.get(KIND, 'a')).toEqual(first)
      expect(await documents.put(make('a', { body: {} }), 0)).toBeNull()
      expect(await documents.put(make('a', { body: {} }), 2)).toBeNull()
      expect(await documents.get(KIND, 'a')).toEqual(first)
      await add(documents, 'a', { kind: 'batch', tenant: 'b c', body: { other: [1, { a: null }] } })
      const second = await documents.put(make('a', { body: { n: 2 }, tenant: 'ümlaut 9 x' }), 1)
      expect(second).toEqual({ ...make('a', { body: { n: 2 }, tenant: 'ümlaut 9 x' }), version: 2 })
      expect(await documents.get(KIND, 'a')).toEqual(second)
      expect(idsOf(await documents.list(KIND, { tenant: 'acme', limit: 10 }))).toEqual([])
      expect(idsOf(await documents.list(KIND, { tenant: 'ümlaut 9 x', limit: 10 }))).toEqual(['a'])
      expect(await documents.remove(KIND, 'a', 1)).toBe(false)
      expect(await documents.remove(KIND, 'a', 2)).toBe(true)
      expect(await documents.remove(KIND, 'a', 2)).toBe(false)
      expect(await documents.get(KIND, 'a')).toBeNull()
      expect(await documents.list(KIND, { limit: 10 })).toEqual([])
      expect((await documents.get('batch', 'a'))?.body).toEqual({ other: [1, { a: null }] })
    },
  },
  {
    name: 'of those who change one at once, one succeeds',
    async run(open) {
      const { documents } = (await open()).engine
      for (const version of [0, 1, 2]) {
        const writers = Array.from({ length: 8 }, (_, n) => documents.put(make('a', { body: { n } }), version))
        const [won, ...others] = (await Promise.all(writers)).filter((each) => each !== null)
        expect(others).toEqual([])
        expect(await documents.get(KIND, 'a')).toEqual(won)
      }
      const both = await Promise.all([documents.remove(KIND, 'a', 3), documents.put(make('a'), 3)])
      expect(both.filter((each) => each !== false && each !== null)).toHaveLength(1)
    },
  },
  {
    name: 'lists are in the order of ids, from the greatest, page by page, of one tenant or of all, however large',
    async run(open) {
      const { documents } = (await open()).engine
      const text = 'x'.repeat(60_000)
      const ids = Array.from({ length: 40 }, (_, n) => `d_${String(n).padStart(3, '0')}`)
      for (const [n, id] of ids.entries())
        await add(documents, id, { tenant: n % 2 === 0 ? 'acme' : 'acme2', body: { text } })
      await add(documents, 'd_004', { kind: 'file' })
      expect(idsOf(await documents.list(KIND, { limit: 1_000 }))).toEqual(ids.toReversed())
      const own = ids.filter((_, n) => n % 2 === 0).toReversed()
      expect(idsOf(await documents.list(KIND, { tenant: 'acme', limit: 1_000 }))).toEqual(own)
      expect(idsOf(await documents.list(KIND, { tenant: 'acme', limit: 3 }))).toEqual(own.slice(0, 3))
      expect(idsOf(await documents.list(KIND, { tenant: 'acme', before: own[2], limit: 3 }))).toEqual(own.slice(3, 6))
      expect(idsOf(await documents.list(KIND, { before: ids[2], limit: 10 }))).toEqual([ids[1], ids[0]])
      expect(await documents.list(KIND, { tenant: 'acm', limit: 10 })).toEqual([])
    },
  },
  {
    name: 'what is due is told, the longest due first; whoever puts it off has it until then',
    async run(open) {
      const opened = await open()
      const { engine, clock } = opened
      const { documents } = engine
      const now = engine.wallMs()
      await add(documents, 'late', { dueAtMs: Math.floor(now) - 1_000 })
      await add(documents, 'latest', { dueAtMs: Math.floor(now) - 2_000, tenant: 'b' })
      await add(documents, 'soon', { dueAtMs: Math.floor(now) + HOUR_MS })
      await add(documents, 'never')
      await add(documents, 'other', { kind: 'batch', dueAtMs: 1 })
      expect(idsOf(await documents.due(KIND, 10))).toEqual(['latest', 'late'])
      const [first] = await documents.due(KIND, 1)
      expect(first.id).toBe('latest')
      const claims = [0, 1, 2].map((n) =>
        documents.put({ ...first, body: { n }, dueAtMs: Math.floor(now) + 2 * HOUR_MS }, first.version),
      )
      expect((await Promise.all(claims)).filter((each) => each !== null)).toHaveLength(1)
      expect(idsOf(await documents.due(KIND, 10))).toEqual(['late'])
      const [late] = await documents.due(KIND, 10)
      expect(await documents.put({ ...late, dueAtMs: null }, late.version)).not.toBeNull()
      expect(await documents.due(KIND, 10)).toEqual([])
      await pass(opened, 0)
      clock.leap(HOUR_MS + 1_000)
      await eventually(async () => expect(idsOf(await documents.due(KIND, 10))).toEqual(['soon']))
      expect(await documents.remove(KIND, 'soon', 1)).toBe(true)
      expect(await documents.due(KIND, 10)).toEqual([])
    },
  },
  {
    name: 'what has expired goes by itself, and nothing else',
    async run(open) {
      const { engine, clock } = await open()
      const { documents } = engine
      const now = Math.floor(engine.wallMs())
      for (let n = 0; n < 70; n++) await add(documents, `gone${n}`, { expiresAtMs: now + 1_000, dueAtMs: 1 })
      await add(documents, 'stays', { expiresAtMs: now + 100 * HOUR_MS })
      await add(documents, 'ever')
      await add(documents, 'prolonged', { expiresAtMs: now + 1_000 })
      expect(await documents.put(make('prolonged'), 1)).not.toBeNull()
      await eventually(async () => {
        clock.leap(11_000)
        await new Promise((done) => setTimeout(done, 20))
        expect(idsOf(await documents.list(KIND, { limit: 100 }))).toEqual(['stays', 'prolonged', 'ever'])
      })
      expect(await documents.due(KIND, 10)).toEqual([])
      expect(await documents.get(KIND, 'gone1')).toBeNull()
      // Its id is free again
      await add(documents, 'gone1')
    },
  },
  {
    name: 'what has resolved is there after a kill, with its version; what was removed is not',
    needs: 'kill',
    async run(open) {
      let opened = await open()
      const { documents } = opened.engine
      await add(documents, 'a', { dueAtMs: 1, expiresAtMs: 4e12 })
      await add(documents, 'b')
      const a = await documents.put(make('a', { body: { n: 2 }, dueAtMs: 2 }), 1)
      expect(await documents.remove(KIND, 'b', 1)).toBe(true)
      opened = await opened.reopen('kill')
      const again = opened.engine.documents
      expect(await again.list(KIND, { limit: 10 })).toEqual([a])
      expect(await again.due(KIND, 10)).toEqual([a])
      expect(await again.put(make('a'), 1)).toBeNull()
      expect((await again.put(make('a'), 2))?.version).toBe(3)
    },
  },
  {
    name: 'what has resolved is there after a power loss',
    needs: 'power',
    async run(open) {
      const first = await open()
      await add(first.engine.documents, 'a')
      const a = await first.engine.documents.put(make('a', { body: { n: 2 } }), 1)
      const { engine } = await first.reopen('power')
      expect(await engine.documents.get(KIND, 'a')).toEqual(a)
    },
  },
  {
    name: 'an erased tenant has none, of any kind; others keep theirs',
    async run(open) {
      const { engine } = await open()
      const { documents } = engine
      for (let n = 0; n < 120; n++) await add(documents, `d${n}`, { dueAtMs: 1, expiresAtMs: 4e12 })
      for (const kind of ['file', 'batch', 'webhook_endpoint'] as const) {
        await add(documents, 'own', { kind })
        await add(documents, 'theirs', { kind, tenant: 'globex' })
      }
      await engine.eraseTenant('acme')
      expect(await documents.list(KIND, { limit: 10 })).toEqual([])
      expect(await documents.due(KIND, 10)).toEqual([])
      for (const kind of ['file', 'batch', 'webhook_endpoint'] as const)
        expect(idsOf(await documents.list(kind, { limit: 10 }))).toEqual(['theirs'])
      await add(documents, 'd1')
    },
  },
  {
    name: 'one too large, or of no id, is refused, and nothing is stored; as large as it may be, it is kept',
    async run(open) {
      const { documents } = (await open()).engine
      const sized = (bytes: number) => ({ body: { é: 'x'.repeat(bytes - Buffer.byteLength('{"é":""}')) } })
      await add(documents, 'a', sized(MAX_DOCUMENT_BYTES))
      const invalid = { code: 'invalid_request' }
      await expect(documents.put(make('b', sized(MAX_DOCUMENT_BYTES + 1)), 0)).rejects.toMatchObject(invalid)
      await expect(documents.put(make('a', sized(MAX_DOCUMENT_BYTES + 1)), 1)).rejects.toMatchObject(invalid)
      for (const id of ['', 'a b', 'a/b', 'x'.repeat(129)])
        await expect(documents.put(make(id), 0)).rejects.toMatchObject(invalid)
      expect(idsOf(await documents.list(KIND, { limit: 10 }))).toEqual(['a'])
    },
  },
  {
    name: 'of the processes of a fleet that claim what is due, each has others',
    needs: 'fleet',
    async run(open) {
      const a = await open()
      const b = await a.beside!()
      for (let n = 0; n < 30; n++) await add(a.engine.documents, `d${n}`, { dueAtMs: 1 + n })
      const claim = async ({ engine: { documents } }: typeof a): Promise<readonly string[]> => {
        const claimed = await Promise.all(
          (await documents.due(KIND, 20)).map((one) => documents.put({ ...one, dueAtMs: 8e12 }, one.version)),
        )
        return idsOf(claimed.filter((one) => one !== null))
      }
      const taken: string[] = []
      while (taken.length < 30) taken.push(...(await Promise.all([claim(a), claim(b), claim(b)])).flat())
      expect(new Set(taken).size).toBe(30)
      expect(taken).toHaveLength(30)
      expect(await b.engine.documents.due(KIND, 10)).toEqual([])
      expect((await b.engine.documents.get(KIND, 'd3'))?.version).toBe(2)
    },
  },
]
