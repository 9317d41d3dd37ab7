/** A run with its jobs, as its tenant and an operator read it, and its end. */
import { SluiceError } from '../../core/errors.ts'
import { bad } from '../../core/fields.ts'
import { jobOrder } from '../../core/ids.ts'
import { isTerminal, type Job, type JobId, type JobState, type Usage } from '../../core/job.ts'
import type { JsonRecord } from '../../core/json.ts'
import type { RunUse } from '../../core/limits.ts'
import type { GatewayDeps } from '../deps.ts'
import type { Call } from '../http/call.ts'
import type { Listed, Run, Runs } from './runs.ts'

const PAGE = 100
const MAX_PAGE = 1_000
const RUNS = 20
const MOST_RUNS = 100
/** Of one run, those that its sums are made of; of a list, over all of its runs. */
const MOST_JOBS = 20_000
const MOST_LISTED = 10_000
const LIVE: readonly JobState[] = ['queued', 'delayed', 'waiting', 'leased']
export const NANO = 1e9

export interface RunReads {
  /** With its sums, and the page of its jobs that the query asks for. Rejects with invalid_request. */
  page(run: Run, tenant: string, prefix: string, call: Pick<Call, 'integer' | 'parameter'>): Promise<JsonRecord>
  /** The page that the query asks for, newest first, each with its sums, and its tenant where that is told. */
  list(call: Pick<Call, 'integer' | 'parameter'>, of: Listed, tellsTenant?: boolean): Promise<JsonRecord>
  /** Its jobs that have not ended, newest first. */
  live(filter: { readonly tenant: string; readonly run?: string }): Promise<readonly Job[]>
  /** Newest first, as they are listed: what is freed lets none of them start. Those that may not be are left. */
  cancelAll(live: readonly Job[], may: May): Promise<Canceled>
  /**
   * It is closed first: what comes meanwhile is refused, or ended once it was taken, whoever sent it. `by`: the key
   * whose jobs are ended; null: all. Rejects with run_not_found.
   */
  end(tenant: string, name: string, by: string | null): Promise<Canceled & { readonly run: Run }>
}

/** May this job be ended? */
type May = (job: Job) => boolean

/** Numbers of jobs: those that were told to end, and those that go on. */
interface Canceled {
  readonly canceled: number
  readonly left: number
}

type Deps = Pick<GatewayDeps, 'jobs' | 'operations'>

export function createRunReads({ jobs, operations }: Deps, runs: Runs): RunReads {
  /** Of all its jobs, as far as they are still kept. */
  async function jobsOf(tenant: string, run: Run, most = MOST_JOBS): Promise<Job[]> {
    const all: Job[] = []
    for (let before: string | undefined; all.length < most; ) {
      const limit = Math.min(MAX_PAGE, most - all.length)
      const page = await jobs.list({ tenant, run: run.name, limit, ...(before && { before }) })
      all.push(...page)
      if (page.length < limit) break
      before = page.at(-1)!.id
    }
    return all
  }

  async function summed(tenant: string, run: Run, most: number): Promise<Summed> {
    const all = await jobsOf(tenant, run, most)
    const isPartial = all.length >= most
    // One that runs may be older than those that are added up
    const live = isPartial ? await jobs.list({ tenant, run: run.name, states: LIVE, limit: 1 }) : []
    return { all, use: await useOf(tenant, run), isPartial, isLive: live.length > 0 }
  }

  /** Null: nothing is known of it, as of a run without a budget that nothing was used of for a day. */
  async function useOf(tenant: string, { name }: Run): Promise<RunUse | null> {
    try {
      return await operations.runUse(tenant, name)
    } catch (error) {
      // The coordinator may be of an earlier version
      if (error instanceof SluiceError && error.code === 'overloaded') return null
      throw error
    }
  }

  return {
    async page(run, tenant, prefix, call) {
      const limit = call.integer('limit', 1, MAX_PAGE) ?? PAGE
      const after = call.parameter('after')
      if (after !== undefined && jobOrder(after) === null)
        throw bad('after', '"after" must be the id of a job, as "next" gives it.')
      const all = (await jobsOf(tenant, run)).reverse()
      const start = after === undefined ? 0 : placeAfter(all, after)
      const page = start < 0 ? [] : all.slice(start, start + limit)
      const hasMore = start >= 0 && start + limit < all.length
      return {
        ...viewOf(prefix, run, { all, use: await useOf(tenant, run), isPartial: all.length >= MOST_JOBS }),
        jobs: page.map(jobOfRun),
        has_more: hasMore,
        next: hasMore ? page.at(-1)!.id : null,
      }
    },
    async list(call, of, tellsTenant = false) {
      const limit = call.integer('limit', 1, MOST_RUNS) ?? RUNS
      const { runs: found, next } = await runs.list(of, limit, call.parameter('after'))
      const data: JsonRecord[] = []
      // One after the other: a page of large runs is not to hold all others up
      for (const { tenant, run } of found) {
        const view = viewOf(of.prefix, run, await summed(tenant, run, Math.floor(MOST_LISTED / limit)))
        data.push(tellsTenant ? { ...view, tenant } : view)
      }
      return { object: 'list', data, has_more: next !== null, next }
    },
    async live(filter) {
      const all: Job[] = []
      for (let before: string | undefined; ; ) {
        const page = await jobs.list({ ...filter, states: LIVE, limit: MAX_PAGE, ...(before && { before }) })
        all.push(...page)
        if (page.length < MAX_PAGE) return all
        before = page.at(-1)!.id
      }
    },
    async cancelAll(live, may) {
      const own = live.filter(may)
      await Promise.all(own.map(({ id }) => jobs.cancel(id)))
      return { canceled: own.length, left: live.length - own.length }
    },
    async end(tenant, name, by) {
      const run = await runs.cancel(tenant, name, by)
      if (run === null) throw new SluiceError('run_not_found')
      const may: May = ({ keyId }) => by === null || keyId === by
      const counts = await this.cancelAll(await this.live({ tenant, run: name }), may)
      await runs.ended(tenant, name, by)
      return { run, ...counts }
    },
  }
}

