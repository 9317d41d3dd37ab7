/**
 * How long answers are, learned from those that ended: for each tenant, model and route, and while there are too few of
 * them, for the tenant's model, then for the model. Lengths are counted in classes a quarter of an octave wide, which
 * is fine enough: what is held for an answer is corrected while it streams. Old answers fade.
 */
import { Table } from '../../core/table.ts'

/** Quarter octaves up to 2^20 tokens. */
const CLASSES = 81
/** Answers after which older ones count half. */
const HALVED_AT = 256
/** Answers that must have been seen before they are believed. */
const ENOUGH = 8
const MOST_NAMES = 10_000

export class OutputLengths {
  readonly #byName = new Table<string, Lengths>()
  /** In order of their making, so that the oldest makes room. */
  #names: string[] = []

  of(tenant: string, model: string, route: string): Lengths {
    const name = `${tenant}\n${model}\n${route}`
    return this.#byName.get(name) ?? this.#make(name, this.#wider(tenant, model))
  }

  #wider(tenant: string, model: string): Lengths {
    const name = `${tenant}\n${model}`
    return this.#byName.get(name) ?? this.#make(name, this.#byName.get(model) ?? this.#make(model, null))
  }

  #make(name: string, wider: Lengths | null): Lengths {
    if (this.#names.length >= MOST_NAMES) {
      // An eighth at once, so that making room costs little for each
      for (const old of this.#names.splice(0, MOST_NAMES / 8)) this.#byName.delete(old)
    }
    const lengths = new Lengths(wider)
    this.#byName.set(name, lengths)
    this.#names.push(name)
    return lengths
  }
}

export class Lengths {
  readonly #wider: Lengths | null
  readonly #counts = new Float32Array(CLASSES)
  #total = 0

  constructor(wider: Lengths | null) {
    this.#wider = wider
  }

  /** This share of answers is at most as long, tokens; null: too few are known. */
  quantile(share: number): number | null {
    if (this.#total < ENOUGH) return this.#wider?.quantile(share) ?? null
    let left = share * this.#total
    let at = 0
    for (; at < CLASSES - 1; at++) {
      left -= this.#counts[at]
      if (left <= 0) break
    }
    return Math.ceil(2 ** (at / 4))
  }

  /** Of an answer that ended by itself, tokens. */
  learn(tokens: number): void {
    this.#wider?.learn(tokens)
    this.#counts[tokens <= 1 ? 0 : Math.min(CLASSES - 1, Math.ceil(4 * Math.log2(tokens)))]++
    if (++this.#total < HALVED_AT) return
    this.#total = 0
    for (let i = 0; i < CLASSES; i++) this.#total += this.#counts[i] /= 2
  }
}
