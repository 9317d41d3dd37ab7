/** Jobs that come after others: over restarts, and where one of those fails. */
import { expect } from 'vitest'
import type { JobId } from '../../src/core/job.ts'
import { accepted, type Case, DONE, draft, eventually, type Opened, submit, TestWorker } from './harness.ts'

async function submitAfter({ engine }: Opened, ...after: JobId[]): Promise<JobId> {
  const [submitted] = await engine.submissions.submit([{ ...draft(), run: 'run', parent: after[0], after }])
  return accepted(submitted).id
}
const stateOf = async ({ engine }: Opened, job: JobId): Promise<string | undefined> =>
  (await engine.jobs.get(job))?.state

export const afterCases: readonly Case[] = [
  {
    name: 'a job is leased when all that it comes after are done, and not before',
    async run(open) {
      const opened = await open()
      const { engine } = opened
      const [a, b] = [await submit(engine), await submit(engine)]
      const both = await submitAfter(opened, a.id, b.id)
      const last = await submitAfter(opened, both)
      expect((await engine.jobs.places([both])).get(both)).toMatchObject({ waitsForJobs: 2 })
      expect(await engine.jobs.get(both)).toMatchObject({ after: [a.id, b.id], parent: a.id, run: 'run' })
      const worker = new TestWorker(engine)
      const [first, second] = await worker.lease()
      expect([first.job.id, second.job.id]).toEqual([a.id, b.id])
      await engine.work.finish(first, DONE)
      expect(await worker.lease()).toEqual([])
      await engine.work.finish(second, DONE)
      const then = await worker.one()
      expect([then.job.id, then.job.after]).toEqual([both, [a.id, b.id]])
      await engine.work.finish(then, DONE)
      expect((await worker.one()).job.id).toBe(last)
    },
  },
  {
    name: 'it waits on over a kill',
    needs: 'kill',
    async run(open) {
      let opened = await open()
      const a = await submit(opened.engine)
      const b = await submitAfter(opened, a.id)
      const c = await submitAfter(opened, b)
      await new TestWorker(opened.engine).one(a)
      opened = await opened.reopen('kill')
      const worker = new TestWorker(opened.engine)
      const again = await worker.one(a)
      expect((await opened.engine.jobs.places([c])).get(c)).toMatchObject({ waitsForJobs: 1 })
      await opened.engine.work.finish(again, DONE)
      // That the first one is done is known from the store alone
      opened = await opened.reopen('kill')
      const [lease] = await new TestWorker(opened.engine).lease()
      expect(lease.job.id).toBe(b)
      expect(await stateOf(opened, c)).toBe('queued')
    },
  },
  {
    name: 'what comes after a job that ends otherwise ends with it, and so does what comes after that',
    async run(open) {
      const opened = await open()
      const a = await submit(opened.engine)
      const b = await submitAfter(opened, a.id)
      const c = await submitAfter(opened, a.id, b)
      const other = await submit(opened.engine)
      await opened.engine.jobs.cancel(a.id)
      await eventually(async () => expect(await stateOf(opened, c)).toBe('failed'))
      expect(await opened.engine.jobs.get(b)).toMatchObject({ state: 'failed', error: { code: 'dependency_failed' } })
      expect(await stateOf(opened, other.id)).toBe('queued')
    },
  },
]
