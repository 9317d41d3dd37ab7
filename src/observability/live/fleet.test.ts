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
