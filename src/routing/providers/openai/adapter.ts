/** From the settings to the client of OpenAI's dialect. */
import type { CreateProvider, ProviderDeps } from '../../../core/ports/provider.ts'
import type { SettingsOf } from '../../../settings/provider.ts'
import { createOpenAiProvider, type OpenAiOptions } from './provider.ts'
import { OPENAI_URL, type openAiShape } from './settings.ts'

export const create: CreateProvider<SettingsOf<typeof openAiShape>> = (name, settings, deps) =>
  createOpenAiProvider(optionsOf(name, settings, deps))

/** What holds where the settings don't say. */
export type Defaults = Required<Pick<OpenAiOptions, 'baseUrl' | 'continuation' | 'streamUsage'>>
const DEFAULTS: Defaults = { baseUrl: OPENAI_URL, continuation: 'none', streamUsage: true }

export function optionsOf(
  name: string,
  {
    baseUrl,
    apiVersion,
    model,
    apiKey,
    headers,
    caFile,
    continuation,
    streamUsage,
    completions,
  }: SettingsOf<typeof openAiShape>,
  { readFile, ...deps }: ProviderDeps,
  defaults: Defaults = DEFAULTS,
): OpenAiOptions {
  const plain = Object.entries(headers).map(([header, value]) => [
    header,
    typeof value === 'string' ? value : value.reveal(),
  ])
  const query = apiVersion === null ? '' : `?api-version=${encodeURIComponent(apiVersion)}`
  return {
    ...deps,
    name,
    baseUrl: `${baseUrl ?? defaults.baseUrl}${query}`,
    apiKey: apiKey?.reveal() ?? null,
    headers: Object.fromEntries(plain),
    upstreamModel: model,
    continuation: continuation ?? defaults.continuation,
    streamUsage: streamUsage ?? defaults.streamUsage,
    completions,
    ca: caFile === null ? null : readFile('ca_file', caFile),
  }
}
