/**
 * Held by every engine: the wall clock changes no order, identity, delay, deadline or retention (P1), and
 * what kills a worker is found without blaming those that ran beside it.
 */
import { expect } from 'vitest'
import { SluiceError } from '../../src/core/errors.ts'
import { isTerminal, type Job, type JobId } from '../../src/core/job.ts'
import { depth } from '../depth.ts'
import {
  accepted,
  type Case,
  DONE,
  draft,
  eventually,
  type Opened,
  pass,
  runJob,
  submit,
  TestWorker,
} from './harness.ts'
import { model } from './settings.ts'

const HOUR_MS = 3_600_000
const TEN_YEARS_MS = 10 * 365 * 24 * HOUR_MS
/** An hour behind, ten years ahead, right again, before 1970. */
const JUMPS = [-HOUR_MS, TEN_YEARS_MS + HOUR_MS, -TEN_YEARS_MS, -60 * 365 * 24 * HOUR_MS]

async function submitLane(opened: Opened, n: number): Promise<readonly JobId[]> {
  const drafts = Array.from({ length: n }, () => draft({ options: { lane: 'l' } }))
  return (await opened.engine.submissions.submit(drafts)).map((submitted) => accepted(submitted).id)
}

async function listed(opened: Opened): Promise<readonly JobId[]> {
  const ids: JobId[] = []
  for (;;) {
    const page = await opened.engine.jobs.list({ limit: 7, ...(ids.length > 0 && { before: ids.at(-1)! }) })
    ids.push(...page.map((job) => job.id))
    if (page.length < 7) return ids
  }
}

async function runLane(opened: Opened): Promise<readonly JobId[]> {
  const worker = new TestWorker(opened.engine)
  const ran: JobId[] = []
  for (let leases = await worker.lease(); leases.length > 0; leases = await worker.lease()) {
    ran.push(leases[0].job.id)
    await opened.engine.work.finish(leases[0], DONE)
  }
  return ran
}

