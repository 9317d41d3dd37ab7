/** What must go on after a move, whichever way it goes. Cases are functions, for planted bugs to be shown to them. */
import { expect } from 'vitest'
import { SluiceError } from '../../src/core/errors.ts'
import { jobOrder } from '../../src/core/ids.ts'
import type { Job } from '../../src/core/job.ts'
import { type LimitSettings, NO_LIMITS, type Standing } from '../../src/core/limits.ts'
import {
  accepted,
  DONE,
  draft,
  eventually,
  pass,
  readAll,
  runJob,
  type Settings,
  submit,
  TestWorker,
} from '../conformance/harness.ts'
import { type Bend, move, type Process, type Side } from './sides.ts'

export const HOUR_MS = 3_600_000
const MINUTE_MS = 60_000
export const message = (text: string, role = 'user'): string => JSON.stringify({ role, content: text })
export const body = (...messages: readonly string[]): string => `{"model":"m","messages":[${messages.join(',')}]}`
export const chunk = (text: string): string =>
  `{"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"${text}"}}]}`

export interface MoveCase {
  readonly name: string
  run(from: Side, to: Side, bend?: Bend): Promise<void>
}

/** Runs `first` on one side, moves everything, and runs `then` on the other one with what `first` returned. */
async function moved<T>(
  from: Side,
  to: Side,
  bend: Bend | undefined,
  first: (process: Process) => Promise<T>,
  then: (process: Process, before: T) => Promise<void>,
  settings: Settings = {},
): Promise<void> {
  const before = await from.open(settings)
  const found = await first(before).finally(() => before.close())
  await move(from, to, bend)
  const after = await to.open(settings)
  await then(after, found).finally(() => after.close())
}

/** Of `acme`, so slow that a test sees nothing of it. */
const LIMITS: LimitSettings = {
  ...NO_LIMITS,
  tenants: {
    acme: {
      all: {
        rates: [{ unit: 'tokens', burst: 10_000, perSecond: 1e-6, whenOut: 'debt', oversize: 'refuse' }],
        budgets: [{ window: 'month', nanoDollars: 1_000_000, whenOut: 'cut' }],
        concurrent: null,
      },
      eachUser: null,
      eachRun: null,
      eachKey: null,
      models: {},
    },
  },
}

/** What is left, by unit, as a job that is refused nothing is told. */
async function leftOf({ engine }: Process): Promise<readonly unknown[]> {
  const [submitted] = await engine.submissions.submit([draft({ promptTokens: 0, maxOutputTokens: 0 })])
  await engine.jobs.cancel(accepted(submitted).id)
  const { standing = [] } = submitted as { readonly standing?: Standing }
  return standing.map(({ level, unit, left }) => [level, unit, Math.round(left)])
}

