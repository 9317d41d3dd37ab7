/** Runs of agents: PROTOCOL.md section 4. */
import { SluiceError } from '../../core/errors.ts'
import { bad, checkNames, labels, whole } from '../../core/fields.ts'
import type { Job } from '../../core/job.ts'
import { isRecord, type JsonRecord } from '../../core/json.ts'
import { mayManage, requireOwnRun } from '../caller/access.ts'
import { type Caller, withinRun } from '../caller/caller.ts'
import type { GatewayDeps } from '../deps.ts'
import { type Answer, json } from '../http/answer.ts'
import { hasBody, readJson } from '../http/body.ts'
import type { KeyCall } from '../http/call.ts'
import type { Route } from '../http/route.ts'
import type { Jobs } from '../read/jobs.ts'
import { createRunReads, NANO, viewOf } from '../runs/reads.ts'
import { type Asked, MAX_DEPTH, type OwnBudget, type Run, type Runs } from '../runs/runs.ts'
import { MAX_RUN_CHARS } from '../submit/job-options.ts'

/** Paths lose "." and ".." on their way. */
const ID = /^(?!\.{1,2}$)[A-Za-z0-9_.:-]+$/
const MOST_DOLLARS = 9_000_000
const MOST = 1e12

const METADATA = labels(16)
/** Who may manage its jobs may manage all. */
const NO_KEY = ''
/** Characters of names and values, of one that a page begins. */
const MAX_PAGE_METADATA = 1_024
const COUNTS = { tokens: whole(1, MOST), steps: whole(1, MOST), depth: whole(1, MAX_DEPTH) }

export function runRoutes(deps: GatewayDeps, runs: Runs, shown: Jobs): readonly Route[] {
  const { jobs, keys, ids, options, webhooks } = deps
  const read = createRunReads(deps, runs)
  /** By the caller's name for it. */
  const nameOf = (call: KeyCall): string => withinRun(call.caller, call.params['id'])

  async function found(call: KeyCall): Promise<Run> {
    const run = await runs.get(call.caller.key.tenant, nameOf(call))
    if (run === null) throw new SluiceError('run_not_found')
    return run
  }

  async function create(call: KeyCall): Promise<Answer> {
    const value = hasBody(call) ? (await readJson(call, options.maxBodyBytes, options)).value : {}
    checkNames(value, ['id', 'budget', 'metadata', 'loop_guard'])
    const id = value['id'] ?? ids.name('run', 12)
    if (typeof id !== 'string' || id.length > MAX_RUN_CHARS || !ID.test(id))
      throw bad(
        'id',
        `"id" must be a string of 1 to ${MAX_RUN_CHARS} letters, digits, "_", ".", ":" or "-", and not "." or "..".`,
      )
    const { run, isNew } = await runs.create(call.caller, withinRun(call.caller, id), askedOf(value, call.caller))
    return json(isNew ? 201 : 200, viewOf(withinRun(call.caller, ''), run))
  }

  async function show(call: KeyCall): Promise<Answer> {
    const run = await found(call)
    return json(200, await read.page(run, call.caller.key.tenant, withinRun(call.caller, ''), call))
  }

  async function list(call: KeyCall): Promise<Answer> {
    const prefix = withinRun(call.caller, '')
    return json(200, await read.list(call, { tenant: call.caller.key.tenant, prefix }))
  }

  const mayEnd =
    ({ caller }: KeyCall) =>
    (job: Job): boolean =>
      mayManage(keys, caller, job)

  /** Whoever has begun it closes it; jobs of other keys in it are theirs. */
  async function cancel(call: KeyCall): Promise<Answer> {
    const { name, keyId } = await found(call)
    requireOwnRun(keys, call.caller, { keyId })
    const { tenant, id } = call.caller.key
    const by = mayManage(keys, call.caller, { keyId: NO_KEY }) ? null : id
    const { run, ...counts } = await read.end(tenant, name, by)
    await webhooks.announceRun(tenant, name, 'run.canceled')
    return json(202, { ...viewOf(withinRun(call.caller, ''), run), ...counts })
  }

  /** A job, and all that stem from it. */
  async function cancelTree(call: KeyCall): Promise<Answer> {
    const root = await shown.managed(call)
    const { tenant, run, depth: top = 1 } = root
    const { kind } = await jobs.cancel(root.id)
    const live = await read.live({ tenant, ...(run !== undefined && { run }) })
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
      // A parent's depth is one less. Ids tell nothing of that: those of several gateways are in no order
      for (let depth = job.depth ?? 1; at !== null && !isIn.has(at) && depth > top; depth--) {
        chain.push(at)
        at = await parentOf(at)
      }
      const does = at !== null && (isIn.get(at) ?? false)
      for (const id of chain) isIn.set(id, does)
      if (does && job.id !== root.id) stems.push(job)
    }
    const { canceled, left } = await read.cancelAll(stems, mayEnd(call))
    return json(202, { ...(await shown.view(root.id, call)), canceled: canceled + (isEnding(kind) ? 1 : 0), left })
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

const isEnding = (kind: string): boolean => kind === 'canceled' || kind === 'canceling'

function askedOf(value: JsonRecord, { session }: Caller): Asked {
  const { budget = null, metadata = null, loop_guard: guarded = true } = value
  if (metadata !== null && !METADATA.ok(metadata)) throw bad('metadata', `"metadata" must be ${METADATA.what}.`)
  if (session !== null && charsOf((metadata ?? {}) as Asked['metadata']) > MAX_PAGE_METADATA)
    throw bad('metadata', `"metadata" of a session's run must be at most ${MAX_PAGE_METADATA} characters in all.`)
  if (typeof guarded !== 'boolean') throw bad('loop_guard', '"loop_guard" must be true or false.')
  return { budget: budgetOf(budget), metadata: (metadata ?? {}) as Asked['metadata'], guarded }
}

const charsOf = (metadata: Asked['metadata']): number => Object.entries(metadata).flat().join('').length

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
