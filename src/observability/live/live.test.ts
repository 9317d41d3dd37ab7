/** What pages are told while what they are told of is away. */
import { expect, it } from 'vitest'
import { type ManualClock, manualClock } from '../../../test/manual-clock.ts'
import type { Foot, Hello, LiveTold } from '../../core/live.ts'
import { History } from '../history/history.ts'
import { Changes } from './changes.ts'
import { createLive, type LiveParts } from './live.ts'

const NOW = { t: 'watch', page: 'now', range: '15m', rows: 'tenant', node: null } as const
const turn = (): Promise<void> => new Promise((done) => setImmediate(done))
const never = <T>(): Promise<T> => new Promise(() => {})

function setUp(clock: ManualClock, more: Partial<LiveParts>) {
  const faults: unknown[] = []
  const told: LiveTold[] = []
  const live = createLive({
    clock,
    hello: async () => ({ version: '1' }) as Hello,
    foot: async () => ({ atMs: 1 }) as Foot,
    nodes: {
      begin: async () => {},
      end() {},
      view: () => ({ key: '', history: new History(clock.wallMs()), tallies: [] }),
      lateMs: 0,
    },
    changes: new Changes(),
    operations: { line: () => never() },
    now: { read: () => never(), older: () => never() } as never,
    jobs: { rows: () => never(), version: () => 0, trace: () => never() } as never,
    onLook() {},
    onFault: (fault) => void faults.push(fault),
    ...more,
  } as LiveParts)
  const page = live.open('viewer', (frame) => told.push(frame) > 0)
  const pass = async (ms: number): Promise<void> => {
    for (let at = 0; at < ms; at += 250) {
      clock.advance(250)
      await turn()
    }
  }
  const of = <T extends LiveTold['t']>(t: T) => told.filter((frame) => frame.t === t)
  return { faults, page, pass, of }
}

it('a page is told what is away and since when, goes on hearing of the rest, and is told once it is back', async () => {
  const clock = manualClock()
  let isAway = true
  const read = (): Promise<never> => (isAway ? never() : (Promise.resolve({ atMs: 1 }) as Promise<never>))
  const { faults, page, pass, of } = setUp(clock, { now: { read, older: async () => {} } as never })
  await pass(500)
  page.ask(NOW)
  await pass(4_000)
  expect(of('foot').length).toBeGreaterThanOrEqual(3)
  expect(of('error')).toEqual([])
  await pass(2_000)
  const [{ error }] = of('error') as Array<Extract<LiveTold, { t: 'error' }>>
  expect(error.code).toBe('storage_unavailable')
  expect(error.message).toContain('has not answered for 5')
  await pass(10_000)
  expect(of('error').length).toBeGreaterThan(1)
  isAway = false
  await pass(7_000)
  expect(of('now').length).toBeGreaterThan(0)
  // An outage is no fault of ours: nothing is logged each second
  expect(faults).toEqual([])
  page.close()
})

it('one that comes while all is away is greeted as soon as it answers', async () => {
  const clock = manualClock()
  let isAway = true
  const hello = (): Promise<Hello> => (isAway ? never<Hello>() : Promise.resolve({ version: '1' } as Hello))
  const { pass, of, page } = setUp(clock, { hello: hello as LiveParts['hello'] })
  await pass(6_000)
  expect(of('error').length).toBeGreaterThan(0)
  isAway = false
  await pass(7_000)
  expect(of('hello')).toHaveLength(1)
  page.close()
})
