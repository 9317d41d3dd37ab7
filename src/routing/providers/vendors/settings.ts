/**
 * Vendors and engines whose API is OpenAI's, and what each does differently: data, no code. What is not here is as at
 * OpenAI. A vendor's reasoning (`reasoning`, `reasoning_content`, parts of type `thinking`), its usage wherever it
 * stands (`x_groq`, in every chunk), its errors and its `[DONE]` need no row: the client of the dialect reads them all.
 */

import { checkHealth, checksOf, type EnginePages } from '../../../settings/engine-checks.ts'
import { type ProviderSettings, providerSettings } from '../../../settings/provider.ts'
import { keyOf, openAiIdentity, openAiShape } from '../openai/settings.ts'

export interface Vendor<Name extends string = string> {
  /** `provider: NAME` in the configuration. */
  readonly name: Name
  readonly about: string
  readonly baseUrl: string
  /** Where its users keep the key; null: an engine of one's own, which needs none. */
  readonly keyVariable: string | null
  /** By the name of the price list; null: an engine of one's own. */
  readonly seller: string | null
  /** The models that are offered with a key in the environment; they are called as the vendor calls them. */
  readonly chat: readonly string[]
  readonly embedding: readonly string[]
  /** Stands before its models' names where those are many vendors'; it is not sent. */
  readonly prefix: string | null
  /** False: it refuses `stream_options`. Usage comes by itself, or is counted here. */
  readonly streamUsage: boolean
  /** Does it know `max_tokens` alone? Then `max_completion_tokens` is sent by that name. */
  readonly isMaxTokens: boolean
  readonly continuation: 'none' | 'prefix' | 'vllm'
  /** How an engine is asked whether it works, and what it has to do; null: it is nobody's own. */
  readonly pages: EnginePages | null
}

const vendor = <const Name extends string>(
  row: Pick<Vendor<Name>, 'name' | 'about' | 'baseUrl'> & Partial<Vendor<Name>>,
): Vendor<Name> => ({
  keyVariable: null,
  seller: null,
  chat: [],
  embedding: [],
  prefix: null,
  streamUsage: true,
  isMaxTokens: false,
  continuation: 'none',
  pages: null,
  ...row,
})

