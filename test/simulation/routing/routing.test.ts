/**
 * What a bad replica costs: beside a fleet without it, and beside routers that do not look. The table is printed.
 */
import { afterAll, describe, expect, it } from 'vitest'
import { Choice } from '../../../src/coordinator/plan/choice.ts'
import { DeploymentState } from '../../../src/coordinator/plan/deployment.ts'
import { FirstTexts } from '../../../src/coordinator/plan/first-texts.ts'
import { Speed } from '../../../src/coordinator/plan/speed.ts'
import type { PolicyName } from '../../../src/core/policies.ts'
import type { Hedging } from '../../../src/core/ports/coordinator.ts'
import { broken } from '../planting.ts'
import { random } from '../random.ts'
import { plainRoundRobin, planned, type Replica, type Result, type Router, simpleShuffle, simulate } from './world.ts'

const HEALTHY: readonly Replica[] = [{ name: 'a' }, { name: 'b' }]
const SLOW: Replica = { name: 'slow', slower: 10 }
const FAILING: Replica = { name: 'failing', fails: 0.2 }
const LOAD = { perSecond: 2.5, forMs: 1_200_000, seed: 7 }

const SCENARIOS: ReadonlyArray<readonly [string, readonly Replica[]]> = [
  ['one 10 x slower', [...HEALTHY, SLOW]],
  ['one fails 20 %', [...HEALTHY, FAILING]],
  ['both', [...HEALTHY, SLOW, FAILING]],
]

const rows: string[] = []
const told = (
  scenario: string,
  router: string,
  { goodput, ttftP50Ms, ttftP99Ms, failed, hedged, shares }: Result,
): void => {
  const bad = Object.entries(shares).filter(([name]) => name === 'slow' || name === 'failing')
  const where = bad.map(([name, share]) => `${name} ${(100 * share).toFixed(1)} %`).join(', ')
  const cells = [scenario, router, `${goodput.toFixed(2)}/s`, `${Math.round(ttftP50Ms)}`, `${Math.round(ttftP99Ms)}`]
  rows.push(`| ${[...cells, `${(100 * failed).toFixed(2)} %`, `${(100 * hedged).toFixed(1)} %`, where].join(' | ')} |`)
}
afterAll(() => {
  const head = '| replicas | router | good answers | TTFT p50 ms | p99 ms | failed | hedged | calls of the bad ones |'
  process.stdout.write(`\n${head}\n|${' --- |'.repeat(8)}\n${rows.join('\n')}\n`)
})

const run = (replicas: readonly Replica[], router: Router): Result => simulate(replicas, router, LOAD)

describe('one in twenty calls begins late', () => {
  const late = (name: string): Replica => ({ name, late: { share: 0.05, ms: 3_000 } })
  const one = [...HEALTHY, late('c')]
  const each = ['a', 'b', 'c'].map(late)
  const at = (quantile: number): Hedging => ({ quantile, afterMs: null })

  it.each<[string, readonly Replica[], PolicyName]>([
    ['of one of three', one, 'round-robin'],
    ['of each of three', each, 'round-robin'],
    ['of each of three', each, 'least-wait'],
  ])('%s: hedged, no p99 sees it (%#)', (scenario, replicas, policy) => {
    const plain = run(replicas, planned(replicas, policy))
    told(scenario, policy, plain)
    expect(plain.ttftP99Ms).toBeGreaterThan(3_000)
    for (const quantile of [0.95, 0.9]) {
      const router = planned(replicas, policy, at(quantile))
      const hedged = run(replicas, router)
      told(scenario, router.name, hedged)
      expect(hedged.ttftP99Ms, router.name).toBeLessThan(1_000)
      expect(hedged.goodput, router.name).toBeGreaterThan(0.99 * plain.goodput)
      expect(hedged.hedged, router.name).toBeLessThan(0.16)
    }
  })

  it('where routing leaves the late one alone anyway, hedging costs little', () => {
    const plain = run(one, planned(one, 'least-wait'))
    told('of one of three', 'least-wait', plain)
    const router = planned(one, 'least-wait', at(0.95))
    const hedged = run(one, router)
    told('of one of three', router.name, hedged)
    expect(hedged.ttftP99Ms).toBeLessThan(2 * plain.ttftP99Ms)
    expect(hedged.goodput).toBeGreaterThan(0.99 * plain.goodput)
  })

  it('finds a planted bug: any time counts as slow', () => {
    const share = (): number => run(each, planned(each, 'round-robin', at(0.95))).hedged
    const before = share()
    const repair = broken(FirstTexts.prototype, 'quantile', () => () => 100)()
    try {
      expect(share()).toBeGreaterThan(2 * before)
    } finally {
      repair()
    }
  })
})

