/** `model_list`: each entry as one of Sluice's `models`. Pure. */
import { LEAVES } from '../../config/leaves.ts'
import { isRecord, type JsonRecord } from '../../core/json.ts'
import { bedrockOf, CLOUD_PARAMS, type CloudPlace, vertexOf } from './clouds.ts'
import {
  countOf,
  leftOut,
  listOf,
  millisecondsOf,
  type Notes,
  numberOf,
  type Reference,
  recordOf,
  type Secrets,
  shown,
  textOf,
  variableOf,
} from './given.ts'
import { VENDORS, type Vendor, vendorOf } from './vendors.ts'

export interface Entry {
  /** Where it was, and what: for a comment. */
  readonly from: string
  readonly settings: Record<string, unknown>
}

export interface Reading {
  readonly notes: Notes
  readonly secrets: Secrets
  /** Of the environment; for addresses, which can't be references here. */
  readonly variable: (name: string) => string | null
  readonly credentials: ReadonlyMap<string, JsonRecord>
}

/** Of Sluice's settings of a model, by their path: `limits.concurrent`. */
const MEMBERS = LEAVES.find(({ path }) => path.join('.') === 'models')!.members
const PROVIDERS: readonly string[] = MEMBERS.find(({ path }) => path[0] === 'provider')!.choices
const NAME = /^[\w.:/@+-]{1,200}\*?$|^\*$/
const DEPLOYMENT = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

/** What LiteLLM sends with each request, if the client does not. */
const REQUEST_MEMBERS = new Set([
  ...['temperature', 'top_p', 'max_tokens', 'max_completion_tokens', 'n', 'stop', 'seed', 'presence_penalty'],
  ...['frequency_penalty', 'logit_bias', 'response_format', 'tools', 'tool_choice', 'extra_body', 'reasoning_effort'],
  ...['thinking', 'stream', 'user', 'dimensions', 'encoding_format'],
])
/** Nothing is lost without them. */
const NEEDLESS = new Set([
  'drop_params',
  'litellm_trace_id',
  'model_info',
  'use_in_pass_through',
  'merge_reasoning_content_in_choices',
])
const READ = new Set([
  ...CLOUD_PARAMS,
  ...['model', 'custom_llm_provider', 'litellm_credential_name', 'api_key', 'api_base', 'base_url', 'api_version'],
  ...['rpm', 'tpm', 'weight', 'order', 'max_parallel_requests', 'timeout', 'stream_timeout', 'tags', 'region_name'],
  ...['input_cost_per_token', 'output_cost_per_token', 'cache_read_input_token_cost', 'extra_headers', 'headers'],
  ...[
    'cache_creation_input_token_cost',
    'output_cost_per_reasoning_token',
    'input_cost_per_audio_token',
    'organization',
    'output_cost_per_image',
    'input_cost_per_second',
    'input_cost_per_character',
  ],
])

/** As VENDORS of the providers. */
const PREFIXED = new Set(['groq/*', 'together/*', 'openrouter/*'])

/** Of `model_info`: read, or only told to people. */
const INFO =
  /^(id|mode|max_(input_|output_)?tokens|supports_.*|.*_cost_.*|description|created_.*|updated_.*|db_model|tags)$/
const INFO_NOTES: Readonly<Record<string, readonly [why: string, todo: string]>> = {
  team_id: [
    'it was for one team only: here every key may use it',
    'List the models of keys: sluice keys create --models.',
  ],
  access_groups: ['here every key may use it', 'List the models of keys: sluice keys create --models.'],
  base_model: ["prices are found by the provider's name for the model", 'Give it a price, where that is another one.'],
}

function noteInfo(info: JsonRecord, at: string, notes: Notes): void {
  for (const name of Object.keys(info)) {
    if (INFO.test(name)) continue
    const [why, todo] = Object.hasOwn(INFO_NOTES, name)
      ? INFO_NOTES[name]
      : ['has no counterpart', 'Check whether you need it.']
    notes.add(`${at}.${name}`, why, todo)
  }
}

type Cloud = (model: string, params: JsonRecord, at: string, reading: Reading) => CloudPlace | null
/** Null: it is left out, which is noted. */
const CLOUDS: Readonly<Record<string, Cloud>> = { bedrock: bedrockOf, vertex: vertexOf }