/** Ids of several gateways are not in the order of acceptance: only one that is gone is looked for by its order. */
function placeAfter(all: readonly Job[], after: JobId): number {
  const at = all.findIndex(({ id }) => id === after)
  return at < 0 ? all.findIndex(({ id }) => id > after) : at + 1
}

const seconds = (ms: number): number => Math.floor(ms / 1000)

interface Summed {
  /** Those that are still kept. */
  readonly all: readonly Job[]
  /** What was counted of it; null: nothing is known. */
  readonly use: RunUse | null
  /** It has more. */
  readonly isPartial: boolean
  /** One of those that are not in `all` has not ended. */
  readonly isLive?: boolean
}

/** `prefix`: what its caller's names begin with. `summed`: its jobs, where sums of them are told. */
export function viewOf(prefix: string, run: Run, summed: Summed | null = null): JsonRecord {
  const { tokens, nanoDollars, steps, depth } = run.budget
  return {
    id: run.name.startsWith(prefix) ? run.name.slice(prefix.length) : run.name,
    object: 'run',
    state:
      run.canceledAtMs !== null
        ? 'canceled'
        : summed === null
          ? 'open'
          : summed.isLive || summed.all.some(({ state }) => !isTerminal(state))
            ? 'running'
            : 'idle',
    created_at: seconds(run.createdAtMs),
    canceled_at: run.canceledAtMs === null ? null : seconds(run.canceledAtMs),
    budget: {
      tokens: tokens ?? null,
      usd: nanoDollars === undefined ? null : nanoDollars / NANO,
      steps: steps ?? null,
      depth: depth ?? null,
    },
    loop_guard: run.guarded,
    metadata: run.metadata,
    ...(summed !== null && { totals: totalsOf(summed), ...leftOf(run.budget, summed.use) }),
  }
}

/** Of its budget. */
function leftOf({ tokens, nanoDollars, steps }: Run['budget'], use: RunUse | null): JsonRecord {
  const left = (unit: keyof RunUse, most: number | undefined): number | null =>
    most === undefined ? null : Math.max(0, most - (use?.[unit].used ?? 0) - (use?.[unit].held ?? 0))
  const money = left('nano_dollars', nanoDollars)
  return {
    held: {
      tokens: use?.tokens.held ?? 0,
      usd: (use?.nano_dollars.held ?? 0) / NANO,
      steps: use?.requests.held ?? 0,
    },
    remaining: {
      tokens: left('tokens', tokens),
      usd: money === null ? null : money / NANO,
      steps: left('requests', steps),
    },
  }
}

/** Tokens, money and steps as they were charged, whatever has become of the jobs; the rest is of those still kept. */
function totalsOf({ all, use, isPartial }: Summed): JsonRecord {
  const states: Partial<Record<JobState, number>> = {}
  let [prompt, completion, nano, steps, deepest] = [0, 0, 0, 0, 0]
  for (const { state, usage, price, depth = 1 } of all) {
    states[state] = (states[state] ?? 0) + 1
    deepest = Math.max(deepest, depth)
    if (usage === undefined) continue
    // As it is charged: what was refused before its provider counted anything is none
    if (state === 'done' || usage.promptTokens + usage.completionTokens > 0) steps++
    prompt += usage.promptTokens
    completion += usage.completionTokens
    nano += nanoOf(usage, price) ?? 0
  }
  return {
    jobs: all.length,
    states,
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: use?.tokens.used ?? prompt + completion,
    usd: (use?.nano_dollars.used ?? Math.ceil(nano)) / NANO,
    steps: use?.requests.used ?? steps,
    depth: deepest,
    is_partial: isPartial || (use !== null && use.requests.used > steps),
  }
}

/** As a tree is drawn of it. */
const jobOfRun = (job: Job): JsonRecord => ({
  id: job.id,
  state: job.state,
  model: job.model,
  metadata: job.metadata ?? {},
  parent: job.parent ?? null,
  after: job.after ?? [],
  depth: job.depth ?? 1,
  attempts: job.attempts,
  accepted_at_ms: job.acceptedAtMs,
  ended_at_ms: job.endedAtMs ?? null,
  queued_ms: job.timing?.queuedMs ?? null,
  ttft_ms: job.timing?.ttftMs ?? null,
  total_ms: job.timing?.totalMs ?? null,
  prompt_tokens: job.usage?.promptTokens ?? null,
  completion_tokens: job.usage?.completionTokens ?? null,
  usd_at_most: dollarsOf(job),
  error: job.error?.code ?? null,
})

const nanoOf = (usage: Usage, price: Job['price']): number | null =>
  price === undefined ? null : price.input * usage.promptTokens + price.output * usage.completionTokens

/** By the price that it was held at: the dearest deployment's. Null: nobody knows, or nothing was used. */
function dollarsOf({ usage, price }: Job): number | null {
  const nano = usage === undefined ? null : nanoOf(usage, price)
  return nano === null ? null : Math.ceil(nano) / NANO
}
