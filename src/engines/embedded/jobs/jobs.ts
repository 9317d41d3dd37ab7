/** Jobs as rows: written at submit and once at the end, and how they read back. */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { SluiceError } from '../../../core/errors.ts'
import type { Job, JobDraft, JobId, JobState, TenantId } from '../../../core/job.ts'
import type { Amounts } from '../../../core/limits.ts'
import type { FailedAt, Tally } from '../../../core/ports/coordinator.ts'
import type { End } from '../../../core/record.ts'
import { checksumOf, damagedJob, expectIntact, parseIntact } from '../disk/checksum.ts'
import type { Positions } from '../disk/positions.ts'
import type { LiveLog } from '../log/live-log.ts'
import { withDialect } from './older.ts'

/** What of a submitted job has no column of its own. */
type JobFacts = Omit<JobDraft, 'tenant' | 'model' | 'body' | 'isRetry'> & Pick<Job, 'acceptedAtMs' | 'cached'>
/** By name: to copy what is left of a job without the others costs more than all else of its row. */
export const factsOf = (job: JobFacts): { readonly [K in keyof Required<JobFacts>]: JobFacts[K] | undefined } => ({
  keyId: job.keyId,
  user: job.user,
  session: job.session,
  kind: job.kind,
  bodyHash: job.bodyHash,
  options: job.options,
  dialect: job.dialect,
  shownAs: job.shownAs,
  takesBack: job.takesBack,
  hidesThought: job.hidesThought,
  document: job.document,
  promptTokens: job.promptTokens,
  maxOutputTokens: job.maxOutputTokens,
  route: job.route,
  run: job.run,
  parent: job.parent,
  after: job.after,
  outputs: job.outputs,
  price: job.price,
  share: job.share,
  needs: job.needs,
  affinity: job.affinity,
  instead: job.instead,
  cached: job.cached,
  webhook: job.webhook,
  tells: job.tells,
  metadata: job.metadata,
  budget: job.budget,
  depth: job.depth,
  requestId: job.requestId,
  admissionMs: job.admissionMs,
  trace: job.trace,
  intake: job.intake,
  redriveOf: job.redriveOf,
  acceptedAtMs: job.acceptedAtMs,
})

export interface JobRow {
  readonly id: string
  readonly tenant: string
  readonly model: string
  readonly facts: string
  /** Null, as all below: it has not ended. */
  readonly state: string | null
  readonly endedAt: number | null
  readonly epoch: number | null
  readonly attempts: number | null
  readonly result: string | null
}

export const COLUMNS =
  'j.id AS id, j.tenant AS tenant, j.model AS model, j.facts AS facts, r.state AS state, r.ended_at AS endedAt,' +
  ' r.epoch AS epoch, r.attempts AS attempts, r.facts AS result'
const SELECT = `SELECT ${COLUMNS} FROM jobs j LEFT JOIN results r ON r.ord = j.ord`

/** Begins the keys in `meta` of jobs to be canceled. */
export const CANCEL = 'cancel '

export const NO_BODY = new Uint8Array(0)

/** A job without a result reads as queued, of epoch 1. Its body is left out. Throws job_damaged. */
export function toJob(row: JobRow): Job {
  const what = `What is stored of ${row.id}`
  const facts = parseIntact<JobFacts>(what, row.facts)
  if (typeof facts?.options !== 'object') throw damagedJob(what)
  return {
    ...withDialect(facts),
    ...(row.result === null ? undefined : toldOf(parseIntact<End>(what, row.result))),
    id: row.id,
    tenant: row.tenant,
    model: row.model,
    body: NO_BODY,
    state: (row.state ?? 'queued') as JobState,
    epoch: row.epoch ?? 1,
    attempts: row.attempts ?? 0,
    ...(row.endedAt === null ? undefined : { endedAtMs: row.endedAt }),
  }
}

/** Of an end, what a job shows besides its state. */
const toldOf = ({ error, usage, timing, cut }: End): Pick<Job, 'error' | 'usage' | 'timing' | 'cut'> => ({
  ...(error && { error }),
  ...(usage && { usage }),
  ...(timing && { timing }),
  ...(cut && { cut }),
})