/** Null: it has no counterpart, which is noted. */
export function entryOf(given: unknown, at: string, reading: Reading): Entry | null {
  const { notes, credentials } = reading
  if (!isRecord(given)) return none(notes, at, 'is no entry', 'Give it a model_name and litellm_params, or remove it.')
  const name = textOf(given['model_name'])
  const own = recordOf(given['litellm_params'])
  const credential = textOf(own['litellm_credential_name'])
  const params: JsonRecord = { ...(credential === null ? {} : credentials.get(credential)), ...own }
  const info = recordOf(given['model_info'])
  const model = textOf(params['model'])
  if (name === null || model === null)
    return none(notes, at, 'it has no model_name, or no litellm_params.model', 'Name it, or remove it.')
  if (!NAME.test(name))
    return none(notes, at, `the name "${shown(name)}" is none of Sluice's`, 'Use letters, digits and . : / @ + - _ .')
  const found = vendorOf(model, textOf(params['custom_llm_provider']))
  const vendor = found === null || !Object.hasOwn(VENDORS, found[0]) ? null : VENDORS[found[0]]
  const cloud = vendor === null || found === null ? undefined : CLOUDS[vendor.provider]
  const place = cloud?.(found![1], params, `${at}.litellm_params`, reading)
  if (place === null) return null
  const where =
    place?.settings ?? (found && placeOf(found[0], found[1], vendor, params, `${at}.litellm_params`, reading))
  if (found === null || where === null) {
    const what = `nothing here speaks to "${shown(found?.[0] ?? model)}"`
    return none(
      notes,
      at,
      what,
      'If it has an OpenAI-compatible API, write an entry of the provider openai-compatible.',
    )
  }
  const kinds = kindsOf(info, at, notes)
  if (kinds === null) return null
  // The provider takes its own beginning off
  const isVendors = found[1] === '*' && name === `${where['provider']}/*` && PREFIXED.has(name)
  const upstream = isVendors ? null : upstreamOf(name, place?.model ?? found[1], at, notes)
  if (upstream === undefined) return null
  if (name === '*' && model === '*')
    notes.add(
      at,
      'all names go to OpenAI here, whatever vendor they begin with',
      'Add "VENDOR/*" for each of the others.',
    )
  const settings = full({
    name,
    ...where,
    model: where['provider'] === 'azure' ? null : upstream,
    deployment: deploymentOf(info),
    kinds,
    ...sharesOf(params),
    // A cloud's own region stands: others' is for people
    ...(place !== undefined && { region: place.settings['region'] }),
    ...rest(params, info, `${at}.litellm_params`, reading),
  })
  if (where['provider'] === 'bedrock' || where['provider'] === 'vertex')
    for (const each of ['api_base', 'base_url', 'headers', 'extra_headers', 'organization'])
      if (params[each] !== undefined)
        notes.add(
          `${at}.litellm_params.${each}`,
          'of a cloud it is written by hand here',
          'Set base_url, or headers, of the model.',
        )
  noteOthers(params, `${at}.litellm_params`, notes)
  noteInfo(info, `${at}.model_info`, notes)
  return { from: shown(`${at}: ${name} = ${model}`), settings }
}

function none(notes: Notes, at: string, why: string, todo: string): null {
  notes.add(at, leftOut(why), todo)
  return null
}

