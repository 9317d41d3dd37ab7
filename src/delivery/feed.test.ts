/**
 * Readers of one dialect share what was rendered, and never what they remember (S3): a slow one costs a fast one
 * nothing.
 */
import { expect, it } from 'vitest'
import type { Job } from '../core/job.ts'
import type { StreamForm } from '../core/ports/dialect.ts'
import type { Bytes } from '../core/record.ts'
import { Feed } from './feed.ts'
import { type Outlet, Subscription } from './subscription.ts'

/** Remembers all that it has shown, as a list: what a dialect with state may do. */
const remembering: StreamForm<readonly Bytes[]> = {
  name: 'remembering',
  takesBack: true,
  beginsAnywhere: false,
  begin: () => Object.freeze([]),
  render({ records }, before) {
    const state = Object.freeze([...before, ...records])
    return { events: `[${state.join(' ')}]`, state, over: false }
  },
  gap: null,
  live: null,
  error: null,
  failure: null,
}

const LOG: Bytes[] = ['1', '2', '3', '4', '5']

function reader(feed: Feed, room: { now: number }): { subscription: Subscription; last(): Bytes } {
  let last = ''
  const outlet: Outlet = {
    get full() {
      return room.now <= 0
    },
    claim: () => Math.max(0, room.now),
    release: () => {},
    write(events) {
      last = events
      room.now--
    },
    complete: () => {},
    caughtUp: () => {},
    fail: (thrown) => {
      throw thrown
    },
  }
  const log = {
    follow: () => () => {},
    read: async (_job: string, after: number) => ({
      epoch: 1,
      firstSeq: after + 1,
      // One at a time: a slow reader catches up in steps
      records: LOG.slice(after, Math.min(after + 1, feed.head)),
      head: feed.head,
      ended: false,
    }),
  }
  const subscription = new Subscription(
    { id: 'job_1' } as Job,
    remembering,
    feed,
    log as never,
    { soon: setImmediate },
    1_000,
    outlet,
  )
  feed.add(subscription)
  return { subscription, last: () => last }
}
const turns = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await new Promise((next) => setImmediate(next))
}

it('a slow and a fast reader of one dialect', async () => {
  const feed = new Feed('job_1', 1)
  const rooms = [{ now: 100 }, { now: 100 }]
  const [fast, slow] = rooms.map((room) => reader(feed, room))
  for (const { subscription } of [fast, slow]) {
    await subscription.seek(null)
    subscription.resume()
  }
  await turns()
  feed.push(1, LOG.slice(0, 1), 1)
  // Both share the same state now; one of them reads no further
  rooms[1].now = 1
  feed.push(2, LOG.slice(1, 2), 1)
  await turns()
  feed.push(3, LOG.slice(2, 3), 1)
  feed.push(4, LOG.slice(3, 5), 1)
  await turns()
  expect(fast.last()).toBe('[1 2 3 4 5]')
  expect(slow.last()).toBe('[1 2]')
  rooms[1].now = 100
  slow.subscription.resume()
  await turns()
  expect(slow.last()).toBe('[1 2 3 4 5]')
  expect(fast.last()).toBe('[1 2 3 4 5]')
})