/** As `toJob`; null where it is damaged, which is told. */
export function toJobOrSkip(row: JobRow, warn: (detail: string) => void): Job | null {
  try {
    return toJob(row)
  } catch (error) {
    warn((error as Error).message)
    return null
  }
}

/** What its row is made of. */
interface Accepted {
  readonly job: Job
  readonly log: Pick<LiveLog, 'order'>
  readonly body: Uint8Array
  readonly acceptedAge: number
  /** What it holds while it waits for its first lease; null: nothing. */
  readonly reservation: Amounts | null
}

export class Jobs {
  readonly positions: Positions
  readonly #insert: StatementSync
  readonly #insertOfRun: StatementSync
  readonly #insertResult: StatementSync
  readonly #insertUnfinished: StatementSync
  readonly #updateUnfinished: StatementSync
  readonly #acceptedFrom: StatementSync
  readonly #range: StatementSync
  readonly #body: StatementSync
  readonly #get: StatementSync
  readonly #byKey: StatementSync
  readonly #removals: readonly StatementSync[]
  readonly #deleteUnfinished: StatementSync
  readonly #noteCancel: StatementSync
  readonly #forgetCancel: StatementSync
  readonly #canceled: StatementSync
  readonly #owner: StatementSync

  constructor(db: DatabaseSync, positions: Positions) {
    this.positions = positions
    this.#insert = db.prepare('INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
    this.#insertOfRun = db.prepare('INSERT INTO run_jobs VALUES (?, ?, ?)')
    this.#insertResult = db.prepare(
      `INSERT INTO results (ord, state, ended_at, ended_age, epoch, attempts, facts, records, parts, log, checksum)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    this.#insertUnfinished = db.prepare('INSERT INTO unfinished VALUES (?, 0, 0, 0, 0, 0, NULL, NULL, 0, ?, NULL)')
    this.#updateUnfinished = db.prepare(
      'UPDATE unfinished SET attempts = ?, fails = ?, deaths = ?, crashes = ?, not_before_age = ?, ttft = ?,' +
        ' failed_at = ?, ran = ?, reservation = NULL, unbooked = NULL WHERE ord = ?',
    )
    this.#acceptedFrom = db.prepare('SELECT ord, accepted_age AS age FROM jobs WHERE ord >= ? ORDER BY ord LIMIT 1')
    this.#range = db.prepare('SELECT (SELECT min(ord) FROM jobs) AS first, (SELECT max(ord) FROM jobs) AS last')
    this.#deleteUnfinished = db.prepare('DELETE FROM unfinished WHERE ord = ?')
    // Where it ended meanwhile there is nothing to note
    this.#noteCancel = db.prepare("INSERT OR REPLACE INTO meta SELECT ?, '' FROM unfinished WHERE ord = ?")
    this.#forgetCancel = db.prepare('DELETE FROM meta WHERE key = ?')
    this.#canceled = db.prepare(`SELECT key FROM meta WHERE key > '${CANCEL}' AND key < '${CANCEL}:'`)
    this.#owner = db.prepare('SELECT id, tenant, conversation FROM jobs WHERE ord = ?')
    this.#body = db.prepare('SELECT id, body, checksum FROM jobs WHERE ord = ?')
    this.#get = db.prepare(`${SELECT} WHERE j.ord = ?`)
    this.#byKey = db.prepare(`${SELECT} WHERE j.tenant = ? AND j.idem = ?`)
    this.#removals = ['jobs', 'results', 'parts', 'run_jobs'].map((table) =>
      db.prepare(`DELETE FROM ${table} WHERE ord = ?`),
    )
  }

  /** `hasEnded`: its result follows in the same transaction. */
  insert({ job, log, body, acceptedAge, reservation }: Accepted, hasEnded: boolean): void {
    const { id, tenant, model, options } = job
    this.#insert.run(
      log.order,
      id,
      tenant,
      options.idempotencyKey ?? null,
      model,
      options.lane ?? null,
      options.conversation ?? null,
      acceptedAge,
      JSON.stringify(factsOf(job)),
      body,
      checksumOf(body, body.length),
    )
    if (job.run !== undefined) this.#insertOfRun.run(log.order, tenant, job.run)
    if (!hasEnded) this.#insertUnfinished.run(log.order, reservation === null ? null : JSON.stringify(reservation))
  }

  /** `end`: JSON. Returns how many bytes it wrote, about. */
  insertResult(
    log: LiveLog,
    attempts: number,
    state: JobState,
    end: string,
    endedAtMs: number,
    endedAge: number,
  ): number {
    const data = Buffer.from(log.whole(), 'latin1')
    if (!log.held) this.#deleteUnfinished.run(log.order)
    this.#insertResult.run(
      log.order,
      state,
      endedAtMs,
      endedAge,
      log.epoch,
      attempts,
      end,
      log.taken,
      log.parts.length,
      data,
      checksumOf(data, log.taken),
    )
    return data.length
  }

  /** It goes back in line. */
  comeBack(order: number, tally: Tally, failedAt: FailedAt, notBeforeAge: number): void {
    const { attempts, fails, deaths, crashes, ranMs, ttftMs } = tally
    const places = failedAt.length === 0 ? null : JSON.stringify(failedAt)
    this.#updateUnfinished.run(attempts, fails, deaths, crashes, notBeforeAge, ttftMs, places, ranMs, order)
  }

  /** The first order that was accepted after this age, or more than all: jobs are in order of acceptance. */
  acceptedAfter(age: number): number {
    const range = this.#range.get() as { first: number | null; last: number | null }
    let [low, high] = [range.first ?? 0, (range.last ?? 0) + 1]
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      const row = this.#acceptedFrom.get(middle) as { ord: number; age: number } | undefined
      if (row === undefined || row.age > age) high = middle
      else low = row.ord + 1
    }
    return low
  }

  /** Empty when there is no such job. Throws job_damaged. */
  body(order: number): Uint8Array {
    const row = this.#body.get(order) as { id: JobId; body: Uint8Array; checksum: number | null } | undefined
    if (row === undefined) return NO_BODY
    expectIntact(`The request of ${row.id}`, row.body, row.body.length, row.checksum)
    return row.body
  }

  get(id: JobId): Job | null {
    const order = this.positions.of(id)
    const row = order === null ? undefined : (this.#get.get(order) as JobRow | undefined)
    return row === undefined || row.id !== id ? null : toJob(row)
  }

  /** Is there a job of this order, whatever its id? */
  has(order: number): boolean {
    return this.#get.get(order) !== undefined
  }

  /** What an erase must know; also of a job whose facts are damaged. */
  ownerOf(id: JobId): { readonly tenant: TenantId; readonly conversation: string | null } | null {
    const row = this.#owner.get(this.positions.of(id)) as
      | { id: string; tenant: string; conversation: string | null }
      | undefined
    return row === undefined || row.id !== id ? null : row
  }

  byKey(tenant: TenantId, key: string): Job | null {
    const row = this.#byKey.get(tenant, key) as JobRow | undefined
    return row === undefined ? null : toJob(row)
  }

  /** It is to be canceled, also if the process dies before its worker has stopped. */
  noteCancel(order: number): void {
    this.#noteCancel.run(CANCEL + order, order)
  }

  /** Inside the transaction of its end. */
  forgetCancel(order: number): void {
    this.#forgetCancel.run(CANCEL + order)
  }

  /** Orders of jobs that were to be canceled when the process died. */
  canceled(): ReadonlySet<number> {
    const rows = this.#canceled.all() as Array<{ key: string }>
    return new Set(rows.map(({ key }) => Number(key.slice(CANCEL.length))))
  }

  /** Takes the job and its log out. */
  remove(order: number): void {
    for (const removal of this.#removals) removal.run(order)
    this.positions.forget(order)
  }
}

/** Its worker ends a damaged one: those that are leased with it are not to suffer for it. */
export function bodyOf(jobs: Jobs, order: number): { readonly body: Uint8Array; readonly damaged?: SluiceError } {
  try {
    return { body: jobs.body(order) }
  } catch (thrown) {
    return { body: NO_BODY, damaged: SluiceError.from(thrown) }
  }
}

/** A damaged request has no messages to remember, and ends all the same. */
export function bodyOrNone(jobs: Jobs, order: number): Uint8Array {
  const { body, damaged } = bodyOf(jobs, order)
  return damaged === undefined ? body : Buffer.from('{}')
}
