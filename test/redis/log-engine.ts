/** As much of an engine as the suite of the token log asks for, on a LogFleet of one process. */
import type { Job, JobId } from '../../src/core/job.ts'
import type { Engine } from '../../src/core/ports/engine.ts'
import { FENCED, type Lease, type Worker } from '../../src/core/ports/work.ts'
import type { Open } from '../conformance/harness.ts'
import { leapClock } from '../conformance/harness.ts'
import { LogFleet, type LogProcess } from './log-fleet.ts'

interface Entry {
  readonly job: Job
  state: Job['state']
  attempt: number
  holder: Seat | null
}

interface Seat {
  readonly worker: Worker
  slots: number
}

export const logEngine =
  (port: number, url: string): Open =>
  async () => {
    const fleet = new LogFleet(port)
    await fleet.redis.flushall()
    const process = await fleet.join(url)
    return {
      engine: engineOf(fleet, process),
      clock: leapClock(),
      facts: [],
      reopen: () => Promise.reject(new Error('not here')),
      async close() {
        fleet.close()
      },
    }
  }

function engineOf(fleet: LogFleet, process: LogProcess): Engine {
  const jobs = new Map<JobId, Entry>()
  const seats: Seat[] = []
  let turn: Promise<unknown> = Promise.resolve()
  /** One after the other, as a coordinator decides. */
  const decide = <T>(what: () => Promise<T>): Promise<T> => {
    const decided = turn.then(what)
    turn = decided.catch(() => {})
    return decided
  }

  async function assign(): Promise<void> {
    for (const seat of seats)
      for (const entry of jobs.values()) {
        const held = [...jobs.values()].filter(({ holder }) => holder === seat).length
        if (entry.state !== 'queued' || held >= seat.slots) continue
        entry.state = 'leased'
        entry.holder = seat
        const log = await fleet.lease(entry.job.id, ++entry.attempt, process.name)
        process.logs.begin(entry.job.id, entry.attempt, log)
        seat.worker.leased([{ job: entry.job, attempt: entry.attempt, log } as Lease])
      }
  }

  const engine = {
    log: process.logs,
    submissions: {
      async submit(drafts: readonly object[]) {
        const accepted = drafts.map(async (draft) => {
          const job = { ...draft, id: await fleet.accept(), state: 'queued', epoch: 1 } as Job
          jobs.set(job.id, { job, state: 'queued', attempt: 0, holder: null })
          return { kind: 'accepted', job }
        })
        return Promise.all(accepted)
      },
    },
    jobs: {
      async get(id: JobId) {
        const entry = jobs.get(id)
        return entry === undefined ? null : { ...entry.job, state: entry.state }
      },
    },
    operations: { resume: () => decide(assign) },
    work: {
      attach(worker: Worker) {
        const seat: Seat = { worker, slots: worker.slots }
        seats.push(seat)
        return {
          heartbeat() {},
          resize(slots: number) {
            seat.slots = slots
            if (slots > 0) void decide(assign)
          },
          leave() {
            const held = [...jobs.values()].filter(({ holder }) => holder === seat)
            const settled = held.map(({ job, attempt }) => process.logs.settle(job.id, attempt))
            return decide(async () => {
              await Promise.all(settled)
              for (const entry of held) {
                await fleet.unlease(entry.job.id)
                process.logs.fence(entry.job.id, entry.attempt)
                entry.state = 'queued'
                entry.holder = null
              }
            })
          },
        }
      },
      async finish({ job, attempt }: Lease) {
        if ((await process.logs.store(job.id, attempt, '[]')) === 'fenced') return FENCED
        const entry = jobs.get(job.id)!
        await process.end(job.id)
        process.logs.fence(job.id, attempt)
        entry.state = 'done'
        entry.holder = null
        return { kind: 'ended', state: 'done' }
      },
    },
  }
  return engine as unknown as Engine
}
