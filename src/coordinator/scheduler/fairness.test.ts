/** Shares of service over simulated minutes: 16 slots of 50 tokens a second. */
import { expect, it } from 'vitest'
import type { Headroom } from './port.ts'
import { createScheduler } from './scheduler.ts'
import { done, failed, job, OPTIONS, setUp } from './testing/jobs.ts'
import { type Source, simulate } from './testing/simulate.ts'

const heavy: Source = { tenant: 'heavy', promptTokens: 500, outputTokens: 1_000, backlog: () => 50 }
const light: Source = { tenant: 'light', promptTokens: 100, outputTokens: 100, backlog: () => 50 }
const from = (source: Source, startMs: number, endMs = Infinity): Source => ({
  ...source,
  backlog: (now) => (now >= startMs && now < endMs ? source.backlog(now) : 0),
})
const within = (actual: number, wanted: number, share: number): void => {
  expect(actual, `wanted ${wanted}`).toBeGreaterThan(wanted * (1 - share))
  expect(actual, `wanted ${wanted}`).toBeLessThan(wanted * (1 + share))
}

it('gives two tenants the same service, whatever the size of their jobs', () => {
  const sim = simulate(createScheduler(OPTIONS), [heavy, light], 16, 50)
  sim.run(300_000)
  const served = sim.served()
  within(served['heavy'] / served['light'], 1, 0.1)
})

it.each([
  [1, 3],
  [3, 1],
])('gives service by weight: %i to %i', (heavyWeight, lightWeight) => {
  const weights: Readonly<Record<string, number>> = { heavy: heavyWeight, light: lightWeight }
  const sim = simulate(createScheduler({ ...OPTIONS, weight: (tenant) => weights[tenant] }), [heavy, light], 16, 50)
  sim.run(300_000)
  const served = sim.served()
  within(served['heavy'] / served['light'], heavyWeight / lightWeight, 0.1)
})

it('lets no slot idle while work waits', () => {
  const sim = simulate(createScheduler(OPTIONS), [heavy, from(light, 60_000, 120_000)], 16, 50)
  sim.run(180_000)
  const served = sim.served()
  // 16 slots x 50 tokens a second x weight 2, and prompts come on top
  expect(served['heavy'] + served['light']).toBeGreaterThan(16 * 50 * 2 * 178)
})

it('gives no credit to a tenant that was away', () => {
  const sim = simulate(
    createScheduler(OPTIONS),
    [heavy, from(light, 0, 10_000), from({ ...light, tenant: 'light' }, 200_000)],
    16,
    50,
  )
  sim.run(205_000)
  sim.served()
  sim.run(265_000)
  const served = sim.served()
  within(served['light'] / served['heavy'], 1, 0.15)
})

it('gives a tenant that is new its share at once, and no more', () => {
  const sim = simulate(createScheduler(OPTIONS), [heavy, light, from({ ...light, tenant: 'new' }, 200_000)], 16, 50)
  sim.run(200_000)
  sim.served()
  sim.run(280_000)
  const served = sim.served()
  within(served['new'] / (served['heavy'] + served['light'] + served['new']), 1 / 3, 0.15)
})

it('gives no credit to tenants whose model was away: they do not shut out the others when it is back', () => {
  const only: Source = { ...light, tenant: 'only', more: { model: 'away' } }
  const both: Source[] = [light, { ...light, more: { model: 'away' } }]
  let now = 0
  const headroom: Headroom = ({ model }) => (model === 'away' && now < 200_000 ? { scope: 'model' } : null)
  const sim = simulate(createScheduler(OPTIONS), [only, ...both], 16, 50, headroom)
  const run = (until: number): Readonly<Record<string, number>> => {
    for (; now < until; now += 200) sim.run(now + 200)
    return sim.served()
  }
  expect(run(200_000)['only']).toBeUndefined()
  const after = run(260_000)
  within(after['only'] / after['light'], 1, 0.15)
})

