import { Redactor, type Seeker } from '../scan/redactor.ts'
import type { Reader } from './tracks.ts'

/** What changes a text, and what only looks through it, which sees it as the provider sent it. */
export function reader(enforced: readonly Seeker[], observed: readonly Seeker[], context: string): Reader {
  const edits = enforced.length === 0 ? null : new Redactor(enforced, context)
  const looks = observed.length === 0 ? null : new Redactor(observed, context)
  return {
    get blocked() {
      return edits?.blocked ?? false
    },
    push(text) {
      looks?.push(text)
      return edits?.push(text) ?? text
    },
    end() {
      looks?.end()
      return edits?.end() ?? ''
    },
    whole(text) {
      looks?.whole(text)
      return edits?.whole(text) ?? text
    },
  }
}
