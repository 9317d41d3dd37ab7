/** Bedrock and Vertex: where LiteLLM's `aws_*` and `vertex_*` go, and what of them can't be taken over. Pure. */
import type { JsonRecord } from '../../core/json.ts'
import { leftOut, type Notes, type Secrets, textOf, variableOf } from './given.ts'

export interface CloudReading {
  readonly notes: Notes
  readonly secrets: Secrets
  readonly variable: (name: string) => string | null
}

/** Null: it is left out, which is noted. `model`: the cloud's own name, without LiteLLM's words in front of it. */
export interface CloudPlace {
  readonly settings: Record<string, unknown>
  readonly model: string
}

/** Read here, or told of here. */
export const CLOUD_PARAMS: readonly string[] = [
  ...['aws_access_key_id', 'aws_secret_access_key', 'aws_session_token', 'aws_region_name'],
  ...['aws_bedrock_runtime_endpoint', 'aws_role_name', 'aws_session_name', 'aws_profile_name'],
  ...['aws_web_identity_token', 'aws_sts_endpoint', 'aws_external_id'],
  ...['vertex_project', 'vertex_location', 'vertex_credentials', 'vertex_ai_project', 'vertex_ai_location'],
  'vertex_ai_credentials',
]

const REGION = /^[a-z]{2}(-[a-z]+)+-\d$/
/** Where LiteLLM looks if the file says nothing. */
const AWS_REGIONS = ['AWS_REGION_NAME', 'AWS_REGION', 'AWS_DEFAULT_REGION']
const AWS_IDENTITIES = [
  ...['aws_role_name', 'aws_session_name', 'aws_profile_name'],
  ...['aws_web_identity_token', 'aws_sts_endpoint', 'aws_external_id'],
]

export function bedrockOf(name: string, params: JsonRecord, at: string, reading: CloudReading): CloudPlace | null {
  const { notes, secrets, variable } = reading
  let model = name.replace(/^(converse|invoke|converse_like)\//, '')
  let region = plain('aws_region_name', params, at, reading)
  const [first, ...others] = model.split('/')
  if (REGION.test(first) && others.length > 0) {
    region ??= first
    model = others.join('/')
  }
  region ??= AWS_REGIONS.map(variable).find((value) => value !== null) ?? null
  if (region === null) {
    notes.add(at, leftOut('Bedrock needs a region'), `Set aws_region_name, or ${AWS_REGIONS[0]}.`)
    return null
  }
  for (const each of AWS_IDENTITIES)
    if (params[each] !== undefined)
      notes.add(
        `${at}.${each}`,
        'roles, profiles and tokens of AWS are not exchanged for keys here',
        "Give access_key_id and secret_access_key, or api_key: a key of Bedrock's own.",
      )
  const endpoint = params['aws_bedrock_runtime_endpoint']
  if (endpoint !== undefined)
    notes.add(`${at}.aws_bedrock_runtime_endpoint`, 'addresses are written by hand here', 'Set base_url of the model.')
  const settings = { provider: 'bedrock', region }
  const api_key = params['api_key'] ?? (variable(BEARER) === null ? undefined : `os.environ/${BEARER}`)
  if (api_key !== undefined)
    return { model, settings: { ...settings, api_key: secrets.reference(api_key, BEARER, `${at}.api_key`) } }
  const reference = (param: string, wanted: string, otherwise: string | undefined) =>
    secrets.reference(params[param] ?? otherwise, wanted, `${at}.${param}`)
  if (params['aws_access_key_id'] === undefined)
    notes.add(
      at,
      "LiteLLM takes AWS's own chain where no key is given: profiles, roles of the machine",
      'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: nothing else is looked for here.',
    )
  return {
    model,
    settings: {
      ...settings,
      access_key_id: reference('aws_access_key_id', 'AWS_ACCESS_KEY_ID', ENV('AWS_ACCESS_KEY_ID')),
      secret_access_key: reference('aws_secret_access_key', 'AWS_SECRET_ACCESS_KEY', ENV('AWS_SECRET_ACCESS_KEY')),
      session_token: reference('aws_session_token', 'AWS_SESSION_TOKEN', undefined),
    },
  }
}

const BEARER = 'AWS_BEARER_TOKEN_BEDROCK'
const ENV = (name: string): string => `os.environ/${name}`

export function vertexOf(model: string, params: JsonRecord, at: string, reading: CloudReading): CloudPlace | null {
  const { notes, secrets, variable } = reading
  const bare = model.replace(/^gemini\//, '')
  if (!/^(gemini|gemma|text-embedding|text-multilingual-embedding)/.test(bare)) {
    notes.add(
      at,
      leftOut("of Vertex's models, Google's own are served, and not those of others"),
      'Call its maker, or Bedrock; or name an OpenAI-compatible endpoint of yours.',
    )
    return null
  }
  if (params['api_key'] !== undefined) {
    const api_key = secrets.reference(params['api_key'], 'GOOGLE_VERTEX_API_KEY', `${at}.api_key`)
    return { model: bare, settings: { provider: 'vertex', api_key } }
  }
  const of = (name: string) =>
    plain(`vertex_${name}`, params, at, reading) ?? plain(`vertex_ai_${name}`, params, at, reading)
  const project = of('project') ?? variable('VERTEXAI_PROJECT')
  if (project === null) {
    notes.add(at, leftOut('Vertex needs a project'), 'Set vertex_project, or an api_key.')
    return null
  }
  const region = of('location') ?? variable('VERTEXAI_LOCATION') ?? 'us-central1'
  const credentials_file = credentialsOf(params, at, reading)
  return { model: bare, settings: { provider: 'vertex', project, region, credentials_file } }
}

/** A file's path. What is no path is a secret, and stays where it is. */
function credentialsOf(params: JsonRecord, at: string, { notes, variable }: CloudReading): string | null {
  const name = params['vertex_credentials'] === undefined ? 'vertex_ai_credentials' : 'vertex_credentials'
  const given = params[name]
  if (given === undefined || given === null) return null
  const reference = variableOf(given)
  const text = reference === null ? textOf(given) : variable(reference)
  if (text !== null && /^[^{}\s][^{}\n]*\.json$/.test(text)) {
    if (reference !== null)
      notes.add(`${at}.${name}`, `the value of ${reference} was written`, 'Change the file where it changes.')
    return text
  }
  notes.add(
    `${at}.${name}`,
    'credentials are a file here, and this is none: application default credentials hold until then',
    'Write the JSON of the service account to a file, and name it as credentials_file of the model.',
  )
  return null
}

/** What can't be a reference here: the variable's value of today is written, if it is known. */
function plain(name: string, params: JsonRecord, at: string, { notes, variable }: CloudReading): string | null {
  const reference = variableOf(params[name])
  if (reference === null) return textOf(params[name])
  const value = variable(reference)
  const [why, todo] =
    value === null
      ? [`${reference} is not set here, and this can't be a reference`, 'Set it where you run this command.']
      : [`the value of ${reference} was written`, 'Change the file where it changes.']
  notes.add(`${at}.${name}`, why, todo)
  return value
}
