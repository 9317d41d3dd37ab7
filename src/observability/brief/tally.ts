/**
 * How often things happened, in steps of time over the last while. At most 64 names are kept a step: a new one takes
 * the place of the rarest and goes on from its count (space-saving, Metwally et al., 2005). So sums are exact, whatever
 * is frequent is there, and no count is too high by more than a 64th of the step's sum.
 */

import { type Edited, Edits } from '../history/edits.ts'

const MAX_NAMES = 64

interface Step {
  n: number
  edit: number
  readonly counts: Map<string, number>
}

export class Tally {
  readonly stepMs: number
  readonly #steps: Step[]
  readonly #edits: Edits

  constructor(stepMs: number, steps: number, edits = new Edits()) {
    this.stepMs = stepMs
    this.#steps = Array.from({ length: steps }, () => ({ n: -1, edit: 0, counts: new Map() }))
    this.#edits = edits
  }

  add(atMs: number, name: string, count = 1): void {
    const n = Math.floor(atMs / this.stepMs)
    const step = this.#steps[n % this.#steps.length]
    if (step.n !== n) {
      step.n = n
      step.counts.clear()
    }
    step.edit = this.#edits.next()
    const before = step.counts.get(name)
    const inherited = before === undefined && step.counts.size >= MAX_NAMES ? takeRarest(step.counts) : 0
    step.counts.set(name, (before ?? inherited) + count)
  }

  /** As `countedSince`, of this one. */
  since(nowMs: number, fromAgo: number, toAgo = 0): ReturnType<typeof countedSince> {
    return countedSince([this], nowMs, fromAgo, toAgo)
  }

  /** Steps that were changed after this edit: which one, then its names and counts. */
  editedAfter(edit: number): Array<Edited<PackedStep>> {
    return this.#steps
      .filter((step) => step.edit > edit)
      .map((step) => ({ edit: step.edit, pack: () => [step.n, [...step.counts]] }))
  }

  /** In place of what is here of this step. */
  put([n, counts]: PackedStep): void {
    if (!Number.isSafeInteger(n) || n < 0 || !Array.isArray(counts)) return
    const step = this.#steps[n % this.#steps.length]
    step.n = n
    step.counts.clear()
    for (const [name, count] of counts.slice(0, MAX_NAMES)) step.counts.set(String(name), Number(count))
  }

  /** Of one step, if anything is known of it. */
  counts(n: number): Iterable<readonly [string, number]> {
    const step = this.#steps[n % this.#steps.length]
    return step.n === n ? step.counts : []
  }
}

function takeRarest(counts: Map<string, number>): number {
  let [rarest, fewest] = ['', Infinity]
  for (const [name, count] of counts)
    if (count < fewest) {
      rarest = name
      fewest = count
    }
  counts.delete(rarest)
  return fewest
}

export type PackedStep = readonly [step: number, counts: ReadonlyArray<readonly [name: string, count: number]>]

/**
 * Over several nodes: of the steps that began in this time, the present one included; the most frequent first.
 */
export function countedSince(
  tallies: readonly Tally[],
  nowMs: number,
  fromAgo: number,
  toAgo = 0,
): ReadonlyArray<readonly [name: string, count: number]> {
  const sums = new Map<string, number>()
  for (const tally of tallies) {
    const now = Math.floor(nowMs / tally.stepMs)
    for (let n = Math.max(0, now - fromAgo); n <= now - toAgo; n++)
      for (const [name, count] of tally.counts(n)) sums.set(name, (sums.get(name) ?? 0) + count)
  }
  return [...sums].sort(([, a], [, b]) => b - a)
}
