/** What the checker knows of a fleet: what a fail-over may lose, and that it must be told. */
import { expect, it } from 'vitest'
import { checkUsage, type UsageLeft } from './check-usage.ts'
import { check } from './checker.ts'
import type { Acked, Final, History, Reader, Seen } from './history.ts'

const LOSS = { fromMs: 1_000, toMs: 2_000 }
const chunk = (i: number): string =>
  `{"id":"c","choices":[{"delta":{"content":" tok${String(i).padStart(6, '0')}.1"}}]}`

/** Three tokens, whose records from `at` on are of another epoch. */
function log(epoch = 1, atMs = 500): Seen[] {
  const events = [
    { event: 'attempt', data: '{"n":1,"mode":"first"}' },
    ...[0, 1, 2].map((i) => ({ event: 'chunk', data: chunk(i) })),
    { event: 'end', data: '{"state":"done"}' },
  ]
  return events.map((e, i) => ({ id: `${epoch}-${i + 1}`, ...e, atMs: atMs + i }))
}
const gap = (atMs: number): Seen => ({ id: '', event: 'gap', data: '"epoch_changed"', atMs })

const acked = (id: string, ackedAtMs: number, more: Partial<Acked> = {}): Acked => ({
  ...{ id, key: `key-${id}`, tokens: 3, lane: null, place: 0, canceled: false, ackedAtMs },
  ...more,
})
const final = (id: string, records = log()): [string, Final] => [id, { id, state: 'done', log: records }]
const reader = (seen: Seen[], more: Partial<Reader> = {}): Reader => ({
  ...{ job: 'a', dialect: 'native', seen, complete: true },
  ...more,
})

/** A run with a fail-over. */
const history = (more: Partial<History>): History => ({
  ...{ acked: [], readers: [], finals: new Map(), calls: [], turns: new Map(), isFleet: true, losses: [LOSS] },
  ...more,
})

it.each<[string, Partial<History>]>([
  ['a job that was acknowledged in the lost second is gone', { acked: [acked('a', 1_500)] }],
  [
    'a reader is told the gap, and then reads all',
    {
      finals: new Map([final('a', log(2))]),
      readers: [reader([...log(1, 1_200).slice(0, 3), gap(2_500), ...log(2, 2_600)])],
    },
  ],
  [
    'a reader was at its end in the lost second',
    { finals: new Map([final('a', log(2))]), readers: [reader(log(1, 1_200))] },
  ],
  [
    'a chat reader is told that its cursor is stale',
    {
      finals: new Map([final('a', log(2))]),
      readers: [reader(log(1, 1_200).slice(1, 3), { dialect: 'chat', complete: false, refused: 'cursor_stale' })],
    },
  ],
  [
    'a reader of a job that was lost is told',
    { acked: [acked('a', 1_500)], readers: [reader([], { complete: false, refused: 'job_not_found' })] },
  ],
  [
    'ids of several gateways do not sort',
    {
      acked: [acked('b', 10, { lane: 'l', place: 0 }), acked('a', 20, { lane: 'l', place: 1 })],
      finals: new Map([final('a'), final('b')]),
    },
  ],
  [
    'the call of a worker that was cut off outlives its lease',
    {
      acked: [acked('a', 10, { lane: 'l' })],
      finals: new Map([final('a')]),
      calls: [
        { user: 'key-a', path: '/w1/v1/chat/completions', startMs: 3_000, endMs: 9_000 },
        { user: 'key-a', path: '/w2/v1/chat/completions', startMs: 6_000, endMs: 7_000 },
      ],
      losses: [],
      isolated: [{ worker: 'w1', fromMs: 3_500, toMs: 8_000 }],
    },
  ],
])('allows that %s', (_name, more) => {
  expect(check(history(more))).toEqual([])
})