export const MOVE_CASES: readonly MoveCase[] = [
  {
    name: 'what was used of limits is used, and what waits holds what it held',
    async run(from, to, bend) {
      const price = { input: 100, output: 100 }
      await moved(
        from,
        to,
        bend,
        async (process) => {
          const { engine } = process
          const cost = { nanoDollars: 400_000, priceVersion: null }
          const usage = { promptTokens: 900, completionTokens: 100, estimated: false }
          await runJob(engine, new TestWorker(engine), { price }, [chunk('a')], { ...DONE, usage, cost })
          const held = { promptTokens: 500, maxOutputTokens: 100, price, options: { policy: 'reject' } } as const
          accepted((await engine.submissions.submit([draft(held)]))[0])
          return leftOf(process)
        },
        async (process, left) => {
          expect(left).toEqual([
            ['tenant', 'tokens', 10_000 - 1_000 - 600],
            ['tenant', 'nano_dollars', 1_000_000 - 400_000 - 60_000],
          ])
          expect(await leftOf(process)).toEqual(left)
        },
        { limits: LIMITS },
      )
    },
  },
  {
    name: 'the jobs of a run are found by it, those that wait and those that ended',
    async run(from, to, bend) {
      await moved(
        from,
        to,
        bend,
        async ({ engine }) => {
          const ended = await runJob(engine, new TestWorker(engine), { run: 'r' })
          return [(await submit(engine, { run: 'r' })).id, ended.id]
        },
        async ({ engine }, ids) => {
          const found = await engine.jobs.list({ tenant: 'acme', run: 'r', limit: 10 })
          expect(found.map(({ id }) => id)).toEqual(ids)
        },
      )
    },
  },
  {
    name: 'a lane goes on in its order, and an attempt with the next number',
    async run(from, to, bend) {
      const lane = { lane: 'l' }
      await moved(
        from,
        to,
        bend,
        async ({ engine }) => {
          const worker = new TestWorker(engine)
          const first = await submit(engine, { options: lane })
          const rest = [await submit(engine, { options: lane }), await submit(engine, { options: lane })]
          const lease = await worker.one(first)
          engine.log.open(lease).append([chunk('half')], 1, true)
          await engine.log.open(lease).flushed()
          await engine.work.finish(lease, { kind: 'released', ttftMs: 5 })
          return [first, ...rest]
        },
        async ({ engine }, jobs) => {
          const worker = new TestWorker(engine)
          for (const [i, job] of jobs.entries()) {
            const lease = await worker.one(job)
            expect([lease.attempt, lease.log.head]).toEqual(i === 0 ? [2, 1] : [1, 0])
            engine.log.open(lease).append([chunk('rest')], 1, true)
            await engine.work.finish(lease, DONE)
          }
          expect((await readAll(engine, jobs[0].id)).records.slice(0, 2)).toEqual([chunk('half'), chunk('rest')])
        },
      )
    },
  },
  {
    name: 'delays, deadlines and attempts that failed are what was left of them',
    async run(from, to, bend) {
      await moved(
        from,
        to,
        bend,
        async (process) => {
          const { engine } = process
          const worker = new TestWorker(engine)
          const late = await submit(engine, { options: { delayMs: 4 * MINUTE_MS, deadlineMs: HOUR_MS } })
          const short = await submit(engine, { options: { deadlineMs: 4 * MINUTE_MS, lane: 'held' } })
          const tried = await submit(engine, { options: { lane: 'tried' } })
          await engine.operations.pause({ lane: 'held', tenant: 'acme' })
          const failed = { kind: 'failed', error: new SluiceError('provider_unreachable'), retry: true } as const
          expect(await engine.work.finish(await worker.one(tried), failed)).toMatchObject({ kind: 'again' })
          await pass(process, 2 * MINUTE_MS)
          expect(await engine.work.finish(await worker.one(tried), failed)).toMatchObject({ kind: 'again' })
          return { late, short, tried }
        },
        async (process, { late, short, tried }) => {
          const { engine } = process
          const worker = new TestWorker(engine)
          await pass(process, 2_000)
          const failed = { kind: 'failed', error: new SluiceError('provider_unreachable'), retry: true } as const
          // The third of three
          expect(await engine.work.finish(await worker.one(tried), failed)).toEqual({
            kind: 'ended',
            state: 'failed',
          })
          expect((await engine.jobs.get(late.id))?.state).toBe('delayed')
          expect((await engine.jobs.get(short.id))?.state).toBe('queued')
          await pass(process, 2 * MINUTE_MS - 20_000)
          expect((await engine.jobs.get(late.id))?.state).toBe('delayed')
          expect((await engine.jobs.get(short.id))?.state).toBe('queued')
          await pass(process, 20_000)
          await eventually(async () => expect((await engine.jobs.get(short.id))?.state).toBe('expired'))
          expect((await worker.one(late)).attempt).toBe(1)
        },
      )
    },
  },
  {
    name: "a cursor goes on exactly, or is told; the target's own text has an epoch of its own",
    async run(from, to, bend) {
      await moved(
        from,
        to,
        bend,
        async ({ engine }) => {
          const worker = new TestWorker(engine)
          const over = await runJob(engine, worker, {}, [chunk('a'), chunk('b')])
          const job = await submit(engine)
          const lease = await worker.one(job)
          const writer = engine.log.open(lease)
          writer.append([chunk('shown'), chunk('here')], 2, true)
          await writer.flushed()
          const cursor = { epoch: writer.epoch, seq: 2 }
          await engine.work.finish(lease, { kind: 'released' })
          return { over, overEpoch: (await readAll(engine, over.id)).epoch, job, cursor }
        },
        async ({ engine }, { over, overEpoch, job, cursor }) => {
          expect((await readAll(engine, over.id)).epoch).toBe(overEpoch)
          const lease = await new TestWorker(engine).one(job)
          expect(lease.log.epoch).not.toBe(cursor.epoch)
          const writer = engine.log.open(lease)
          writer.append([chunk('shown only there')], 1, true)
          await writer.flushed()
          // What the source showed is good for ever; what it may have shown after that is not known here
          expect(await engine.log.commonWith(job.id, cursor.epoch)).toBe(2)
          expect(await engine.log.commonWith(job.id, cursor.epoch + 1)).toBe(0)
          const page = await engine.log.read(job.id, 1, 1 << 20)
          expect([page!.epoch, page!.records]).toEqual([cursor.epoch, [chunk('here')]])
        },
      )
    },
  },
  {
    name: 'idempotency keys and retries join what was moved; cancels and revoked keys are remembered',
    async run(from, to, bend) {
      const keyed = draft({ options: { idempotencyKey: 'once' } })
      const waits = draft({ options: { idempotencyKey: 'waits', lane: 'l' } })
      const posted = draft({ options: { onDisconnect: 'cancel' } })
      await moved(
        from,
        to,
        bend,
        async ({ engine }) => {
          const worker = new TestWorker(engine)
          const [done] = await Promise.all([submit(engine, keyed as object)])
          await engine.work.finish(await worker.one(done), DONE)
          const post = await submit(engine, posted as object)
          await engine.work.finish(await worker.one(post), DONE)
          const running = await submit(engine, { options: { lane: 'l' } })
          await worker.one(running)
          const waiting = await submit(engine, waits as object)
          expect(await engine.jobs.cancel(running.id)).toEqual({ kind: 'canceling' })
          await engine.keys.add({ id: 'k', tenant: 'acme', name: '', hint: 'h', createdAtMs: 1 }, 'd')
          await engine.keys.revoke('k', 9)
          return { done, post, running, waiting }
        },
        async ({ engine }, { done, post, running, waiting }) => {
          await eventually(async () => expect((await engine.jobs.get(running.id))?.state).toBe('canceled'))
          const joined = async (one: ReturnType<typeof draft>) => {
            const [told] = await engine.submissions.submit([one])
            return told.kind === 'joined' ? told.job.id : told.kind
          }
          expect(await joined(keyed)).toBe(done.id)
          expect(await joined(waits)).toBe(waiting.id)
          expect(await joined({ ...posted, isRetry: true })).toBe(post.id)
          const [other] = await engine.submissions.submit([{ ...keyed, bodyHash: 'another' }])
          expect(other).toMatchObject({ kind: 'refused', error: { code: 'idempotency_conflict' } })
          expect(engine.keys.find('d')?.revokedAtMs).toBe(9)
          const [next] = await engine.submissions.submit([draft()])
          const order = (id: string): number => jobOrder(id)!
          expect(order(accepted(next).id)).toBeGreaterThan(
            Math.max(...[done, post, running, waiting].map((j) => order(j.id))),
          )
        },
      )
    },
  },
  {
    name: 'a conversation goes on after its last turn, and its pages go on from any turn',
    async run(from, to, bend) {
      const chat = { conversation: 'c' }
      await moved(
        from,
        to,
        bend,
        async ({ engine }) => {
          const worker = new TestWorker(engine)
          const turns: Job[] = []
          for (let i = 0; i < 5; i++)
            turns.push(await runJob(engine, worker, { options: chat, body: body(message(`${i}`)) }))
          return turns
        },
        async ({ engine }, turns) => {
          const last = await runJob(engine, new TestWorker(engine), { options: chat, body: body(message('last')) })
          const all = [...turns, last].map(({ id }) => id)
          for (const direction of ['oldest', 'newest'] as const) {
            const found: string[] = []
            for (let beyond: string | undefined; ; ) {
              const page = await engine.conversations.turns('acme', 'c', {
                from: direction,
                limit: 2,
                maxBytes: 1 << 20,
                ...(beyond !== undefined && { beyond }),
              })
              found.push(...page!.turns.map(({ job }) => job))
              if (!page!.more) break
              beyond = found.at(-1)
            }
            expect(found).toEqual(direction === 'oldest' ? all : [...all].reverse())
          }
          await engine.jobs.erase(turns[1].id)
          expect(await engine.jobs.get(turns[1].id)).toBeNull()
          expect(await engine.conversations.truncate('acme', 'c', 2)).toBe(true)
          const page = await engine.conversations.turns('acme', 'c', { from: 'oldest', limit: 9, maxBytes: 1 << 20 })
          expect(page!.turns.map(({ job }) => job)).toEqual([turns[0].id, turns[2].id])
        },
      )
    },
  },
]