export const timeCases: readonly Case[] = [
  {
    name: 'order is that of acceptance, however the wall clock jumps while it runs: ids, lists, pages, lanes',
    async run(open) {
      const opened = await open()
      const ids: JobId[] = []
      for (const jump of [0, ...JUMPS]) {
        opened.clock.jumpWall(jump)
        ids.push(...(await submitLane(opened, 5)))
      }
      expect(ids).toEqual(ids.toSorted())
      expect(await listed(opened)).toEqual(ids.toReversed())
      expect(await runLane(opened)).toEqual(ids)
      expect(await listed(opened)).toEqual(ids.toReversed())
    },
  },
  {
    name: 'and however it jumps between two starts',
    needs: 'kill',
    async run(open) {
      let opened = await open()
      const ids: JobId[] = []
      for (const jump of [0, ...JUMPS]) {
        opened = await opened.reopen('kill', () => opened.clock.jumpWall(jump))
        ids.push(...(await submitLane(opened, 5)))
      }
      expect(ids).toEqual(ids.toSorted())
      expect(await listed(opened)).toEqual(ids.toReversed())
      expect(await runLane(opened)).toEqual(ids)
    },
  },
  {
    name: 'the same second lived twice refuses nothing, and gives no id twice',
    needs: 'kill',
    async run(open) {
      let opened = await open()
      const ids = new Set<JobId>()
      for (let life = 0; life < 4; life++) {
        const bornMs = opened.clock.wallMs()
        for (let i = 0; i < 4; i++) for (const id of await submitLane(opened, 50)) ids.add(id)
        opened = await opened.reopen('kill', () => opened.clock.jumpWall(bornMs - opened.clock.wallMs()))
      }
      expect(ids.size).toBe(800)
    },
  },
  {
    name: 'an order is not given again when all jobs of it and after it were erased',
    needs: 'kill',
    async run(open) {
      let opened = await open()
      let last = ''
      for (let life = 0; life < 3; life++) {
        const ids = await submitLane(opened, 10)
        expect(ids[0] > last).toBe(true)
        last = ids.at(-1)!
        for (const id of ids) await opened.engine.jobs.erase(id)
        opened = await opened.reopen('kill', () => opened.clock.jumpWall(-HOUR_MS))
      }
    },
  },
  ...(['kill', 'power'] as const).flatMap((how) =>
    JUMPS.map((jump): Case => {
      return {
        name: `a delay, a deadline and a retry are as long as before (${how}, the clock jumps ${jump / HOUR_MS} h)`,
        needs: how,
        async run(open) {
          const opened = await open()
          const worker = new TestWorker(opened.engine)
          const [delayed, due, retried] = [
            await submit(opened.engine, { options: { delayMs: 60_000, lane: 'd' } }),
            await submit(opened.engine, { model: 'other', options: { deadlineMs: 100_000 } }),
            await submit(opened.engine, { model: 'retried' }),
          ]
          opened.engine.configure([model('retried')])
          const [lease] = await worker.lease(1)
          const error = new SluiceError('provider_error', { retryAfterMs: 50_000 })
          await opened.engine.work.finish(lease, { kind: 'failed', error, retry: true })
          const { engine, clock } = await opened.reopen(how, () => opened.clock.jumpWall(jump))
          const states = async (): Promise<readonly (string | undefined)[]> => {
            const found: (string | undefined)[] = []
            for (const { id } of [delayed, due, retried]) found.push((await engine.jobs.get(id))?.state)
            return found
          }
          expect(await states()).toEqual(['delayed', 'queued', 'delayed'])
          clock.leap(40_000)
          expect(await states()).toEqual(['delayed', 'queued', 'delayed'])
          clock.jumpWall(-2 * jump)
          clock.leap(21_000)
          await eventually(async () => expect(await states()).toEqual(['queued', 'queued', 'queued']))
          clock.leap(40_000)
          await eventually(async () => expect(await states()).toEqual(['queued', 'expired', 'queued']))
        },
      }
    }),
  ),
  {
    name: 'time between two starts of one boot counts, whatever the wall clock says of it',
    needs: 'kill',
    async run(open) {
      const opened = await open()
      const [delayed, due] = [
        await submit(opened.engine, { options: { delayMs: 60_000 } }),
        await submit(opened.engine, { options: { deadlineMs: 60_000 } }),
      ]
      const { engine } = await opened.reopen('kill', () => {
        opened.clock.sleep(61_000)
        opened.clock.jumpWall(-HOUR_MS)
      })
      await eventually(async () => expect((await engine.jobs.get(due.id))?.state).toBe('expired'))
      expect((await engine.jobs.get(delayed.id))?.state).toBe('queued')
    },
  },
  {
    name: 'a jump ahead erases no result, and forgets no join; a jump back keeps none for ever',
    needs: 'kill',
    async run(open) {
      const opened = await open({ retentionMs: 60_000 })
      const post = { body: '{"p":1}', options: { policy: 'reject', onDisconnect: 'cancel' } } as const
      const done = await runJob(opened.engine, new TestWorker(opened.engine), post)
      opened.clock.jumpWall(TEN_YEARS_MS)
      const { engine, clock } = await opened.reopen('kill', () => opened.clock.jumpWall(HOUR_MS))
      const join = async () => (await engine.submissions.submit([draft({ ...post, isRetry: true })]))[0]
      expect(await join()).toMatchObject({ kind: 'joined', job: { id: done.id } })
      clock.leap(11_000)
      await new Promise((swept) => setTimeout(swept, 50))
      expect((await engine.jobs.get(done.id))?.state).toBe('done')
      clock.jumpWall(-TEN_YEARS_MS - 2 * HOUR_MS)
      clock.leap(61_000)
      await eventually(async () => expect(await engine.jobs.get(done.id)).toBeNull())
      expect((await join()).kind).toBe('accepted')
    },
  },
  {
    name: 'no time is negative: a job knows when it was accepted, on the clock that does not jump',
    needs: 'kill',
    async run(open) {
      const opened = await open()
      await submit(opened.engine)
      opened.clock.sleep(5_000)
      const { engine } = await opened.reopen('kill', () => opened.clock.jumpWall(-HOUR_MS))
      const { sinceAcceptedMs } = await new TestWorker(engine).one()
      expect(sinceAcceptedMs).toBeGreaterThanOrEqual(5_000)
      expect(sinceAcceptedMs).toBeLessThan(60_000)
    },
  },

  // ---------------------------------------------------------------- crashes

  {
    name: 'a stop that began blames nobody, even when it is cut short, again and again; attempts are not used up',
    needs: 'kill',
    async run(open) {
      let opened = await open({ maxCrashes: 1, maxAttempts: 2 })
      const job = await submit(opened.engine)
      for (let attempt = 1; attempt <= 5; attempt++) {
        const lease = await new TestWorker(opened.engine).one(job)
        expect(lease).toMatchObject({ attempt, crashes: 0 })
        const { engine } = opened
        engine.draining()
        await runJob(engine, new TestWorker(engine, 'w2')) // a commit after it
        opened = await opened.reopen('kill')
      }
      // The mark is gone: the next death counts
      await new TestWorker(opened.engine).one(job)
      opened = await opened.reopen('kill')
      const lease = await new TestWorker(opened.engine).one(job)
      expect(lease).toMatchObject({ attempt: 7, crashes: 1 })
      const error = new SluiceError('provider_error')
      expect((await opened.engine.work.finish(lease, { kind: 'failed', error, retry: true })).kind).toBe('again')
    },
  },
  {
    name: 'attempts handed back are not failed ones after a restart',
    needs: 'kill',
    async run(open) {
      let opened = await open({ maxAttempts: 2 })
      const job = await submit(opened.engine)
      for (let i = 0; i < 4; i++) {
        const lease = await new TestWorker(opened.engine).one(job)
        await opened.engine.work.finish(lease, { kind: 'released' })
        opened = await opened.reopen('kill')
      }
      const lease = await new TestWorker(opened.engine).one(job)
      const error = new SluiceError('provider_error')
      expect((await opened.engine.work.finish(lease, { kind: 'failed', error, retry: true })).kind).toBe('again')
    },
  },
  {
    name: 'of many that run when the process dies none is blamed; what kills it each time is found, and no other',
    needs: 'kill',
    async run(open) {
      let opened = await open({ maxCrashes: 2 })
      const killer = await submit(opened.engine)
      const innocents: Job[] = []
      let deaths = 0
      for (let life = 0; life < 8; life++) {
        const { engine } = opened
        innocents.push(
          ...(await engine.submissions.submit(Array.from({ length: depth(50, 10) }, () => draft()))).map(accepted),
        )
        const worker = new TestWorker(engine)
        const hasEnded = async (): Promise<boolean> => isTerminal((await engine.jobs.get(killer.id))!.state)
        let leases = await worker.lease(1_000)
        // It may be put back in line, and leased, a moment later than the others
        while (!leases.some((lease) => lease.job.id === killer.id) && !(leases.length === 0 && (await hasEnded()))) {
          await Promise.all(leases.map((lease) => engine.work.finish(lease, DONE)))
          leases = await worker.lease(1_000)
        }
        if (leases.length === 0) break
        deaths++
        opened = await opened.reopen('kill')
        await eventually(async () => expect((await opened.engine.operations.depth()).queued).toBeGreaterThan(0))
      }
      expect(deaths).toBe(5)
      const poisoned = { state: 'failed', error: { code: 'poison_job' } }
      await eventually(async () => expect(await opened.engine.jobs.get(killer.id)).toMatchObject(poisoned))
      for (const { id } of innocents) expect((await opened.engine.jobs.get(id))?.state).not.toBe('failed')
    },
  },
  {
    name: 'no lease runs out for time in which the process did not run',
    async run(open) {
      const { engine, clock } = await open({ leaseMs: 30_000, maxCrashes: 0 })
      const worker = new TestWorker(engine)
      const job = await submit(engine)
      const lease = await worker.one(job)
      for (let i = 0; i < 3; i++) {
        clock.sleep(10 * 60_000)
        await new Promise((turned) => setTimeout(turned, 5))
      }
      expect(worker.revocations).toEqual([])
      expect(await engine.work.finish(lease, DONE)).toEqual({ kind: 'ended', state: 'done' })
      // A worker that is silent while the process runs has lost its lease, as before
      await worker.one(await submit(engine))
      await pass({ engine, clock }, 31_000)
      await eventually(() => expect(worker.revocations).toMatchObject([{ reason: 'lost' }]))
    },
  },
]
