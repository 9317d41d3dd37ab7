/** Azure: OpenAI's dialect, with its key in a header of its own, and its deployment in the path. */
import type { CreateProvider } from '../../../core/ports/provider.ts'
import type { SettingsOf } from '../../../settings/provider.ts'
import { optionsOf } from '../openai/adapter.ts'
import { createOpenAiProvider } from '../openai/provider.ts'
import { type azure, baseUrlOf } from './settings.ts'

export const create: CreateProvider<SettingsOf<typeof azure.shape>> = (name, settings, deps) =>
  createOpenAiProvider({ ...optionsOf(name, { ...settings, baseUrl: baseUrlOf(settings) }, deps), auth: 'api-key' })
