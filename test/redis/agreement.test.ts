/** Settings of several processes: those of a reload reach the coordinator elsewhere, and who has others is told. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import type { Happened } from '../../src/core/facts.ts'
import { Agreement } from '../../src/engines/redis/bus/agreement.ts'
import { settingsInForce } from '../../src/engines/redis/bus/in-force.ts'
import { marksOf } from '../../src/engines/redis/protocol/marks.ts'
import type { Control } from '../../src/engines/redis/protocol/messages.ts'
import { eventually } from '../conformance/harness.ts'
import { model } from '../conformance/settings.ts'
import { manualClock } from '../manual-clock.ts'
import { TestFleet } from './fleet.ts'
import { NO_REDIS, RedisServer } from './server.ts'

describe('whoever has other settings than the coordinator', () => {
  const set = (own: object) => {
    const clock = manualClock()
    const facts: Happened[] = []
    const listeners: Array<(control: Control) => void> = []
    let mine = own
    const bus = { onControl: (fn: (control: Control) => void) => void listeners.push(fn) }
    const agreement = new Agreement({ bus, clock, emit: (fact) => facts.push(fact) }, () => marksOf(mine))
    const hear = (inForce: object | null, seconds = 6): void => {
      for (let n = 0; n < seconds; n++) {
        const marks = inForce === null ? {} : { place: 'web-2 (pid 7)', marks: marksOf(inForce) }
        for (const fn of listeners) fn({ type: 'coordinator', host: 'h', term: 't', ...marks })
        clock.advance(1_000)
      }
    }
    const [gauge] = agreement.metrics
    return { facts, hear, reload: (to: object) => (mine = to), differs: () => gauge.read() }
  }

  it('is told which, once, and when they are the same again', () => {
    const { facts, hear, reload, differs } = set({ models: [1], tenants: [] })
    hear({ models: [1], tenants: [] })
    expect([facts, differs()]).toEqual([[], 0])
    hear({ models: [2], tenants: [] }, 5)
    expect(facts).toEqual([]) // a reload reaches one process after the other
    hear({ models: [2], tenants: [] }, 60)
    expect(facts).toEqual([{ type: 'settings-compared', differ: ['models'], coordinator: 'web-2 (pid 7)' }])
    expect(differs()).toBe(1)
    reload({ models: [2], tenants: [] })
    hear({ models: [2], tenants: [] })
    expect(facts.slice(1)).toEqual([{ type: 'settings-compared', differ: [], coordinator: 'web-2 (pid 7)' }])
    expect(differs()).toBe(0)
  })

  it('is not told of what only one of two versions knows', () => {
    const { facts, hear } = set({ models: [1], later: 1 })
    hear({ models: [1], earlier: 1 })
    hear(null)
    expect(facts).toEqual([])
  })
})

describe.skipIf(NO_REDIS)('Redis: the settings of a reload', () => {
  let redis: RedisServer
  let fleet: TestFleet
  beforeAll(async () => {
    redis = await RedisServer.start({ appendfsync: null })
  })
  beforeEach(() => {
    fleet = new TestFleet(redis.url)
  })
  afterEach(() => fleet.close())
  afterAll(() => redis?.remove())

  it('reach the coordinator in another process, and hold for its later terms; who goes by others is seen', async () => {
    const host = await fleet.thread({ maxQueuedPerTenant: 5 })
    const process = await fleet.process()
    await process.accepted()
    const inForce = async (settings: object) =>
      (await settingsInForce(fleet.address, settings, systemClock))?.differ ?? null
    expect(await inForce({ maxQueuedPerTenant: 5 })).toEqual([])
    expect(await inForce({ maxQueuedPerTenant: 1 })).toEqual(['maxQueuedPerTenant'])
    const models = [model('m')]
    await process.ground.bus.ask({ type: 'configure', models, settings: { maxQueuedPerTenant: 1 } })
    await eventually(async () => expect(await inForce({ maxQueuedPerTenant: 1 })).toEqual([]))
    // As from a version that sends the models alone
    await process.ground.bus.ask({ type: 'configure', models })
    expect(await inForce({ maxQueuedPerTenant: 1 })).toEqual([])
    await host.stop()
    expect(await inForce({ maxQueuedPerTenant: 1 })).toBeNull()
  })
})
