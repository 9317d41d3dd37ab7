/**
 * Runs of agents: what all jobs of one share beside its limits. A run begins with its first job, or before it, and is
 * kept for a month after its last one. What it may use in tokens, money and steps is the coordinator's to count; depth,
 * the loop guard and that it was canceled are looked at here, before a job is submitted and once it is.
 */
import { hash } from 'node:crypto'
import { SluiceError } from '../../core/errors.ts'
import type { JobDraft, JobId } from '../../core/job.ts'
import type { JsonRecord } from '../../core/json.ts'
import { limitsAt, type RunBudget } from '../../core/limits.ts'
import type { Document, NewDocument } from '../../core/ports/documents.ts'
import { type Caller, shareOf, userOf } from '../caller/caller.ts'
import type { GatewayDeps } from '../deps.ts'
import { RunCounts } from './counts.ts'
import { isCutOff, loopIn } from './steps.ts'

type Deps = Pick<GatewayDeps, 'documents' | 'jobs' | 'limits' | 'conversations' | 'clock' | 'ids' | 'options'>

const DAY_MS = 86_400_000
const KEPT_MS = 30 * DAY_MS
const RENEWED_MS = 15 * DAY_MS
/** Others change it meanwhile. */
const TRIES = 20
/** A chain is no longer than this, whatever the run allows. */
export const MAX_DEPTH = 1_000

export interface OwnBudget extends RunBudget {
  readonly depth?: number
}

/** What its body is. */
export interface Run {
  /** As it is stored: with what its caller's names begin with. */
  readonly name: string
  readonly keyId: string
  readonly user: string | null
  /** Whose runs it is counted with, beside its tenant's; absent: no session's. */
  readonly share?: string
  readonly budget: OwnBudget
  readonly metadata: Readonly<Record<string, string>>
  readonly guarded: boolean
  readonly createdAtMs: number
  readonly canceledAtMs: number | null
  /** Its jobs are still to be ended: those of this key, or, with null, all. Absent: that was done. */
  readonly ending?: { readonly by: string | null }
  /** Its document in the list. */
  readonly entry: string
}

export type Asked = Pick<Run, 'budget' | 'metadata' | 'guarded'>

const PLAIN: Asked = { budget: {}, metadata: {}, guarded: true }

/** A job that was taken. */
export interface Entering {
  readonly id: JobId
  /** It came through a broker, where nobody could look at its run before. */
  readonly isUnseen?: boolean
}

/** What its jobs are submitted with. */
export interface Admission {
  readonly budget?: RunBudget
}

export interface RunOf {
  readonly tenant: string
  readonly run: Run
}

/** Which runs: of all tenants, where none is named; with names that begin so. */
export interface Listed {
  readonly tenant?: string
  readonly prefix: string
}

interface RunList {
  readonly runs: readonly RunOf[]
  readonly next: string | null
}

export class Runs {
  readonly #deps: Deps
  readonly #counts: RunCounts
  /** What is being noted of jobs that were taken, by run. */
  readonly #noting = new Map<string, Promise<void>>()

  constructor(deps: Deps) {
    this.#deps = deps
    this.#counts = new RunCounts(deps.documents, deps.clock)
  }

  // ------------------------------------------------------------ for those who look

  async get(tenant: string, name: string): Promise<Run | null> {
    return runOf(await this.#deps.documents.get('run', idOf(tenant, name)))
  }

  /**
   * Newest first, at most `limit`. `next`: for the page after; null: there is none. No more than MOST_LOOKED entries
   * are looked at: a page may have fewer, and a `next`.
   */
  async list(of: Listed, limit: number, before: string | undefined): Promise<RunList> {
    const { tenant, prefix } = of
    const runs: Array<RunOf> = []
    let from = before
    for (let looked = 0; looked < MOST_LOOKED; looked += PAGE) {
      const range = {
        ...(tenant !== undefined && { tenant }),
        limit: PAGE,
        ...(from !== undefined && { before: from }),
      }
      const page = await this.#deps.documents.list('run_entry', range)
      for (const { id, tenant, body } of page) {
        const name = String(body['name'])
        const run = name.startsWith(prefix) ? await this.get(tenant, name) : null
        if (run?.entry === id) {
          if (runs.length === limit) return { runs, next: from! }
          runs.push({ tenant, run })
        }
        from = id
      }
      if (page.length < PAGE) return { runs, next: null }
    }
    return { runs, next: from ?? null }
  }

  // ------------------------------------------------------------ a run begins

  /** Rejects with run_exists where it is there with another budget or other metadata, and with too_many_runs. */
  async create(caller: Caller, name: string, asked: Asked): Promise<{ run: Run; isNew: boolean }> {
    const made = await this.#open(caller, name, asked)
    if (made.isNew || isSame(made.run, asked)) return made
    throw new SluiceError('run_exists', { param: 'id' })
  }

  async #open(caller: Caller, name: string, asked: Asked): Promise<{ run: Run; isNew: boolean }> {
    const { documents, clock, ids } = this.#deps
    const { tenant, id: keyId } = caller.key
    const known = await this.get(tenant, name)
    if (known !== null) return { run: known, isNew: false }
    const now = clock.wallMs()
    // Sorts by its age
    const entry = `${String(Math.floor(now)).padStart(15, '0')}_${ids.name('r', 8)}`
    const share = shareOf(caller)
    const run: Run = {
      ...(share !== null && { share }),
      ...{ name, keyId, user: userOf(caller), ...asked, createdAtMs: now, canceledAtMs: null },
      entry,
    }
    await this.#take(tenant, run, now + KEPT_MS)
    // First in the list: whoever looks there leaves out what is not begun
    await documents.put(entryOf(tenant, run, now), 0)
    if ((await documents.put(documentOf(tenant, run, now), 0)) !== null) return { run, isNew: true }
    await documents.remove('run_entry', entry, 1)
    for (const owner of ownersOf(run)) await this.#counts.giveBack(tenant, owner, now + KEPT_MS)
    const other = await this.get(tenant, name)
    if (other === null) throw new SluiceError('overloaded')
    return { run: other, isNew: false }
  }