export const VENDORS = [
  // docs.vllm.ai, "OpenAI-Compatible Server": continue_final_message, add_generation_prompt
  vendor({
    name: 'vllm',
    about: 'vLLM, an engine of your own',
    baseUrl: 'http://127.0.0.1:8000/v1',
    continuation: 'vllm',
    pages: { health: '/health', metrics: '/metrics' },
  }),
  // docs.sglang.ai, "OpenAI APIs"
  vendor({
    name: 'sglang',
    about: 'SGLang, an engine of your own',
    baseUrl: 'http://127.0.0.1:30000/v1',
    continuation: 'vllm',
    // With --enable-metrics. An idle one writes a token for /health: SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION
    pages: { health: '/health', metrics: '/metrics' },
  }),
  // docs.ollama.com/api/openai-compatibility: of the two it lists max_tokens
  vendor({
    name: 'ollama',
    about: 'Ollama, an engine of your own',
    baseUrl: 'http://127.0.0.1:11434/v1',
    isMaxTokens: true,
    pages: { health: '/api/version', metrics: null },
  }),
  // tools/server/README.md of llama.cpp. It prolongs a last message of the assistant, but not where the model thinks
  vendor({
    name: 'llamacpp',
    about: "llama.cpp's server, an engine of your own",
    baseUrl: 'http://127.0.0.1:8080/v1',
    isMaxTokens: true,
    // With --metrics
    pages: { health: '/health', metrics: '/metrics' },
  }),
  // console.groq.com/docs/openai
  vendor({
    name: 'groq',
    about: 'Groq',
    baseUrl: 'https://api.groq.com/openai/v1',
    keyVariable: 'GROQ_API_KEY',
    seller: 'groq',
    chat: ['groq/*'],
    prefix: 'groq/',
  }),
  // docs.mistral.ai/api: usage comes with the last chunk, unasked; a message with `prefix: true`
  vendor({
    name: 'mistral',
    about: 'Mistral',
    baseUrl: 'https://api.mistral.ai/v1',
    keyVariable: 'MISTRAL_API_KEY',
    seller: 'mistral',
    chat: ['mistral-*', 'ministral-*', 'magistral-*', 'codestral-*', 'devstral-*', 'pixtral-*'],
    embedding: ['mistral-embed*', 'codestral-embed*'],
    streamUsage: false,
    isMaxTokens: true,
    continuation: 'prefix',
  }),
  // api-docs.deepseek.com. It prolongs at its address …/beta only: `base_url` and `continuation: prefix`
  vendor({
    name: 'deepseek',
    about: 'DeepSeek',
    baseUrl: 'https://api.deepseek.com/v1',
    keyVariable: 'DEEPSEEK_API_KEY',
    seller: 'deepseek',
    chat: ['deepseek-*'],
    isMaxTokens: true,
  }),
  // docs.x.ai
  vendor({
    name: 'xai',
    about: 'xAI',
    baseUrl: 'https://api.x.ai/v1',
    keyVariable: 'XAI_API_KEY',
    seller: 'x-ai',
    chat: ['grok-*'],
  }),
  // docs.together.ai/docs/openai-api-compatibility
  vendor({
    name: 'together',
    about: 'Together AI',
    baseUrl: 'https://api.together.xyz/v1',
    keyVariable: 'TOGETHER_API_KEY',
    seller: 'together',
    chat: ['together/*'],
    prefix: 'together/',
    isMaxTokens: true,
  }),
  // docs.fireworks.ai/tools-sdks/openai-compatibility
  vendor({
    name: 'fireworks',
    about: 'Fireworks AI',
    baseUrl: 'https://api.fireworks.ai/inference/v1',
    keyVariable: 'FIREWORKS_API_KEY',
    seller: 'fireworks',
    chat: ['accounts/fireworks/*'],
    isMaxTokens: true,
  }),
  // openrouter.ai/docs/api-reference
  vendor({
    name: 'openrouter',
    about: 'OpenRouter',
    baseUrl: 'https://openrouter.ai/api/v1',
    keyVariable: 'OPENROUTER_API_KEY',
    seller: 'openrouter',
    chat: ['openrouter/*'],
    prefix: 'openrouter/',
  }),
] as const

export type VendorName = (typeof VENDORS)[number]['name']
export type VendorShape = typeof openAiShape

/** A provider for each row. */
export const vendors: ReadonlyArray<{
  readonly vendor: Vendor
  readonly settings: ProviderSettings<VendorName, VendorShape>
}> = VENDORS.map((vendor: Vendor<VendorName>) => ({ vendor, settings: settingsOf(vendor) }))

function settingsOf(vendor: Vendor<VendorName>): ProviderSettings<VendorName, VendorShape> {
  const { name, about, baseUrl: home, keyVariable, seller } = vendor
  return providerSettings({
    name,
    about,
    shape: openAiShape,
    complete: (given) => keyOf(given, home, keyVariable),
    checks: (settings) => checksOf(settings, home, vendor.pages),
    check({ base_url, api_key, health }, refuse) {
      if (vendor.pages === null) checkHealth({ health }, refuse)
      if (base_url === null && api_key === null && keyVariable !== null)
        refuse('api_key', `is required by the provider ${name}, e.g. { env: ${keyVariable} }`)
    },
    place: ({ baseUrl }) => new URL(baseUrl ?? home).host,
    identity: openAiIdentity,
    // An engine of one's own may be rented
    seller: ({ baseUrl }) => (seller === null ? { url: baseUrl ?? home } : { id: seller }),
    fromEnvironment(has) {
      if (keyVariable === null || !has(keyVariable)) return []
      const model = (kind: string) => (name: string) => ({ name, kinds: [kind], api_key: { env: keyVariable } })
      return [...vendor.chat.map(model('chat')), ...vendor.embedding.map(model('embedding'))]
    },
  })
}
