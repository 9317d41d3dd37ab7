/** Who waits for a job that another process takes, and who only looks for one. */
import { getEventListeners } from 'node:events'
import { expect, it } from 'vitest'
import type { Clock } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import type { Job } from '../core/job.ts'
import { Published } from './published.ts'

const job = (id: string): Job => ({ id }) as Job

function setUp(most?: number) {
  const stored = new Set<string>()
  let looks = 0
  let beat: (() => void) | null = null
  const published = new Published({
    jobs: {
      async get(id) {
        looks++
        return stored.has(id) ? job(id) : null
      },
      places: async () => new Map(),
    },
    clock: {
      after: () => () => {},
      every(_ms: number, poll: () => void) {
        beat = poll
        return () => {
          beat = null
        }
      },
    } as unknown as Clock,
    isOneOfMany: true,
    ...(most !== undefined && { most }),
  })
  const polls = async (rounds: number): Promise<void> => {
    for (let i = 0; i < rounds; i++) {
      beat?.()
      await new Promise((go) => setImmediate(go))
    }
  }
  return { published, stored, polls, isPolling: () => beat !== null, looks: () => looks }
}

it('many that never come hold up none that is there', async () => {
  const { published, stored, polls } = setUp()
  for (let i = 0; i < 500; i++) void published.outcome(published.add(job(`never-${i}`), ''), Infinity)
  const outcome = published.outcome(published.add(job('there'), ''), Infinity)
  stored.add('there')
  await polls(3)
  expect(await Promise.race([outcome, 'waits'])).toMatchObject({ kind: 'accepted', job: { id: 'there' } })
})

it('no more are known than it may know, whoever waits for them', async () => {
  const { published } = setUp(3)
  const told = ['a', 'b', 'c', 'd'].map((id) => published.add(job(id), ''))
  expect(await published.outcome(told[0], Infinity)).toMatchObject({ error: { code: 'not_arrived' } })
  const waits = published.outcome(told[1], Infinity)
  published.add(job('e'), '')
  expect(await Promise.race([waits, 'waits'])).toMatchObject({ error: { code: 'not_arrived' } })
  expect(['a', 'b', 'c', 'd', 'e'].filter((id) => published.get(id) !== null)).toEqual(['c', 'd', 'e'])
})

it('who has left is no longer waited for', async () => {
  const { published, polls, isPolling, looks } = setUp()
  const leaving = new AbortController()
  const outcome = published.outcome(published.add(job('a'), ''), Infinity, leaving.signal)
  expect(isPolling()).toBe(true)
  leaving.abort()
  expect(await Promise.race([outcome, 'waits'])).toBeNull()
  expect(isPolling()).toBe(false)
  await polls(1)
  expect(looks()).toBe(0)
})

it('what became of it is known before anybody asks', async () => {
  const { published } = setUp()
  const told = published.add(job('a'), '')
  published.settle('a', { kind: 'accepted', job: job('a'), place: { position: 1, tokensAhead: 0 } })
  expect(await Promise.race([published.outcome(told, Infinity), 'waits'])).toMatchObject({ kind: 'accepted' })
})

it('who looks for one by its id is told, also once it is not known; nothing is kept of who has left', async () => {
  const { published, stored, polls, isPolling, looks } = setUp(1)
  published.add(job('a'), '')
  const leaving = new AbortController()
  const both = [published.arrived('a', Infinity), published.arrived('a', Infinity, leaving.signal)]
  const none = published.arrived('none', Infinity, leaving.signal)
  published.add(job('b'), '')
  expect(published.get('a')).toBeNull()
  expect(await Promise.race([...both, none, 'wait'])).toBe('wait')
  leaving.abort()
  expect([await both[1], await none]).toEqual([null, null])
  const before = looks()
  await polls(1)
  expect(looks()).toBe(before + 1)
  stored.add('a')
  await polls(1)
  expect(await both[0]).toEqual({ id: 'a' })
  expect(isPolling()).toBe(false)
  const again = new AbortController()
  void published.arrived('none', Infinity, again.signal)
  expect(looks()).toBe(before + 3)
  expect(getEventListeners(again.signal, 'abort').length).toBe(1)
  stored.add('none')
  await polls(1)
  expect(getEventListeners(again.signal, 'abort').length).toBe(0)
})

it('one that came before anybody looked for it is told at once, and one that is refused never comes', async () => {
  const { published, stored } = setUp()
  stored.add('a')
  expect(await published.arrived('a', Infinity)).toEqual({ id: 'a' })
  const refused = published.arrived('b', Infinity)
  published.settle('b', { kind: 'refused', error: new SluiceError('queue_full') })
  expect(await refused).toBeNull()
  expect(['a', 'b', 'c'].map((id) => published.isOver(id))).toEqual([true, true, false])
})
