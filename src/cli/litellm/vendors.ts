/** LiteLLM's vendors (`model: VENDOR/NAME`), and how Sluice reaches each. */

export interface Vendor {
  /** Of Sluice; where this version has none of that name, and a base URL is known, `openai-compatible`. */
  readonly provider: string
  /** Where its API is, if the file does not say. */
  readonly baseUrl?: string
  /** The variable in which LiteLLM looks for the key; absent: it needs none. */
  readonly key?: string
  /** Its own host, where `baseUrl` does not say it. */
  readonly host?: string
  /** The path that Sluice's base URL has and LiteLLM's address may lack. */
  readonly path?: string
}

const at = (provider: string, baseUrl: string, key: string): Vendor => ({ provider, baseUrl, key })
const GOOGLE = 'generativelanguage.googleapis.com'
const own = (provider: string): Vendor => ({ provider })

export const VENDORS: Readonly<Record<string, Vendor>> = {
  openai: { provider: 'openai', key: 'OPENAI_API_KEY', host: 'api.openai.com' },
  azure: { provider: 'azure', key: 'AZURE_API_KEY' },
  anthropic: { provider: 'anthropic', key: 'ANTHROPIC_API_KEY', path: '/v1', host: 'api.anthropic.com' },
  gemini: { provider: 'google', key: 'GEMINI_API_KEY', path: '/v1beta', host: GOOGLE },
  vertex_ai: { provider: 'vertex' },
  vertex_ai_beta: { provider: 'vertex' },
  bedrock: { provider: 'bedrock' },
  bedrock_converse: { provider: 'bedrock' },
  cohere: { provider: 'cohere', key: 'COHERE_API_KEY', host: 'api.cohere.com' },
  cohere_chat: { provider: 'cohere', key: 'COHERE_API_KEY', host: 'api.cohere.com' },
  groq: at('groq', 'https://api.groq.com/openai/v1', 'GROQ_API_KEY'),
  mistral: at('mistral', 'https://api.mistral.ai/v1', 'MISTRAL_API_KEY'),
  deepseek: at('deepseek', 'https://api.deepseek.com/v1', 'DEEPSEEK_API_KEY'),
  xai: at('xai', 'https://api.x.ai/v1', 'XAI_API_KEY'),
  together_ai: at('together', 'https://api.together.xyz/v1', 'TOGETHERAI_API_KEY'),
  fireworks_ai: at('fireworks', 'https://api.fireworks.ai/inference/v1', 'FIREWORKS_AI_API_KEY'),
  openrouter: at('openrouter', 'https://openrouter.ai/api/v1', 'OPENROUTER_API_KEY'),
  perplexity: at('openai-compatible', 'https://api.perplexity.ai', 'PERPLEXITYAI_API_KEY'),
  deepinfra: at('openai-compatible', 'https://api.deepinfra.com/v1/openai', 'DEEPINFRA_API_KEY'),
  cerebras: at('openai-compatible', 'https://api.cerebras.ai/v1', 'CEREBRAS_API_KEY'),
  sambanova: at('openai-compatible', 'https://api.sambanova.ai/v1', 'SAMBANOVA_API_KEY'),
  nvidia_nim: at('openai-compatible', 'https://integrate.api.nvidia.com/v1', 'NVIDIA_NIM_API_KEY'),
  moonshot: at('openai-compatible', 'https://api.moonshot.ai/v1', 'MOONSHOT_API_KEY'),
  hosted_vllm: own('vllm'),
  vllm: own('vllm'),
  ollama: { provider: 'ollama', baseUrl: 'http://127.0.0.1:11434/v1', path: '/v1' },
  ollama_chat: { provider: 'ollama', baseUrl: 'http://127.0.0.1:11434/v1', path: '/v1' },
  llamafile: own('llamacpp'),
  lm_studio: own('openai-compatible'),
  xinference: own('openai-compatible'),
  infinity: own('openai-compatible'),
  openai_like: own('openai-compatible'),
  custom_openai: own('openai-compatible'),
  litellm_proxy: own('openai-compatible'),
  text_completion_openai: { provider: 'none' },
}

/** Names without a vendor are OpenAI's. */
const OPENAI = /^(gpt-|o\d|chatgpt-|text-embedding-|ft:gpt-)/

/** "groq/llama" → ["groq", "llama"]; null: nobody knows whose it is. */
export function vendorOf(model: string, custom: string | null): readonly [vendor: string, name: string] | null {
  if (custom !== null) return [custom, model.startsWith(`${custom}/`) ? model.slice(custom.length + 1) : model]
  const slash = model.indexOf('/')
  // LiteLLM's bridge to another API of the same model
  if (model.startsWith('openai/responses/')) return ['openai', model.slice('openai/responses/'.length)]
  if (slash > 0) return [model.slice(0, slash), model.slice(slash + 1)]
  return OPENAI.test(model) || model === '*' ? ['openai', model] : null
}
