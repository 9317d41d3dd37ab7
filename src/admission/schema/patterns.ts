/** The patterns of one schema: on RE2, as one that a client brings must not go back either, and bounded together. */
import type { RE2JS } from 're2js'
import { load } from '../../core/load.ts'
import { MAX_PATTERN_CHARS, MAX_PROGRAM } from '../scan/patterns.ts'

/** Of one answer: instructions times characters. The slowest patterns take 60 ns for each, common ones far less. */
const MAX_STEPS = 32 << 20

/** Thrown by a matcher: the answer is too long for the patterns. */
export class TooManySteps extends Error {}

interface Taken {
  readonly size: number
  /** Ajv tells patterns apart by `toString`. */
  readonly matcher: { test(text: string): boolean; toString(): string }
}

export class Patterns {
  readonly #taken = new Map<string, Taken>()
  #size = 0
  #stepsLeft = 0

  /** Its size, in instructions of RE2. Throws where it is no expression of RE2, or there are too many. */
  take(source: string): number {
    return this.#of(source).size
  }

  /** Another answer is matched. */
  begin(): void {
    this.#stepsLeft = MAX_STEPS
  }

  matcher(source: string): Taken['matcher'] {
    return this.#of(source).matcher
  }

  #of(source: string): Taken {
    const known = this.#taken.get(source)
    if (known !== undefined) return known
    if (source.length > MAX_PATTERN_CHARS)
      throw new Error(`a pattern of the schema has more than ${MAX_PATTERN_CHARS} characters`)
    const expression = compiled(source)
    const size = expression.programSize()
    const test = (text: string): boolean => {
      this.#stepsLeft -= size * text.length
      if (this.#stepsLeft < 0) throw new TooManySteps()
      return expression.matcher(text).find()
    }
    const taken: Taken = { size, matcher: { test, toString: () => source } }
    this.#size += taken.size
    if (this.#size > MAX_PROGRAM) throw new Error('the patterns of the schema are too large: write shorter repetitions')
    this.#taken.set(source, taken)
    return taken
  }
}

function compiled(source: string): RE2JS {
  const { RE2JS: Engine } = load('re2js') as { readonly RE2JS: typeof RE2JS }
  try {
    return Engine.compile(source)
  } catch {
    throw new Error('a pattern of the schema is not an expression of RE2')
  }
}
