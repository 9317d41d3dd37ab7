import { checkHealth, checksOf } from '../../../settings/engine-checks.ts'
import { providerSettings } from '../../../settings/provider.ts'
import { openAiIdentity, openAiShape } from '../openai/settings.ts'

export const openaiCompatible = providerSettings({
  name: 'openai-compatible',
  about: 'vLLM, Ollama, llama.cpp, SGLang, Groq, Mistral and everything else with an OpenAI-compatible API',
  shape: openAiShape,
  check({ base_url, health }, refuse) {
    checkHealth({ health }, refuse)
    if (base_url === null) refuse('base_url', 'is required by the provider openai-compatible')
  },
  place: ({ baseUrl }) => new URL(baseUrl!).host,
  identity: openAiIdentity,
  checks: (settings) => checksOf(settings, settings.baseUrl!, null),
  seller: ({ baseUrl }) => ({ url: baseUrl! }),
})
