import { expect, it } from 'vitest'
import { manualClock } from '../../../test/manual-clock.ts'
import type { Part, Peers } from '../../core/ports/peers.ts'
import { Edits } from '../history/edits.ts'
import { History } from '../history/history.ts'
import { Traces } from '../traces/traces.ts'
import { Changes } from './changes.ts'
import { Fleet } from './fleet.ts'
import { emptyTallies } from './watchers.ts'

it('survives whatever another version answers or asks, and hears it again once it makes sense', async () => {
  const clock = manualClock()
  let part: Part | null = null
  const peers: Peers = {
    self: 'me',
    join: (joined) => {
      part = joined
    },
    ask: async () => [{ id: 'other', name: 'other', role: 'worker', absentMs: null }],
    leave: async () => {},
    close: () => {},
  } as Peers
  const own = {
    edits: new Edits(),
    history: new History(clock.wallMs()),
    traces: new Traces(() => ({ ttftMs: 1_500 })),
    tallies: emptyTallies(),
    changes: new Changes(),
  }
  const vitals = { coordinates: false, loopLagP99Ms: null, commitP99Ms: null }
  const fleet = new Fleet({
    ...{ clock, peers, own, isAlone: false, about: { name: 'me', role: 'gateway' } },
    storeMs: () => clock.wallMs(),
    vitals: () => vitals,
  } as never)
  void fleet.begin()
  await fleet.look()
  const is = { ...vitals, name: 'other', role: 'worker', startAtMs: 0, skewMs: 5_000, outs: [] }
  const job = 'job_1'
  const whole = fleet.whole(job)
  const heard = (told: object): void => part!.heard('other', JSON.stringify({ v: 1, is, ...told }))
  expect(() => heard({ t: 'job', job, trace: { job } })).not.toThrow()
  expect(() => heard({ t: 'look', items: [['job', { job }], null, ['bucket', 99]], upTo: 1 })).not.toThrow()
  expect(() => part!.answer('{"v":1,"t":"look","since":{"me":1e400},"only":{}}')).not.toThrow()
  clock.advance(2_000)
  expect(await whole).toBeNull()
})

/** Of one store, whose clock is the first one's. */
function pair(aheadMs: number) {
  const clock = manualClock()
  const parts = new Map<string, Part>()
  const tellers: Array<() => void> = []
  const node = (self: string, ahead: () => number) => {
    const wallMs = (): number => clock.wallMs() + ahead()
    const edits = new Edits()
    const own = {
      edits,
      history: new History(wallMs(), { edits, isOneOfMany: true }),
      traces: new Traces(() => ({ ttftMs: 1_500 })),
      tallies: emptyTallies(edits),
      changes: new Changes(edits),
    }
    const peers: Peers = {
      self,
      join: (part) => void parts.set(self, part),
      ask: async (question) => {
        const others = [...parts].filter(([id]) => id !== self)
        for (const [id, part] of others) tellers.push(() => parts.get(self)!.heard(id, part.answer(question) ?? 'null'))
        return others.map(([id]) => ({ id, name: id, role: 'worker', absentMs: null }))
      },
    }
    const fleet = new Fleet({
      ...{ clock: { ...clock, wallMs }, peers, own, isAlone: false },
      about: { name: self, role: 'worker', seat: self },
      storeMs: () => clock.wallMs(),
      vitals: () => ({ coordinates: false, loopLagP99Ms: null, commitP99Ms: null }),
    })
    return { wallMs, own, fleet }
  }
  let ahead = aheadMs
  const [here, there] = [node('here', () => 0), node('there', () => ahead)]
  const look = async (): Promise<void> => {
    await here.fleet.look()
    for (const tell of tellers.splice(0)) tell()
  }
  return { clock, here, there, look, set: (ms: number) => (ahead = ms) }
}

const HOUR = 3_600_000

it.each([24 * HOUR, -48 * HOUR, 60_000, -7_000])(
  'what a node tells whose clock is %d ms ahead is of now',
  async (ms) => {
    const { here, there, look, set, clock } = pair(ms)
    void here.fleet.begin()
    const work = (): void => {
      const atMs = there.wallMs()
      there.own.history.observe({ type: 'attempt-progressed', job: `job_${atMs}`, tokens: 50, atMs } as never)
      there.own.history.observe({ type: 'job-ended', atMs, job: 'j', state: 'done', good: true, timing: null } as never)
      there.own.history.deployments.ended('d', atMs, 'provider_error', 7)
      there.own.tallies.submits.add(atMs, 'acme')
      there.own.changes.observe({
        type: 'deployment-cooled',
        deployment: 'd',
        code: 'provider_error',
        atMs,
        ms: 1_000,
      } as never)
    }
    const seen = () => {
      const { history, tallies } = here.fleet.view(null)
      const nowMs = clock.wallMs()
      const lately = history.tiers.map((tier) => {
        const last = tier.bucketAt(nowMs)
        return [tier.total(last - 1, last + 1, 'tokensOut'), tier.total(last - 1, last + 1, 'done')]
      })
      const counts = tallies.flatMap((each) => each.submits.since(nowMs, 1))
      return { lately, counts, failed: history.deployments.read('d', 1, nowMs).failed }
    }
    work()
    const whole = {
      lately: Array.from({ length: 5 }, () => [50, 1]),
      counts: [['acme', 1]],
      failed: 1,
    }
    await look()
    expect(seen()).toEqual(whole)
    const [out] = here.fleet.vitals().flatMap(({ outs }) => outs)
    expect(out).toEqual(['d', clock.wallMs()])
    expect(here.own.changes.newest(1)).toMatchObject([{ atMs: clock.wallMs() }])
    expect(here.fleet.view(null).history.startAtMs).toBe(clock.wallMs())
    // Once its clock is set, all is asked for anew: it would be in two places
    set(0)
    await look()
    await look()
    expect(here.fleet.rows()[1].silentMs).toBe(0)
    work()
    await look()
    // Of what went before, the time is its own clock's
    expect(seen().counts).toEqual([['acme', Math.abs(ms) < 60_000 ? 2 : 1]])
  },
)

it('leaves out a node whose vitals have another form, and what it tells with them', async () => {
  const { here, look, there } = pair(0)
  void here.fleet.begin()
  Object.assign(there.own.changes, { outs: () => ({ slice: () => 'none' }) })
  await look()
  expect(here.fleet.vitals().flatMap(({ outs }) => outs)).toEqual([])
  expect(here.fleet.rows()).toHaveLength(2)
})
