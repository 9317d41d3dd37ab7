import { expect, it } from 'vitest'
import type { JobKind } from '../core/job.ts'
import { DIALECTS } from '../dialects/index.ts'
import { askedIn } from './asked.ts'

it('names where a job was asked for, and the id that its client has', () => {
  const asked = (dialect: string, kind: string): object =>
    askedIn(DIALECTS)({ id: 'job_01x', dialect, kind: kind as JobKind })
  expect(asked('responses', 'chat')).toEqual({ endpoint: '/v1/responses', id: 'resp_01x' })
  expect(asked('messages', 'chat')).toEqual({ endpoint: '/v1/messages', id: 'msg_01x' })
  expect(asked('completions', 'chat')).toEqual({ endpoint: '/v1/completions' })
  expect(asked('chat', 'chat')).toEqual({ endpoint: '/v1/chat/completions' })
  expect(asked('embeddings', 'embedding')).toEqual({ endpoint: '/v1/embeddings' })
  // Of an older version
  expect(asked('other', 'chat')).toEqual({})
})
