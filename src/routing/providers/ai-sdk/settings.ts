/** Providers through packages of the AI SDK: optional peers of ours, loaded when a model uses them. */
import { findPackageJSON } from 'node:module'
import { z } from 'zod'
import { filePath, secret } from '../../../settings/fields.ts'
import { type ProviderSettings, providerSettings, type SettingsOf } from '../../../settings/provider.ts'
import { keyOf, openAiShape } from '../openai/settings.ts'

const { base_url, model, api_key, headers, ca_file } = openAiShape
export const sdkShape = { base_url, model, api_key, headers, ca_file }

/** The package that makes the models, and what npm is asked for. */
export interface SdkPackage {
  readonly name: string
  readonly range: string
}

export const PACKAGES = {
  anthropic: { name: '@ai-sdk/anthropic', range: '^4.0.0' },
  google: { name: '@ai-sdk/google', range: '^4.0.0' },
  cohere: { name: '@ai-sdk/cohere', range: '^4.0.0' },
  bedrock: { name: '@ai-sdk/amazon-bedrock', range: '^5.0.0' },
  vertex: { name: '@ai-sdk/google-vertex', range: '^5.0.0' },
} as const satisfies Readonly<Record<string, SdkPackage>>

export function isInstalled({ name }: SdkPackage): boolean {
  try {
    return findPackageJSON(name, import.meta.url) !== undefined
  } catch {
    return false
  }
}

/** In a clone, where it is an optional peer, npm installs nothing without `--save-prod`. */
export const howToInstall = ({ name, range }: SdkPackage): string => `npm install --save-prod "${name}@${range}"`

type Given = Readonly<Record<string, unknown>>

interface Keyed<Name extends string> {
  readonly name: Name
  readonly about: string
  readonly home: string
  /** The first is the one that is used where none is given; the others are found in the environment. */
  readonly variables: readonly [string, ...string[]]
  readonly seller: string
  readonly chat: readonly string[]
  readonly embedding: readonly string[]
}

/** One that needs a key and nothing else. */
function keyed<const Name extends keyof typeof PACKAGES>(row: Keyed<Name>): ProviderSettings<Name, typeof sdkShape> {
  const { name, about, home, variables, seller, chat, embedding } = row
  const found = (has: (variable: string) => boolean): string | undefined => variables.find(has)
  return providerSettings({
    name,
    about: `${about} (package ${PACKAGES[name].name})`,
    shape: sdkShape,
    complete: (given) => keyOf(given, home, variables[0]),
    check({ base_url, api_key }, refuse) {
      if (api_key !== null) return
      const where = base_url === null ? '' : ', beside its base_url'
      refuse('api_key', `is required by the provider ${name}${where}, e.g. { env: ${variables[0]} }`)
    },
    place: ({ baseUrl }) => new URL(baseUrl ?? home).host,
    identity: ({ baseUrl, apiKey }) => [baseUrl, apiKey?.toString() ?? null],
    seller: () => ({ id: seller }),
    fromEnvironment(has) {
      const variable = found(has)
      if (variable === undefined || !isInstalled(PACKAGES[name])) return []
      const model = (kind: string) => (name: string) => ({ name, kinds: [kind], api_key: { env: variable } })
      return [...chat.map(model('chat')), ...embedding.map(model('embedding'))]
    },
    hint(has) {
      const variable = found(has)
      if (variable === undefined || isInstalled(PACKAGES[name])) return null
      return `${variable} is set, but the package for its models is not there: ${howToInstall(PACKAGES[name])}`
    },
  })
}

export const ANTHROPIC_URL = 'https://api.anthropic.com/v1'
export const anthropic = keyed({
  name: 'anthropic',
  about: "Anthropic's models",
  home: ANTHROPIC_URL,
  variables: ['ANTHROPIC_API_KEY'],
  seller: 'anthropic',
  chat: ['claude-*'],
  embedding: [],
})

export const GOOGLE_URL = 'https://generativelanguage.googleapis.com/v1beta'
export const google = keyed({
  name: 'google',
  about: 'Gemini models, with a key of Google AI Studio',
  home: GOOGLE_URL,
  variables: ['GEMINI_API_KEY', 'GOOGLE_GENERATIVE_AI_API_KEY'],
  seller: 'google',
  chat: ['gemini-*', 'gemma-*'],
  embedding: ['gemini-embedding-*'],
})

export const COHERE_URL = 'https://api.cohere.com/v2'
export const cohere = keyed({
  name: 'cohere',
  about: "Cohere's models",
  home: COHERE_URL,
  variables: ['COHERE_API_KEY', 'CO_API_KEY'],
  seller: 'cohere',
  chat: ['command-*'],
  embedding: ['embed-*'],
})

