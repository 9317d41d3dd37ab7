/**
 * How long answers are, learned from those that ended: for each tenant, model and route, and while there are too few of
 * them, for the model. Lengths are counted in classes a quarter of an octave wide, which is fine enough: what is held
 * for an answer is corrected while it streams. Old answers fade.
 */
import { Table } from '../../core/table.ts'

/** Quarter octaves up to 2^20 tokens. */
const CLASSES = 81
/** Answers after which older ones count half. */
const HALVED_AT = 256
/** Answers that a name must have before it is believed. */
const ENOUGH = 8
const MOST_NAMES = 10_000

export class OutputLengths {
  readonly #quantile: number
  readonly #unknown: number
  readonly #byName = new Table<string, Lengths>()
  /** In order of their making, so that the oldest makes room. */
  #names: string[] = []

  /** `quantile`: this share of answers is at most as long as told. `unknown`: tokens, where nothing is known. */
  constructor(quantile: number, unknown: number) {
    this.#quantile = quantile
    this.#unknown = unknown
  }

  /** Tokens; null: too little is known. */
  expected(tenant: string, model: string, route: string): number | null {
    for (const name of namesOf(tenant, model, route)) {
      const lengths = this.#byName.get(name)
      if (lengths !== undefined && lengths.total >= ENOUGH) return lengths.quantile(this.#quantile)
    }
    return null
  }

  /** What is held where nothing is known, tokens. */
  get unknown(): number {
    return this.#unknown
  }

  learn(tenant: string, model: string, route: string, tokens: number): void {
    for (const name of namesOf(tenant, model, route)) this.#of(name).add(tokens)
  }

  #of(name: string): Lengths {
    const known = this.#byName.get(name)
    if (known !== undefined) return known
    if (this.#byName.size >= MOST_NAMES) {
      // An eighth at once, so that making room costs little for each
      const gone = this.#names.slice(0, MOST_NAMES / 8)
      this.#names = this.#names.slice(MOST_NAMES / 8)
      for (const old of gone) this.#byName.delete(old)
    }
    const lengths = new Lengths()
    this.#byName.set(name, lengths)
    this.#names.push(name)
    return lengths
  }
}

const namesOf = (tenant: string, model: string, route: string): readonly string[] => [
  `${tenant}\n${model}\n${route}`,
  `${tenant}\n${model}`,
  `\n${model}`,
]

class Lengths {
  readonly #counts = new Float32Array(CLASSES)
  total = 0

  add(tokens: number): void {
    const at = tokens <= 1 ? 0 : Math.min(CLASSES - 1, Math.ceil(4 * Math.log2(tokens)))
    this.#counts[at]++
    if (++this.total < HALVED_AT) return
    this.total = 0
    for (let i = 0; i < CLASSES; i++) this.total += this.#counts[i] /= 2
  }

  quantile(share: number): number {
    let left = share * this.total
    for (let i = 0; i < CLASSES; i++) {
      left -= this.#counts[i]
      if (left <= 0) return Math.ceil(2 ** (i / 4))
    }
    return Math.ceil(2 ** ((CLASSES - 1) / 4))
  }
}
