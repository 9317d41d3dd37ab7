/// <reference path="./packages.d.ts" />
/** From the settings to the AI SDK's packages, each loaded once a model uses it. */
import { SluiceError } from '../../../core/errors.ts'
import type { CreateProvider } from '../../../core/ports/provider.ts'
import type { Secret } from '../../../settings/fields.ts'
import type { EmbeddingModel, LanguageModel, Models } from './model.ts'
import { createSdkProvider, type SdkOptions } from './provider.ts'
import {
  ANTHROPIC_URL,
  type BedrockSettings,
  bedrockUrl,
  COHERE_URL,
  GOOGLE_URL,
  howToInstall,
  PACKAGES,
  type SdkPackage,
  type SdkSettings,
  type VertexSettings,
  vertexBase,
} from './settings.ts'

/** What a package's `create…` returns, as far as it is used. */
interface Factory {
  (model: string): LanguageModel
  readonly embeddingModel?: (model: string) => EmbeddingModel
}
type Create = (options: Readonly<Record<string, unknown>>) => Factory

/** Throws config_invalid, which says what to install. */
async function loaded(wanted: SdkPackage, load: () => Promise<unknown>): Promise<Create> {
  let create: unknown
  try {
    create = await load()
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    const why = code === 'ERR_MODULE_NOT_FOUND' ? 'which is not installed' : 'which could not be loaded'
    throw new SluiceError('config_invalid', {
      message: `A model's provider needs the package ${wanted.name}, ${why}: ${howToInstall(wanted)}`,
      cause,
    })
  }
  if (typeof create === 'function') return create as Create
  throw new SluiceError('config_invalid', {
    message: `The package ${wanted.name} is of a version that Sluice does not know: ${howToInstall(wanted)}`,
  })
}

const VERSION = 'v4'

/** `options`: of the package, all that it would else take from the environment included. */
function modelsOf(
  create: Create,
  options: Readonly<Record<string, unknown>>,
  wanted: SdkPackage,
  embeds: boolean,
): Models {
  const made = (fetch: typeof globalThis.fetch): Factory => create({ ...options, fetch })
  const chat: Models['chat'] = (model, fetch) => made(fetch)(model)
  const { specificationVersion } = chat('any', globalThis.fetch)
  if (specificationVersion !== VERSION)
    throw new SluiceError('config_invalid', {
      message:
        `The package ${wanted.name} has models of version ${specificationVersion}, and not ${VERSION}: ` +
        howToInstall(wanted),
    })
  const embedding: Models['embedding'] = (model, fetch) => made(fetch).embeddingModel!(model)
  return {
    chat,
    addsThought: wanted === PACKAGES.anthropic,
    embedding: embeds && made(globalThis.fetch).embeddingModel !== undefined ? embedding : null,
  }
}

interface Made {
  readonly baseUrl: string
  readonly secret: Secret | null
  readonly options: Readonly<Record<string, unknown>>
  readonly check: SdkOptions['check']
}

const adapter = async <Settings extends SdkSettings>(
  wanted: SdkPackage,
  load: () => Promise<unknown>,
  embeds: boolean,
  make: (settings: Settings, readFile: (setting: string, path: string) => string) => Made,
): Promise<{ readonly create: CreateProvider<Settings> }> => {
  const createModels = await loaded(wanted, load)
  return {
    create(name, settings, { readFile, ...deps }) {
      const { baseUrl, secret, options, check } = make(settings, readFile)
      const { model, headers, caFile } = settings
      const plain = Object.entries(headers).map(([header, value]) => [
        header,
        typeof value === 'string' ? value : value.reveal(),
      ])
      return createSdkProvider({
        name,
        baseUrl,
        secret: secret?.reveal() ?? null,
        upstreamModel: model,
        models: modelsOf(createModels, { ...options, baseURL: baseUrl.replace(/\/+$/, '') }, wanted, embeds),
        headers: Object.fromEntries(plain),
        ca: caFile === null ? null : readFile('ca_file', caFile),
        check,
        deps,
      })
    },
  }
}

const keyOf = (key: Secret | null): string => key?.reveal() ?? ''

export const anthropic = () =>
  adapter<SdkSettings>(
    PACKAGES.anthropic,
    async () => (await import('@ai-sdk/anthropic')).createAnthropic,
    false,
    ({ baseUrl, apiKey }) => ({
      baseUrl: baseUrl ?? ANTHROPIC_URL,
      secret: apiKey,
      options: { apiKey: keyOf(apiKey) },
      check: { route: '/models', headers: { 'x-api-key': keyOf(apiKey), 'anthropic-version': '2023-06-01' } },
    }),
  )

export const google = () =>
  adapter<SdkSettings>(
    PACKAGES.google,
    async () => (await import('@ai-sdk/google')).createGoogle,
    true,
    ({ baseUrl, apiKey }) => ({
      baseUrl: baseUrl ?? GOOGLE_URL,
      secret: apiKey,
      options: { apiKey: keyOf(apiKey) },
      check: { route: '/models', headers: { 'x-goog-api-key': keyOf(apiKey) } },
    }),
  )

export const cohere = () =>
  adapter<SdkSettings>(
    PACKAGES.cohere,
    async () => (await import('@ai-sdk/cohere')).createCohere,
    true,
    ({ baseUrl, apiKey }) => ({
      baseUrl: baseUrl ?? COHERE_URL,
      secret: apiKey,
      options: { apiKey: keyOf(apiKey) },
      check: null,
    }),
  )

/** With a key, or signed by an access key (SigV4): an empty text keeps the package from looking in the environment. */
export const bedrock = () =>
  adapter<BedrockSettings>(
    PACKAGES.bedrock,
    async () => (await import('@ai-sdk/amazon-bedrock')).createAmazonBedrock,
    true,
    (settings) => {
      const { baseUrl, region, apiKey, accessKeyId, secretAccessKey, sessionToken } = settings
      const signing = {
        accessKeyId: keyOf(accessKeyId),
        secretAccessKey: keyOf(secretAccessKey),
        sessionToken: sessionToken?.reveal(),
      }
      return {
        baseUrl: baseUrl ?? bedrockUrl(region),
        secret: apiKey ?? secretAccessKey,
        options: { region, apiKey: keyOf(apiKey), ...(apiKey === null && signing) },
        check: null,
      }
    },
  )

export const vertex = () =>
  adapter<VertexSettings>(
    PACKAGES.vertex,
    async () => (await import('@ai-sdk/google-vertex')).createGoogleVertex,
    true,
    (settings, readFile) => {
      const { region, project, apiKey, credentialsFile } = settings
      const credentials =
        credentialsFile === null ? null : credentialsIn(readFile('credentials_file', credentialsFile), credentialsFile)
      return {
        baseUrl: vertexBase(settings),
        secret: apiKey,
        options: {
          apiKey: keyOf(apiKey),
          project: project ?? '',
          location: region ?? '',
          ...(credentials !== null && { googleAuthOptions: { credentials } }),
        },
        check: null,
      }
    },
  )

function credentialsIn(text: string, path: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new SluiceError('config_invalid', { message: `credentials_file: ${path} is not JSON.` })
  }
}
