/** What is stored of jobs, many in one round trip, and as their clients see it. */
import { SluiceError } from '../../../core/errors.ts'
import { jobOrder } from '../../../core/ids.ts'
import type { Job, JobId, JobState, Place } from '../../../core/job.ts'
import type { Ground } from '../bus/ground.ts'
import { storageError } from '../client/errors.ts'
import {
  type EndedRow,
  endedJob,
  type LiveRow,
  liveJob,
  type RunRow,
  readEnded,
  readLive,
  readRun,
} from '../protocol/rows.ts'
import { Gathered } from './gathered.ts'

/** A job that has not ended. `epoch`: of logs, now. */
export interface StoredLive {
  readonly kind: 'live'
  readonly row: LiveRow
  readonly run: RunRow | null
  readonly epoch: number
}

export type Stored =
  | StoredLive
  | { readonly kind: 'ended'; readonly row: EndedRow }
  /** It is there, and can't be read. */
  | { readonly kind: 'damaged' }

/** What the coordinator knows of a job that has not ended. */
export interface Look {
  readonly id: JobId
  readonly state: JobState
  readonly attempts: number
  readonly place: Place | null
}

const ROWS_AT_ONCE = 200
const LOOKS_AT_ONCE = 500
/** Without a coordinator, a job is shown by what is stored of it. */
const LOOK_MS = 2_000

export class Rows {
  readonly #ground: Ground
  readonly #stored: Gathered<JobId, Stored | null>
  readonly #looks: Gathered<JobId, Look | null>

  constructor(ground: Ground) {
    this.#ground = ground
    this.#stored = new Gathered(ROWS_AT_ONCE, (ids) => this.#read(ids))
    this.#looks = new Gathered(LOOKS_AT_ONCE, (ids) => this.#ask(ids))
  }

  /** Null: there is no such job. Rejects with storage_unavailable. */
  async stored(id: JobId): Promise<Stored | null> {
    return jobOrder(id) === null ? null : this.#stored.get(id)
  }

  /** Null: the coordinator does not have it: it ended. Rejects with storage_unavailable. */
  look(id: JobId): Promise<Look | null> {
    return this.#looks.get(id)
  }

  /** Without its body. Throws job_damaged. */
  async job(id: JobId): Promise<Job | null> {
    const stored = await this.stored(id)
    return stored?.kind === 'live' ? this.#live(id, stored) : shown(id, stored)
  }

  async #live(id: JobId, stored: StoredLive): Promise<Job | null> {
    // Whether it runs is stored; how it waits, only the coordinator knows
    if (isLeased(stored)) return liveOf(stored, 'leased')
    const looked = await this.#lookSoon(id)
    if (looked === 'unknown') return liveOf(stored, this.#waits(stored))
    if (looked !== null) return { ...liveOf(stored, looked.state), attempts: looked.attempts }
    const again = await this.stored(id)
    return again?.kind === 'live' ? liveOf(again, isLeased(again) ? 'leased' : this.#waits(again)) : shown(id, again)
  }

  #lookSoon(id: JobId): Promise<Look | null | 'unknown'> {
    return new Promise((done) => {
      const giveUp = this.#ground.clock.after(LOOK_MS, () => done('unknown'))
      this.look(id)
        .then(done, () => done('unknown'))
        .finally(giveUp)
    })
  }

  #waits({ row, run }: StoredLive): JobState {
    const notBeforeMs = Math.max(run?.notBeforeAtMs ?? 0, row.acceptedAtMs + (row.facts.options.delayMs ?? 0))
    return notBeforeMs > this.#ground.time.nowMs() ? 'delayed' : 'queued'
  }

  async #read(ids: readonly JobId[]): Promise<ReadonlyArray<Stored | null>> {
    try {
      const [epochs, ...texts] = (await this.#ground.scripts.run('jobs-get', ids)) as readonly string[]
      const epoch = Number.parseInt(epochs, 10)
      return ids.map((_, i) => {
        const [live, run, ended] = texts.slice(3 * i, 3 * i + 3)
        if (ended !== '') {
          const row = readEnded(ended)
          return row === null ? { kind: 'damaged' } : { kind: 'ended', row }
        }
        if (live === '') return null
        const row = readLive(live)
        if (row === null) return { kind: 'damaged' }
        return { kind: 'live', row, run: run === '' ? null : readRun(run), epoch: epoch > 0 ? epoch : row.epoch }
      })
    } catch (error) {
      throw storageError(error)
    }
  }

  async #ask(ids: readonly JobId[]): Promise<ReadonlyArray<Look | null>> {
    const looks = await this.#ground.bus.ask({ type: 'look', ids })
    const byId = new Map(looks.map((look) => [look.id, look]))
    return ids.map((id) => byId.get(id) ?? null)
  }
}

export const isLeased = ({ run }: StoredLive): boolean => run !== null && run.attempt > 0

export const liveOf = ({ row, run, epoch }: StoredLive, state: JobState): Job => ({
  ...liveJob(row, state, run === null ? 0 : Math.max(run.attempt, run.tally.attempts)),
  epoch,
})

/** Throws job_damaged. */
function shown(id: JobId, stored: Stored | null): Job | null {
  if (stored === null) return null
  if (stored.kind === 'ended') return endedJob(stored.row)
  throw new SluiceError('job_damaged', { message: `What is stored of ${id} in Redis is damaged, and is not served.` })
}
