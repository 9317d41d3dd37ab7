/** Held by every engine: what is used of limits, and held by who waits, is what it was, whatever dies meanwhile. */
import { expect } from 'vitest'
import { SluiceError } from '../../src/core/errors.ts'
import type {
  LevelLimits,
  LimitSettings,
  LimitUse,
  RateLimit,
  Standing,
  TenantLimits,
  TenantStanding,
} from '../../src/core/limits.ts'
import { NO_LIMITS } from '../../src/core/limits.ts'
import type { Engine } from '../../src/core/ports/engine.ts'
import type { Submitted } from '../../src/core/ports/submissions.ts'
import type { Outcome } from '../../src/core/ports/work.ts'
import { accepted, type Case, DONE, draft, eventually, pass, refusal, settled, TestWorker } from './harness.ts'
import { recordsOf } from './ledger.ts'
import type { DraftOptions } from './words.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** So slow that a test sees nothing of it. */
const SLOW = 1e-6

const rate = (unit: RateLimit['unit'], burst: number, perSecond = SLOW): RateLimit => ({
  unit,
  burst,
  perSecond,
  whenOut: 'debt',
  oversize: 'refuse',
})
const level = (more: Partial<LevelLimits>): LevelLimits => ({ rates: [], budgets: [], concurrent: null, ...more })
const NONE: TenantLimits = { all: null, eachUser: null, eachRun: null, eachKey: null, models: {} }
const limited = (acme: Partial<TenantLimits>): LimitSettings => ({
  ...NO_LIMITS,
  tenants: { acme: { ...NONE, ...acme } },
})
const aDay = (nanoDollars: number): LimitSettings =>
  limited({ all: level({ budgets: [{ window: 'day', nanoDollars, whenOut: 'cut' }] }) })

/** At once, or not at all. */
const post = (more: DraftOptions = {}): DraftOptions => ({
  maxOutputTokens: 10,
  ...more,
  options: { policy: 'reject', ...more.options },
})

const submitOne = async (engine: Engine, options: DraftOptions = post()): Promise<Submitted> =>
  (await engine.submissions.submit([draft(options)]))[0]

/** What is left of one unit, as an accepted job tells; it weighs next to nothing, and is canceled. */
async function left(engine: Engine, unit: string, options: DraftOptions = {}): Promise<number> {
  const submitted = await submitOne(engine, { promptTokens: 0, maxOutputTokens: 0, ...options })
  const { id } = accepted(submitted)
  await engine.jobs.cancel(id)
  const { standing = [] } = submitted as { readonly standing?: Standing }
  return Math.round(standing.find((room) => room.unit === unit)!.left)
}

const used = (promptTokens: number, completionTokens: number, nanoDollars = 0): Outcome => ({
  ...DONE,
  usage: { promptTokens, completionTokens, estimated: false },
  cost: { nanoDollars, priceVersion: null },
})

