/** Models that are there without being configured, such as those of a local Ollama. */
import { PROVIDERS, type ProviderKind } from '../routing/providers/index.ts'
import { bareText } from '../settings/fields.ts'
import type { Environment } from './load.ts'

export type FoundModel = Readonly<Record<string, unknown>>

/** A start waits for them, so not for long. */
const WITHIN_MS = 300

/** What no provider answers for in time is not there. Never rejects. */
export async function findModels(env: Environment = process.env): Promise<readonly FoundModel[]> {
  const variable = (name: string): string | null => bareText(env[name] ?? '') || null
  const kinds = PROVIDERS as readonly unknown[] as ReadonlyArray<Pick<ProviderKind, 'name' | 'find'>>
  const found = kinds.map(async ({ name, find }) => {
    const models = (await find?.(variable, WITHIN_MS).catch(() => [])) ?? []
    return models.map((model) => ({ ...model, provider: name }))
  })
  return (await Promise.all(found)).flat()
}
