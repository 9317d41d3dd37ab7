import { expect, it } from 'vitest'
import { manualClock } from '../../../test/manual-clock.ts'
import type { DisconnectPolicy, Job } from '../../core/job.ts'
import { EmbeddedPresence } from './presence.ts'

const GRACE_MS = 15_000
const job = (id: string, onDisconnect: DisconnectPolicy = 'cancel'): Job =>
  ({ id, options: { onDisconnect } }) as unknown as Job

function setup() {
  const clock = manualClock()
  const canceled: string[] = []
  return { clock, canceled, presence: new EmbeddedPresence(clock, GRACE_MS, (id) => canceled.push(id)) }
}

it('cancels when the last reader left and the grace is over, once', () => {
  const { clock, canceled, presence } = setup()
  const [first, second] = [presence.enter(job('a')), presence.enter(job('a'))]
  expect(presence.readers('a')).toBe(2)
  first(false)
  first(false)
  clock.advance(2 * GRACE_MS)
  expect([presence.readers('a'), canceled]).toEqual([1, []])
  second(false)
  clock.advance(GRACE_MS - 1)
  expect(canceled).toEqual([])
  clock.advance(GRACE_MS)
  expect(canceled).toEqual(['a'])
})

it('waits anew each time a reader comes back', () => {
  const { clock, canceled, presence } = setup()
  for (let i = 0; i < 5; i++) {
    presence.enter(job('a'))(false)
    clock.advance(GRACE_MS - 1)
  }
  expect(canceled).toEqual([])
  clock.advance(1)
  expect(canceled).toEqual(['a'])
})

it('leaves alone what was read to its end, what goes on without readers, and all while the server stops', () => {
  const { clock, canceled, presence } = setup()
  presence.enter(job('read'))(true)
  presence.enter(job('keyed', 'continue'))(false)
  presence.enter(job('left before'))(false)
  const late = presence.enter(job('left after'))
  presence.close()
  late(false)
  clock.advance(10 * GRACE_MS)
  expect(canceled).toEqual([])
})

it('after a restart, gives the readers of unfinished jobs the grace to come back', () => {
  const { clock, canceled, presence } = setup()
  const back = presence.enter(job('back before'))
  for (const one of [job('back before'), job('back'), job('away'), job('keyed', 'continue')]) presence.expect(one)
  clock.advance(GRACE_MS - 1)
  const again = presence.enter(job('back'))
  clock.advance(1)
  expect(canceled).toEqual(['away'])
  back(true)
  again(true)
})
