/** Runs of agents: PROTOCOL.md section 4. */
import { SluiceError } from '../../core/errors.ts'
import { bad, checkNames, labels, whole } from '../../core/fields.ts'
import { jobOrder } from '../../core/ids.ts'
import { isTerminal, type Job, type JobState } from '../../core/job.ts'
import { isRecord, type JsonRecord } from '../../core/json.ts'
import { requireOwnJob } from '../caller/access.ts'
import { type Caller, withinRun } from '../caller/caller.ts'
import type { GatewayDeps } from '../deps.ts'
import { type Answer, json } from '../http/answer.ts'
import { readJson } from '../http/body.ts'
import type { KeyCall } from '../http/call.ts'
import type { Route } from '../http/route.ts'
import type { Jobs } from '../read/jobs.ts'
import { type Asked, MAX_DEPTH, type OwnBudget, type Run, type Runs } from '../runs/runs.ts'
import { MAX_RUN_CHARS } from '../submit/job-options.ts'

const PAGE = 100
const MAX_PAGE = 1_000
/** Of one run, those that its sums are made of. */
const MOST_JOBS = 20_000
const LIVE: readonly JobState[] = ['queued', 'delayed', 'waiting', 'leased']
const ID = /^[A-Za-z0-9_.:-]+$/
const NANO = 1e9
const MOST_DOLLARS = 9_000_000
const MOST = 1e12

const METADATA = labels(16)
const COUNTS = { tokens: whole(1, MOST), steps: whole(1, MOST), depth: whole(1, MAX_DEPTH) }

export function runRoutes({ jobs, keys, ids, options }: GatewayDeps, runs: Runs, shown: Jobs): readonly Route[] {
  /** By the caller's name for it. */
  const nameOf = (call: KeyCall): string => withinRun(call.caller, call.params['id'])

  async function found(call: KeyCall): Promise<Run> {
    const run = await runs.get(call.caller.key.tenant, nameOf(call))
    if (run === null) throw new SluiceError('run_not_found')
    return run
  }

  async function create(call: KeyCall): Promise<Answer> {
    const { value } = await readJson(call, options.maxBodyBytes, options)
    checkNames(value, ['id', 'budget', 'metadata', 'loop_guard'])
    const id = value['id'] ?? ids.name('run', 12)
    if (typeof id !== 'string' || id.length > MAX_RUN_CHARS || !ID.test(id))
      throw bad('id', `"id" must be a string of 1 to ${MAX_RUN_CHARS} letters, digits, "_", ".", ":" or "-".`)
    const { run, isNew } = await runs.create(call.caller, withinRun(call.caller, id), askedOf(value))
    return json(isNew ? 201 : 200, viewOf(call.caller, run))
  }

  /** Of all its jobs, as far as they are still kept. */
  async function* jobsOf(tenant: string, run: Run): AsyncGenerator<Job> {
    const from = run.first === null ? {} : { from: run.first }
    for (let before: string | undefined, left = MOST_JOBS; left > 0; left -= MAX_PAGE) {
      const page = await jobs.list({ tenant, run: run.name, limit: MAX_PAGE, ...from, ...(before && { before }) })
      yield* page
      if (page.length < MAX_PAGE) return
      before = page.at(-1)!.id
    }
  }

  async function show(call: KeyCall): Promise<Answer> {
    const run = await found(call)
    const limit = call.integer('limit', 1, MAX_PAGE) ?? PAGE
    const after = call.parameter('after')
    if (after !== undefined && jobOrder(after) === null)
      throw bad('after', '"after" must be the id of a job, as "next" gives it.')
    const all: Job[] = []
    for await (const job of jobsOf(call.caller.key.tenant, run)) all.push(job)
    all.reverse()
    const start = after === undefined ? 0 : all.findIndex(({ id }) => id > after)
    const page = start < 0 ? [] : all.slice(start, start + limit)
    const hasMore = start >= 0 && start + limit < all.length
    return json(200, {
      ...viewOf(call.caller, run, all),
      jobs: page.map(jobOfRun),
      has_more: hasMore,
      next: hasMore ? page.at(-1)!.id : null,
    })
  }

  async function list(call: KeyCall): Promise<Answer> {
    const limit = call.integer('limit', 1, PAGE) ?? 20
    const page = await runs.list(call.caller, limit, call.parameter('after'))
    return json(200, {
      object: 'list',
      data: page.runs.map((run) => viewOf(call.caller, run)),
      has_more: page.next !== null,
      next: page.next,
    })
  }

  /** First it is closed: what comes meanwhile is refused, or ended once it was taken. */
  async function cancel(call: KeyCall): Promise<Answer> {
    const { tenant } = call.caller.key
    const run = await found(call)
    requireOwnJob(keys, call.caller, run)
    const canceled = await runs.cancel(tenant, run.name)
    if (canceled === null) throw new SluiceError('run_not_found')
    await cancelAll(await liveOf({ tenant, run: run.name }))
    return json(202, viewOf(call.caller, canceled))
  }

  async function liveOf(filter: { readonly tenant: string; readonly run?: string }): Promise<readonly Job[]> {
    const all: Job[] = []
    for (let before: string | undefined; ; ) {
      const page = await jobs.list({ ...filter, states: LIVE, limit: MAX_PAGE, ...(before && { before }) })
      all.push(...page)
      if (page.length < MAX_PAGE) return all
      before = page.at(-1)!.id
    }
  }

  /** Newest first, as they are listed: what is freed lets none of them start. */
  async function cancelAll(live: readonly Job[]): Promise<void> {
    await Promise.all(live.map(({ id }) => jobs.cancel(id)))
  }

  /** A job, and all that stem from it. */
  async function cancelTree(call: KeyCall): Promise<Answer> {
    const root = await shown.managed(call)
    const { tenant, run } = root
    await jobs.cancel(root.id)
    const live = await liveOf({ tenant, ...(run !== undefined && { run }) })
    const parents = new Map<string, string | null>(live.map(({ id, parent }) => [id, parent ?? null]))
    const parentOf = async (id: string): Promise<string | null> => {
      const known = parents.get(id)
      if (known !== undefined) return known
      const parent = (await jobs.get(id))?.parent ?? null
      parents.set(id, parent)
      return parent
    }
    const isIn = new Map<string, boolean>([[root.id, true]])
    const stems: Job[] = []
    for (const job of live) {
      const chain: string[] = []
      let at: string | null = job.id
      // Ids sort by acceptance, and a parent is older
      while (at !== null && !isIn.has(at) && at >= root.id) {
        chain.push(at)
        at = await parentOf(at)
      }
      const does = at !== null && (isIn.get(at) ?? false)
      for (const id of chain) isIn.set(id, does)
      if (does && job.id !== root.id) stems.push(job)
    }
    for (const job of stems) requireOwnJob(keys, call.caller, job)
    await cancelAll(stems)
    return json(202, { ...(await shown.view(root.id, call)), canceled: stems.length + 1 })
  }

  const one = '/v1/runs/:id'
  return [
    { method: 'POST', path: '/v1/runs', auth: 'tenant', run: create },
    { method: 'GET', path: '/v1/runs', query: ['limit', 'after'], auth: 'tenant', run: list },
    { method: 'GET', path: one, query: ['limit', 'after'], auth: 'tenant', run: show },
    { method: 'POST', path: `${one}/cancel`, auth: 'tenant', run: cancel },
    {
      method: 'POST',
      path: '/v1/jobs/:id/cancel',
      query: ['tree'],
      auth: 'tenant',
      async run(call) {
        const tree = call.parameter('tree') ?? 'false'
        if (tree !== 'true' && tree !== 'false') throw bad('tree', '"tree" must be true or false.')
        return tree === 'true' ? cancelTree(call) : shown.cancelOwn(call)
      },
    },
  ]
}