describe('a bad replica is routed around', () => {
  const without = run(HEALTHY, planned(HEALTHY, 'least-wait'))
  told('the two healthy ones alone', 'least-wait', without)

  it.each(SCENARIOS)('%s: as good as without it', (scenario, replicas) => {
    const ours = run(replicas, planned(replicas, 'least-wait'))
    told(scenario, 'least-wait', ours)
    for (const policy of ['fastest', 'round-robin'] as const)
      told(scenario, policy, run(replicas, planned(replicas, policy)))
    const others = [plainRoundRobin(replicas), simpleShuffle(replicas, random(1))]
    for (const router of others) {
      const theirs = run(replicas, router)
      told(scenario, router.name, theirs)
      expect(ours.ttftP99Ms, router.name).toBeLessThan(theirs.ttftP99Ms)
    }
    expect(ours.goodput).toBeGreaterThanOrEqual(0.95 * without.goodput)
    expect(ours.ttftP99Ms).toBeLessThanOrEqual(1.5 * without.ttftP99Ms)
    expect(ours.failed).toBe(0)
    // It may be well again
    for (const one of replicas) expect(ours.shares[one.name], one.name).toBeGreaterThan(0.003)
  })

  it.each([
    ['now and then full', 1.2],
    ['full most of the time', 2],
  ])('a fast one, %s, is waited for where a slow one would take longer', (_, perSecond) => {
    const replicas = [
      { name: 'fast', concurrent: 8 },
      { name: 'slow', slower: 10, concurrent: 64 },
    ]
    const load = { perSecond, forMs: 1_200_000, seed: 5 }
    const run = (): Result => simulate(replicas, planned(replicas, 'least-wait'), load)
    const waiting = run()
    const repair = broken(Choice.prototype, 'full', () => () => [])()
    const rushing = run()
    repair()
    const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`
    const shown = ({ tookMeanMs, tookP99Ms, shares }: Result): string =>
      `mean ${seconds(tookMeanMs)}, p99 ${seconds(tookP99Ms)}, slow ${(100 * shares['slow']).toFixed(1)} %`
    process.stdout.write(`${perSecond}/s: ${shown(waiting)}; without waiting: ${shown(rushing)}\n`)
    expect(waiting.tookMeanMs).toBeLessThan(0.9 * rushing.tookMeanMs)
    expect(waiting.tookP99Ms).toBeLessThanOrEqual(1.1 * rushing.tookP99Ms)
    expect(waiting.shares['slow']).toBeLessThan(rushing.shares['slow'])
  })

  it('where more comes than the fast one can do, both are used as they were', () => {
    const replicas = [
      { name: 'fast', concurrent: 8 },
      { name: 'slow', slower: 10, concurrent: 64 },
    ]
    const run = (): Result =>
      simulate(replicas, planned(replicas, 'least-wait'), { perSecond: 3, forMs: 300_000, seed: 5 })
    const waiting = run()
    const repair = broken(Choice.prototype, 'full', () => () => [])()
    const rushing = run()
    repair()
    expect(waiting.tookMeanMs).toBeLessThan(1.1 * rushing.tookMeanMs)
    expect(waiting.shares['slow']).toBeGreaterThan(0.8 * rushing.shares['slow'])
  })

  it('one that becomes slow is left before its calls have ended; a planted bug that waits for them is found', () => {
    const replicas = [...HEALTHY, { ...SLOW, slowFromMs: 300_000 }]
    const p99 = (): number =>
      simulate(replicas, planned(replicas, 'least-wait'), { ...LOAD, forMs: 600_000, seed: 1 }).ttftP99Ms
    expect(p99()).toBeLessThanOrEqual(1.5 * without.ttftP99Ms)
    const repair = broken(DeploymentState.prototype, 'longestMs', () => () => 0)()
    try {
      expect(p99()).toBeGreaterThan(3 * without.ttftP99Ms)
    } finally {
      repair()
    }
  })

  it.each([
    ['what answers took is not learned', broken(Speed.prototype, 'answered', () => () => {}), SLOW],
    ['failures are not learned', broken(Speed.prototype, 'failed', () => () => {}), FAILING],
  ])('finds a planted bug: %s', (_name, breaks, bad) => {
    const replicas = [...HEALTHY, bad]
    const share = (): number => run(replicas, planned(replicas, 'least-wait')).shares[bad.name]
    const before = share()
    const repair = breaks()
    try {
      expect(share()).toBeGreaterThan(2 * before)
    } finally {
      repair()
    }
  })
})
