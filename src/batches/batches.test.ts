/** Whose batches a process works on: the long ones of one tenant are no wait for another. */
import { expect, it } from 'vitest'
import { numbersOf } from '../../test/conformance/words.ts'
import { manualClock } from '../../test/manual-clock.ts'
import { type Batch, batchDocument, batchOf, become } from '../core/batch.ts'
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

interface World {
  readonly stored: Map<string, Document>
  readonly batches: Batches
  /** Of another process on the same store. */
  readonly others: Batches
  add(tenant: string, n: number): Promise<void>
  /** Looks, one after the other. */
  look(times: number): Promise<void>
  of(id: string): Batch
  nowMs(): number
}

/** Batches are validated for ever: another empty line comes each turn. */
function world(): World {
  const clock = manualClock()
  const stored = new Map<string, Document>()
  const documents: Documents = {
    get: async (_, id) => stored.get(id) ?? null,
    list: async () => [],
    remove: async () => false,
    waiting: async () => [...stored.values()].filter(({ dueAtMs }) => dueAtMs !== null).length,
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
  const turn = (): Promise<void> => new Promise((next) => setImmediate(next))
  async function* read(): AsyncGenerator<Buffer> {
    for (let n = 0; n < 100; n++, await turn()) yield Buffer.from('\n')
    await new Promise(() => {})
  }
  const never = (): never => expect.unreachable()
  const settings = { window: 16, maxLines: 10, maxBytes: 10, limits: { maxDepth: 8, maxKeys: 100 } }
  const processOf = (owner: string) =>
    new Batches({
      ...{ documents, files: { read } as unknown as Files, jobs: { cancel: never, byKey: never }, clock },
      ...{ submit: never, refusal: never, result: never, announce: async () => {}, onFault: never },
      ...{ owner, isAlone: false, settings, wallMs: clock.wallMs },
    })
  const [batches, others] = [processOf('o'), processOf('p')]
  return {
    stored,
    batches,
    others,
    async add(tenant, n) {
      const batch: Batch = {
        ...{ id: `batch_${tenant}${n}`, tenant, keyId: 'k', endpoint: '/', inputFileId: 'f', window: '24h' },
        ...{ metadata: null, pool: null, outputMs: 1, status: 'validating', createdAtMs: 0 },
        ...{ expiresAtMs: clock.wallMs() + 86_400_000, at: {}, outputFileId: null, errorFileId: null },
        ...{ counts: { total: 0, completed: 0, failed: 0 }, errors: [], owner: null },
      }
      await documents.put(batchDocument(batch, clock.wallMs()), 0)
      clock.advance(1)
    },
    async look(times) {
      for (let n = 0; n < times; n++) {
        await turn()
        clock.advance(500)
        await turn()
      }
    },
    of: (id) => batchOf(stored.get(id)!),
    nowMs: clock.wallMs,
  }
}

it('works on the batch of a tenant behind a hundred endless ones of another', async () => {
  const { add, batches, look, stored } = world()
  for (let n = 0; n < 100; n++) await add('a', n)
  await add('b', 0)
  batches.begin()
  await look(4)
  const owned = [...stored.values()].filter(({ body }) => body['owner'] === 'o').map(({ tenant }) => tenant)
  expect(owned).toEqual([...Array.from({ length: MOST_OF_TENANT }, () => 'a'), 'b'])
  await batches.refresh()
  // Of the third of `a`, added 98 ms before the first look
  expect(numbersOf(batches)).toMatchObject({ running_batches: 3, unfinished_batches: 101, running_batch_lines: 0 })
  expect(numbersOf(batches)['overdue_batches_ms']).toBeGreaterThanOrEqual(2_000)
})

it('one that is cancelled ends at once, though those before it are endless', async () => {
  const { add, batches, look, of, stored } = world()
  for (let tenant = 0; tenant < MOST; tenant++) for (let n = 0; n < 8; n++) await add(`t${tenant}`, n)
  batches.begin()
  await look(4)
  const document = stored.get('batch_t77')!
  const cancelling = become(batchOf(document), 'cancelling', 1)!
  stored.set(document.id, { ...document, ...batchDocument(cancelling, document.dueAtMs!), version: 2 })
  await look(12)
  expect(of('batch_t77').status).toBe('cancelled')
  expect(of('batch_t76')).toMatchObject({ status: 'validating', owner: null })
})

it('of two processes that look at a batch at once, one works on it', async () => {
  const { add, batches, others, look, of } = world()
  for (const tenant of ['a', 'b', 'c']) await add(tenant, 0)
  batches.begin()
  others.begin()
  await look(4)
  const both = numbersOf(batches)['running_batches'] + numbersOf(others)['running_batches']
  expect([
    both,
    ['a', 'b', 'c'].map((tenant) => of(`batch_${tenant}0`).owner).every((owner) => owner !== null),
  ]).toEqual([3, true])
})

it('a stop leaves what it worked on to others, at once', async () => {
  const { add, batches, look, nowMs, of, stored } = world()
  await add('a', 0)
  batches.begin()
  await look(2)
  expect(of('batch_a0').owner).toBe('o')
  await batches.stop()
  expect(of('batch_a0').owner).toBeNull()
  expect(stored.get('batch_a0')!.dueAtMs).toBeLessThanOrEqual(nowMs())
})
