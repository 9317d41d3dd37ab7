/** A vendor's row and the settings, for the client of OpenAI's dialect. */
import type { CreateProvider } from '../../../core/ports/provider.ts'
import type { SettingsOf } from '../../../settings/provider.ts'
import { optionsOf } from '../openai/adapter.ts'
import { createOpenAiProvider } from '../openai/provider.ts'
import type { Vendor, VendorShape } from './settings.ts'

export const createAt =
  ({ baseUrl, continuation, streamUsage, prefix, isMaxTokens }: Vendor): CreateProvider<SettingsOf<VendorShape>> =>
  (name, settings, deps) =>
    createOpenAiProvider({
      ...optionsOf(name, settings, deps, { baseUrl, continuation, streamUsage }),
      prefix,
      isMaxTokens,
    })
