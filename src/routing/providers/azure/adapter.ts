/** Azure: OpenAI's dialect, with its key in a header of its own. */
import type { CreateProvider } from '../../../core/ports/provider.ts'
import type { SettingsOf } from '../../../settings/provider.ts'
import { optionsOf } from '../openai/adapter.ts'
import { createOpenAiProvider } from '../openai/provider.ts'
import type { azure } from './settings.ts'

export const create: CreateProvider<SettingsOf<typeof azure.shape>> = (name, settings, deps) =>
  createOpenAiProvider({ ...optionsOf(name, settings, deps), auth: 'api-key' })
