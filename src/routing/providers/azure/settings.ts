import { checkHealth, checksOf } from '../../../settings/engine-checks.ts'
import { providerSettings } from '../../../settings/provider.ts'
import { openAiIdentity, openAiShape } from '../openai/settings.ts'

export const azure = providerSettings({
  name: 'azure',
  about: 'OpenAI models on Azure',
  shape: openAiShape,
  check({ base_url, health }, refuse) {
    checkHealth({ health }, refuse)
    if (base_url === null) refuse('base_url', 'is required by the provider azure')
  },
  place: ({ baseUrl }) => new URL(baseUrl!).host,
  identity: openAiIdentity,
  checks: (settings) => checksOf(settings, settings.baseUrl!, null),
  seller: () => ({ id: 'azure' }),
})
