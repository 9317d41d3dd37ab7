/** Settings are written as in YAML (`max_body_bytes`) and used as in code (`maxBodyBytes`): one spelling each. */

/** Durations whose setting does not end in its unit. */
const UNITS = {
  logs: 'logsMs',
  at_least: 'atLeastMs',
  max_age: 'maxAgeMs',
  usage: 'usageMs',
  ttl: 'ttlMs',
  interval: 'intervalMs',
} as const

export type CamelCase<S extends string> = S extends keyof typeof UNITS ? (typeof UNITS)[S] : Joined<S>
type Joined<S extends string> = S extends `${infer Head}_${infer Tail}` ? `${Head}${Capitalize<Joined<Tail>>}` : S

/** A value that no name is in. */
type Plain = string | number | boolean | null | undefined | { reveal(): string }

/** Settings with the names of code, read-only. Names that users choose (of headers) stay theirs. */
export type Camelised<T> = T extends Plain
  ? T
  : T extends ReadonlyArray<infer Item>
    ? ReadonlyArray<Camelised<Item>>
    : { readonly [K in keyof T as K extends string ? CamelCase<K> : K]: Camelised<T[K]> }

export function camelCase(name: string): string {
  return Object.hasOwn(UNITS, name)
    ? UNITS[name as keyof typeof UNITS]
    : name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
}

/** A value of settings by the names of code. `keeps`: what stays as it is, names that users choose in it included. */
export function camelised<T>(value: T, keeps: (value: object, name: string) => boolean = () => false): Camelised<T> {
  const read = (value: unknown, name: string): unknown => {
    if (Array.isArray(value)) return value.map((item) => read(item, ''))
    if (typeof value !== 'object' || value === null || keeps(value, name)) return value
    return Object.fromEntries(Object.entries(value).map(([key, member]) => [camelCase(key), read(member, key)]))
  }
  return read(value, '') as Camelised<T>
}
