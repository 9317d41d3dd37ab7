import { describe, expect, it } from 'vitest'
import { manualClock } from '../../../test/manual-clock.ts'
import { random } from '../../../test/random.ts'
import type { CheckReport } from '../../core/engine-check.ts'
import type { Page } from '../../core/ports/provider.ts'
import { Checker, type Target, verdictOf } from './checks.ts'

const OK: Page = { status: 200, text: '' }
const CHECKS = { path: '/health', metricsPath: null, intervalMs: 5_000, timeoutMs: 2_000 }
const turn = (): Promise<void> => new Promise((next) => setImmediate(next))

/** Processes that hear each other, and an engine that counts. */
function setUp(processes: number, targets: (look: Target['look']) => readonly Target[]) {
  const clock = manualClock()
  const draw = random(3)
  const asked: Array<{ readonly by: number; readonly path: string; readonly at: number }> = []
  const told: CheckReport[] = []
  const stage = {
    asked,
    told,
    /** How it answers, and after how long. */
    answer: (_path: string): Page => OK,
    tookMs: 5,
    /** Those that hear nobody. */
    deaf: new Set<number>(),
    async pass(ms: number): Promise<void> {
      for (let left = ms; left > 0; left -= 50) {
        clock.advance(50)
        await turn()
      }
    },
    checkers: [] as Checker[],
  }
  stage.checkers = Array.from({ length: processes }, (_, by) => {
    const look: Target['look'] = (path) =>
      new Promise((answer) => {
        asked.push({ by, path, at: clock.monoMs() })
        clock.after(stage.tookMs, () => answer(stage.answer(path)))
      })
    const tell = (reports: readonly CheckReport[]): void => {
      told.push(...reports)
      for (const [i, each] of stage.checkers.entries()) if (!stage.deaf.has(i)) each.heard(reports)
    }
    const checker = new Checker({ clock, jitter: () => draw(1e6) / 1e6, tell })
    checker.follow(targets(look))
    return checker
  })
  return stage
}

const one =
  (more: Partial<typeof CHECKS> = {}, deployments = ['a']) =>
  (look: Target['look']): readonly Target[] => [{ key: 'engine', deployments, checks: { ...CHECKS, ...more }, look }]

describe('whose turn it is', () => {
  it.each([1, 3, 20])('of %s processes about one asks an interval, whoever it is', async (processes) => {
    const stage = setUp(processes, one())
    await stage.pass(600_000)
    // Between 5 s and 6.25 s each; the steps of this clock let two come together now and then
    expect(stage.asked.length).toBeGreaterThan(600 / 6.5)
    expect(stage.asked.length).toBeLessThan((600 / 5) * 2)
    if (processes > 1) expect(new Set(stage.asked.map(({ by }) => by)).size).toBeGreaterThan(1)
  })

  it('who hears nobody asks by itself; when others stop, the rest go on', async () => {
    const stage = setUp(3, one())
    stage.deaf.add(0)
    await stage.pass(60_000)
    expect(stage.asked.filter(({ by }) => by === 0).length).toBeGreaterThan(8)
    stage.checkers[1].stop()
    stage.checkers[2].stop()
    stage.asked.length = 0
    await stage.pass(60_000)
    expect(new Set(stage.asked.map(({ by }) => by))).toEqual(new Set([0]))
  })

  it('one that fails is asked again soon, once; then as often as ever', async () => {
    const stage = setUp(3, one())
    stage.answer = () => ({ failure: 'unreachable (ECONNREFUSED)' })
    await stage.pass(40_000)
    const gaps = stage.asked.slice(1).map(({ at }, i) => at - stage.asked[i].at)
    expect(gaps[0]).toBeLessThanOrEqual(1_400)
    for (const gap of gaps.slice(1)) expect(gap).toBeGreaterThan(4_900)
    expect(stage.told[0]).toMatchObject({ deployment: 'a', ok: false, why: 'unreachable (ECONNREFUSED)' })
  })

  it('one that never answers is not asked twice at a time, and not more at once than a few', async () => {
    const many = (look: Target['look']): readonly Target[] =>
      Array.from({ length: 100 }, (_, i) => ({ key: String(i), deployments: [`d${i}`], checks: CHECKS, look }))
    const stage = setUp(1, many)
    stage.tookMs = 2_000
    let most = 0
    for (let i = 0; i < 600; i++) {
      await stage.pass(50)
      const now = 50 * (i + 1)
      most = Math.max(most, stage.asked.filter(({ at }) => at > now - 2_000).length)
    }
    expect(most).toBeLessThanOrEqual(17)
    expect(new Set(stage.told.map(({ deployment }) => deployment)).size).toBe(100)
  })

  it('those of one engine are told together; what is no longer configured is neither asked nor told', async () => {
    const stage = setUp(1, one({}, ['a', 'b']))
    await stage.pass(2_000)
    expect(stage.told.map(({ deployment }) => deployment)).toEqual(['a', 'b'])
    stage.tookMs = 1_000
    stage.asked.length = stage.told.length = 0
    for (let i = 0; i < 200 && stage.asked.length === 0; i++) await stage.pass(50)
    stage.checkers[0].follow([])
    await stage.pass(20_000)
    expect([stage.asked.length, stage.told]).toEqual([1, []])
  })
})