it.each<[string, RegExp, Partial<History>]>([
  ['a job lost that was acknowledged before', /J1 a: acknowledged and lost/, { acked: [acked('a', 500)] }],
  [
    'a gap that is not told',
    /S1 a: 1-3 was shown and is not in the log/,
    {
      finals: new Map([final('a', log(2))]),
      readers: [reader([...log(1, 1_200).slice(0, 3), ...log(2, 2_600).slice(3)])],
    },
  ],
  [
    'a gap that is told where nothing was lost',
    /S1 a: was told a gap where nothing was lost/,
    { finals: new Map([final('a')]), readers: [reader([...log().slice(0, 2), gap(600), ...log()])], losses: [] },
  ],
  [
    'a gap that is not followed by the whole log',
    /S1 a: a gap before 2-3/,
    { finals: new Map([final('a', log(2))]), readers: [reader([gap(2_500), ...log(2, 2_600).slice(2)])] },
  ],
  [
    'a stale cursor where nothing was lost',
    /was refused \(cursor_stale\) where nothing was lost/,
    {
      finals: new Map([final('a')]),
      readers: [reader(log().slice(0, 2), { dialect: 'chat', complete: false, refused: 'cursor_stale' })],
      losses: [],
    },
  ],
  [
    'a reader that is turned away for no reason',
    /S1 a: was told internal, and is done/,
    {
      finals: new Map([final('a')]),
      readers: [reader([], { dialect: 'chat', complete: false, refused: 'internal' })],
    },
  ],
  [
    'two calls of a lane at once, by workers that could be reached',
    /J3 l: a began while a \(done\) was answered/,
    {
      acked: [acked('a', 10, { lane: 'l' })],
      finals: new Map([final('a')]),
      calls: [
        { user: 'key-a', path: '/w1/v1/chat/completions', startMs: 3_000, endMs: 9_000 },
        { user: 'key-a', path: '/w2/v1/chat/completions', startMs: 6_000, endMs: 7_000 },
      ],
      losses: [],
      isolated: [{ worker: 'w3', fromMs: 3_500, toMs: 8_000 }],
    },
  ],
  [
    'a JSON answer that lacks a token',
    /E1 a: 2 tokens of 3/,
    {
      answers: [
        { job: 'a', key: 'k', tokens: 3, text: ' tok000000.1 tok000002.1', status: 200, sentAtMs: 5, atMs: 10 },
      ],
    },
  ],
  [
    'a JSON answer that is not what is stored',
    /E1 a: was answered, and something else is stored/,
    {
      finals: new Map([final('a')]),
      answers: [{ job: 'a', key: 'k', tokens: 1, text: ' tok000000.9', status: 200, sentAtMs: 5, atMs: 10 }],
    },
  ],
  [
    'a plain call that fails',
    /E1 k: a plain call was answered with 500 internal/,
    { answers: [{ job: 'a', key: 'k', tokens: 1, text: 'internal', status: 500, sentAtMs: 5, atMs: 10 }] },
  ],
  [
    'a plain call that is told to give up, where its job was lost: it should come back',
    /E1 k: a plain call was answered with 410 job_gone/,
    { answers: [{ job: '', key: 'k', tokens: 1, text: 'job_gone', status: 410, sentAtMs: 900, atMs: 4_000 }] },
  ],
  [
    'a cancel that did not hold',
    /S2 a: was told canceled, and is done/,
    { acked: [acked('a', 10, { canceled: true, canceledAtMs: 20 })], finals: new Map([final('a')]) },
  ],
  [
    'one key, two jobs, where nothing was lost',
    /J4 b: its key was a before/,
    { acked: [acked('a', 10), acked('b', 20, { key: 'key-a' })], finals: new Map([final('a'), final('b')]) },
  ],
])('is red on %s', (_name, expected, more) => {
  expect(check(history(more)).join('\n')).toMatch(expected)
})

it('each attempt is recorded once, a job that is done with the end of that, and sums are those of records', () => {
  const usage = { promptTokens: 3, completionTokens: 2, estimated: false }
  const records = [
    { job: 'a', attempt: 1, end: 'lost', usage },
    { job: 'a', attempt: 2, end: 'done', usage },
  ] as const
  const sums = [{ attempts: 2, promptTokens: 6, completionTokens: 4 }]
  const wrong = (left: UsageLeft): readonly string[] => checkUsage({ usage: left, finals: new Map([final('a')]) })
  expect(wrong({ records, sums })).toEqual([])
  expect(wrong({ records: [...records, records[0]], sums })).toEqual([
    'M1 a: attempt 1 is recorded twice',
    'M1 the sums are 2,6,4, of records 3,9,6',
  ])
  expect(wrong({ records: records.slice(0, 1), sums })[0]).toBe('M1 a: is done, with 0 records of that')
  expect(wrong({ records, sums: [{ ...sums[0], completionTokens: 5 }] })).toEqual([
    'M1 the sums are 2,6,5, of records 2,6,4',
  ])
})
