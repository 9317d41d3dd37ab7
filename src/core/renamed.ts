/** Deployments that a reload gives another name, automatic names above all: what is known of one stays its own. */

interface Made {
  readonly name: string
  /** What it is made of; absent: nobody knows. */
  readonly identity?: string
}

/** Pairs of old and new names: the old one is gone, the new one is new, and both are made of the same. In order. */
export function renamed(before: Iterable<Made>, after: Iterable<Made>): ReadonlyMap<string, string> {
  const [old, now] = [[...before], [...after]]
  const [oldNames, names] = [new Set(old.map(({ name }) => name)), new Set(now.map(({ name }) => name))]
  const come = Map.groupBy(
    new Map(now.filter(({ name }) => !oldNames.has(name)).map((each) => [each.name, each])).values(),
    ({ identity }) => identity,
  )
  const pairs = new Map<string, string>()
  for (const { name, identity } of old) {
    if (identity === undefined || names.has(name) || pairs.has(name)) continue
    const to = come.get(identity)?.shift()
    if (to !== undefined) pairs.set(name, to.name)
  }
  return pairs
}
