/** What Now is told where its parts are away, wait, or are of the past. */
import { describe, expect, it } from 'vitest'
import { manualClock } from '../../../test/manual-clock.ts'
import { SluiceError, type WireError } from '../../core/errors.ts'
import type { Fact } from '../../core/facts.ts'
import type { Brief, Line, Range } from '../../core/live.ts'
import type { Backlog, Operations, Selector } from '../../core/ports/operations.ts'
import { textOf } from '../brief/words.ts'
import { History } from '../history/history.ts'
import { Traces } from '../traces/traces.ts'
import { Changes } from './changes.ts'
import { createNowPages } from './now-pages.ts'
import { Watchers } from './watchers.ts'

const START_MS = 1_800_000_000_000
const GOALS = { ttftMs: 1_500, tpotMs: 50, good: 0.99 }
const PARTS = { admission: 5, queue: 0, retries: 0, routing: 1, connect: 2, upstream: 100, delivery: 1 }

function setUp() {
  const history = new History(START_MS)
  const traces = new Traces(() => GOALS)
  const changes = new Changes()
  const watchers = new Watchers()
  const at = {
    ms: START_MS,
    storeError: null as WireError | null,
    isAway: false,
    /** It does not even fail. */
    isMute: false,
    depth: { queued: 0, delayed: 0, waiting: 0, leased: 0 },
    backlog: [] as Backlog[],
    paused: [] as Selector[],
    active: 0,
    concurrent: Infinity,
    gone: [] as string[],
    slots: null as number | null,
  }
  const asked = async <T>(value: T): Promise<T> => {
    if (at.isMute) await new Promise(() => {})
    if (at.isAway) throw new SluiceError('storage_unavailable')
    return value
  }
  const operations: Pick<Operations, 'depth' | 'backlog' | 'deployments' | 'paused' | 'line'> = {
    line: () => asked({ slots: at.slots } as Line),
    depth: () => asked(at.depth),
    backlog: () => asked(at.backlog),
    deployments: () =>
      asked([{ deployment: 'a', active: at.active, concurrent: at.concurrent, isDrained: false, unwell: [] }]),
    paused: () => asked(at.paused),
  }
  const view = { key: '', history, tallies: [watchers.tallies] }
  const clock = manualClock()
  const pages = createNowPages({
    clock,
    traces,
    changes,
    operations,
    jobs: { places: () => asked(new Map()), list: () => asked([{}] as never) },
    audit: { list: () => asked([]) },
    goals: () => GOALS,
    deployed: () => [
      { deployment: 'a', model: 'one' },
      { deployment: 'b', model: 'two' },
    ],
    spent: () => asked({ nanoUsd: 7, isEstimated: false }),
    spendGoal: () => null,
    store: () => ({ error: at.storeError, commitP99Ms: null }),
    outSince: (deployment) => changes.outSince(deployment),
    gone: () => at.gone,
    loop: () => null,
    silent: () => [],
  })
  traces.looked(START_MS)
  const observe = (fact: object): void => {
    for (const each of [history, traces, changes, watchers])
      each.observe({
        atMs: at.ms,
        tenant: 't',
        model: 'one',
        keyId: 'k',
        requestId: null,
        trace: null,
        ...fact,
      } as Fact)
  }
  return {
    at,
    clock,
    observe,
    read: async (range: Range = '15m') => pages.read(range, at.ms, view),
    brief: async (range: Range = '15m'): Promise<Brief> => (await pages.read(range, at.ms, view)).briefs[0],
  }
}

