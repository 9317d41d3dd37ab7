/** The `guards` of a tenant, as in the settings. */
import { z } from 'zod'
import { didYouMean } from '../core/nearest.ts'
import { GUARDS } from './guards/index.ts'

const NAMES: readonly string[] = GUARDS.map(({ name }) => name)
const [first, ...others] = GUARDS.map(({ settings }) => settings)

export const guardSettings = z.array(
  z.discriminatedUnion('guard', [first, ...others], {
    error: ({ input }) => {
      const name = (input as { readonly guard?: unknown } | null | undefined)?.guard
      return typeof name === 'string'
        ? `"${name}" is not a guard.${didYouMean(name, NAMES)} There are ${NAMES.join(', ')}.`
        : `expected a guard: { guard: ${NAMES.join(' | ')}, …its settings }`
    },
  }),
)

/** Frozen, as all settings are. */
export type GuardSettings = Frozen<z.output<typeof guardSettings>[number]>
type Frozen<T> = { readonly [K in keyof T]: T[K] extends ReadonlyArray<infer Item> ? readonly Item[] : T[K] }
