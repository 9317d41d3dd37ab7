import { expect, it } from 'vitest'
import type { StoredFile } from '../../core/ports/files.ts'
import { isFileOf, refsOf } from './media.ts'

const job = { id: 'job_1', tenant: 't' }
const file: StoredFile = {
  ...{ id: 'file-1', tenant: 't', user: null, purpose: 'media', name: 'job_1-2.png', type: 'image/png', job: 'job_1' },
  ...{ bytes: 3, sealed: true, createdAtMs: 0, expiresAtMs: null },
}

it("a log's reference is followed into a file of its own job alone: its upstream may have written it", () => {
  expect(isFileOf(file, job)).toBe(true)
  for (const other of [{ tenant: 'u' }, { purpose: 'user_data' }, { job: 'job_2' }, { job: undefined as never }])
    expect(isFileOf({ ...file, ...other }, job), JSON.stringify(other)).toBe(false)
  expect(isFileOf(null, job)).toBe(false)
})

it('references of a document, in its order; others of its texts are none', () => {
  const ref = { file: 'file-1', type: 'image/png', bytes: 3 }
  const document = {
    file: 'file-9',
    data: [{ b64_json: ref }, { b64_json: 'AAAA' }, { x: ref }, { b64_json: { ...ref, bytes: 4 } }],
  }
  expect(refsOf(JSON.stringify(document))).toEqual([ref, { ...ref, bytes: 4 }])
})