/** Its provider, address and key; null: it can't be reached. */
function placeOf(
  name: string,
  model: string,
  vendor: Vendor | null,
  params: JsonRecord,
  at: string,
  { notes, secrets, variable }: Reading,
): Record<string, unknown> | null {
  const given = params['api_base'] ?? params['base_url']
  if (vendor === null && given === undefined) return null
  if (vendor?.provider === 'none') return null
  const base = given === undefined ? (vendor?.baseUrl ?? null) : addressOf(given, at, notes, variable)
  const api_key = keyOf(name, model, vendor, params, base, at, { notes, secrets })
  const common = { api_key, ...headersOf(params, at, secrets) }
  if (vendor?.provider === 'azure') {
    const root = (base ?? UNKNOWN).replace(/\/+$/, '')
    const path = /\/deployments\//.test(root) ? '' : `/openai/deployments/${encodeURIComponent(model)}`
    const version = textOf(params['api_version'])
    const api_version = variableOf(version) === null ? version : variable(variableOf(version)!)
    if (base === null) notes.add(`${at}.api_base`, 'Azure needs an address', 'Put it in place of the one in the file.')
    if (api_version === null)
      notes.add(`${at}.api_version`, 'Azure needs one', 'Set api_version of the model, as your resource has it.')
    return { provider: 'azure', ...common, base_url: `${root}${path}`, api_version }
  }
  const isKnown = vendor !== null && PROVIDERS.includes(vendor.provider)
  // OpenAI's name is used for whatever speaks its dialect
  if (vendor?.provider === 'openai' && (base === null || new URL(base).host === 'api.openai.com'))
    return { provider: 'openai', ...common }
  if (base !== null && (!isKnown || vendor.provider === 'openai' || given !== undefined)) {
    const base_url = vendor?.path === undefined || base.endsWith(vendor.path) ? base : base.replace(/\/*$/, vendor.path)
    const provider = isKnown && vendor.provider !== 'openai' ? vendor.provider : 'openai-compatible'
    return { provider, ...common, base_url }
  }
  return isKnown ? { provider: vendor.provider, ...common } : null
}

/**
 * Whoever speaks OpenAI's dialect at an address of its own is not OpenAI: the vendor's own key is not for it, whichever
 * one the file names by a literal.
 */
function keyOf(
  name: string,
  model: string,
  vendor: Vendor | null,
  params: JsonRecord,
  base: string | null,
  at: string,
  { notes, secrets }: Pick<Reading, 'notes' | 'secrets'>,
): Reference | null {
  const given = params['api_key']
  const isLiteral = given !== undefined && variableOf(given) === null
  // Of Azure each address is its owner's
  const isForeign = base !== null && vendor?.key !== undefined && vendor.provider !== 'azure' && !isHome(base, vendor)
  const named = (text: string): string => `${text.toUpperCase().replaceAll(/\W+/g, '_').slice(0, 60)}_API_KEY`
  if (!isForeign) {
    const key = vendor?.key ?? named(name)
    return secrets.reference(given ?? (vendor?.key && `os.environ/${vendor.key}`), key, `${at}.api_key`)
  }
  if (isLiteral) return secrets.reference(given, named(model), `${at}.api_key`)
  if (given !== undefined) return secrets.reference(given, '', `${at}.api_key`)
  // What speaks OpenAI's dialect may need no key
  const isSent = vendor.provider !== 'openai'
  notes.add(
    `${at}.api_key`,
    `LiteLLM sends ${vendor.key} to ${shown(base)}: ${isSent ? 'so does this' : 'nothing is sent there'}`,
    isSent ? 'Name another key by api_key if that is not meant.' : 'Name a key by api_key if it needs one.',
  )
  return isSent ? secrets.reference(`os.environ/${vendor.key}`, '', `${at}.api_key`) : null
}

const isHome = (base: string, { host, baseUrl }: Vendor): boolean =>
  new URL(base).host === (host ?? (baseUrl === undefined ? '' : new URL(baseUrl).host))

/** Leads nowhere, so that it is noticed. */
const UNKNOWN = 'https://address-to-be-set.invalid'

/** An address can't be a reference: its value of today is written, if it is known. */
function addressOf(given: unknown, at: string, notes: Notes, variable: Reading['variable']): string {
  const name = variableOf(given)
  const text = name === null ? textOf(given) : variable(name)
  const url = text !== null && URL.canParse(text) ? new URL(text) : null
  if (url === null || !/^https?:$/.test(url.protocol)) {
    const why =
      name === null ? 'it is no http or https address' : `${name} is not set here, and an address can't be a reference`
    notes.add(`${at}.api_base`, why, `Put the address in place of ${UNKNOWN}.`)
    return UNKNOWN
  }
  if (name !== null)
    notes.add(`${at}.api_base`, `the value of ${name} was written`, 'Change the file where it changes.')
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    notes.add(
      `${at}.api_base`,
      'credentials, a query or a fragment in it were left out',
      'Give keys by api_key or headers.',
    )
    url.username = url.password = url.search = url.hash = ''
  }
  return url.href.replace(/\/$/, '')
}

/** Any of them may be a secret. */
function headersOf(params: JsonRecord, at: string, secrets: Secrets): Record<string, unknown> {
  const given = { ...recordOf(params['headers']), ...recordOf(params['extra_headers']) }
  const organization = params['organization'] === undefined ? {} : { 'openai-organization': params['organization'] }
  const headers = Object.entries({ ...organization, ...given }).flatMap(([name, value]) => {
    if (!/^[\w-]{1,64}$/.test(name)) return []
    const wanted = `HEADER_${name.toUpperCase().replaceAll('-', '_')}`
    const reference = secrets.reference(value, wanted, `${at}.headers.${name}`)
    return reference === null ? [] : [[name, reference] as const]
  })
  return headers.length === 0 ? {} : { headers: Object.fromEntries(headers) }
}

const KINDS: Readonly<Record<string, string>> = {
  embedding: 'embedding',
  image_generation: 'image',
  image_edit: 'image',
  audio_speech: 'speech',
  audio_transcription: 'transcription',
}
const CHAT = ['chat', 'completion', 'responses']

function kindsOf(info: JsonRecord, at: string, notes: Notes): readonly string[] | null | undefined {
  const mode = textOf(info['mode'])
  if (mode === null) return undefined
  if (CHAT.includes(mode)) return ['chat']
  const kind = KINDS[mode]
  if (kind !== undefined) return [kind]
  return none(notes, at, `models of the mode "${shown(mode)}" are not served`, 'Call that provider directly.')
}

/** Null: as clients name it; undefined: it can't be said. */
function upstreamOf(name: string, model: string, at: string, notes: Notes): string | null | undefined {
  if (!name.endsWith('*')) {
    if (!model.includes('*')) return model
    none(notes, at, `"${shown(name)}" names no model of "${shown(model)}"`, 'Name one in litellm_params.model.')
    return undefined
  }
  if (name === model || (model === '*' && !name.includes('/'))) return null
  const why = `clients' names (${shown(name)}) are passed on as they are, and this provider's begin otherwise`
  none(notes, at, why, `Name the models one by one, or "${shown(model)}" for clients.`)
  return undefined
}

const deploymentOf = (info: JsonRecord): string | null => {
  const id = textOf(info['id'])
  return id !== null && DEPLOYMENT.test(id) ? id : null
}

const sharesOf = (params: JsonRecord): Record<string, unknown> => ({
  weight: params['weight'] === undefined ? null : Math.floor(numberOf(params['weight']) ?? 1),
  order: countOf(params['order']),
  tags: listOf(params['tags']).flatMap((tag) => textOf(tag) ?? []),
  region: textOf(params['region_name']),
  limits: {
    concurrent: countOf(params['max_parallel_requests']),
    requests_per_minute: countOf(params['rpm']),
    tokens_per_minute: countOf(params['tpm']),
  },
})

function rest(params: JsonRecord, info: JsonRecord, at: string, { notes }: Reading): Record<string, unknown> {
  const priced = { ...info, ...params }
  const perMillion = (name: string): number | null => {
    const dollars = numberOf(priced[name])
    return dollars === null ? null : Number((dollars * 1e6).toPrecision(12))
  }
  const streamMs = millisecondsOf(params['stream_timeout'])
  if (streamMs !== null)
    notes.add(`${at}.stream_timeout`, 'it bounds the first token and each pause here', 'See timeouts of the model.')
  const can = (name: string): boolean | null => (typeof info[name] === 'boolean' ? info[name] : null)
  return {
    price: {
      input: perMillion('input_cost_per_token'),
      cached_input: perMillion('cache_read_input_token_cost'),
      cache_write: perMillion('cache_creation_input_token_cost'),
      output: perMillion('output_cost_per_token'),
      reasoning: perMillion('output_cost_per_reasoning_token'),
      input_audio: perMillion('input_cost_per_audio_token'),
      image: numberOf(priced['output_cost_per_image']),
      second: numberOf(priced['input_cost_per_second']),
      character: numberOf(priced['input_cost_per_character']),
    },
    context_tokens: countOf(info['max_input_tokens']),
    timeouts: { total_ms: millisecondsOf(params['timeout']), ttft_ms: streamMs, inter_token_ms: streamMs },
    can: {
      tools: can('supports_function_calling'),
      vision: can('supports_vision'),
      json_schema: can('supports_response_schema'),
    },
  }
}

function noteOthers(params: JsonRecord, at: string, notes: Notes): void {
  for (const name of Object.keys(params)) {
    const where = `${at}.${name}`
    if (READ.has(name) || NEEDLESS.has(name)) continue
    if (REQUEST_MEMBERS.has(name))
      notes.add(where, 'requests are passed on as clients send them', 'Let clients send it.')
    else if (name === 'max_retries' || name === 'num_retries')
      notes.add(where, 'attempts are counted for all models together', 'See queue.max_attempts.')
    else if (name === 'cooldown_time')
      notes.add(where, 'how long a failing deployment rests is found by its errors', 'Nothing: it rests 5 s and more.')
    else if (name === 'mock_response')
      notes.add(where, 'answers are not made up for a real model', 'For trials, add a model of the provider demo.')
    else notes.add(where, 'has no counterpart', 'Check whether you need it.')
  }
}

/** Without what says nothing: null, and groups and lists without members. */
export function full(group: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(group).flatMap(([key, value]) => {
      if (value === null || value === undefined || (Array.isArray(value) && value.length === 0)) return []
      if (!isRecord(value)) return [[key, value]]
      const inner = full(value as Record<string, unknown>)
      return Object.keys(inner).length === 0 ? [] : [[key, inner]]
    }),
  )
}

const GROUPS = new Set(['limits', 'can', 'fallbacks'])

/** What this version of Sluice has no setting for is noted, and left out. */
export function known(settings: Record<string, unknown>, at: string, notes: Notes): Record<string, unknown> {
  const has = (path: string): boolean =>
    MEMBERS.some((leaf) => leaf.path.join('.') === path || leaf.path.join('.').startsWith(`${path}.`))
  const kept = (group: Record<string, unknown>, before: string): Record<string, unknown> =>
    Object.fromEntries(
      Object.entries(group).flatMap(([key, value]) => {
        const path = `${before}${key}`
        if (!has(path)) notes.add(`${at}, ${path}`, 'has no counterpart in this version', 'Set it when there is one.')
        if (!has(path)) return []
        return [[key, GROUPS.has(path) && isRecord(value) ? kept(value as Record<string, unknown>, `${path}.`) : value]]
      }),
    )
  return full(kept(settings, ''))
}
