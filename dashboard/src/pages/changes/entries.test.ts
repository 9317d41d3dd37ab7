import { describe, expect, it } from 'vitest'
import { type Entry, undoOf, wordsOf } from './entries.ts'

const entry = (action: string, target: string, before: object = {}, after: object = {}): Entry => ({
  at_ms: 0,
  action,
  target,
  tenant: 'acme',
  from: '127.0.0.1',
  request_id: 'req_1',
  before: before as Entry['before'],
  after: after as Entry['after'],
})

describe('changes', () => {
  it('are told with what was and what is', () => {
    const limits = entry(
      'tenant-changed',
      'tenant acme',
      { limits: { tokens_per_minute: 4e5 } },
      { limits: { tokens_per_minute: 6e5 } },
    )
    expect(wordsOf(limits)).toBe('Tenant acme changed: tokens per minute 400,000 → 600,000')
    expect(wordsOf(entry('tenant-changed', 'tenant acme', { limits: null }, { limits: { requests: 5 } }))).toBe(
      'Tenant acme changed: requests none → 5',
    )
    const changed = ['queue.max_attempts', 'limits.global']
    const reloaded = { models: ['a', 'b'], tenants: [], changed, needs_restart: ['queue.max_attempts'] }
    expect(wordsOf(entry('config-reloaded', 'configuration', {}, reloaded))).toBe(
      'Configuration reloaded: queue.max_attempts, limits.global; queue.max_attempts only after a restart',
    )
    const view = { id: 'key_1', object: 'key', tenant: 'acme', limits_source: 'api', changed_at: 7 }
    expect(wordsOf(entry('key-created', 'key key_1', {}, view))).toBe('Key key_1 created')
    expect(wordsOf(entry('text-viewed', 'job job_1', {}, { part: 'request' }))).toBe('Request of job job_1 viewed')
    expect(wordsOf(entry('queue-paused', 'tenant acme'))).toBe('Queue of tenant acme paused')
  })

  it('are undone where that is possible, and only there', () => {
    expect(undoOf(entry('tenant-disabled', 'tenant acme'))).toEqual({
      method: 'POST',
      path: '/admin/enable',
      body: { tenant: 'acme' },
    })
    expect(undoOf(entry('deployment-drained', 'deployment a/b#1'))?.path).toBe('/admin/deployments/a%2Fb%231/resume')
    expect(undoOf(entry('key-changed', 'key key_1', { limits: null }, { limits: {} }))).toEqual({
      method: 'PATCH',
      path: '/admin/keys/key_1',
      body: { limits: null },
    })
    for (const action of ['key-revoked', 'key-created', 'key-rotated', 'tenant-erased', 'text-viewed', 'queue-purged'])
      expect(undoOf(entry(action, 'key key_1'))).toBeNull()
  })
})
