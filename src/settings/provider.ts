/** What a provider tells of its settings: a folder's settings.ts. The adapter is apart, and loaded when it is used. */
import type { z } from 'zod'
import type { Camelised } from '../core/camel.ts'

/** The settings by the names of code, as the adapter gets them. */
export type SettingsOf<Shape extends z.ZodRawShape> = Camelised<z.output<z.ZodObject<Shape>>>

export interface ProviderSettings<Name extends string = string, Shape extends z.ZodRawShape = z.ZodRawShape> {
  /** `provider: NAME` in the configuration. */
  readonly name: Name
  /** A few words for the documentation. */
  readonly about: string
  /** Its settings beside those of every model, each with a description. */
  readonly shape: Shape
  /** What no field can tell alone. */
  check?(settings: z.output<z.ZodObject<Shape>>, refuse: (setting: string, problem: string) => void): void
  /** Where its models are: in the names of deployments, after the "@". */
  place(settings: SettingsOf<Shape>): string
  /** Which one at that place, if there may be several: version, whose key. Never a secret. Absent: there is one. */
  identity?(settings: SettingsOf<Shape>): ReadonlyArray<string | null>
  /** Models that are offered where none are configured, if the environment has what they need. */
  fromEnvironment?(has: (variable: string) => boolean): readonly Readonly<Record<string, unknown>>[]
}

export const providerSettings = <const Name extends string, Shape extends z.ZodRawShape>(
  settings: ProviderSettings<Name, Shape>,
): ProviderSettings<Name, Shape> => settings
