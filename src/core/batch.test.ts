import { expect, it } from 'vitest'
import { type Batch, type BatchStatus, batchDocument, batchOf, become, isOver, lineKey } from './batch.ts'

const BATCH: Batch = {
  ...{ id: 'batch_1', tenant: 't', keyId: 'key_1', endpoint: '/v1/embeddings', inputFileId: 'file-1', window: '24h' },
  ...{ metadata: { a: 'b' }, pool: null, outputMs: 3_600_000, status: 'validating', createdAtMs: 1_000 },
  ...{ expiresAtMs: 86_401_000, at: {}, outputFileId: null, errorFileId: null, errors: [], owner: 'here' },
  counts: { total: 0, completed: 0, failed: 0 },
}
const STATUSES: readonly BatchStatus[] = [
  ...(['validating', 'in_progress', 'finalizing', 'cancelling'] as const),
  ...(['completed', 'failed', 'expired', 'cancelled'] as const),
]

it('becomes what it may, and nothing once it is over', () => {
  const may = STATUSES.map((from) => STATUSES.filter((to) => become({ ...BATCH, status: from }, to, 5) !== null))
  expect(Object.fromEntries(STATUSES.map((from, n) => [from, may[n]]))).toEqual({
    validating: ['in_progress', 'cancelling', 'failed', 'expired'],
    in_progress: ['finalizing', 'cancelling', 'failed', 'expired'],
    // Its end is told already: a cancel comes too late
    finalizing: ['completed', 'failed'],
    cancelling: ['failed', 'cancelled'],
    ...{ completed: [], failed: [], expired: [], cancelled: [] },
  })
  expect(STATUSES.filter((status) => isOver({ status }))).toEqual(['completed', 'failed', 'expired', 'cancelled'])
})

it('says when it entered each status', () => {
  const begun = become(BATCH, 'in_progress', 2_000.7)!
  const ended = become(become(begun, 'finalizing', 3_000)!, 'completed', 4_000)!
  expect([ended.status, ended.at]).toEqual(['completed', { in_progress: 2_000, finalizing: 3_000, completed: 4_000 }])
  expect(BATCH.at).toEqual({})
})

it('is due until it is over, and kept for 30 days from then on', () => {
  expect(batchDocument(BATCH, 7_000)).toMatchObject({ kind: 'batch', id: 'batch_1', dueAtMs: 7_000, expiresAtMs: null })
  const over = become(BATCH, 'failed', 9_000)!
  expect(batchDocument(over, 7_000)).toMatchObject({ dueAtMs: null, expiresAtMs: 9_000 + 30 * 86_400_000 })
})

it('is the same once it was stored', () => {
  const { body, ...rest } = batchDocument(BATCH, 1)
  expect(body).not.toHaveProperty('tenant')
  expect(batchOf({ ...rest, version: 1, body: JSON.parse(JSON.stringify(body)) })).toEqual(BATCH)
})

it("knows a line's job by a key that no other batch or line has", () => {
  const keys = [lineKey('batch_1', 1), lineKey('batch_1', 11), lineKey('batch_11', 1)]
  expect(new Set(keys).size).toBe(3)
  expect(lineKey('batch_1', 1)).toBe(keys[0])
})
