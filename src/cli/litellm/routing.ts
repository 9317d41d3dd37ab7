/** `router_settings`, `litellm_settings` and `general_settings`: what of them are settings here. Pure. */
import { LEAVES } from '../../config/leaves.ts'
import { isRecord, type JsonRecord } from '../../core/json.ts'
import { countOf, listOf, millisecondsOf, type Notes, numberOf, recordOf, shown, textOf, variableOf } from './given.ts'

export interface Fallbacks {
  general: string[]
  context_window: string[]
  content_policy: string[]
}

export interface Routing {
  /** Top-level settings. */
  readonly settings: Record<string, unknown>
  /** By the model that clients ask for. */
  readonly fallbacks: ReadonlyMap<string, Fallbacks>
  /** Another name for a model. */
  readonly aliases: ReadonlyMap<string, string>
}

const POLICIES: Readonly<Record<string, string>> = {
  'simple-shuffle': 'weighted',
  'least-busy': 'least-wait',
  'usage-based-routing': 'least-wait',
  'usage-based-routing-v2': 'least-wait',
  'latency-based-routing': 'fastest',
  'cost-based-routing': 'cheapest',
}

const KINDS: Readonly<Record<string, keyof Fallbacks>> = {
  fallbacks: 'general',
  context_window_fallbacks: 'context_window',
  content_policy_fallbacks: 'content_policy',
}

/** What is told of others: by their group, why, and what to do. */
const ELSEWHERE: ReadonlyArray<readonly [group: string, name: RegExp, why: string, todo: string]> = [
  ['router_settings', /cooldown|allowed_fails/, 'a breaker for each deployment decides by its errors', 'Nothing.'],
  ['router_settings', /^redis_/, 'a Redis is the engine of a whole fleet here', 'See docs/engines.md.'],
  ['router_settings', /retry_policy/, "an error's class decides whether another attempt helps", 'Nothing.'],
  ['router_settings', /pre_call_checks/, 'contexts and limits are always checked', 'Nothing.'],
  ['litellm_settings', /callback/, 'there are metrics, traces and a ledger instead', 'See telemetry.'],
  ['litellm_settings', /^cache/, 'answers are shared where a tenant says so', 'See tenants[].cache.'],
  ['litellm_settings', /drop_params|modify_params/, 'requests are passed on as they are', 'Nothing.'],
  ['litellm_settings', /verbose|json_logs|redact/, 'the log has no texts', 'See log.level.'],
  ['general_settings', /database|store_|proxy_batch/, 'there is no database beside the engine', 'See docs/engines.md.'],
  ['general_settings', /alert/, 'metrics have rules for alerts', 'See docs/operations.md.'],
  ['general_settings', /health_check/, 'deployments are watched by themselves', 'Nothing.'],
]

/** Groups that are no settings here. */
const GROUPS: Readonly<Record<string, readonly [why: string, todo: string]>> = {
  environment_variables: ['nothing here sets the environment', 'Set them where the server is started.'],
  guardrails: ['guards are settings of a tenant', 'See tenants[].guards and docs/guards.md.'],
  mcp_servers: ['tools are called by clients', 'Call them in your application.'],
  vector_store_registry: ['documents are found by clients', 'Call it in your application.'],
  include: ['other files are not read', 'Put their contents into one file.'],
  search_tools: ['tools are called by clients', 'Call them in your application.'],
  finetune_settings: ['is not served', 'Call the provider directly.'],
  files_settings: ['is not served', 'Call the provider directly.'],
  callback_settings: ['there are metrics, traces and a ledger instead', 'See telemetry.'],
}

export function routingOf(file: JsonRecord, notes: Notes): Routing {
  const [router, lite, general] = ['router_settings', 'litellm_settings', 'general_settings'].map((name) =>
    recordOf(file[name]),
  )
  const read = new Set<string>()
  /** Of the first that has it. */
  const given = (name: string): unknown => {
    for (const [group, members] of [
      ['router_settings', router],
      ['litellm_settings', lite],
    ] as const) {
      if (members[name] === undefined) continue
      read.add(`${group}.${name}`)
      return members[name]
    }
  }
  const settings: Record<string, unknown> = {}
  const retries = numberOf(given('num_retries'))
  if (retries !== null) settings['queue'] = { max_attempts: Math.min(Math.floor(retries), 100) + 1 }
  const totalMs = millisecondsOf(given('timeout') ?? given('request_timeout'))
  const streamMs = millisecondsOf(given('stream_timeout'))
  if (totalMs !== null || streamMs !== null)
    settings['timeouts'] = {
      ...(streamMs !== null && { ttft_ms: streamMs, inter_token_ms: streamMs }),
      ...(totalMs !== null && { total_ms: totalMs }),
    }
  const policy = policyOf(given('routing_strategy'), notes)
  if (policy !== null) settings['routing'] = { policy }
  const limits = globalLimits(lite, general, read, notes)
  if (limits !== null) settings['limits'] = { global: limits }
  const admin = adminKey(general['master_key'], notes)
  read.add('general_settings.master_key')
  if (admin !== null) settings['admin'] = { key: admin }

  const fallbacks = fallbacksOf(given, notes)
  const aliases = aliasesOf(given('model_group_alias'), notes)
  for (const [group, members] of Object.entries({
    router_settings: router,
    litellm_settings: lite,
    general_settings: general,
  }))
    for (const name of Object.keys(members)) if (!read.has(`${group}.${name}`)) noteOf(group, name, notes)
  for (const name of Object.keys(file)) {
    if (['model_list', 'router_settings', 'litellm_settings', 'general_settings', 'credential_list'].includes(name))
      continue
    const [why, todo] = Object.hasOwn(GROUPS, name)
      ? GROUPS[name]
      : ['has no counterpart', 'Check whether you need it.']
    notes.add(name, why, todo)
  }
  return { settings: known(settings, notes), fallbacks, aliases }
}

