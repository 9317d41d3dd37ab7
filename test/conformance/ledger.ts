/** Held by every engine: what attempts came to is booked once, with their ends, and told page by page. */
import { expect } from 'vitest'
import { SluiceError } from '../../src/core/errors.ts'
import type { Usage } from '../../src/core/job.ts'
import type { Engine } from '../../src/core/ports/engine.ts'
import type { LedgerPage, StoredUsage, UsageFilter, UsageSum } from '../../src/core/ports/ledger.ts'
import type { Outcome } from '../../src/core/ports/work.ts'
import { depth } from '../depth.ts'
import { accepted, type Case, DONE, draft, eventually, settled, submit, TestWorker } from './harness.ts'
import type { DraftOptions } from './words.ts'

const PAGE = 7

export const sumsOf = (engine: Engine, filter: UsageFilter = {}, page = PAGE): Promise<readonly UsageSum[]> =>
  allOf((after) => engine.ledger.sums(filter, after, page), page)
export const recordsOf = (engine: Engine, filter: UsageFilter = {}, page = PAGE): Promise<readonly StoredUsage[]> =>
  allOf((after) => engine.ledger.records(filter, after, page), page)

async function allOf<T>(read: (after: string | null) => Promise<LedgerPage<T>>, most: number): Promise<readonly T[]> {
  const items: T[] = []
  for (let after: string | null = null; ; ) {
    const page: LedgerPage<T> = await read(after)
    expect(page.items.length).toBeLessThanOrEqual(most)
    items.push(...page.items)
    if (page.next === null) return items
    expect(page.next).not.toBe(after)
    after = page.next
  }
}

type Run = DraftOptions & { readonly usage?: Partial<Usage>; readonly nanoDollars?: number | null }

const done = ({ usage, nanoDollars = 1_000 }: Run): Outcome => ({
  ...DONE,
  usage: { promptTokens: 10, completionTokens: 3, estimated: false, ...usage },
  cost: { nanoDollars, priceVersion: nanoDollars === null ? null : 'list 7' },
})

/** These jobs run and end, in this order. */
async function runAll(engine: Engine, worker: TestWorker, runs: readonly Run[]): Promise<void> {
  const drafts = runs.map(({ usage: _, nanoDollars: __, ...options }) => draft(options))
  const jobs = (await engine.submissions.submit(drafts)).map(accepted)
  const leases = new Map<string, Awaited<ReturnType<TestWorker['one']>>>()
  while (leases.size < jobs.length) for (const lease of await worker.lease(1_000)) leases.set(lease.job.id, lease)
  for (const [i, { id }] of jobs.entries()) await engine.work.finish(leases.get(id)!, done(runs[i]))
}

/** Of all members that are whole numbers. */
const NUMBERS = [
  'attempts',
  'repeats',
  'estimated',
  'unpriced',
  'promptTokens',
  'cachedTokens',
  'completionTokens',
  'reasoningTokens',
  'nanoDollars',
] as const
const SCENE: readonly Run[] = [
  { user: 'ann', usage: { promptTokens: 100, cachedTokens: 60, completionTokens: 20, reasoningTokens: 5 } },
  { user: 'ann', usage: { estimated: true }, nanoDollars: 7 },
  { user: 'ann', nanoDollars: null },
  { user: 'ann', model: 'other' },
  { user: 'constructor' },
  { user: '__proto__' },
  { user: 'two\nlines' },
  { user: 'üser ☃ 😀' },
  {},
  { keyId: 'key_2' },
  { tenant: 'globex', keyId: 'key_3', user: 'ann' },
]

