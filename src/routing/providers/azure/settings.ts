import { checkHealth, checksOf } from '../../../settings/engine-checks.ts'
import { providerSettings, type SettingsOf } from '../../../settings/provider.ts'
import { openAiIdentity, openAiShape } from '../openai/settings.ts'

export const azure = providerSettings({
  name: 'azure',
  about: 'OpenAI models on Azure',
  shape: openAiShape,
  check({ base_url, model, api_version, health }, refuse) {
    checkHealth({ health }, refuse)
    if (base_url === null) return refuse('base_url', 'is required by the provider azure')
    if (!isResource(base_url)) return
    if (model === null) refuse('model', "is required by the provider azure: the deployment's name there")
    if (api_version === null) refuse('api_version', 'is required by the provider azure, e.g. 2024-10-21')
  },
  place: ({ baseUrl }) => new URL(baseUrl!).host,
  identity: openAiIdentity,
  checks: (settings) => checksOf(settings, settings.baseUrl!, null),
  seller: () => ({ id: 'azure' }),
})

/** The resource's own address: what is called there has a path of its own. */
const isResource = (url: string): boolean => URL.parse(url)?.pathname === '/'

export const baseUrlOf = ({ baseUrl, model }: SettingsOf<typeof openAiShape>): string =>
  isResource(baseUrl!) ? `${new URL(baseUrl!).origin}/openai/deployments/${encodeURIComponent(model!)}` : baseUrl!
