/**
 * Numbers for operators. A part declares each of its own where it counts: name (with its unit, `_ms` or `_bytes`, if
 * it has one), kind and help. All can be summed over processes, so there are no ready-made averages or percentiles:
 * whoever reads them derives those. src/observability/registry.ts reads and sums them.
 */
interface Declared {
  /** "commit_ms" */
  readonly name: string
  /** A sentence, without the full stop. */
  readonly help: string
  /** What sets it apart from others of its name, in the order of its family; absent: it is the only one. */
  readonly labels?: Labels
}

export type Labels = ReadonlyArray<readonly [name: string, value: string]>

/** Only grows, from 0 at the start of the process. */
export interface Counter extends Declared {
  readonly kind: 'counter'
  readonly value: number
  add(n?: number): void
}

/** As it is now. */
export interface Gauge extends Declared {
  readonly kind: 'gauge'
  /** The total of several processes: their sum, or the largest (also right where all report the same value). */
  readonly over: 'sum' | 'max'
  read(): number
}

export type Metric = Counter | Gauge | Histogram

/** What a part exposes. */
export interface NumberSource {
  readonly metrics: readonly Metric[]
  readonly families?: readonly Family[]
  /** Awaited before each reading, for values that have to be fetched. */
  refresh?(): void | Promise<void>
}

export function counter(name: string, help: string, labels?: Labels): Counter {
  let value = 0
  return {
    kind: 'counter',
    name,
    help,
    ...(labels !== undefined && { labels }),
    get value() {
      return value
    },
    add(n = 1) {
      value += n
    },
  }
}

export const gauge = (name: string, help: string, read: () => number, over: Gauge['over'] = 'sum'): Gauge => ({
  kind: 'gauge',
  name,
  help,
  over,
  read,
})

/** A gauge that is told its value. */
export interface Told extends Gauge {
  set(value: number): void
}

/** Four buckets per power of two: a value read from them is at most 25 % too large. */
const PER_OCTAVE = 4
const OCTAVE_BITS = 2
/** The first bucket holds everything below 2^-6 (16 µs), the last everything from 2^36 on (64 GiB, two years). */
const LOWEST_EXPONENT = -6
const OCTAVES = 42
export const BUCKETS = OCTAVES * PER_OCTAVE + 2

/** A float's exponent and its first two bits after the point, read as one integer: its bucket, but for an offset. */
const float = new Float64Array(1)
const words = new Uint32Array(float.buffer)
const HIGH_WORD = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1 ? 1 : 0
const SHIFT = 20 - OCTAVE_BITS
const OFFSET = (1023 + LOWEST_EXPONENT) * PER_OCTAVE - 1

/** `value`: not NaN. */
export function bucketOf(value: number): number {
  if (value <= 0) return 0
  float[0] = value
  const bucket = (words[HIGH_WORD] >>> SHIFT) - OFFSET
  return bucket < 0 ? 0 : bucket < BUCKETS ? bucket : BUCKETS - 1
}

/** The upper bound of a bucket, exclusive. */
export const bucketBound = (bucket: number): number =>
  bucket >= BUCKETS - 1
    ? Infinity
    : 2 ** (LOWEST_EXPONENT + Math.floor(bucket / PER_OCTAVE)) * (1 + (bucket % PER_OCTAVE) / PER_OCTAVE)

/** How often each magnitude occurred. Recording is an add in a typed array: no allocation, no clock. */
export class Histogram implements Declared {
  readonly kind = 'histogram'
  readonly name: string
  readonly help: string
  readonly labels?: Labels
  readonly buckets = new Float64Array(BUCKETS)
  sum = 0
  /** The largest value; 0 if there is none. */
  max = 0

  constructor(name: string, help: string, labels?: Labels) {
    this.name = name
    this.help = help
    if (labels !== undefined) this.labels = labels
  }

  record(value: number, times = 1): void {
    if (!Number.isFinite(value)) return
    this.buckets[bucketOf(value)] += times
    this.sum += value * times
    if (value > this.max) this.max = value
  }
}

export const histogram = (name: string, help: string): Histogram => new Histogram(name, help)

/**
 * Sets of labels that a family holds; of what comes later these labels are OVERFLOW, one after the other, so that
 * nobody can fill memory, and what is a fixed list (states, codes) stays told apart: there may be as many sets again.
 */
