/** A checker is only proven by planted bugs. */
import { expect, it } from 'vitest'
import { check } from './checker.ts'
import type { Acked, Final, History, Reader, Seen } from './history.ts'

const chunk = (i: number): string =>
  `{"id":"c","choices":[{"delta":{"content":" tok${String(i).padStart(6, '0')}.1"}}]}`
function log(tokens: number, more: { state?: string } = {}): Seen[] {
  const events = [
    { event: 'attempt', data: '{"n":1,"mode":"first"}' },
    ...Array.from({ length: tokens }, (_, i) => ({ event: 'chunk', data: chunk(i) })),
    { event: 'end', data: `{"state":"${more.state ?? 'done'}"}` },
  ]
  return events.map((e, i) => ({ id: `1-${i + 1}`, ...e }))
}

/** Two jobs of one lane, each read by one reader. */
function good(dialect: Reader['dialect']): {
  acked: Acked[]
  readers: Reader[]
  finals: Map<string, Final>
  calls: Array<{ user: string; startMs: number; endMs: number }>
  turns: Map<string, string[]>
} {
  const acked = ['a', 'b'].map((id, place) => ({ id, key: `key-${id}`, tokens: 3, lane: 'l', place, canceled: false }))
  return {
    acked,
    readers: acked.map(({ id }) => ({ job: id, dialect, seen: log(3), complete: true })),
    finals: new Map(acked.map(({ id }) => [id, { id, state: 'done', log: log(3) }])),
    calls: acked.map(({ key }, i) => ({ user: key, startMs: i * 100, endMs: i * 100 + 50 })),
    turns: new Map([['l', ['a', 'b']]]),
  }
}

const DIALECTS = ['native', 'socket'] as const

it.each(DIALECTS)('finds nothing in a good history (%s)', (dialect) => {
  expect(check(good(dialect))).toEqual([])
})

const renumber = (events: readonly Seen[]): Seen[] => events.map((e, i) => ({ ...e, id: `1-${i + 1}` }))

it.each<[string, RegExp, (h: ReturnType<typeof good>) => void]>([
  ['acknowledged before it was committed', /J1 a: acknowledged and lost/, (h) => h.finals.delete('a')],
  ['a lost terminal', /J1 a: 0 ends/, (h) => h.finals.set('a', { id: 'a', state: 'leased', log: log(3).slice(0, -1) })],
  [
    'two terminals',
    /J1 a: 2 ends/,
    (h) => h.finals.set('a', { id: 'a', state: 'done', log: renumber([...log(3), log(3).at(-1)!]) }),
  ],
  [
    'no fence: two attempts interleaved',
    /J2 a: its tokens are not in order/,
    (h) =>
      h.finals.set('a', {
        id: 'a',
        state: 'done',
        log: renumber(log(3).toSpliced(3, 0, { id: '', event: 'chunk', data: chunk(0) })),
      }),
  ],
  [
    'a token lost',
    /J2 a: 2 tokens of 3/,
    (h) => h.finals.set('a', { id: 'a', state: 'done', log: renumber(log(3).toSpliced(3, 1)) }),
  ],
  ['two active in a lane', /J3 l: b began while a \(done\) was answered, 20.0 ms/, (h) => (h.calls[1].startMs = 30)],
  ['a lane out of order', /J3 l: a was called after b/, (h) => (h.calls[0].startMs = h.calls[0].endMs = 500)],
  ['a token doubled to a reader', /S1 a: 1-3 came after 3/, (h) => h.readers[0].seen.splice(3, 0, log(3)[2])],
  ['a gap told to nobody', /S1 a: a gap before 1-4/, (h) => h.readers[0].seen.splice(2, 1)],
  [
    'no epoch: another record under the same cursor',
    /S1 a: 1-2 was something else/,
    (h) => (h.readers[0].seen[1] = { ...h.readers[0].seen[1], data: chunk(7) }),
  ],
  [
    'shown before it was stored',
    /S1 a: 1-9 was shown and is not in the log/,
    (h) => h.readers[0].seen.push({ id: '1-9', event: 'chunk', data: chunk(9) }),
  ],
  ['complete without an end', /told complete without an end/, (h) => h.readers[0].seen.pop()],
  [
    'another end than the stored one',
    /S1 a: 1-5 was something else/,
    (h) => (h.readers[0].seen[4] = { ...h.readers[0].seen[4], data: '{"state":"failed"}' }),
  ],
  [
    'a record of another kind',
    /S1 a: 1-1 was something else/,
    (h) => (h.readers[0].seen[0] = { ...h.readers[0].seen[0], event: 'reset' }),
  ],
  [
    'a reader left waiting',
    /S1 a: was never told its end, and stood at 1-4/,
    (h) => (h.readers[0] = { ...h.readers[0], seen: log(3).slice(0, -1), complete: false }),
  ],
  [
    'a reader refused',
    /S1 a: was never told its end, and stood at forbidden/,
    (h) => (h.readers[0] = { ...h.readers[0], seen: [], complete: false, refused: 'forbidden' }),
  ],
  ['one key, two jobs', /J4 b: its key was a before/, (h) => (h.acked[1] = { ...h.acked[1], key: 'key-a' })],
  [
    'a made-up [DONE]',
    /told \[DONE\], and is failed/,
    (h) => {
      h.readers[0] = { job: 'a', dialect: 'chat', seen: [{ id: '1-5', event: '', data: '[DONE]' }], complete: true }
      h.finals.set('a', { id: 'a', state: 'failed', log: log(3, { state: 'failed' }) })
    },
  ],
])('is red on %s', (_name, expected, plant) => {
  for (const dialect of DIALECTS) {
    const history = good(dialect)
    plant(history)
    expect(check(history as History).join('\n'), dialect).toMatch(expected)
  }
})
