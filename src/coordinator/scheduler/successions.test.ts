/** Jobs that come after others: one example a rule. */
import { expect, it } from 'vitest'
import type { Outcome } from '../../core/ports/work.ts'
import { done, failed, job, setUp } from './testing/jobs.ts'

const after = (id: string, ...before: string[]) => job(id, { after: before })

it('leases a job when all that it comes after are done, and not before', () => {
  const { scheduler, submit, lease } = setUp()
  submit(0, job('a'), job('b'), after('c', 'a', 'b', 'a'), after('d', 'c'))
  expect(lease(0, 10)).toEqual(['a', 'b'])
  expect(scheduler.place('c', 0)).toEqual({ position: 0, tokensAhead: 0, waitsForJobs: 2 })
  scheduler.finish('a', 1, done(), 1)
  expect(lease(1, 10)).toEqual([])
  expect(scheduler.place('c', 1)).toMatchObject({ waitsForJobs: 1 })
  scheduler.finish('b', 1, done(), 2)
  expect(lease(2, 10)).toEqual(['c'])
  scheduler.finish('c', 1, done(), 3)
  expect(lease(3, 10)).toEqual(['d'])
})

it('takes those that are not there for done', () => {
  const { submit, lease } = setUp()
  submit(0, after('c', 'gone'))
  expect(lease(0, 10)).toEqual(['c'])
})

it('goes on through retries of what it waits for', () => {
  const { scheduler, submit, lease } = setUp()
  submit(0, job('a'), after('b', 'a'))
  lease(0, 10)
  expect(scheduler.finish('a', 1, failed(), 0)).toMatchObject({ kind: 'again' })
  expect(lease(10_000, 10)).toEqual(['a'])
  scheduler.finish('a', 2, done(), 10_001)
  expect(lease(10_001, 10)).toEqual(['b'])
})

it.each(['failed', 'canceled', 'canceled while it runs', 'expired', 'purged'])('fails when one is %s', (how) => {
  const { scheduler, submit, lease } = setUp()
  submit(0, job('a', { deadlineMono: 100 }), job('x'), after('b', 'a', 'x'), after('c', 'b'), after('d', 'x'))
  if (how === 'expired') scheduler.tick(100)
  else if (how === 'purged') expect(scheduler.purge({ tenant: 'a' }, 0, 1)).toEqual(['a'])
  else if (how === 'canceled') scheduler.cancel('a', 0)
  else {
    lease(0, 10)
    if (how !== 'failed') scheduler.cancel('a', 0)
    scheduler.finish('a', 1, how === 'failed' ? failed(false) : { kind: 'canceled' }, 1)
  }
  const ends = scheduler.drain().filter((event) => event.type === 'ended')
  const alone = ['canceled', 'expired', 'purged'].includes(how)
  expect(ends.map(({ id, state }) => `${id} ${state}`)).toEqual([
    ...(alone ? [`a ${how === 'purged' ? 'canceled' : how}`] : []),
    'b failed',
    'c failed',
  ])
  expect(ends.at(-1)?.error.code).toBe('dependency_failed')
  expect(ends.at(-1)?.error.message).toContain('b, which')
  expect(scheduler.state('d')).toBe('queued')
})

it('does not expire while it waits for others, and has its whole time from then on', () => {
  const { scheduler, submit, lease } = setUp()
  submit(0, job('a', { deadlineMono: 100 }), job('b', { after: ['a'], deadlineMono: 50 }))
  lease(0, 1)
  scheduler.tick(5_000)
  expect(scheduler.state('b')).toBe('queued')
  scheduler.finish('a', 1, done(), 5_000)
  scheduler.tick(5_049)
  expect(scheduler.state('b')).toBe('queued')
  scheduler.tick(5_050)
  expect(scheduler.state('b')).toBe(null)
})

it('keeps its delay and its lane', () => {
  const { scheduler, submit, lease } = setUp()
  submit(0, job('a'), job('b', { after: ['a'], notBeforeMono: 500, lane: 'l' }), job('c', { lane: 'l' }))
  expect(lease(0, 10)).toEqual(['a'])
  scheduler.finish('a', 1, done(), 1)
  expect(lease(499, 10)).toEqual([])
  expect(lease(500, 10)).toEqual(['b'])
  scheduler.finish('b', 1, done(), 501)
  expect(lease(501, 10)).toEqual(['c'])
})

it('keeps waiting when its delay is over first, and its lane is paused and resumed', () => {
  const { scheduler, submit, lease } = setUp()
  submit(0, job('a'), job('b', { after: ['a'], notBeforeMono: 500, lane: 'l' }))
  lease(0, 10)
  scheduler.tick(600)
  scheduler.pause({ tenant: 'a', lane: 'l' })
  scheduler.resume({ tenant: 'a', lane: 'l' })
  expect(lease(600, 10)).toEqual([])
  scheduler.finish('a', 1, done(), 601)
  expect(lease(601, 10)).toEqual(['b'])
})

it('is restored with those that have not ended', () => {
  const { scheduler, lease } = setUp()
  const tally = { attempts: 0, fails: 0, deaths: 0, crashes: 0, ranMs: 0, ttftMs: null }
  scheduler.restore(job('a'), tally, 0)
  scheduler.restore(after('b', 'ended', 'a'), tally, 0)
  expect(lease(0, 10)).toEqual(['a'])
  scheduler.finish('a', 1, done(), 1)
  expect(lease(1, 10)).toEqual(['b'])
})

it('ends a chain of 20,000 without recursion, and holds nothing of it', () => {
  const { scheduler, submit } = setUp()
  submit(0, job('0'))
  for (let i = 1; i < 20_000; i++) submit(0, after(String(i), String(i - 1)))
  scheduler.cancel('0', 0)
  expect(scheduler.drain().filter(({ type }) => type === 'ended')).toHaveLength(20_000)
  expect(scheduler.depth()).toEqual({ queued: 0, delayed: 0, waiting: 0, leased: 0 })
})

it('weighs what is put into its prompt as soon as it is answered, and then holds nothing any more', () => {
  const outgrown: string[] = []
  const { scheduler, submit, lease } = setUp({ outgrown: (notes) => outgrown.push(notes.job.id) })
  const weight = (id: string) => scheduler.notes(id)!.job.promptTokens
  submit(0, job('a'), job('b'), job('c'), {
    ...after('d', 'a', 'b', 'a', 'c'),
    outputs: [3, 1, 0, 0],
    maxOutputTokens: 10,
  })
  const [crowd] = scheduler.view().crowds
  lease(0, 3)
  const before = crowd!.tokens
  scheduler.finish('a', 1, done(100, 70), 1)
  const thought = { promptTokens: 100, completionTokens: 50, reasoningTokens: 40, estimated: false }
  expect([weight('d'), crowd!.tokens - before]).toEqual([310, 210])
  scheduler.finish('b', 1, { ...done(), usage: thought } as Outcome, 2)
  scheduler.finish('c', 1, done(), 3)
  expect([weight('d'), outgrown]).toEqual([320, ['d', 'd']])
  expect(lease(3, 10)).toEqual(['d'])
  // It has ended between the look of whoever submits it and now
  submit(4, { ...after('e', 'a', 'gone'), outputs: [2, 5] })
  expect(weight('e')).toBe(240)
})
