/**
 * Names of deployments, for logs, metrics and health. A name is made of what the deployment is, never of its place in
 * the configuration, so that adding or moving another one changes it as rarely as possible.
 */
import { hash } from 'node:crypto'

export interface Named {
  /** What clients ask for. */
  readonly name: string
  /** The operator's own choice. */
  readonly deployment: string | null
  /** Where it is: a host. */
  readonly place: string
  /** The provider's name for the model; null: the same. */
  readonly upstreamModel: string | null
  /** What else distinguishes two of them: address, version, whose key. */
  readonly identity: string
}

/** "chat@api.openai.com"; "…/gpt-4.1-mini" and "…#3f2a" where two would have that name; "…#2" for a true twin. */
export function deploymentNames(all: readonly Named[]): readonly string[] {
  const short = all.map(({ deployment, name, place }) => deployment ?? `${name}@${place}`)
  const long = apart(short, (i) => (all[i].upstreamModel === null ? '' : `/${all[i].upstreamModel}`))
  const exact = apart(long, (i) => `#${hash('sha256', all[i].identity).slice(0, 4)}`)
  const taken = new Set(exact)
  const seen = new Set<string>()
  return exact.map((name) => {
    let own = name
    if (seen.has(name)) for (let n = 2; taken.has(own); n++) own = `${name}#${n}`
    seen.add(name)
    taken.add(own)
    return own
  })

  /** Those that share a name get more of it, if it differs among them. */
  function apart(names: readonly string[], more: (i: number) => string): readonly string[] {
    const groups = Map.groupBy(names.keys(), (i) => names[i])
    return names.map((name, i) => (new Set(groups.get(name)!.map(more)).size > 1 ? `${name}${more(i)}` : name))
  }
}