export const limitCases: readonly Case[] = [
  {
    name: '1,000 submits at once on a bucket for 33: 33, and what was refused is nowhere',
    async run(open) {
      const { engine } = await open({ limits: limited({ all: level({ rates: [rate('tokens', 33 * 20)] }) }) })
      const all = (
        await Promise.all(
          Array.from({ length: 100 }, () => engine.submissions.submit(Array.from({ length: 10 }, () => draft(post())))),
        )
      ).flat()
      const taken = all.filter(({ kind }) => kind === 'accepted')
      expect(taken.length).toBe(33)
      const error = refusal(all.find(({ kind }) => kind === 'refused')!)
      expect(error).toMatchObject({
        code: 'rate_limit_exceeded',
        limit: { level: 'tenant', unit: 'tokens', weight: 20 },
      })
      expect(error.retryAfterMs).toBeGreaterThan(0)
      expect((await engine.jobs.list({ limit: 1_000 })).length).toBe(33)
      expect(await recordsOf(engine)).toEqual([])
    },
  },
  {
    name: 'what an accepted job is told is left; nothing where nothing limits it',
    async run(open) {
      const { engine } = await open({ limits: limited({ eachUser: level({ rates: [rate('tokens', 1_000)] }) }) })
      const ann = await submitOne(engine, post({ user: 'ann' }))
      expect(ann).toMatchObject({ standing: [{ level: 'user', unit: 'tokens', limit: 1_000 }] })
      expect(Math.round((ann as { standing: Standing }).standing[0].left)).toBe(980)
      expect(await submitOne(engine, post())).not.toHaveProperty('standing')
      const { result } = await engine.submissions.begin(draft(post({ user: 'ann', document: true })))
      expect(result).toMatchObject({ kind: 'accepted', standing: [{ level: 'user', limit: 1_000 }] })
    },
  },
  {
    name: 'who joins is told what is left; a job in line, what it waits for, and not of others',
    async run(open) {
      const { engine } = await open({
        limits: {
          ...limited({ all: level({ rates: [rate('requests', 100)], concurrent: 1 }) }),
          models: { m: level({ rates: [rate('requests', 2)] }) },
        },
      })
      const keyed = { body: '{"model":"m","messages":[]}', options: { idempotencyKey: 'once' } }
      accepted(await submitOne(engine, keyed))
      const joined = await submitOne(engine, keyed)
      expect(joined).toMatchObject({ kind: 'joined', standing: [{ level: 'tenant', unit: 'requests', limit: 100 }] })
      const worker = new TestWorker(engine)
      const lease = await worker.one()
      const next = accepted(await submitOne(engine, {}))
      const waitingFor = { level: 'tenant', unit: 'running', inMs: null }
      await eventually(async () =>
        expect((await engine.jobs.places([next.id])).get(next.id)).toMatchObject({ position: 1, waitingFor }),
      )
      await engine.work.finish(lease, DONE)
      await engine.work.finish(await worker.one(next), DONE)
      const error = refusal(await submitOne(engine, post()))
      expect(error).toMatchObject({ code: 'rate_limit_exceeded', limit: { level: 'model', shared: true } })
      expect(error.wire.limit).not.toHaveProperty('remaining')
      expect(error.wire).toMatchObject({ type: 'requests', limit: { level: 'model', unit: 'requests', limit: 2 } })
    },
  },
  {
    name: 'what was used is used over a kill, exactly; what waits holds what it held',
    needs: 'kill',
    async run(open) {
      const limits = limited({
        all: level({ rates: [rate('tokens', 10_000), rate('requests', 50)] }),
        eachUser: level({ rates: [rate('input_tokens', 1_000)] }),
        eachKey: level({ rates: [rate('output_tokens', 5_000)] }),
      })
      let opened = await open({ limits })
      const worker = new TestWorker(opened.engine)
      for (const [input, output] of [
        [100, 40],
        [7, 3],
      ] as const) {
        const job = accepted(await submitOne(opened.engine, post({ user: 'constructor' })))
        await opened.engine.work.finish(await worker.one(job), used(input, output))
      }
      // In line: held since they were accepted
      for (let i = 0; i < 3; i++)
        accepted(await submitOne(opened.engine, post({ user: 'two\nlines', promptTokens: 50 })))
      // Waits for its lease: it holds nothing yet
      accepted(await submitOne(opened.engine, { user: 'ann', promptTokens: 500, maxOutputTokens: 10 }))
      const rooms = async (engine: Engine): Promise<readonly number[]> => [
        await left(engine, 'tokens'),
        await left(engine, 'requests'),
        await left(engine, 'output_tokens'),
        await left(engine, 'input_tokens', { user: 'constructor' }),
        await left(engine, 'input_tokens', { user: 'two\nlines' }),
        await left(engine, 'input_tokens', { user: 'ann' }),
      ]
      const before = [10_000 - 150 - 180, 50 - 2 - 3, 5_000 - 43 - 30, 1_000 - 107, 1_000 - 150, 1_000]
      expect(await rooms(opened.engine)).toEqual(before)
      for (let i = 0; i < 3; i++) {
        opened = await opened.reopen('kill')
        expect(await rooms(opened.engine)).toEqual(before)
      }
      // They hold it once: their ends give back what they did not use
      const again = new TestWorker(opened.engine)
      for (let leases = await again.lease(1); leases.length > 0; leases = await again.lease(1))
        await opened.engine.work.finish(leases[0], used(1, 1))
      expect(await left(opened.engine, 'tokens')).toBe(10_000 - 150 - 8)
      expect(await left(opened.engine, 'requests')).toBe(50 - 2 - 4)
    },
  },
  {
    name: 'what ran when the process died is booked once, and no longer held, whoever dies before that is stored',
    needs: 'kill',
    async run(open) {
      let opened = await open({ limits: limited({ all: level({ rates: [rate('tokens', 1_000)], concurrent: 1 }) }) })
      for (let life = 1; life <= 3; life++) {
        const { engine } = opened
        const job = life === 1 ? accepted(await submitOne(engine, post({ promptTokens: 90 }))) : undefined
        const lease = await new TestWorker(engine).one(job)
        const log = engine.log.open(lease)
        const chunk = JSON.stringify({ choices: [{ index: 0, delta: { content: 'a' } }] })
        log.append([`@attempt {"n":${life},"mode":"first","deployment":"d"}`, ...Array(5).fill(chunk)], 5, true)
        await log.flushed()
        opened = await opened.reopen('kill')
        if (life === 2) opened = await opened.reopen('kill')
        await settled(opened.engine)
        // A fleet adopts what runs, and learns with the lease's end that its worker is gone
        await eventually(async () => {
          await pass(opened, 1_000)
          expect((await recordsOf(opened.engine)).length).toBe(life)
        }, 60_000)
        expect(await left(opened.engine, 'tokens')).toBe(1_000 - 95 * life)
      }
      expect((await recordsOf(opened.engine)).map(({ attempt, end }) => [attempt, end])).toEqual([
        [1, 'lost'],
        [2, 'lost'],
        [3, 'lost'],
      ])
    },
  },
  {
    name: 'what was returned holds nothing until its next lease, over a kill too',
    needs: 'kill',
    async run(open) {
      let opened = await open({ limits: limited({ all: level({ rates: [rate('tokens', 1_000)] }) }) })
      const job = accepted(await submitOne(opened.engine, post({ promptTokens: 400 })))
      await opened.engine.work.finish(await new TestWorker(opened.engine).one(job), { kind: 'released' })
      expect(await left(opened.engine, 'tokens')).toBe(1_000)
      opened = await opened.reopen('kill')
      expect(await left(opened.engine, 'tokens')).toBe(1_000)
      const error = new SluiceError('provider_error')
      const lease = await new TestWorker(opened.engine).one(job)
      expect(await left(opened.engine, 'tokens')).toBe(590)
      await opened.engine.work.finish(lease, { kind: 'failed', error, retry: false })
      expect(await left(opened.engine, 'tokens')).toBe(1_000)
    },
  },
  {
    name: 'time pays back over a restart as it does without one',
    needs: 'kill',
    async run(open) {
      let opened = await open({ limits: limited({ all: level({ rates: [rate('tokens', 6_000, 10)] }) }) })
      const job = accepted(await submitOne(opened.engine))
      await opened.engine.work.finish(await new TestWorker(opened.engine).one(job), used(4_000, 0))
      expect(await left(opened.engine, 'tokens')).toBeLessThan(3_000)
      opened = await opened.reopen('kill', () => opened.clock.sleep(200_000))
      const now = await left(opened.engine, 'tokens')
      expect(now).toBeGreaterThanOrEqual(4_000)
      expect(now).toBeLessThan(5_900)
      opened.clock.jumpWall(10 * 365 * DAY_MS)
      expect(await left(opened.engine, 'tokens')).toBeLessThan(5_900)
    },
  },
  ...[0, -HOUR_MS, 30 * HOUR_MS, 10 * 365 * DAY_MS, -60 * 365 * DAY_MS].map((jump): Case => {
    return {
      name: `a budget is spent over a restart, and the window is the same (the clock jumps ${jump / HOUR_MS} h)`,
      needs: 'kill',
      async run(open) {
        let opened = await open({ limits: aDay(1_000_000) })
        const priced = (): DraftOptions => post({ price: { input: 10_000, output: 10_000 } })
        // Not shortly before midnight: the day would end while the test runs
        const intoDay = opened.clock.wallMs() % DAY_MS
        if (DAY_MS - intoDay < 600_000) opened.clock.leap(DAY_MS - intoDay + 1_000)
        const job = accepted(await submitOne(opened.engine, priced()))
        await opened.engine.work.finish(await new TestWorker(opened.engine).one(job), used(60, 1, 900_000))
        expect(await left(opened.engine, 'nano_dollars')).toBe(100_000)
        opened.clock.jumpWall(jump)
        expect(await left(opened.engine, 'nano_dollars')).toBe(100_000)
        opened = await opened.reopen('kill', () => opened.clock.jumpWall(jump))
        expect(await left(opened.engine, 'nano_dollars')).toBe(100_000)
        const error = refusal(await submitOne(opened.engine, priced()))
        expect(error).toMatchObject({ code: 'insufficient_quota', limit: { unit: 'nano_dollars', window: 'day' } })
        // A day later it is another one, whatever the clock shows
        await pass(opened, 60_000)
        expect(await left(opened.engine, 'nano_dollars')).toBe(100_000)
        opened.clock.sleep(1.5 * DAY_MS)
        await settled(opened.engine)
        expect(await left(opened.engine, 'nano_dollars')).toBe(1_000_000)
      },
    }
  }),
  {
    name: 'a breaker that has tripped is found so after a restart, and cools down meanwhile',
    needs: 'kill',
    async run(open) {
      const velocity = { nanoDollarsPerHour: 1_000, fiveMinutes: 14, hour: 6, coolDownMs: 600_000 }
      const budgets = [{ window: 'month', nanoDollars: 720_000, whenOut: 'cut' }] as const
      let opened = await open({ limits: limited({ all: level({ budgets, velocity }) }) })
      const priced = (): DraftOptions => post({ promptTokens: 1, maxOutputTokens: 1, price: { input: 1, output: 1 } })
      const refused = async (): Promise<SluiceError> => refusal(await submitOne(opened.engine, priced()))
      const job = accepted(await submitOne(opened.engine, priced()))
      await opened.engine.work.finish(await new TestWorker(opened.engine).one(job), used(1, 1, 6_001))
      const before = await refused()
      expect(before).toMatchObject({ code: 'spend_velocity', limit: { level: 'tenant', unit: 'spend_velocity' } })
      opened = await opened.reopen('kill', () => opened.clock.sleep(300_000))
      const { code, limit } = await refused()
      expect(code).toBe('spend_velocity')
      expect(limit!.waitMs).toBeLessThanOrEqual(300_000)
      expect(limit!.waitMs).toBeGreaterThan(100_000)
      opened = await opened.reopen('kill', () => opened.clock.sleep(300_000))
      const probe = accepted(await submitOne(opened.engine, priced()))
      expect((await refused()).limit!.waitMs).toBe(5_000)
      await opened.engine.work.finish(await new TestWorker(opened.engine).one(probe), used(1, 1, 2))
      accepted(await submitOne(opened.engine, priced()))
    },
  },
  {
    name: 'how a tenant stands with its limits: what is used, what is held, who is near, and the same after a restart',
    needs: 'kill',
    async run(open) {
      let opened = await open({
        limits: limited({
          all: level({
            rates: [rate('tokens', 2_000)],
            budgets: [{ window: 'month', nanoDollars: 9_000, whenOut: 'cut' }],
            concurrent: 3,
          }),
          eachUser: level({ rates: [rate('tokens', 800)] }),
        }),
      })
      const stands = async (): Promise<TenantStanding> => {
        const { own, near, ...rest } = await opened.engine.operations.standing('acme')
        const round = (uses: readonly LimitUse[]) =>
          uses.map((use) => ({ ...use, used: Math.round(use.used), held: Math.round(use.held), resetMs: 0 }))
        return { own: round(own), near: round(near), ...rest }
      }
      const tenant = { level: 'tenant', name: 'acme' } as const
      const unused = { used: 0, held: 0, resetMs: 0 }
      expect(await stands()).toEqual({
        own: [
          { ...tenant, unit: 'tokens', limit: 2_000, ...unused },
          { ...tenant, unit: 'nano_dollars', window: 'month', limit: 9_000, ...unused },
          { ...tenant, unit: 'running', limit: 3, ...unused },
        ],
        near: [],
        more: 0,
        isPartial: false,
      })
      const worker = new TestWorker(opened.engine)
      const job = accepted(await submitOne(opened.engine, post({ user: 'ann', promptTokens: 50 })))
      await opened.engine.work.finish(await worker.one(job), used(500, 100, 300))
      const waits = accepted(await submitOne(opened.engine, post({ user: 'ann', promptTokens: 90 })))
      const user = { level: 'user', name: 'ann', unit: 'tokens', limit: 800, used: 600, resetMs: 0 } as const
      const after = await stands()
      expect(after.near).toEqual([{ ...user, held: 100 }])
      expect(after.own).toContainEqual({ ...tenant, unit: 'tokens', limit: 2_000, used: 600, held: 100, resetMs: 0 })
      expect(after.own.find(({ unit }) => unit === 'nano_dollars')).toMatchObject({ used: 300, window: 'month' })
      await worker.one(waits)
      expect((await stands()).own.find(({ unit }) => unit === 'running')).toMatchObject({ used: 1, held: 0 })
      // The budget (300 of 9,000) is less full than the tokens, and than the one of three that runs
      const fullest = await opened.engine.operations.fullest(['acme', 'nobody'])
      expect(fullest).toMatchObject([{ ...tenant, unit: 'tokens', limit: 2_000 }, null])
      opened = await opened.reopen('kill')
      // The prompt of the attempt that died is counted
      expect((await stands()).near).toMatchObject([{ level: 'user', name: 'ann', used: 690 }])
      expect(await opened.engine.operations.standing('nobody')).toEqual({
        own: [],
        near: [],
        more: 0,
        isPartial: false,
      })
    },
  },
  {
    name: 'a run tells what it has used of its budget, and holds, whatever becomes of its jobs, and after a restart',
    needs: 'kill',
    async run(open) {
      let opened = await open({})
      const { operations } = opened.engine
      expect(await operations.runUse('acme', 'r')).toBeNull()
      const of = { run: 'r', budget: { tokens: 1_000, steps: 9, nanoDollars: 10_000 } }
      const worker = new TestWorker(opened.engine)
      // One without a budget is counted
      const plain = accepted(await submitOne(opened.engine, post({ run: 'other' })))
      await opened.engine.work.finish(await worker.one(plain), used(10, 3, 40))
      const counted = {
        tokens: { used: 13, held: 0 },
        requests: { used: 1, held: 0 },
        nano_dollars: { used: 40, held: 0 },
      }
      expect(await operations.runUse('acme', 'other')).toEqual(counted)
      const [first, second] = [
        await submitOne(opened.engine, post(of)),
        await submitOne(opened.engine, post({ ...of, promptTokens: 50 })),
      ].map(accepted)
      await opened.engine.work.finish(await worker.one(first), used(100, 20, 300))
      const spent = {
        tokens: { used: 120, held: 60 },
        requests: { used: 1, held: 1 },
        nano_dollars: { used: 300, held: 0 },
      }
      expect(await operations.runUse('acme', 'r')).toEqual(spent)
      await opened.engine.jobs.erase(first.id)
      expect(await operations.runUse('acme', 'r')).toEqual(spent)
      expect(await operations.runUse('other', 'r')).toBeNull()
      opened = await opened.reopen('kill')
      expect(await opened.engine.operations.runUse('acme', 'r')).toEqual(spent)
      await opened.engine.jobs.cancel(second.id)
      expect((await opened.engine.operations.runUse('acme', 'r'))?.tokens).toEqual({ used: 120, held: 0 })
    },
  },
  {
    name: 'an erased tenant has used nothing, now and after a restart, whatever others do next',
    needs: 'kill',
    async run(open) {
      const eachUser = level({ rates: [rate('tokens', 1_000)] })
      const { tenants } = limited({ all: level({ rates: [rate('tokens', 5_000)] }), eachUser })
      let opened = await open({ limits: { ...NO_LIMITS, tenants: { ...tenants, globex: { ...NONE, eachUser } } } })
      const worker = new TestWorker(opened.engine)
      const end = async (options: DraftOptions): Promise<void> => {
        const job = accepted(await submitOne(opened.engine, post(options)))
        await opened.engine.work.finish(await worker.one(job), used(500, 100))
      }
      await end({ user: 'ann' })
      // Held, and given back: no commit has the level as it is now
      const { id } = accepted(await submitOne(opened.engine, post({ user: 'ann', promptTokens: 50 })))
      await opened.engine.jobs.cancel(id)
      await opened.engine.eraseTenant('acme')
      await end({ tenant: 'globex', user: 'ann' })
      expect(await left(opened.engine, 'tokens', { user: 'ann' })).toBe(1_000)
      expect(await left(opened.engine, 'tokens')).toBe(5_000)
      for (let restarts = 0; restarts < 2; restarts++) {
        opened = await opened.reopen('kill')
        expect(await left(opened.engine, 'tokens', { user: 'ann' })).toBe(1_000)
        expect(await left(opened.engine, 'tokens')).toBe(5_000)
        expect(await left(opened.engine, 'tokens', { tenant: 'globex', user: 'ann' })).toBe(400)
      }
    },
  },
]
