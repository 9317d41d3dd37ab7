/** A model's rates, and what a call costs by them: integers only, so that sums over a month are exact. */
import type { MediaUnits } from '../core/media-units.ts'
import type { Tokens } from '../core/ports/prices.ts'

type Unit = keyof MediaUnits
type Kind = Exclude<keyof Tokens, Unit>
export type RateName = Kind | Unit | 'request'

const UNITS: readonly Unit[] = ['images', 'audioMs', 'characters']

/** In nano-dollars for 1,000 tokens (which is micro-dollars for a million), or for 1,000 requests or other units. */
export type Rate = number | Tiered

/** A larger prompt may have another rate, for all of its tokens. */
export interface Tiered {
  readonly base: number
  /** In ascending order: above so many tokens of input. */
  readonly tiers: ReadonlyArray<{ readonly above: number; readonly rate: number }>
}

/** Kinds without a rate are charged as the wider kind that they are part of. */
export type Rates = { readonly [name in RateName]?: Rate }

export const FREE: Rates = { input: 0, output: 0 }

/** Each after those that are parts of it. */
const KINDS: ReadonlyArray<readonly [kind: Kind, parts: readonly Kind[]]> = [
  ['cachedAudio', []],
  ['cachedInput', ['cachedAudio']],
  ['cacheWriteLong', []],
  ['cacheWrite', ['cacheWriteLong']],
  ['inputAudio', ['cachedAudio']],
  ['input', ['cachedAudio', 'cachedInput', 'cacheWriteLong', 'cacheWrite', 'inputAudio']],
  ['reasoning', []],
  ['outputAudio', []],
  ['output', ['reasoning', 'outputAudio']],
]

/** In nano-dollars, rounded once. */
export function costOf(tokens: Tokens, rates: Rates): number {
  const own: { [kind in Kind]?: number } = {}
  const sum = new Sum()
  if (rates.request !== undefined) sum.add(1, rateFor(rates.request, tokens.input))
  for (const unit of UNITS) {
    const rate = rates[unit]
    if (rate !== undefined) sum.add(tokens[unit] ?? 0, rateFor(rate, tokens.input))
  }
  for (const { kind, parts, rate } of chargedBy(rates)) {
    let n = tokens[kind] ?? 0
    for (const part of parts) n -= own[part] ?? 0
    // What providers report need not add up
    own[kind] = Math.max(0, n)
    sum.add(own[kind], rateFor(rate, tokens.input))
  }
  return sum.rounded()
}

interface Charged {
  readonly kind: Kind
  readonly parts: readonly Kind[]
  readonly rate: Rate
}

const charged = new WeakMap<Rates, readonly Charged[]>()

/** The kinds that have a rate, after their parts that have one: few of all, and each call is priced three times. */
function chargedBy(rates: Rates): readonly Charged[] {
  let known = charged.get(rates)
  if (known === undefined) {
    known = KINDS.flatMap(([kind, parts]) => {
      const rate = rates[kind]
      return rate === undefined ? [] : [{ kind, parts: parts.filter((part) => rates[part] !== undefined), rate }]
    })
    charged.set(rates, known)
  }
  return known
}

function rateFor(rate: Rate, inputTokens: number): number {
  if (typeof rate === 'number') return rate
  let found = rate.base
  for (const { above, rate: next } of rate.tiers) if (inputTokens > above) found = next
  return found
}

/** Of products divided by 1,000: exact, although the products may be larger than 2^53. */
class Sum {
  #whole = 0
  #thousandths = 0

  add(n: number, perThousand: number): void {
    const rest = n % 1000
    this.#whole += ((n - rest) / 1000) * perThousand
    this.#thousandths += rest * perThousand
  }

  rounded(): number {
    return Math.min(Number.MAX_SAFE_INTEGER, this.#whole + Math.floor((this.#thousandths + 500) / 1000))
  }
}

/** A price as people write it: US dollars for a million tokens. */
export const perMillion = (dollars: number): number => Math.round(dollars * 1e6)
