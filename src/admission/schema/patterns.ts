/** The patterns of one schema: on RE2, as one that a client brings must not go back either, and bounded together. */
import type { RE2JS } from 're2js'
import { load } from '../../core/load.ts'
import { MAX_PATTERN_CHARS, MAX_PROGRAM } from '../scan/patterns.ts'

interface Taken {
  readonly size: number
  /** Ajv tells patterns apart by `toString`. */
  readonly matcher: { test(text: string): boolean; toString(): string }
}

export class Patterns {
  readonly #taken = new Map<string, Taken>()
  #size = 0

  /** Its size, in instructions of RE2. Throws where it is no expression of RE2, or there are too many. */
  take(source: string): number {
    return this.#of(source).size
  }

  matcher(source: string): Taken['matcher'] {
    return this.#of(source).matcher
  }

  #of(source: string): Taken {
    const known = this.#taken.get(source)
    if (known !== undefined) return known
    if (source.length > MAX_PATTERN_CHARS)
      throw new Error(`a pattern of the schema has more than ${MAX_PATTERN_CHARS} characters`)
    const taken = compiled(source)
    this.#size += taken.size
    if (this.#size > MAX_PROGRAM) throw new Error('the patterns of the schema are too large: write shorter repetitions')
    this.#taken.set(source, taken)
    return taken
  }
}

function compiled(source: string): Taken {
  const { RE2JS: Engine } = load('re2js') as { readonly RE2JS: typeof RE2JS }
  let expression: RE2JS
  try {
    expression = Engine.compile(source)
  } catch {
    throw new Error('a pattern of the schema is not an expression of RE2')
  }
  return {
    size: expression.programSize(),
    matcher: { test: (text) => expression.matcher(text).find(), toString: () => source },
  }
}
