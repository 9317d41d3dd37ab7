/** "[EMAIL_1]" for an address, the same one wherever it occurs in a request, and back again. */
import type { Finder } from './finder.ts'
import { ruleFinder, run, sequence } from './sequence.ts'

export interface Placeholders {
  /** Stands for this text. */
  readonly hide: (text: string, rule: string) => string
  /** The text that it stands for; itself where it stands for none. */
  readonly show: (placeholder: string) => string
  /** How many there are. */
  readonly size: () => number
}

/** `taken`: is it in the request already, as a text of its own? */
export function placeholders(taken: (placeholder: string) => boolean = () => false): Placeholders {
  const byText = new Map<string, string>()
  const byPlaceholder = new Map<string, string>()
  const counts = new Map<string, number>()
  return {
    hide(text, rule) {
      const known = byText.get(text)
      if (known !== undefined) return known
      let n = counts.get(rule) ?? 0
      let placeholder: string
      do placeholder = `[${rule.toUpperCase()}_${++n}]`
      while (taken(placeholder))
      counts.set(rule, n)
      byText.set(text, placeholder)
      byPlaceholder.set(placeholder, text)
      return placeholder
    },
    show: (placeholder) => byPlaceholder.get(placeholder) ?? placeholder,
    size: () => byPlaceholder.size,
  }
}

/** Finds anything that looks like one. */
export const placeholderFinder: Finder = ruleFinder([
  sequence('placeholder', ['[', run('A-Z', 2, 8), '_', run('0-9', 1, 7), ']'], { within: true }),
])
