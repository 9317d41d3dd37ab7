import { describe, expect, it } from 'vitest'
import { type FoundTopic, settingsFrom } from './examine.ts'
import { judge, type Wanted } from './judge.ts'

const DAY_MS = 86_400_000
const WANTED: Wanted = { creates: true, partitions: 12, replicas: 3, maxMessageBytes: 900_000 }
const SETTINGS = {
  minInSync: 2,
  retentionMs: 7 * DAY_MS,
  retentionBytes: null,
  isCompacted: false,
  maxMessageBytes: 1_048_588,
}
const found = (more: Partial<FoundTopic> = {}, settings: Partial<typeof SETTINGS> = {}) =>
  judge(
    {
      name: 'sluice.text',
      kind: 'found',
      partitions: 12,
      replicas: 3,
      inSync: 3,
      behind: 0,
      settings: { ...SETTINGS, ...settings },
      ...more,
    },
    WANTED,
  )
const missing = (refusal: string | null, more: Partial<Wanted> = {}) =>
  judge({ name: 'sluice.text', kind: 'missing', refusal }, { ...WANTED, ...more })

describe('what doctor says of a topic', () => {
  it('is well where two of three replicas confirm', () => {
    expect(found()).toEqual({
      verdict: 'ok',
      detail: 'topic sluice.text: 12 partitions, 3 replicas (min.insync.replicas 2), kept for 7 days',
    })
  })

  it.each([
    ['note', { replicas: 1, inSync: 1 }, { minInSync: 1 }, 'one replica'],
    ['failed', { replicas: 1, inSync: 1 }, {}, 'lower it to 1'],
    ['note', { replicas: 2, inSync: 2 }, {}, 'with one broker lost'],
    ['note', {}, { minInSync: 1 }, 'so set 2'],
    ['note', { inSync: 2, behind: 1 }, {}, '1 partition with replicas that are not in sync'],
    ['failed', { inSync: 1 }, {}, 'only 1 of its replicas in sync'],
    ['failed', { inSync: 0 }, {}, 'no broker at all'],
    ['failed', {}, { isCompacted: true }, 'compact'],
    ['note', {}, { maxMessageBytes: 1_000 }, 'larger jobs are refused'],
    ['note', {}, { retentionMs: 3_600_000 }, 'kept for 1 h'],
    ['note', { settings: null }, {}, 'DescribeConfigs'],
  ] as const)('%s: %o %o', (verdict, topic, settings, words) => {
    expect(found(topic, settings)).toEqual({ verdict, detail: expect.stringContaining(words) })
  })

  it.each([
    ['note', null, {}, 'the start of Sluice makes it, with 12 partitions and 3 replicas'],
    ['note', null, { replicas: null }, 'makes it, with 12 partitions'],
    ['failed', null, { creates: false }, 'set intakes.kafka.create_topics'],
    ['failed', 'TOPIC_AUTHORIZATION_FAILED', {}, 'may not make it'],
    ['failed', 'TOPIC_ALREADY_EXISTS', { creates: false }, 'may not see it'],
    ['failed', 'INVALID_REPLICATION_FACTOR', {}, 'lower intakes.kafka.replicas'],
    ['failed', 'POLICY_VIOLATION', {}, 'POLICY_VIOLATION'],
  ] as const)('missing, %s: %s %o', (verdict, refusal, more, words) => {
    expect(missing(refusal, more)).toEqual({ verdict, detail: expect.stringContaining(words) })
  })

  it('reads the settings of a topic: -1 is without end', () => {
    const values = { 'min.insync.replicas': '2', 'retention.ms': '-1', 'cleanup.policy': 'compact,delete' }
    expect(settingsFrom(new Map(Object.entries(values)))).toEqual({
      minInSync: 2,
      retentionMs: null,
      retentionBytes: null,
      isCompacted: true,
      maxMessageBytes: Number.POSITIVE_INFINITY,
    })
  })
})