  async #take(tenant: string, run: Run, expiresAtMs: number): Promise<void> {
    const { maxTenantRuns, sessions } = this.#deps.options
    const taken: Array<string | null> = []
    for (const owner of ownersOf(run)) {
      const most = owner === null ? maxTenantRuns : sessions.maxRuns
      if (await this.#counts.take(tenant, owner, expiresAtMs, most)) taken.push(owner)
      else {
        for (const other of taken) await this.#counts.giveBack(tenant, other, expiresAtMs)
        throw new SluiceError('too_many_runs', { param: 'run' })
      }
    }
  }

  // ------------------------------------------------------------ its jobs

  /**
   * May this job be part of it? Rejects with run_canceled, loop_detected, run_budget_exceeded. `opened`: runs that are
   * known already, for many jobs at once.
   */
  async admit(
    caller: Caller,
    job: Pick<JobDraft, 'run' | 'depth' | 'options'>,
    value: JsonRecord,
    opened: Map<string, Promise<Run>>,
  ): Promise<Admission> {
    const { run: name, depth = 1 } = job
    if (name === undefined) {
      checkDepth(depth, MAX_DEPTH)
      return {}
    }
    const { tenant } = caller.key
    const open = opened.get(name) ?? this.#current(caller, name)
    opened.set(name, open)
    const run = await open
    if (run.canceledAtMs !== null) throw new SluiceError('run_canceled', { param: 'run' })
    const set = limitsAt(this.#deps.limits(), 'run', tenant, name)?.depth ?? MAX_DEPTH
    checkDepth(depth, Math.min(MAX_DEPTH, set, run.budget.depth ?? MAX_DEPTH))
    if (run.guarded) await this.#checkLoop(tenant, job.options.conversation, value)
    const { depth: _depth, ...budget } = run.budget
    return Object.keys(budget).length === 0 ? {} : { budget }
  }

  async #checkLoop(tenant: string, conversation: string | undefined, value: JsonRecord): Promise<void> {
    const { messages } = value
    const isOfTurns = conversation !== undefined && isCutOff(value)
    const before = isOfTurns ? await this.#said(tenant, conversation) : []
    const found = loopIn(isOfTurns ? [...before, ...(messages as unknown[])] : messages)
    if (found === null) return
    const advice =
      'End it, or try something else; a run that is meant to repeat itself begins with "loop_guard": false.'
    throw new SluiceError('loop_detected', { param: 'run', message: `${found} ${advice}` })
  }

