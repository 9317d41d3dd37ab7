/**
 * All providers. A provider is a folder: settings.ts, by which the configuration is checked, and an adapter, loaded
 * when a model uses it. A new one is a folder and a line here.
 */
import type { z } from 'zod'
import type { CreateProvider } from '../../core/ports/provider.ts'
import type { ProviderSettings, SettingsOf } from '../../settings/provider.ts'
import { anthropic, bedrock, cohere, google, vertex } from './ai-sdk/settings.ts'
import { azure } from './azure/settings.ts'
import { demo } from './demo/settings.ts'
import { openai } from './openai/settings.ts'
import { openaiCompatible } from './openai-compatible/settings.ts'
import { type VendorName, type VendorShape, vendors } from './vendors/settings.ts'

export interface ProviderKind<Name extends string = string, Shape extends z.ZodRawShape = z.ZodRawShape>
  extends ProviderSettings<Name, Shape> {
  load(): Promise<{ readonly create: CreateProvider<SettingsOf<Shape>> }>
  /**
   * Models that are there without being configured: asks, and for no longer than `withinMs`. `variable`: of the
   * environment.
   */
  find?(
    variable: (name: string) => string | null,
    withinMs: number,
  ): Promise<ReadonlyArray<Readonly<Record<string, unknown>>>>
}

const kind = <const Name extends string, Shape extends z.ZodRawShape>(
  settings: ProviderSettings<Name, Shape>,
  load: ProviderKind<Name, Shape>['load'],
): ProviderKind<Name, Shape> => ({ ...settings, load })

export const PROVIDERS = [
  kind(demo, () => import('./demo/adapter.ts')),
  kind(openai, () => import('./openai/adapter.ts')),
  kind(openaiCompatible, () => import('./openai/adapter.ts')),
  kind(azure, () => import('./azure/adapter.ts')),
  kind(anthropic, async () => (await import('./ai-sdk/adapter.ts')).anthropic()),
  kind(google, async () => (await import('./ai-sdk/adapter.ts')).google()),
  kind(cohere, async () => (await import('./ai-sdk/adapter.ts')).cohere()),
  kind(bedrock, async () => (await import('./ai-sdk/adapter.ts')).bedrock()),
  kind(vertex, async () => (await import('./ai-sdk/adapter.ts')).vertex()),
  ...vendors.map(
    ({ vendor, settings }): ProviderKind<VendorName, VendorShape> => ({
      ...kind(settings, async () => ({ create: (await import('./vendors/adapter.ts')).createAt(vendor) })),
      ...(vendor.name === 'ollama' && {
        find: async (variable, withinMs) => (await import('./vendors/local.ts')).findOllama(variable, withinMs),
      }),
    }),
  ),
] as const