describe('its load', () => {
  it('is asked for after its health, and now and then where it tells none', async () => {
    const stage = setUp(1, one({ metricsPath: '/metrics' } as never))
    stage.answer = (path) => (path === '/metrics' ? { status: 200, text: 'tgi_queue_size 3\n' } : OK)
    await stage.pass(2_000)
    expect(stage.told).toMatchObject([{ ok: true, running: null, waiting: 3 }])
    stage.answer = (path) => (path === '/metrics' ? { status: 501, text: '' } : OK)
    stage.asked.length = 0
    await stage.pass(130_000)
    const count = (path: string): number => stage.asked.filter((each) => each.path === path).length
    expect(count('/health')).toBeGreaterThan(19)
    expect(count('/metrics')).toBe(2)
    expect(stage.told.at(-1)).toMatchObject({ ok: true, running: null, waiting: null })
  })

  it.each<Page>([{ failure: 'no answer within 2000 ms' }, { status: 503, text: '' }])(
    'is asked for again at the next check where it was not told: %j',
    async (page) => {
      const stage = setUp(1, one({ metricsPath: '/metrics' } as never))
      stage.answer = (path) => (path === '/metrics' ? page : OK)
      await stage.pass(2_000)
      expect(stage.told).toMatchObject([{ ok: true, running: null, waiting: null }])
      stage.answer = (path) => (path === '/metrics' ? { status: 200, text: 'tgi_queue_size 40\n' } : OK)
      await stage.pass(6_500)
      expect(stage.told.slice(1)).toMatchObject([{ ok: true, waiting: 40 }])
    },
  )

  it('is not asked of one that is down', async () => {
    const stage = setUp(1, one({ metricsPath: '/metrics' } as never))
    stage.answer = () => ({ status: 503, text: '' })
    await stage.pass(30_000)
    expect(new Set(stage.asked.map(({ path }) => path))).toEqual(new Set(['/health']))
  })
})

it('a fault of this machine is told to nobody', async () => {
  const stage = setUp(1, one())
  stage.answer = () => ({ failure: 'local (EMFILE)', isLocal: true })
  await stage.pass(60_000)
  expect(stage.asked.length).toBeGreaterThan(3)
  expect(stage.told).toEqual([])
})

it.each([
  [{ status: 200, text: '' }, true],
  [{ status: 204, text: '' }, true],
  [{ status: 302, text: '' }, null],
  [{ status: 401, text: '' }, null],
  [{ status: 404, text: '' }, null],
  [{ status: 429, text: '' }, null],
  [{ status: 500, text: '' }, false],
  [{ status: 501, text: '' }, null],
  [{ status: 503, text: '' }, false],
  [{ failure: 'no answer within 2000 ms' }, false],
] as const)('%j: works it? %s', (page, ok) => expect(verdictOf(page).ok).toBe(ok))