function noteOf(group: string, name: string, notes: Notes): void {
  const found = ELSEWHERE.find(([of, pattern]) => of === group && pattern.test(name))
  notes.add(`${group}.${name}`, found?.[2] ?? 'has no counterpart', found?.[3] ?? 'Check whether you need it.')
}

function policyOf(strategy: unknown, notes: Notes): string | null {
  if (strategy === undefined) return null
  const name = textOf(strategy) ?? ''
  if (Object.hasOwn(POLICIES, name)) return POLICIES[name]
  notes.add('router_settings.routing_strategy', `"${shown(name)}" has no counterpart`, 'least-wait is used.')
  return null
}

function globalLimits(
  lite: JsonRecord,
  general: JsonRecord,
  read: Set<string>,
  notes: Notes,
): Record<string, unknown> | null {
  const budget = budgetOf(lite['max_budget'], lite['budget_duration'], 'litellm_settings.max_budget', notes)
  const concurrent = countOf(general['global_max_parallel_requests'])
  for (const name of ['litellm_settings.max_budget', 'litellm_settings.budget_duration']) read.add(name)
  read.add('general_settings.global_max_parallel_requests')
  const limits = { ...budget, ...(concurrent !== null && { concurrent }) }
  return Object.keys(limits).length === 0 ? null : limits
}

/** Of budgets that begin anew: by hour, day or month. */
const WINDOWS: ReadonlyArray<readonly [RegExp, string]> = [
  [/^(1h|60m|3600s?)$/i, 'dollars_per_hour'],
  [/^(1d|24h|86400s?|daily)$/i, 'dollars_per_day'],
  [/^(1mo|30d|31d|monthly)$/i, 'dollars_per_month'],
]

export function budgetOf(max: unknown, duration: unknown, where: string, notes: Notes): Record<string, number> {
  const dollars = numberOf(max)
  if (dollars === null) return {}
  const every = textOf(duration)
  const window = every === null ? undefined : WINDOWS.find(([pattern]) => pattern.test(every))
  if (window !== undefined) return { [window[1]]: dollars }
  const why = every === null ? 'budgets here begin anew' : `a budget for "${shown(every)}" is none here`
  notes.add(where, `${why}: it was left out`, 'Choose dollars_per_hour, dollars_per_day or dollars_per_month.')
  return {}
}

/** It opens the admin API alone. */
function adminKey(given: unknown, notes: Notes): { readonly env: string } | null {
  if (given === undefined) return null
  const variable = variableOf(given)
  const use = 'It opens only the admin API here: create API keys for clients with "sluice keys create".'
  if (variable === null)
    notes.add('general_settings.master_key', 'a secret in a file is none', `Set SLUICE_ADMIN_KEY. ${use}`)
  else notes.add('general_settings.master_key', `${variable} is the admin key, of 16 characters or more`, use)
  return variable === null ? null : { env: variable }
}

const MOST_FALLBACKS = 20

function fallbacksOf(given: (name: string) => unknown, notes: Notes): ReadonlyMap<string, Fallbacks> {
  const all = new Map<string, Fallbacks>()
  for (const [name, kind] of Object.entries(KINDS))
    for (const one of listOf(given(name)))
      for (const [model, to] of Object.entries(recordOf(one))) {
        const names = listOf(to).flatMap((each) => textOf(each) ?? [])
        if (names.length < listOf(to).length)
          notes.add(`${name}: ${model}`, 'a fallback with a request of its own is left out', 'Name a model.')
        const known = all.get(model) ?? { general: [], context_window: [], content_policy: [] }
        known[kind] = [...new Set([...known[kind], ...names])].slice(0, MOST_FALLBACKS)
        all.set(model, known)
      }
  const standard = listOf(given('default_fallbacks')).flatMap((each) => textOf(each) ?? [])
  if (standard.length > 0)
    all.set('*', { general: standard.slice(0, MOST_FALLBACKS), context_window: [], content_policy: [] })
  return all
}

function aliasesOf(given: unknown, notes: Notes): ReadonlyMap<string, string> {
  const aliases = new Map<string, string>()
  for (const [alias, to] of Object.entries(recordOf(given))) {
    const model = textOf(isRecord(to) ? to['model'] : to)
    if (model === null) notes.add(`model_group_alias: ${alias}`, 'it names no model', 'Remove it.')
    else aliases.set(alias, model)
  }
  return aliases
}

function known(settings: Record<string, unknown>, notes: Notes): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(settings).filter(([name]) => {
      const has = LEAVES.some(({ path }) => path[0] === name)
      if (!has) notes.add(name, 'has no counterpart in this version', 'Set it when there is one.')
      return has
    }),
  )
}
