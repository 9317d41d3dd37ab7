import { z } from 'zod'
import { checkHealth, checksOf, healthShape } from '../../../settings/engine-checks.ts'
import { filePath, flag, httpUrl, secret } from '../../../settings/fields.ts'
import { headers } from '../../../settings/headers.ts'
import { providerSettings, type SettingsOf } from '../../../settings/provider.ts'

export const OPENAI_URL = 'https://api.openai.com/v1'

/** Of all upstreams that speak OpenAI's dialect. */
export const openAiShape = {
  base_url: httpUrl()
    .nullable()
    .prefault(null)
    .describe(
      "Base URL of the provider's API, usually ending in `/v1`. Null: the provider's own (docs/providers.md); " +
        '`azure` and `openai-compatible` need one.',
    ),
  model: z
    .string()
    .min(1)
    .nullable()
    .prefault(null)
    .describe("The provider's name for the model. Null: the name that the client used."),
  api_key: secret()
    .nullable()
    .prefault(null)
    .describe(
      'The API key, by reference: `{ env: NAME }` or `{ file: PATH }`. It is sent to `base_url` and nowhere else. ' +
        "Absent: the provider's own variable of the environment (docs/providers.md), unless `base_url` is elsewhere.",
    ),
  api_version: z
    .string()
    .min(1)
    .nullable()
    .prefault(null)
    .describe("The `api-version` in the query of each call: Azure's."),
  headers: headers()
    .prefault({})
    .describe('Additional request headers. Anything that looks like a credential must be a reference.'),
  continuation: z
    .enum(['none', 'prefix', 'vllm'])
    .nullable()
    .prefault(null)
    .describe(
      'How it continues a partial answer after a worker crash: `prefix` (DeepSeek, Mistral), `vllm`, or `none`. ' +
        'Null: as the provider does (docs/providers.md). The demo model always can.',
    ),
  stream_usage: flag()
    .nullable()
    .prefault(null)
    .describe(
      'Request streams with `stream_options.include_usage`. False: their tokens are counted here, unless usage comes ' +
        'by itself. Null: as the provider needs it.',
    ),
  completions: flag()
    .prefault(false)
    .describe(
      'It serves `/v1/completions` too (vLLM, SGLang, llama.cpp, Ollama): requests to that path are passed on as ' +
        'they came, with suffix, tokens and log probabilities, where all deployments of the model say so. False: the ' +
        'prompt becomes a message.',
    ),
  ca_file: filePath().nullable().prefault(null).describe('Additional CA certificates to trust (PEM).'),
  ...healthShape,
}

/** The key's reference, not its value: with a rotated key it is still the same deployment. */
export const openAiIdentity = ({ baseUrl, apiVersion, apiKey }: SettingsOf<typeof openAiShape>) => [
  baseUrl,
  apiVersion,
  apiKey?.toString() ?? null,
]

/**
 * The provider's own key where none is given, for the provider's own origin: no other address gets a key that nobody
 * named beside it.
 */
export function keyOf(
  { base_url, api_key }: Readonly<Record<string, unknown>>,
  home: string,
  variable: string | null,
): Readonly<Record<string, unknown>> {
  const isHome = base_url === undefined || base_url === null || originOf(base_url) === originOf(home)
  return api_key === undefined && variable !== null && isHome ? { api_key: { env: variable } } : {}
}

const originOf = (url: unknown): string | null => (typeof url === 'string' ? (URL.parse(url)?.origin ?? null) : null)

export const openai = providerSettings({
  name: 'openai',
  about: 'OpenAI itself',
  shape: openAiShape,
  complete: (given) => keyOf(given, OPENAI_URL, 'OPENAI_API_KEY'),
  check({ base_url, api_key, health }, refuse) {
    checkHealth({ health }, refuse)
    if (base_url === null && api_key === null)
      refuse('api_key', 'is required by the provider openai, e.g. { env: OPENAI_API_KEY }')
  },
  place: ({ baseUrl }) => new URL(baseUrl ?? OPENAI_URL).host,
  identity: openAiIdentity,
  checks: (settings) => checksOf(settings, OPENAI_URL, null),
  // Also through a proxy
  seller: () => ({ id: 'openai' }),
  fromEnvironment(has) {
    if (!has('OPENAI_API_KEY')) return []
    const models = {
      chat: ['gpt-*', 'o*'],
      embedding: ['text-embedding-*'],
      image: ['gpt-image-*', 'dall-e-*'],
      speech: ['tts-*', 'gpt-4o-mini-tts*'],
      transcription: ['whisper-*', 'gpt-4o-transcribe*', 'gpt-4o-mini-transcribe*'],
    }
    return Object.entries(models).flatMap(([kind, names]) =>
      names.map((name) => ({ name, api_key: { env: 'OPENAI_API_KEY' }, kinds: [kind] })),
    )
  },
})
