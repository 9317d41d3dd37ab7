import { expect, it } from 'vitest'
import type { UsageRecord } from '../../../core/usage-record.ts'
import { readLevel, readWindows, writeLevelName, writeLevelUse, writeWindows } from './levels.ts'
import {
  addedBy,
  type Group,
  groupName,
  matches,
  packRecord,
  readGroup,
  readRecords,
  readSum,
  tenantPrefix,
  writeRecords,
  writeSum,
} from './usage.ts'

const RECORD: UsageRecord = {
  job: 'job_1',
  attempt: 2,
  tenant: 'acme',
  keyId: 'key_1',
  user: null,
  run: null,
  kind: 'chat',
  model: 'm',
  deployment: null,
  end: 'lost',
  usage: { promptTokens: 3, completionTokens: 0, estimated: true },
  nanoDollars: null,
  priceVersion: null,
}
const FULL: UsageRecord = {
  ...RECORD,
  user: 'constructor',
  run: '\n',
  kind: 'embedding',
  deployment: 'd',
  end: 'done',
  source: 'job_0',
  usage: {
    promptTokens: 3,
    completionTokens: 4,
    cachedTokens: 1,
    cacheWriteTokens: 0,
    audioPromptTokens: 3,
    reasoningTokens: 2,
    audioCompletionTokens: 4,
    estimated: false,
  },
  nanoDollars: 0,
  priceVersion: 'p1',
}

it('reads records as they were written; one that is damaged is null in its place', () => {
  const written = writeRecords(1_000, [packRecord(RECORD), { j: 'job_2' }, packRecord(FULL)])
  expect(readRecords('acme', written)).toEqual([{ ...RECORD, atMs: 1_000 }, null, { ...FULL, atMs: 1_000 }])
  for (const damaged of ['', '{}', '[]', '["now"]', 'null']) expect(readRecords('acme', damaged)).toEqual([])
})

it('a sum is read as it was written, and a repeat is counted as one', () => {
  const group = { tenant: 'acme', keyId: 'key_1', user: null, model: 'm' }
  const [lost, repeated] = [RECORD, FULL].map((record) => readSum('2026-11-26', group, addedBy(record).join(' '))!)
  expect(lost).toMatchObject({ ...group, attempts: 1, repeats: 0, estimated: 1, unpriced: 1, promptTokens: 3 })
  expect(repeated).toMatchObject({ attempts: 1, repeats: 1, estimated: 0, unpriced: 0, reasoningTokens: 2 })
  expect(readSum('2026-11-26', group, writeSum(repeated))).toEqual(repeated)
})

const NAMES = [
  '',
  '\0',
  '\0\0',
  '\0\x01',
  '\x01',
  '\x01\x01',
  '\x01\x02',
  '\x02',
  ' ',
  'a',
  'a\0',
  'ab',
  'u',
  'é',
  '￿',
  '😀',
]

it('names of groups are read back, and sort by bytes as tenant, key, user (none first) and model do', () => {
  const groups: Group[] = []
  for (const tenant of NAMES)
    for (const user of [null, ...NAMES])
      groups.push({ tenant, keyId: 'k', user, model: '' }, { tenant, keyId: 'k\0', user, model: 'm' })
  for (const group of groups) expect(readGroup(groupName(group))).toEqual(group)
  const bytes = (text: string): Buffer => Buffer.from(text)
  const byParts = (a: Group, b: Group): number =>
    bytes(a.tenant).compare(bytes(b.tenant)) ||
    bytes(a.keyId).compare(bytes(b.keyId)) ||
    Number(a.user !== null) - Number(b.user !== null) ||
    bytes(a.user ?? '').compare(bytes(b.user ?? '')) ||
    bytes(a.model).compare(bytes(b.model))
  const byName = [...groups].sort((a, b) => bytes(groupName(a)).compare(bytes(groupName(b))))
  expect(byName).toEqual([...groups].sort(byParts))
  for (const tenant of NAMES)
    for (const group of groups) expect(groupName(group).startsWith(tenantPrefix(tenant))).toBe(group.tenant === tenant)
})

it('a filter takes what has all of its members', () => {
  const of = { tenant: 't', keyId: 'k', user: null, model: 'm' }
  for (const filter of [{}, { tenant: 't', keyId: 'k', model: 'm', fromDay: '2026-01-02', toDay: '2026-01-02' }])
    expect(matches(filter, of, '2026-01-02')).toBe(true)
  for (const filter of [
    { tenant: '' },
    { user: '' },
    { fromDay: '2026-01-03' },
    { toDay: '2026-01-01' },
    { model: 'n' },
  ])
    expect(matches(filter, of, '2026-01-02')).toBe(false)
})

it('levels are read back by another clock, without what a later version added; null where damaged', () => {
  const name = writeLevelName({ kind: 'user', owner: 'acme', name: 'a"\n,b' })
  const use = {
    atMono: 5,
    rates: { tokens: 1.5, output_tokens: -2.5 },
    spent: { month: { index: 24_322, nanoDollars: 7 } },
    velocity: { fiveMinutes: 1.5, hour: 20, cooledInMs: -3 },
  }
  const written = writeLevelUse(use, (mono) => mono + 1_000)
  const read = { kind: 'user', owner: 'acme', name: 'a"\n,b', used: { ...use, atMono: 905 } }
  expect(readLevel(name, written, (atMs) => atMs - 100)).toEqual(read)
  const later = {
    ...JSON.parse(written),
    r: { tokens: 1.5, output_tokens: -2.5, images: 2, requests: '1' },
    s: { month: [24_322, 7], year: [1, 1] },
  }
  expect(readLevel(name, JSON.stringify(later), (atMs) => atMs - 100)).toEqual(read)
  const { velocity: _none, ...without } = use
  for (const v of [1, [], [1, 2], [-1, 2, null], [1, 2, '3']])
    expect(readLevel(name, JSON.stringify({ ...JSON.parse(written), v }), (atMs) => atMs - 100)).toEqual({
      ...read,
      used: { ...without, atMono: 905 },
    })
  for (const damaged of ['', '[]', '["user","acme"]', '["planet","",""]', '["constructor","",""]'])
    expect(readLevel(damaged, written, (atMs) => atMs)).toBeNull()
  for (const damaged of ['', '[]', '{"t":1,"r":{}}']) expect(readLevel(name, damaged, (atMs) => atMs)).toBeNull()
})

it('reads of the windows that are open those that it can', () => {
  const open = { hour: { index: 490_000, ends: 1.5 }, month: { index: 24_322, ends: 9 } }
  expect(readWindows(writeWindows(open))).toEqual(open)
  const later = { ...open, hour: { index: -1, ends: 1 }, day: { index: 1 }, year: { index: 1, ends: 2 } }
  expect(readWindows(JSON.stringify(later))).toEqual({ month: open.month })
  for (const damaged of ['', '[]', '5', 'null', '{']) expect(readWindows(damaged)).toEqual({})
})