  /** The newest turns of a conversation, as messages in their order. */
  async #said(tenant: string, conversation: string): Promise<readonly unknown[]> {
    const range = { from: 'newest', limit: MOST_TURNS, maxBytes: MOST_TURN_BYTES } as const
    const page = await this.#deps.conversations.turns(tenant, conversation, range)
    return (page?.turns ?? []).toReversed().flatMap(({ messages, answer }) => {
      const all = JSON.parse(messages) as unknown[]
      return answer === null ? all : [...all, JSON.parse(answer)]
    })
  }

  /** One of its jobs is to be submitted anew. Rejects with run_canceled. */
  async check(tenant: string, name: string): Promise<void> {
    const run = await this.get(tenant, name)
    if (run !== null && run.canceledAtMs !== null) throw new SluiceError('run_canceled')
  }

  async #current(caller: Caller, name: string): Promise<Run> {
    await this.#noting.get(idOf(caller.key.tenant, name))
    return (await this.#open(caller, name, PLAIN)).run
  }

  /** Jobs of it were taken. Nobody waits, but who submits its next one here. */
  entered(tenant: string, name: string, jobs: readonly Entering[], failed: (error: unknown) => void): void {
    const id = idOf(tenant, name)
    const before = this.#noting.get(id) ?? Promise.resolve()
    const noting: Promise<void> = before
      .then(() => this.#note(tenant, name, jobs))
      .catch(failed)
      .finally(() => {
        if (this.#noting.get(id) === noting) this.#noting.delete(id)
      })
    this.#noting.set(id, noting)
  }

  async #note(tenant: string, name: string, jobs: readonly Entering[]): Promise<void> {
    const now = this.#deps.clock.wallMs()
    const run = await this.#change(tenant, name, (run, expiresAtMs) => {
      const isOld = (expiresAtMs ?? Infinity) < now + RENEWED_MS
      return isOld ? { ...run } : run
    })
    if (run === null) return
    // It was canceled since its jobs were let in
    const isOut = run.canceledAtMs !== null
    const isLimited = Object.keys(run.budget).length > 0
    for (const { id, isUnseen = false } of jobs) if (isOut || (isUnseen && isLimited)) await this.#deps.jobs.cancel(id)
  }

  /** From now on its jobs are refused, and those of `by` are to be ended. Null: there is no such run. */
  async cancel(tenant: string, name: string, by: string | null): Promise<Run | null> {
    const now = this.#deps.clock.wallMs()
    return this.#change(tenant, name, (run) => {
      const ending = run.ending?.by === null ? run.ending : { by }
      return { ...run, canceledAtMs: run.canceledAtMs ?? now, ending }
    })
  }

  /** The jobs of `by` were told to end. */
  async ended(tenant: string, name: string, by: string | null): Promise<void> {
    await this.#change(tenant, name, (run) => {
      const { ending, ...rest } = run
      return ending === undefined || ending.by !== by ? run : rest
    })
  }

  /** Those whose jobs are to be ended, by whoever finds them: who began it may be gone. */
  async ending(limit: number): Promise<readonly RunOf[]> {
    const due = await this.#deps.documents.due('run', limit)
    return due.map((document) => ({ tenant: document.tenant, run: runOf(document)! }))
  }

  async #change(
    tenant: string,
    name: string,
    change: (run: Run, expiresAtMs: number | null) => Run,
  ): Promise<Run | null> {
    const { documents, clock } = this.#deps
    for (let i = 0; i < TRIES; i++) {
      const document = await documents.get('run', idOf(tenant, name))
      const run = runOf(document)
      if (document === null || run === null) return null
      const next = change(run, document.expiresAtMs)
      if (next === run) return run
      const now = clock.wallMs()
      if ((await documents.put(documentOf(tenant, next, now), document.version)) === null) continue
      const { expiresAtMs } = document
      if (expiresAtMs !== null && expiresAtMs < now + RENEWED_MS) await this.#renew(tenant, next, expiresAtMs, now)
      return next
    }
    throw new SluiceError('overloaded')
  }

  async #renew(tenant: string, run: Run, expiredMs: number, now: number): Promise<void> {
    const { documents } = this.#deps
    const entry = await documents.get('run_entry', run.entry)
    await documents.put(entryOf(tenant, run, now), entry?.version ?? 0)
    for (const owner of ownersOf(run)) await this.#counts.move(tenant, owner, expiredMs, now + KEPT_MS)
  }
}

const PAGE = 100
/** Of a conversation, looked at for its agent's last steps: a few more than there are such. */
const MOST_TURNS = 16
const MOST_TURN_BYTES = 256 * 1_024
/** Entries: of a tenant with many users, few may be one's own. */
const MOST_LOOKED = 2_000

function checkDepth(depth: number, most: number): void {
  if (depth > most)
    throw new SluiceError('run_budget_exceeded', {
      param: 'parent',
      message: `With this job its chain of parents would be ${depth} jobs long, and this run allows ${most}.`,
    })
}

const isSame = (run: Run, { budget, metadata, guarded }: Asked): boolean =>
  run.guarded === guarded && text(run.budget) === text(budget) && text(run.metadata) === text(metadata)
const text = (of: object): string => JSON.stringify(Object.entries(of).sort(([a], [b]) => (a < b ? -1 : 1)))

/** Its user's count is looked at first, then its tenant's. */
const ownersOf = ({ share }: Run): ReadonlyArray<string | null> => (share === undefined ? [null] : [share, null])

/** Names are clients' own; an id has but a few characters. */
const idOf = (tenant: string, name: string): string => `run_${hash('sha256', `${tenant}\n${name}`, 'hex')}`

const documentOf = (tenant: string, run: Run, now: number): NewDocument => ({
  ...{ kind: 'run', id: idOf(tenant, run.name), tenant, body: run as unknown as JsonRecord },
  // At once, whatever the clock shows at the next start
  ...{ dueAtMs: run.ending === undefined ? null : 0, expiresAtMs: now + KEPT_MS },
})

const entryOf = (tenant: string, { name, entry }: Run, now: number): NewDocument => ({
  ...{ kind: 'run_entry', id: entry, tenant, body: { name } },
  ...{ dueAtMs: null, expiresAtMs: now + KEPT_MS },
})

const runOf = (document: Document | null): Run | null => (document === null ? null : (document.body as unknown as Run))