const region = z
  .string()
  .regex(/^[a-z0-9-]{1,40}$/, 'expected the name of a region, e.g. "us-east-1"')
  .nullable()
  .prefault(null)

const bedrockShape = {
  ...sdkShape,
  region: region.describe("The region of Bedrock's service, or the location of Vertex's."),
  access_key_id: secret()
    .nullable()
    .prefault(null)
    .describe('The id of an AWS access key, by reference, where no `api_key` is given.'),
  secret_access_key: secret().nullable().prefault(null).describe('The secret of the AWS access key, by reference.'),
  session_token: secret().nullable().prefault(null).describe("The AWS access key's session token, by reference."),
}

export const bedrockUrl = (region: unknown): string =>
  `https://bedrock-runtime.${String(region)}.amazonaws.com${String(region).startsWith('cn-') ? '.cn' : ''}`

export const bedrock = providerSettings({
  name: 'bedrock',
  about: `models on Amazon Bedrock (package ${PACKAGES.bedrock.name})`,
  shape: bedrockShape,
  complete: (given: Given) =>
    given['access_key_id'] === undefined ? keyOf(given, bedrockUrl(given['region']), 'AWS_BEARER_TOKEN_BEDROCK') : {},
  check({ region, api_key, access_key_id, secret_access_key }, refuse) {
    if (region === null) refuse('region', 'is required by the provider bedrock, e.g. us-east-1')
    if (api_key === null && (access_key_id === null || secret_access_key === null))
      refuse('api_key', 'is required by the provider bedrock, or access_key_id with secret_access_key')
  },
  place: ({ baseUrl, region }) => new URL(baseUrl ?? bedrockUrl(region)).host,
  identity: ({ baseUrl, region, apiKey, accessKeyId }) => [
    baseUrl,
    region,
    apiKey?.toString() ?? null,
    accessKeyId?.toString() ?? null,
  ],
  seller: () => ({ id: 'aws' }),
})

const vertexShape = {
  ...sdkShape,
  region: bedrockShape.region,
  project: z
    .string()
    .regex(/^[a-z0-9:.-]{1,100}$/, 'expected the id of a project')
    .nullable()
    .prefault(null)
    .describe('The id of the project on Google Cloud.'),
  credentials_file: filePath()
    .nullable()
    .prefault(null)
    .describe("The JSON file of a service account. Null: Google's application default credentials."),
}

const VERTEX_KEY_URL = 'https://aiplatform.googleapis.com/v1/publishers/google'

function vertexUrl(region: unknown, project: unknown): string {
  const hosts: Readonly<Record<string, string>> = {
    global: 'aiplatform.googleapis.com',
    us: 'aiplatform.us.rep.googleapis.com',
    eu: 'aiplatform.eu.rep.googleapis.com',
  }
  const host = hosts[String(region)] ?? `${String(region)}-aiplatform.googleapis.com`
  return `https://${host}/v1beta1/projects/${String(project)}/locations/${String(region)}/publishers/google`
}

/** With a key of its own Vertex knows neither project nor region. */
export const vertexBase = ({ baseUrl, region, project }: Pick<VertexSettings, 'baseUrl' | 'region' | 'project'>) =>
  baseUrl ?? (project === null ? VERTEX_KEY_URL : vertexUrl(region, project))

export const vertex = providerSettings({
  name: 'vertex',
  about: `Gemini models on Google Cloud's Vertex AI (package ${PACKAGES.vertex.name})`,
  shape: vertexShape,
  complete: (given: Given) =>
    given['project'] === undefined ? keyOf(given, VERTEX_KEY_URL, 'GOOGLE_VERTEX_API_KEY') : {},
  check({ api_key, project, region }, refuse) {
    if (api_key === null && project === null) refuse('api_key', 'is required by the provider vertex, or project')
    else if (api_key === null && region === null) refuse('region', 'is required by the provider vertex with a project')
    else if (api_key !== null && project !== null)
      refuse('api_key', 'is for Vertex without a project, outside of any region: leave out one of the two')
  },
  place: (settings) => new URL(vertexBase(settings)).host,
  takesOwnKey: ({ project }) => project === null,
  identity: ({ baseUrl, region, project, apiKey }) => [baseUrl, region, project, apiKey?.toString() ?? null],
  seller: () => ({ id: 'google' }),
})

export type SdkSettings = SettingsOf<typeof sdkShape>
export type BedrockSettings = SettingsOf<typeof bedrockShape>
export type VertexSettings = SettingsOf<typeof vertexShape>