function askedOf(value: JsonRecord): Asked {
  const { budget = null, metadata = null, loop_guard: guarded = true } = value
  if (metadata !== null && !METADATA.ok(metadata)) throw bad('metadata', `"metadata" must be ${METADATA.what}.`)
  if (typeof guarded !== 'boolean') throw bad('loop_guard', '"loop_guard" must be true or false.')
  return { budget: budgetOf(budget), metadata: (metadata ?? {}) as Asked['metadata'], guarded }
}

function budgetOf(budget: unknown): OwnBudget {
  if (budget === null) return {}
  if (!isRecord(budget)) throw bad('budget', '"budget" must be an object, such as { "tokens": 100000, "usd": 0.5 }.')
  checkNames(budget, ['tokens', 'usd', 'steps', 'depth'])
  const own: Record<string, number> = {}
  for (const [name, check] of Object.entries(COUNTS)) {
    const value = budget[name] ?? null
    if (value === null) continue
    if (!check.ok(value)) throw bad(`budget.${name}`, `"budget.${name}" must be ${check.what}.`)
    own[name] = value as number
  }
  const usd = budget['usd'] ?? null
  if (usd !== null) {
    if (typeof usd !== 'number' || !(usd > 0) || usd > MOST_DOLLARS)
      throw bad('budget.usd', `"budget.usd" must be an amount of US dollars above 0, at most ${MOST_DOLLARS}.`)
    own['nanoDollars'] = Math.ceil(usd * NANO)
  }
  return own
}

const seconds = (ms: number): number => Math.floor(ms / 1000)

/** `all`: its jobs, where sums of them are told. */
function viewOf(caller: Caller, run: Run, all: readonly Job[] | null = null): JsonRecord {
  const prefix = withinRun(caller, '')
  const { tokens, nanoDollars, steps, depth } = run.budget
  return {
    id: run.name.startsWith(prefix) ? run.name.slice(prefix.length) : run.name,
    object: 'run',
    state:
      run.canceledAtMs !== null
        ? 'canceled'
        : all === null
          ? 'open'
          : all.some(({ state }) => !isTerminal(state))
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
    ...(all !== null && { totals: totalsOf(all) }),
  }
}

function totalsOf(all: readonly Job[]): JsonRecord {
  const states: Partial<Record<JobState, number>> = {}
  let [prompt, completion, nano, steps, deepest] = [0, 0, 0, 0, 0]
  for (const { state, usage, price, depth = 1 } of all) {
    states[state] = (states[state] ?? 0) + 1
    deepest = Math.max(deepest, depth)
    if (usage === undefined) continue
    steps++
    prompt += usage.promptTokens
    completion += usage.completionTokens
    if (price !== undefined) nano += price.input * usage.promptTokens + price.output * usage.completionTokens
  }
  return {
    jobs: all.length,
    states,
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    usd: Math.ceil(nano) / NANO,
    steps,
    depth: deepest,
    is_partial: all.length >= MOST_JOBS,
  }
}

/** As a tree is drawn of it. */
const jobOfRun = (job: Job): JsonRecord => ({
  id: job.id,
  state: job.state,
  model: job.model,
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
  error: job.error?.code ?? null,
})
