import { expect, test } from 'vitest'
import { readRun } from '../protocol/rows.ts'
import { HeldJob, HeldJobs } from './held.ts'

const ROW = { id: 'job_1', facts: { tenant: 't' }, bodyBytes: 1 } as never
const CLAIM = { deployment: 'd', reservation: null }

test.each([
  [0, undefined],
  [4_000.4, 4_000],
])('a lease is stored with how long it was not its turn, for the next coordinator: %s ms', (turnMs, stored) => {
  const jobs = new HeldJobs()
  const job = new HeldJob(ROW)
  jobs.add(job)
  jobs.lease(job, { worker: 'p.1', attempt: 1, claim: CLAIM, turnMs }, 5, 7)
  const { tally } = new HeldJob(ROW, readRun(job.run()))
  expect(tally.attempts).toBe(1)
  expect(tally.turnMs).toBe(stored)
})