export const ledgerCases: readonly Case[] = [
  {
    name: 'an attempt is a record, whole, in the order of their ends; read in pages of any size',
    async run(open) {
      const { engine } = await open()
      const first = await submit(engine, { user: 'ann', run: 'r 1', tenant: 'acme', model: 'm' })
      const worker = new TestWorker(engine)
      const usage = { promptTokens: 9, cachedTokens: 4, completionTokens: 5, reasoningTokens: 2, estimated: false }
      const lease = await worker.one(first)
      await engine.work.finish(lease, { ...DONE, usage, cost: { nanoDollars: 123, priceVersion: 'list 7' } })
      await runAll(engine, worker, SCENE)
      const [record] = await recordsOf(engine)
      expect(record).toEqual({
        job: first.id,
        attempt: 1,
        tenant: 'acme',
        keyId: 'key_1',
        user: 'ann',
        run: 'r 1',
        kind: 'chat',
        model: 'm',
        deployment: lease.claim.deployment,
        end: 'done',
        usage,
        nanoDollars: 123,
        priceVersion: 'list 7',
        atMs: expect.any(Number),
      })
      for (const page of [1, 5, 12, 1_000]) {
        const records = await recordsOf(engine, {}, page)
        expect(records.map(({ user }) => user)).toEqual(['ann', ...SCENE.map(({ user = null }) => user)])
      }
    },
  },
  {
    name: 'sums are exact: by day, tenant, key, user and model, in this order, whatever users are called',
    async run(open) {
      const { engine } = await open()
      const worker = new TestWorker(engine)
      await runAll(engine, worker, SCENE)
      await runAll(engine, worker, SCENE)
      const sums = await sumsOf(engine)
      const names = sums.map(({ tenant, keyId, user, model }) => [tenant, keyId, user ?? '', model])
      const bytes = (name: readonly string[]): Buffer => Buffer.from(name.join('\0'))
      expect(names).toEqual(names.toSorted((a, b) => Buffer.compare(bytes(a), bytes(b))))
      expect(new Set(names.map((name) => JSON.stringify(name))).size).toBe(9)
      const ann = sums.find(({ tenant, user, model }) => tenant === 'acme' && user === 'ann' && model === 'm')!
      expect(ann).toEqual({
        day: sums[0].day,
        tenant: 'acme',
        keyId: 'key_1',
        user: 'ann',
        model: 'm',
        attempts: 6,
        repeats: 0,
        estimated: 2,
        unpriced: 2,
        promptTokens: 240,
        cachedTokens: 120,
        completionTokens: 52,
        reasoningTokens: 10,
        nanoDollars: 2_014,
      })
      expect(sums.find(({ user, keyId }) => user === null && keyId === 'key_1')).toMatchObject({ attempts: 2 })
      for (const page of [1, 2, 1_000]) expect(await sumsOf(engine, {}, page)).toEqual(sums)
      // They are the sums of the records
      const records = await recordsOf(engine)
      expect(total(sums)).toEqual([
        records.length,
        ...['repeats', 'estimated', 'unpriced'].map((flag) => records.filter((one) => isCounted(one, flag)).length),
        ...(['promptTokens', 'cachedTokens', 'completionTokens', 'reasoningTokens'] as const).map((name) =>
          records.reduce((sum, { usage }) => sum + (usage[name] ?? 0), 0),
        ),
        records.reduce((sum, { nanoDollars }) => sum + (nanoDollars ?? 0), 0),
      ])
    },
  },
  {
    name: 'a tenant begins so many sums in a day: later users are summed together, then later models, and none is lost',
    async run(open) {
      const { engine } = await open({ usageSums: 10 })
      const worker = new TestWorker(engine)
      const users = Array.from({ length: 15 }, (_, i) => ({ user: `u${String.fromCharCode(97 + i)}` }))
      await runAll(engine, worker, users.slice(0, 4))
      // Many in one commit
      const jobs = (await engine.submissions.submit(users.map(draft))).map(accepted)
      for (let left = jobs.length; left > 0; ) {
        const leases = await worker.lease(1_000)
        await Promise.all(leases.map((lease) => engine.work.finish(lease, done({}))))
        left -= leases.length
      }
      await runAll(engine, worker, [
        { user: 'ub' },
        { user: 'late' },
        { user: 'late', model: 'second' },
        { user: 'later', model: 'third' },
        { user: 'late', keyId: 'key_2' },
        { user: 'late', tenant: 'globex', keyId: 'key_3' },
      ])
      const told = async () =>
        (await sumsOf(engine)).map(({ tenant, keyId, user, model, attempts }) =>
          [tenant, keyId, user, model, attempts].join(' '),
        )
      const own = (i: number): string => `acme key_1 ${users[i].user} m ${i === 1 ? 3 : i < 4 ? 2 : 1}`
      const sums = await told()
      const first = sums.filter((sum) => /^acme key_1 u/.test(sum))
      expect(first.length).toBe(10)
      for (const i of [0, 1, 2, 3]) expect(first).toContain(own(i))
      expect(sums.filter((sum) => !first.includes(sum))).toEqual([
        'acme key_1   2',
        'acme key_1  m 6',
        'acme key_2   1',
        'globex key_3 late m 1',
      ])
      expect(total(await sumsOf(engine))[0]).toBe((await recordsOf(engine)).length)
      expect((await recordsOf(engine, { user: 'later' })).length).toBe(1)
      await engine.eraseTenant('acme')
      await runAll(engine, worker, [{ user: 'anew' }])
      expect(await told()).toEqual(['acme key_1 anew m 1', 'globex key_3 late m 1'])
    },
  },
  {
    name: 'one that repeats an answer is an attempt like others, and is told apart in the sums',
    async run(open) {
      const { engine } = await open({ shares: { ttlMs: 60_000, maxEntries: 9, coalesce: false } })
      const worker = new TestWorker(engine)
      const sources: Array<string | undefined> = []
      for (let i = 0; i < 3; i++) {
        const lease = await worker.one(await submit(engine, { share: { key: 'k' } }))
        sources.push(lease.claim.source)
        await engine.work.finish(lease, done({}))
      }
      const [{ job }] = await recordsOf(engine)
      expect(sources).toEqual([undefined, job, job])
      expect((await recordsOf(engine)).map(({ source }) => source)).toEqual(sources)
      const one = { attempts: 3, repeats: 2, promptTokens: 10, completionTokens: 3, nanoDollars: 1_000 }
      expect(await sumsOf(engine)).toMatchObject([one])
    },
  },
  {
    name: 'filters: all given members must match',
    async run(open) {
      const { engine, clock } = await open()
      const worker = new TestWorker(engine)
      await runAll(engine, worker, SCENE)
      clock.jumpWall(2 * 86_400_000)
      await runAll(engine, worker, SCENE)
      const days = [...new Set((await sumsOf(engine)).map(({ day }) => day))]
      const counts = async (filter: UsageFilter): Promise<readonly number[]> => [
        (await sumsOf(engine, filter)).reduce((sum, { attempts }) => sum + attempts, 0),
        (await recordsOf(engine, filter)).length,
      ]
      const expected: ReadonlyArray<readonly [UsageFilter, number]> = [
        [{}, 22],
        [{ tenant: 'acme' }, 20],
        [{ tenant: 'globex' }, 2],
        [{ tenant: 'nobody' }, 0],
        [{ user: 'ann' }, 10],
        [{ tenant: 'acme', user: 'ann' }, 8],
        [{ tenant: 'acme', user: 'ann', model: 'other' }, 2],
        [{ user: 'constructor' }, 2],
        [{ user: '__proto__' }, 2],
        [{ user: 'two\nlines' }, 2],
        [{ keyId: 'key_2' }, 2],
        [{ tenant: 'globex', keyId: 'key_1' }, 0],
        ...(days.length === 2
          ? ([
              [{ fromDay: days[1] }, 11],
              [{ toDay: days[0] }, 11],
              [{ fromDay: days[0], toDay: days[1] }, 22],
              [{ fromDay: days[0], toDay: days[0], tenant: 'globex' }, 1],
              [{ fromDay: '2000-01-01', toDay: '2000-01-02' }, 0],
              [{ fromDay: days[1], toDay: days[0] }, 0],
            ] as const)
          : []),
      ]
      for (const [filter, n] of expected) expect([filter, ...(await counts(filter))]).toEqual([filter, n, n])
    },
  },
  {
    name: 'each attempt once: one that failed, one handed back, one canceled; none that never called',
    async run(open) {
      const { engine, clock } = await open()
      const worker = new TestWorker(engine)
      const job = await submit(engine)
      const seen: Usage = { promptTokens: 10, completionTokens: 2, estimated: true }
      const error = new SluiceError('provider_cut')
      await engine.work.finish(await worker.one(job), { kind: 'failed', error, retry: true, attemptUsage: seen })
      clock.leap(2_000)
      await eventually(async () => expect((await engine.jobs.get(job.id))?.state).toBe('queued'))
      await engine.work.finish(await worker.one(job), { kind: 'released', attemptUsage: seen })
      await engine.work.finish(await worker.one(job), { kind: 'released' })
      const last = await worker.one(job)
      await engine.jobs.cancel(job.id)
      await engine.work.finish(last, { kind: 'canceled', attemptUsage: { ...seen, completionTokens: 9 } })
      const ends = (await recordsOf(engine)).map(({ attempt, end, usage }) => [attempt, end, usage.completionTokens])
      expect(ends).toEqual([
        [1, 'failed', 2],
        [2, 'released', 2],
        [4, 'canceled', 9],
      ])
      expect(await sumsOf(engine)).toMatchObject([{ attempts: 3, estimated: 3, unpriced: 3, completionTokens: 13 }])
    },
  },
  {
    name: 'what was told as ended is booked, over a kill; what ran is booked once, by what its log has',
    needs: 'kill',
    async run(open) {
      let opened = await open()
      const worker = new TestWorker(opened.engine)
      await runAll(opened.engine, worker, SCENE)
      const job = await submit(opened.engine)
      const { engine } = opened
      const lease = await worker.one(job)
      const log = engine.log.open(lease)
      const chunk = (content: string): string => JSON.stringify({ choices: [{ index: 0, delta: { content } }] })
      log.append(
        [`@attempt {"n":1,"mode":"first","deployment":"${lease.claim.deployment}"}`, chunk(''), chunk('a'), chunk('b')],
        2,
        true,
      )
      await log.flushed()
      const before = await recordsOf(opened.engine)
      // Once: also where the next process dies before it is booked, or after that
      for (let i = 0; i < 4; i++) {
        if (i > 1) await settled(opened.engine)
        opened = await opened.reopen('kill')
      }
      await settled(opened.engine)
      const records = await recordsOf(opened.engine)
      expect(records.slice(0, -1)).toEqual(before)
      expect(records.at(-1)).toMatchObject({
        job: job.id,
        attempt: 1,
        deployment: lease.claim.deployment,
        end: 'lost',
        usage: { promptTokens: 10, completionTokens: 2, estimated: true },
      })
    },
  },
  {
    name: 'numbers of pages go on after a restart, where records were erased too',
    needs: 'kill',
    async run(open) {
      let opened = await open()
      await runAll(opened.engine, new TestWorker(opened.engine), SCENE)
      const { next } = await opened.engine.ledger.records({}, null, SCENE.length - 1)
      await opened.engine.eraseTenant('globex')
      await opened.engine.eraseTenant('acme')
      opened = await opened.reopen('kill')
      expect(await recordsOf(opened.engine)).toEqual([])
      await runAll(opened.engine, new TestWorker(opened.engine), [{ user: 'new' }])
      expect((await opened.engine.ledger.records({}, next, 10)).items).toMatchObject([{ user: 'new' }])
    },
  },
  {
    name: 'a tenant is erased with what it used, and no other',
    needs: 'kill',
    async run(open) {
      let opened = await open()
      await runAll(opened.engine, new TestWorker(opened.engine), SCENE)
      await opened.engine.eraseTenant('acme')
      for (let i = 0; i < 2; i++) {
        expect((await sumsOf(opened.engine)).map(({ tenant }) => tenant)).toEqual(['globex'])
        expect((await recordsOf(opened.engine)).map(({ tenant }) => tenant)).toEqual(['globex'])
        opened = await opened.reopen('kill')
      }
    },
  },
  {
    name: 'records go with their time; sums stay, those of jobs that are gone too',
    async run(open) {
      const { engine, clock } = await open({ usageMs: 60_000, retentionMs: 10_000 })
      const worker = new TestWorker(engine)
      await runAll(engine, worker, SCENE)
      const sums = await sumsOf(engine)
      clock.leap(50_000)
      await runAll(engine, worker, [{ tenant: 'late' }])
      await eventually(async () => expect((await engine.jobs.list({ limit: 100 })).length).toBe(1))
      expect((await recordsOf(engine)).length).toBe(SCENE.length + 1)
      clock.leap(21_000)
      await eventually(async () => expect((await recordsOf(engine)).map(({ tenant }) => tenant)).toEqual(['late']))
      expect((await sumsOf(engine)).filter(({ tenant }) => tenant !== 'late')).toEqual(sums)
    },
  },
  {
    name: 'what is no cursor is refused as such',
    async run(open) {
      const { ledger } = (await open()).engine
      for (const cursor of ['x', '', '-1', '1e3', 'W10', '{}', 'null'])
        for (const page of [ledger.sums({}, cursor, 10), ledger.records({}, cursor, 10)])
          await expect(page).rejects.toMatchObject({ code: 'cursor_invalid' })
    },
  },
  {
    name: 'many at once: every attempt is there, and no sum is short',
    async run(open) {
      const { engine } = await open()
      const worker = new TestWorker(engine)
      const n = depth(2_000, 300)
      const runs = Array.from({ length: n }, (_, i): Run => ({ user: `u${i % 13}`, nanoDollars: i }))
      const jobs = (await engine.submissions.submit(runs.map(({ nanoDollars: _, ...job }) => draft(job)))).map(accepted)
      const at = new Map(jobs.map(({ id }, i) => [id, i]))
      const finished: Array<Promise<unknown>> = []
      while (finished.length < n)
        for (const lease of await worker.lease(1_000))
          finished.push(engine.work.finish(lease, done(runs[at.get(lease.job.id)!])))
      await Promise.all(finished)
      const records = await recordsOf(engine, {}, 100)
      expect(new Set(records.map(({ job }) => job)).size).toBe(n)
      expect(records.length).toBe(n)
      const sums = await sumsOf(engine)
      expect(sums.length).toBe(13)
      expect(total(sums)).toEqual([n, 0, 0, 0, 10 * n, 0, 3 * n, 0, (n * (n - 1)) / 2])
    },
  },
]

const isCounted = ({ usage, nanoDollars, source }: StoredUsage, flag: string): boolean =>
  flag === 'repeats' ? source !== undefined : flag === 'estimated' ? usage.estimated : nanoDollars === null

const total = (sums: readonly UsageSum[]): readonly number[] =>
  NUMBERS.map((name) => sums.reduce((all, sum) => all + sum[name], 0))
