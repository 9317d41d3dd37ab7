/** What a provider declares in its settings.ts. Its adapter is a file of its own, loaded when a model uses it. */
import type { z } from 'zod'
import type { Camelised } from '../core/camel.ts'
import type { Seller } from '../core/ports/prices.ts'

/** The settings by the names of code, as the adapter gets them. */
export type SettingsOf<Shape extends z.ZodRawShape> = Camelised<z.output<z.ZodObject<Shape>>>

/** How an engine is asked whether it works: paths on its server, and how often. */
export interface EngineChecks {
  readonly path: string
  /** Null: its load is not asked for. */
  readonly metricsPath: string | null
  readonly intervalMs: number
  readonly timeoutMs: number
}

export interface ProviderSettings<Name extends string = string, Shape extends z.ZodRawShape = z.ZodRawShape> {
  /** `provider: NAME` in the configuration. */
  readonly name: Name
  /** A few words for the documentation. */
  readonly about: string
  /** Its settings in addition to those of every model, each with a description. */
  readonly shape: Shape
  /** Settings that were not given, as far as they follow from those that were. */
  complete?(given: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>>
  /** Checks that involve several fields. */
  check?(settings: z.output<z.ZodObject<Shape>>, refuse: (setting: string, problem: string) => void): void
  /** Where its models are: in the names of deployments, after the "@". */
  place(settings: SettingsOf<Shape>): string
  /** What tells apart several at one place: version, whose key. Never a secret. Absent: there can be only one. */
  identity?(settings: SettingsOf<Shape>): ReadonlyArray<string | null>
  /** May a tenant's own key be used for it? Absent: wherever it has an `api_key`. */
  takesOwnKey?(settings: SettingsOf<Shape>): boolean
  /** Whose price list holds, where a model's settings have no price. */
  seller(settings: SettingsOf<Shape>): Seller
  /** How it is checked; null: it is not. Absent: none of them is. */
  checks?(settings: SettingsOf<Shape>): EngineChecks | null
  /** Models that are offered if none are configured and the environment has what they need. */
  fromEnvironment?(has: (variable: string) => boolean): readonly Readonly<Record<string, unknown>>[]
  /** What the environment has, and yet is no use; for a warning where no models are configured. */
  hint?(has: (variable: string) => boolean): string | null
}

export const providerSettings = <const Name extends string, Shape extends z.ZodRawShape>(
  settings: ProviderSettings<Name, Shape>,
): ProviderSettings<Name, Shape> => settings