export const MAX_SERIES = 200
export const OVERFLOW = 'overflow'
const NUMEROUS = ['tenant', 'model', 'deployment']

/**
 * Numbers of one name, told apart by labels. A label's value comes from the configuration or from a fixed list, never
 * from a caller's text. Ask for a member once a request, not once a token.
 */
export interface Family<M extends Metric = Metric> {
  readonly name: string
  readonly members: readonly M[]
  /** In the order in which the labels were declared; made where it is new. No rest parameter: that is an array. */
  of(a: string, b?: string, c?: string, d?: string): M
}

export const counters = (name: string, help: string, ...labels: readonly string[]): Family<Counter> =>
  family(name, labels, (told) => counter(name, help, told))

export const histograms = (name: string, help: string, ...labels: readonly string[]): Family<Histogram> =>
  family(name, labels, (told) => new Histogram(name, help, told))

/** Its members are told anew at each reading: those that are told nothing are gone. */
export interface Gauges extends Family<Told> {
  clear(): void
}

export function gauges(name: string, help: string, over: Gauge['over'], ...labels: readonly string[]): Gauges {
  const create = (told: Labels): Told => {
    let value = 0
    const set = (to: number): void => {
      value = to
    }
    return { ...gauge(name, help, () => value, over), labels: told, set }
  }
  let current = family(name, labels, create)
  return {
    name,
    get members() {
      return current.members
    },
    of: (a, b, c, d) => current.of(a, b, c, d),
    clear() {
      current = family(name, labels, create)
    },
  }
}

/** Values lead to a member one by one: to put them together would cost more than to look them up. */
interface Node<M> {
  readonly next: Map<string, Node<M>>
  member: M | null
}

function family<M extends Metric>(name: string, labels: readonly string[], create: (labels: Labels) => M): Family<M> {
  const members: M[] = []
  const root: Node<M> = { next: new Map(), member: null }
  const find = (a: string, b?: string, c?: string, d?: string): M | null => {
    let node = root.next.get(a)
    if (b !== undefined) node = node?.next.get(b)
    if (c !== undefined) node = node?.next.get(c)
    if (d !== undefined) node = node?.next.get(d)
    return node?.member ?? null
  }
  const add = (values: readonly string[]): M => {
    const made = create(labels.map((label, i) => [label, values[i]]))
    let node = root
    for (const value of values) {
      const next = node.next.get(value) ?? { next: new Map<string, Node<M>>(), member: null }
      node.next.set(value, next)
      node = next
    }
    node.member = made
    members.push(made)
    return made
  }
  const places = NUMEROUS.map((label) => labels.indexOf(label)).filter((place) => place >= 0)
  const coarser = (values: string[]): M => {
    const at = (): M | null => find(values[0], values[1], values[2], values[3])
    for (const [i, place] of places.entries()) {
      values[place] = OVERFLOW
      const found = at()
      if (found !== null) return found
      // Half of the room is for the coarsest, which are few
      const room = i === places.length - 1 ? MAX_SERIES : MAX_SERIES / 2
      if (members.length < MAX_SERIES + room) return add(values)
    }
    values.fill(OVERFLOW)
    return at() ?? add(values)
  }
  return {
    name,
    members,
    of(a, b, c, d) {
      const found = find(a, b, c, d)
      if (found !== null) return found
      const values = [a, b, c, d].filter((value) => value !== undefined)
      return members.length < MAX_SERIES ? add(values) : coarser(values)
    },
  }
}

/** What quantiles are computed from. */
export interface Distribution {
  readonly buckets: ArrayLike<number>
  readonly sum: number
  readonly max: number
}

export function countOf({ buckets }: Distribution): number {
  let count = 0
  for (let i = 0; i < buckets.length; i++) count += buckets[i]
  return count
}

/** The smallest bound that at least this share (0 to 1) of all values is at or below; 0 if there are none. */
export function quantileOf(distribution: Distribution, share: number): number {
  const { buckets, max } = distribution
  const wanted = countOf(distribution) * share
  if (wanted === 0) return 0
  let seen = 0
  for (let i = 0; i < buckets.length; i++) {
    seen += buckets[i]
    if (seen >= wanted) return Math.min(bucketBound(i), max)
  }
  return max
}