describe('the brief', () => {
  it.each([false, true])(
    'says that the store takes nothing, as long as it does (it tells nothing: %s)',
    async (isAway) => {
      const { at, observe, brief } = setUp()
      observe({ type: 'job-submitted', job: 'job_1' })
      at.storeError = new SluiceError('storage_full').wire
      observe({ type: 'store-degraded', code: 'storage_full' })
      at.isAway = isAway
      at.ms += 60_000
      const told = await brief()
      expect(told).toMatchObject({ kind: 'stuck', sinceAtMs: START_MS })
      expect(textOf([...told.state, ...told.cause])).toMatch(/takes nothing.*For 1 minute now.*The disk is full/)
      at.storeError = null
      at.isAway = false
      observe({ type: 'store-recovered' })
      at.ms += 1_000
      expect((await brief()).kind).toBe('idle')
    },
  )

  it('says so soon, and names no number of jobs, while the store is mute', async () => {
    const { at, clock, observe, read } = setUp()
    at.depth = { queued: 3, delayed: 0, waiting: 0, leased: 10 }
    observe({ type: 'job-submitted', job: 'job_1' })
    at.isMute = true
    const asked = read()
    const failed = expect(asked).rejects.toThrow('The store')
    await new Promise((next) => setImmediate(next))
    clock.advance(2_500)
    await failed
    at.storeError = new SluiceError('storage_unavailable').wire
    at.ms += 1_000
    const told = read()
    for (let i = 0; i < 8; i++) {
      clock.advance(250)
      await new Promise((next) => setImmediate(next))
    }
    const { briefs, waitingJobs } = await told
    expect(briefs[0]).toMatchObject({ kind: 'stuck', harm: [{ text: 'Nothing that was accepted is lost.' }] })
    expect(waitingJobs.value).toBeNull()
  })

  it('says that a model is paused, though others run', async () => {
    const { at, observe, brief } = setUp()
    at.paused = [{ model: 'two' }]
    at.active = 1
    at.depth = { queued: 3, delayed: 0, waiting: 0, leased: 1 }
    for (const job of ['job_1', 'job_2', 'job_3']) observe({ type: 'job-submitted', job, model: 'two' })
    await brief()
    at.ms += 11_000
    const told = await brief()
    expect(told.kind).toBe('stuck')
    expect(textOf([...told.state, ...told.cause])).toMatch(/Nothing of two runs, though 3 jobs wait.*two is paused/)
  })

  it('and the figures beside the charts are of the same minutes', async () => {
    const { at, observe, read } = setUp()
    const first = (queue: number): void =>
      observe({ type: 'first-token-delivered', job: 'j', ttftMs: 0, parts: { ...PARTS, queue } })
    for (let i = 0; i < 3; i++) first(900)
    at.ms += 120_000
    first(100)
    expect(await read()).toMatchObject({
      period: { minutes: 5, parts: { ...PARTS, queue: 700 } },
      ttftP95Ms: { value: 1_009 },
    })
    for (let i = 0; i < 20; i++) first(100)
    at.ms += 1_000
    expect(await read()).toMatchObject({ period: { minutes: 1, parts: { ...PARTS, queue: 100 } } })
  })

  /** Four jobs a second from the start on, of which each first token waits in line. */
  const overload = ({ at, observe }: ReturnType<typeof setUp>, seconds: number): void => {
    for (let i = 0; i < 4 * seconds; i++) {
      at.ms += 250
      const job = `job_${i}`
      observe({ type: 'job-submitted', job })
      if (i % 2 > 0) continue
      observe({ type: 'job-leased', job, attempt: 1, deployment: 'a', queuedMs: 9_000 })
      observe({ type: 'first-token-delivered', job, ttftMs: 9_100, parts: { ...PARTS, queue: 9_000 } })
    }
    at.active = at.concurrent = 4
    at.depth = { queued: 2 * seconds, delayed: 0, waiting: 0, leased: 4 }
    at.backlog = [{ pool: '', model: 'one', jobs: 2 * seconds, tokens: 0, waitMs: null }]
  }

  it('names the full deployment of a steady load, not a burst, on a server of a minute', async () => {
    const given = setUp()
    overload(given, 40)
    const { cause } = await given.brief()
    expect(textOf(cause)).toBe(
      'Of the 9.1 s added to first tokens on average, 9.0 s is the queue. All 4 slots of a are taken; 80 jobs wait.',
    )
    // A worker that was killed, while the others have room, is no cause
    given.at.gone = ['node_2']
    given.at.slots = 8_192
    given.at.ms += 1_000
    expect(textOf((await given.brief()).cause)).toContain('All 4 slots of a are taken')
    given.at.slots = 4
    given.at.ms += 1_000
    expect(textOf((await given.brief()).cause)).toContain('node_2 is gone, with the slots of its workers')
  })

  it('blames no other model for a line that is empty again', async () => {
    const given = setUp()
    overload(given, 40)
    const { at, observe } = given
    at.depth = { queued: 0, delayed: 0, waiting: 0, leased: 0 }
    at.backlog = []
    at.active = 0
    for (let i = 0; i < 8; i++)
      observe({ type: 'attempt-ended', job: `x_${i}`, model: 'two', deployment: 'b', code: 'provider_error' })
    expect(textOf((await given.brief()).cause)).toBe(
      'Of the 9.1 s added to first tokens on average, 9.0 s is the queue. ' +
        'It was that of one; nothing of it waits any more.',
    )
  })

  it('finds nothing late where people typed ahead, and answers came as soon as it was their turn', async () => {
    const { at, observe, brief, read } = setUp()
    for (let i = 0; i < 20; i++) {
      at.ms += 1_000
      const parts = { ...PARTS, turn: 9_000, queue: 4 }
      observe({ type: 'first-token-delivered', job: `job_${i}`, ttftMs: 112, parts })
    }
    expect((await brief()).kind).toBe('well')
    expect(await read()).toMatchObject({
      period: { parts: { ...PARTS, turn: 9_000, queue: 4 } },
      ttftP95Ms: { value: 113, isWell: true },
    })
    // What was late in line is late, and its turn no cause
    for (let i = 0; i < 20; i++) {
      at.ms += 1_000
      const parts = { ...PARTS, turn: 9_000, queue: 3_000 }
      observe({ type: 'first-token-delivered', job: `late_${i}`, ttftMs: 3_109, parts })
    }
    const told = await brief()
    expect(told.kind).toBe('late')
    expect(textOf(told.cause)).toMatch(/^Of the \d\.\d s added to first tokens on average, \d\.\d s is the queue\./)
  })

  it('names the deployment of the slow answers, of this time alone', async () => {
    const { at, observe, brief } = setUp()
    const end = (deployment: string, tpotMs: number): void =>
      observe({ type: 'job-ended', job: 'j', state: 'done', code: null, good: false, deployment, timing: { tpotMs } })
    end('b', 99)
    at.ms += 180_000
    for (let i = 0; i < 20; i++) end('a', 210)
    for (let i = 0; i < 40; i++) end('a', 6)
    expect(textOf((await brief()).cause)).toMatch(/^a gave 20 of the 20 slow answers: 2\d\d ms a token/)
  })

  it('and the figures of a past range are of that range alone', async () => {
    const { at, observe, brief, read } = setUp()
    for (let i = 0; i < 20; i++) {
      at.ms += 1_000
      observe({ type: 'first-token-delivered', job: `job_${i}`, ttftMs: 9_100, parts: { ...PARTS, queue: 9_000 } })
      observe({ type: 'job-ended', job: `job_${i}`, state: 'done', code: null, good: false, deployment: 'a' })
    }
    const range = { fromMs: START_MS, toMs: at.ms + 5_000 }
    at.ms += 1_200_000
    at.depth = { queued: 4, delayed: 0, waiting: 0, leased: 1 }
    expect((await brief()).kind).toBe('well')
    const told = await brief(range)
    expect(told.kind).toBe('late')
    expect(textOf(told.state)).toMatch(/^In this range first tokens were late: p95 was 9\.\d s, the goal 1\.5 s\.$/)
    expect(textOf(told.cause)).toBe('Of the 9.1 s added to first tokens on average, 9.0 s was the queue.')
    expect(await read(range)).toMatchObject({
      period: { minutes: null, parts: { ...PARTS, queue: 9_000 } },
      ttftP95Ms: { value: 9_109 },
      waitingJobs: { value: null },
      waitingTokens: 0,
      spentNanoUsd: { value: 0 },
      tokensPerSecond: { value: 0 },
    })
    expect(textOf((await brief({ fromMs: 1, toMs: 2 })).state)).toBe('In this range nothing was measured.')
  })
})