it('gives no credit to a tenant that was held back by its own limit', () => {
  let now = 0
  const headroom: Headroom = ({ tenant }) => (tenant === 'heavy' && now < 200_000 ? { scope: 'tenant' } : null)
  const sim = simulate(createScheduler(OPTIONS), [heavy, light], 16, 50, headroom)
  for (; now < 200_000; now += 200) sim.run(now + 200)
  sim.served()
  for (; now < 260_000; now += 200) sim.run(now + 200)
  const served = sim.served()
  within(served['heavy'] / served['light'], 1, 0.15)
})

it('shares fairly among a thousand tenants', () => {
  const sources = Array.from(
    { length: 1_000 },
    (_, i): Source => ({
      tenant: `t${i}`,
      promptTokens: 10 + (i % 7) * 100,
      outputTokens: 10 + (i % 5) * 50,
      backlog: () => 2,
    }),
  )
  const sim = simulate(createScheduler(OPTIONS), sources, 400, 50)
  sim.run(100_000)
  const served = Object.values(sim.served())
  expect(served.length).toBe(1_000)
  // The gap between any two is bounded by twice what one may have in flight, not by time
  expect(Math.max(...served) - Math.min(...served)).toBeLessThan(2 * (610 + 2 * 210))
})

// ---------------------------------------------------------------- what is charged

/** Whose turn it is next, both having work: the one that was served less. */
function nextAfter(act: (s: ReturnType<typeof setUp>) => void): string {
  const s = setUp()
  for (const tenant of ['a', 'b']) for (let i = 0; i < 9; i++) s.submit(0, job(`${tenant}${i}`, { tenant }))
  expect(s.lease(0, 2)).toEqual(['a0', 'b0'])
  act(s)
  return s.lease(60_000, 1, ({ id }) => (id.endsWith('0') ? { scope: 'job' } : null))[0][0]
}

it('charges output as it streams, not at the end', () => {
  expect(nextAfter(({ scheduler }) => scheduler.charge('a0', 1, 1))).toBe('b')
  expect(nextAfter(({ scheduler }) => scheduler.charge('b0', 1, 1))).toBe('a')
})

it('corrects what was charged by what the provider reports, both ways', () => {
  expect(nextAfter(({ scheduler }) => scheduler.finish('a0', 1, done(101, 0), 1))).toBe('b')
  expect(nextAfter(({ scheduler }) => scheduler.finish('b0', 1, done(99, 0), 1))).toBe('b')
  expect(
    nextAfter(({ scheduler }) => {
      scheduler.charge('b0', 1, 50)
      scheduler.charge('a0', 1, 20)
      scheduler.finish('b0', 1, done(100, 10), 1)
    }),
  ).toBe('b')
})

it('charges attempts that failed or were lost as well', () => {
  expect(
    nextAfter(({ scheduler }) => {
      scheduler.charge('a0', 1, 5)
      scheduler.finish('a0', 1, failed(), 1)
    }),
  ).toBe('b')
  expect(
    nextAfter(({ scheduler }) => {
      scheduler.charge('a0', 1, 5)
      scheduler.lose('w', 1)
    }),
  ).toBe('b')
})

it('charges nothing to a lease that is over', () => {
  expect(
    nextAfter(({ scheduler }) => {
      scheduler.charge('b0', 2, 500)
      scheduler.charge('a0', 1, 1)
      scheduler.charge('nobody', 1, 1)
    }),
  ).toBe('b')
})

it('serves nobody for nothing: a tenant with empty prompts does not starve the others', () => {
  const s = setUp()
  for (let i = 0; i < 9; i++)
    s.submit(0, job(`a${i}`, { promptTokens: 0 }), job(`b${i}`, { tenant: 'b', promptTokens: 0 }))
  expect(s.lease(0, 4).map((id) => id[0])).toEqual(['a', 'b', 'a', 'b'])
  const order: string[] = []
  for (let now = 0; now < 6; now++) {
    const [id] = s.lease(now)
    order.push(id[0])
    s.scheduler.finish(id, 1, done(0, 0), now)
  }
  expect(order).toEqual(['a', 'b', 'a', 'b', 'a', 'b'])
})
