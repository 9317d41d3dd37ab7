/** Which settings differ between two configurations: their names, never their values. Pure. */
import { isDeepStrictEqual } from 'node:util'
import { LEAVES } from '../config/leaves.ts'
import type { Config } from '../config/schema.ts'
import { camelCase } from '../core/camel.ts'
import { Secret } from '../settings/fields.ts'
import type { NamedProvider } from './models.ts'

export interface InForce {
  readonly config: Config
  readonly providers: readonly Pick<NamedProvider, 'name' | 'model'>[]
}

/** More are nobody's reading; the rest is counted. */
const MOST = 100

/** "http.max_depth"; "models.chat@api.openai.com.limits", "tenants.acme added": lists are told by their items. */
export function changedSettings(before: InForce, after: InForce): readonly string[] {
  const names = LEAVES.map(({ path }) => path).filter(([group]) => group !== 'models' && group !== 'tenants')
  const single = names.filter((path) => !isSame(before.config, after.config, path)).map((path) => path.join('.'))
  const items = (list: 'models' | 'tenants'): string[] => {
    const of = ({ config, providers }: InForce): ReadonlyMap<string, object> =>
      list === 'models'
        ? new Map(providers.map(({ name, model }) => [name, model]))
        : new Map(config.tenants.map((tenant) => [tenant.name, tenant]))
    return changedItems(of(before), of(after)).map((what) => `${list}.${what}`)
  }
  const all = [...single, ...items('models'), ...items('tenants')]
  return all.length <= MOST ? all : [...all.slice(0, MOST), `… and ${all.length - MOST} more`]
}

function changedItems(before: ReadonlyMap<string, object>, after: ReadonlyMap<string, object>): string[] {
  return [...new Set([...before.keys(), ...after.keys()])].flatMap((name) => {
    const [one, other] = [before.get(name), after.get(name)]
    if (one === undefined) return [`${name} added`]
    if (other === undefined) return [`${name} removed`]
    const members = Object.keys({ ...one, ...other }).filter(
      (key) => !isDeepStrictEqual(read(one, key), read(other, key)),
    )
    return members.map((key) => `${name}.${key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`)
  })
}

/** Of a setting by its path in YAML. */
export const isSame = (before: Config, after: Config, path: readonly string[]): boolean => {
  const value = (config: Config): unknown =>
    plain(path.reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[camelCase(key)], config))
  return isDeepStrictEqual(value(before), value(after))
}

const read = (of: object, key: string): unknown => plain((of as Record<string, unknown>)[key])

/** With the values of secrets: another key under the same name is a change. */
function plain(value: unknown): unknown {
  if (value instanceof Secret) return [value.ref, value.known ? value.reveal() : null]
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, plain(member)]))
}
