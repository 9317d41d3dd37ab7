/**
 * How long answers are, learned from those that ended: for each tenant, model and route, and while there are too few of
 * them, for the tenant's model, then for the model. Lengths are counted in classes a quarter of an octave wide, which
 * is fine enough: what is held for an answer is corrected while it streams. Old answers fade.
 */
import { Table } from '../../core/table.ts'

/** Whose answer it is. */
export interface Answered {
  readonly tenant: string
  readonly model: string
  readonly route: string
}

/** Quarter octaves up to 2^20 tokens. */
const CLASSES = 81
/** Answers after which older ones count half. */
const HALVED_AT = 256
/** Answers that must have been seen before they are believed. */
const ENOUGH = 8
/** Of one tenant, and models of all: who has more of them forgets its own. */
const MOST_NAMES = 500
/** Of all tenants together. */
const MOST_ROUTES = 10_000

interface Own {
  readonly models: Names
  /** By model and route. */
  readonly routes: Names
}

export class OutputLengths {
  readonly #models = new Names()
  readonly #tenants = new Table<string, Own>()
  #routes = 0
  /** Answers learned from. */
  #learned = 0

  /** Routes that are known. */
  get size(): number {
    return this.#routes
  }

  /** This share of answers is at most as long, tokens; null: too few are known. Whoever only asks leaves nothing. */
  quantile({ tenant, model, route }: Answered, share: number): number | null {
    const own = this.#tenants.get(tenant)
    return (
      own?.routes.get(`${model}\n${route}`)?.quantile(share) ??
      own?.models.get(model)?.quantile(share) ??
      this.#models.get(model)?.quantile(share) ??
      null
    )
  }

  /** Of an answer that ended by itself, tokens. */
  learn({ tenant, model, route }: Answered, tokens: number): void {
    let own = this.#tenants.get(tenant)
    if (own === undefined) {
      own = { models: new Names(), routes: new Names() }
      this.#tenants.set(tenant, own)
    }
    const at = ++this.#learned
    const before = own.routes.size
    own.routes.made(`${model}\n${route}`).learn(tokens, at)
    own.models.made(model).learn(tokens, at)
    this.#models.made(model).learn(tokens, at)
    this.#routes += own.routes.size - before
    if (this.#routes > MOST_ROUTES) this.#makeRoom()
  }

  #makeRoom(): void {
    const all = [...this.#tenants.values()].map(({ routes }) => routes)
    const until = eldest(all.flatMap((routes) => routes.ages()))
    this.#routes = 0
    for (const routes of all) {
      routes.forget(until)
      this.#routes += routes.size
    }
  }
}

/** Who has not learned for longest is forgotten: an eighth at once, so that it costs little for each. */
const eldest = (ages: readonly number[]): number => Float64Array.from(ages).sort()[Math.floor(ages.length / 8)]

class Names {
  readonly #byName = new Table<string, Lengths>()

  get size(): number {
    return this.#byName.size
  }

  get(name: string): Lengths | undefined {
    return this.#byName.get(name)
  }

  made(name: string): Lengths {
    let lengths = this.#byName.get(name)
    if (lengths !== undefined) return lengths
    if (this.#byName.size >= MOST_NAMES) this.forget(eldest(this.ages()))
    lengths = new Lengths()
    this.#byName.set(name, lengths)
    return lengths
  }

  ages(): readonly number[] {
    return Array.from(this.#byName.values(), ({ learnedAt }) => learnedAt)
  }

  forget(until: number): void {
    for (const [name, { learnedAt }] of this.#byName.entries()) if (learnedAt <= until) this.#byName.delete(name)
  }
}

class Lengths {
  readonly #counts = new Float32Array(CLASSES)
  #total = 0
  /** By count of all answers. */
  learnedAt = 0

  /** Null: too few are known. */
  quantile(share: number): number | null {
    if (this.#total < ENOUGH) return null
    let left = share * this.#total
    let at = 0
    for (; at < CLASSES - 1; at++) {
      left -= this.#counts[at]
      if (left <= 0) break
    }
    return Math.ceil(2 ** (at / 4))
  }

  learn(tokens: number, at: number): void {
    this.learnedAt = at
    this.#counts[tokens <= 1 ? 0 : Math.min(CLASSES - 1, Math.ceil(4 * Math.log2(tokens)))]++
    if (++this.#total < HALVED_AT) return
    this.#total = 0
    for (let i = 0; i < CLASSES; i++) this.#total += this.#counts[i] /= 2
  }
}
