import { expect, it } from 'vitest'
import { manualClock } from '../../../test/manual-clock.ts'
import { Outage } from './outage.ts'
import { Outbox } from './outbox.ts'
import type { Posted } from './post.ts'

const TAKEN: Posted = { kind: 'taken', partial: null }
const AWAY: Posted = { kind: 'later', why: 'ECONNREFUSED', afterMs: null }
const batch = (bytes: number, items = 1) => ({ body: new Uint8Array(bytes), items })

function open(hidden: readonly string[] = []) {
  const clock = manualClock()
  const lines: string[] = []
  const write =
    (level: string) =>
    (fact: object, message?: string): void =>
      void lines.push(`${level} ${message} ${JSON.stringify(fact)}`)
  const log = { info: write('info'), warn: write('warn') }
  const seen = { sent: 0, dropped: 0, posts: 0 }
  let answers: Array<(posted: Posted) => void> = []
  const outbox = new Outbox({
    post: () => {
      seen.posts++
      return new Promise((done) => answers.push(done))
    },
    outage: new Outage('spans', 'https://key@collector.test:4318/secret-path', hidden, log, clock),
    clock,
    jitter: () => 1,
    onSent: (items) => (seen.sent += items),
    onDropped: (items) => (seen.dropped += items),
  })
  const answer = async (posted: Posted): Promise<void> => {
    const waiting = answers
    answers = []
    for (const done of waiting) done(posted)
    await new Promise((next) => setImmediate(next))
  }
  return { clock, lines, seen, outbox, answer }
}

it('sends one batch at a time, in order', async () => {
  const { seen, outbox, answer } = open()
  outbox.add(batch(10, 2))
  outbox.add(batch(10, 3))
  expect(seen).toEqual({ sent: 0, dropped: 0, posts: 1 })
  await answer(TAKEN)
  expect(seen).toEqual({ sent: 2, dropped: 0, posts: 2 })
  await answer(TAKEN)
  expect(seen).toEqual({ sent: 5, dropped: 0, posts: 2 })
  expect(outbox.bytes).toBe(0)
})

it('tries again after growing delays, or when the collector wants it', async () => {
  const { clock, seen, outbox, answer } = open()
  outbox.add(batch(10))
  for (const [posts, ms] of [
    [1, 1_000],
    [2, 2_000],
    [3, 4_000],
  ] as const) {
    expect(seen.posts).toBe(posts)
    await answer(AWAY)
    clock.advance(ms - 1)
    expect(seen.posts).toBe(posts)
    clock.advance(1)
    expect(seen.posts).toBe(posts + 1)
  }
  await answer({ kind: 'later', why: 'HTTP 429', afterMs: 60_000 })
  clock.advance(59_999)
  expect(seen.posts).toBe(4)
  clock.advance(1)
  expect(seen.posts).toBe(5)
  await answer(TAKEN)
  expect(seen).toEqual({ sent: 1, dropped: 0, posts: 5 })
})

it('a collector that wants it again at once waits for as long as one that does not tell', async () => {
  const { clock, seen, outbox, answer } = open()
  outbox.add(batch(10))
  for (let tries = 1; tries <= 5; tries++) await answer({ kind: 'later', why: 'HTTP 429', afterMs: 0 })
  expect(seen.posts).toBe(1)
  clock.advance(1_000)
  expect(seen.posts).toBe(2)
  await answer({ kind: 'later', why: 'HTTP 503', afterMs: 0 })
  clock.advance(1_999)
  expect(seen.posts).toBe(2)
  clock.advance(1)
  expect(seen.posts).toBe(3)
})

it('holds at most 8 MiB: the oldest go, but never the one on its way', async () => {
  const { seen, outbox, answer } = open()
  for (let i = 1; i <= 40; i++) outbox.add(batch(1 << 20, i))
  const [all, kept] = [820, 1 + 34 + 35 + 36 + 37 + 38 + 39 + 40]
  expect(outbox.bytes).toBe(8 << 20)
  expect(seen).toEqual({ sent: 0, dropped: all - kept, posts: 1 })
  await answer(TAKEN)
  expect(seen.sent).toBe(1)
  for (let i = 0; i < 7; i++) await answer(TAKEN)
  expect(seen).toEqual({ sent: kept, dropped: all - kept, posts: 8 })
})

it('what is refused is dropped, and not tried again', async () => {
  const { clock, seen, outbox, answer, lines } = open()
  outbox.add(batch(10, 4))
  await answer({ kind: 'refused', why: 'HTTP 401' })
  clock.advance(600_000)
  expect(seen).toEqual({ sent: 0, dropped: 4, posts: 1 })
  expect(lines).toHaveLength(1)
  expect(lines[0]).toContain('HTTP 401')
})

it('an outage is one line, and its end another, which tells what was lost', async () => {
  const { clock, seen, outbox, answer, lines } = open()
  outbox.add(batch(5 << 20, 1))
  for (let i = 0; i < 20; i++) {
    await answer(AWAY)
    clock.advance(30_000)
    outbox.add(batch(5 << 20, 1))
  }
  expect(lines).toHaveLength(1)
  await answer(TAKEN)
  expect(lines).toHaveLength(2)
  expect(lines[1]).toMatch(/^info .*again .*"dropped":/)
  expect(JSON.parse(lines[1].slice(lines[1].indexOf('{')))).toMatchObject({ dropped: seen.dropped })
  expect(lines.join()).not.toMatch(/secret-path|key@/)
})

it('a collector that comes and goes is a line a minute at most', async () => {
  const { clock, outbox, answer, lines } = open()
  for (let i = 0; i < 60; i++) {
    outbox.add(batch(10))
    await answer({ kind: 'refused', why: 'HTTP 400' })
    outbox.add(batch(10))
    await answer(TAKEN)
    clock.advance(1_000)
  }
  expect(lines.filter((line) => line.startsWith('warn'))).toHaveLength(1)
})

it('what it took only in part is counted, and told once, without what is hidden', async () => {
  const { seen, outbox, answer, lines } = open(['s3cret'])
  for (let i = 0; i < 3; i++) {
    outbox.add(batch(10, 10))
    await answer({ kind: 'taken', partial: { rejected: 4, message: `no room\\nfor s3cret ${'x'.repeat(1_000)}` } })
  }
  expect(seen).toMatchObject({ sent: 18, dropped: 12 })
  expect(lines).toHaveLength(1)
  expect(lines[0]).toMatch(/"rejected":4/)
  expect(lines[0]).not.toContain('s3cret')
  expect(lines[0].length).toBeLessThan(500)
})

it('a stop tries each once more, within its bound, and drops the rest', async () => {
  const { seen, outbox, answer } = open()
  outbox.add(batch(10, 1))
  await answer(AWAY)
  outbox.add(batch(10, 2))
  const flushed = outbox.flush(1_000)
  expect(seen.posts).toBe(2) // at once, not after the delay
  await answer(AWAY)
  await answer(TAKEN)
  await flushed
  expect(seen).toEqual({ sent: 2, dropped: 1, posts: 3 })
  const late = open()
  late.outbox.add(batch(10, 5))
  const given = late.outbox.flush(1_000)
  late.clock.advance(1_000)
  await given
  expect(late.seen).toEqual({ sent: 0, dropped: 5, posts: 1 })
  // Its connection is closed after that
  await late.answer(AWAY)
  expect(late.seen).toEqual({ sent: 0, dropped: 5, posts: 1 })
  expect(late.lines).toEqual([])
})
