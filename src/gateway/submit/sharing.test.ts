import { expect, it } from 'vitest'
import type { JobDraft } from '../../core/job.ts'
import { shareOf } from './sharing.ts'

const BODY = Buffer.from('{"model":"m","messages":[]}')
const draft = (more: Partial<JobDraft> = {}): JobDraft =>
  ({ tenant: 't', kind: 'chat', model: 'm', options: { pool: 'text' }, body: BODY, ...more }) as JobDraft
const keyOf = (job: JobDraft): string => shareOf({ share: 'tenant' } as never, job, {}, job.body)!.key

it('who may not use a fallback shares no answer with who may: it may be that one’s', () => {
  const may = keyOf(draft({ instead: [{ model: 'secret' }] }))
  expect(keyOf(draft())).not.toBe(may)
  expect(keyOf(draft({ instead: [{ model: 'other' }] }))).not.toBe(may)
  // At whatever price
  expect(keyOf(draft({ instead: [{ model: 'secret', price: { input: 1, output: 1 } }] }))).toBe(may)
})
