/** Whose batches a process works on: the long ones of one tenant are no wait for another. */
import { expect, it } from 'vitest'
import { manualClock } from '../../test/manual-clock.ts'
import { type Batch, batchDocument } from '../core/batch.ts'
import type { Document, Documents } from '../core/ports/documents.ts'
import type { Files } from '../core/ports/files.ts'
import { Batches } from './batches.ts'
import { MOST, MOST_OF_TENANT, nextTurn } from './turns.ts'

const of = (...tenants: readonly string[]) => tenants.map((tenant, at) => ({ tenant, at }))

it('begins that of the tenant with the fewest running, of several the longest due', () => {
  expect(nextTurn(of('a', 'a', 'b'), [])).toEqual({ tenant: 'a', at: 0 })
  expect(nextTurn(of('a', 'a', 'b', 'b'), ['a'])).toEqual({ tenant: 'b', at: 2 })
  expect(nextTurn(of('a', 'b'), ['b', 'a'])).toEqual({ tenant: 'a', at: 0 })
})

it('begins none beyond a share of its tenant, or where there is no place', () => {
  const full = Array.from({ length: MOST_OF_TENANT }, () => 'a')
  expect(nextTurn(of('a', 'a'), full)).toBeNull()
  expect(
    nextTurn(
      of('z'),
      Array.from({ length: MOST }, (_, n) => `t${n}`),
    ),
  ).toBeNull()
  expect(nextTurn([], [])).toBeNull()
})

it('works on the batch of a tenant behind a hundred endless ones of another', async () => {
  const clock = manualClock()
  const stored = new Map<string, Document>()
  const documents: Documents = {
    get: async (_, id) => stored.get(id) ?? null,
    list: async () => [],
    remove: async () => false,
    due: async (_, limit) =>
      [...stored.values()]
        .filter(({ dueAtMs }) => dueAtMs !== null && dueAtMs <= clock.wallMs())
        .sort((a, b) => a.dueAtMs! - b.dueAtMs!)
        .slice(0, limit),
    async put(document, version) {
      if ((stored.get(document.id)?.version ?? 0) !== version) return null
      const next = { ...document, version: version + 1 }
      stored.set(document.id, next)
      return next
    },
  }
  const add = async (tenant: string, n: number): Promise<void> => {
    const batch: Batch = {
      ...{ id: `batch_${tenant}${n}`, tenant, keyId: 'k', endpoint: '/', inputFileId: 'f', window: '24h' },
      ...{ metadata: null, pool: null, outputMs: 1, status: 'validating', createdAtMs: 0 },
      ...{ expiresAtMs: clock.wallMs() + 86_400_000, at: {}, outputFileId: null, errorFileId: null },
      ...{ counts: { total: 0, completed: 0, failed: 0 }, errors: [], owner: null },
    }
    await documents.put(batchDocument(batch, clock.wallMs()), 0)
    clock.advance(1)
  }
  for (let n = 0; n < 100; n++) await add('a', n)
  await add('b', 0)
  // None is ever validated
  const files = { read: () => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }) }) }
  const never = (): never => expect.unreachable()
  const batches = new Batches({
    ...{ documents, files: files as unknown as Files, jobs: { cancel: never, byKey: never }, clock },
    ...{ submit: never, result: never, announce: never, onFault: never, wallMs: clock.wallMs },
    ...{ owner: 'o', isAlone: false, settings: { window: 16, maxLines: 10, maxBytes: 10 } },
  })
  batches.begin()
  for (let look = 0; look < 4; look++) {
    await new Promise((next) => setImmediate(next))
    clock.advance(500)
    await new Promise((next) => setImmediate(next))
  }
  const owned = [...stored.values()].filter(({ body }) => body['owner'] === 'o').map(({ tenant }) => tenant)
  expect(owned).toEqual([...Array.from({ length: MOST_OF_TENANT }, () => 'a'), 'b'])
})
