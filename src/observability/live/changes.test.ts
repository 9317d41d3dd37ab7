import { describe, expect, it } from 'vitest'
import type { AuditEntry } from '../../core/ports/audit.ts'
import { Changes } from './changes.ts'

const entry = (more: Partial<AuditEntry>): AuditEntry => ({
  ...{ atMs: 1_000, from: '10.0.0.7', requestId: 'req_1', action: 'tenant-changed', target: 'tenant acme' },
  ...{ tenant: 'acme', before: {}, after: {} },
  ...more,
})
const told = (changes: Changes) =>
  changes.newest(10).map(({ words, by, kind }) => [kind, words.map(({ text }) => text).join(''), by])
const tell = (changes: Changes, more: Partial<AuditEntry>): void =>
  changes.observe({ type: 'admin-changed', ...entry(more) })

describe('changes', () => {
  it('name the limits that differ, and no others, with who changed them', () => {
    const changes = new Changes()
    tell(changes, {
      before: { limits: { tokens_per_minute: 400_000, concurrent: 4, each_user: null } },
      after: { limits: { tokens_per_minute: 600_000, concurrent: 4, each_user: { requests_per_minute: 60 } } },
    })
    expect(told(changes)).toEqual([
      [
        'operator',
        'Tenant acme changed: tokens per minute 400,000 → 600,000, each user requests per minute none → 60',
        '10.0.0.7',
      ],
    ])
  })

  it('tell a rotated key, and a reload by a signal', () => {
    const changes = new Changes()
    tell(changes, { action: 'config-reloaded', target: 'configuration', from: 'SIGHUP', after: { models: ['m'] } })
    tell(changes, { action: 'key-rotated', target: 'key key_ab', before: { hint: 'a' }, after: { hint: 'b' } })
    expect(told(changes)).toEqual([
      ['key', 'Key key_ab rotated', '10.0.0.7'],
      ['config', 'Configuration reloaded', 'SIGHUP'],
    ])
  })

  it('tell a change once, though the audit and another node have it by other readings of the clock', () => {
    const changes = new Changes()
    tell(changes, { atMs: 5_000.7, action: 'key-created', target: 'key key_ab' })
    changes.addOlder([entry({ atMs: 4_999, action: 'key-created', target: 'key key_ab' })])
    const [row] = changes.newest(1)
    changes.addOthers({ ...row, atMs: row.atMs - 12 })
    changes.addOthers({ ...row, atMs: 86_400_000 }, row.atMs)
    expect(told(changes)).toHaveLength(1)
    changes.addOthers({ ...row, atMs: row.atMs + 2_000 })
    expect(told(changes)).toHaveLength(2)
  })
})
