/** References within a schema: RFC 6901, as the fragment of a URI. */
import { isObject, type Json, own } from '../../core/fold.ts'

/** Where "#/$defs/name" leads; null: nowhere. */
export function pointed(root: Json, reference: Json | undefined): Json | null {
  if (typeof reference !== 'string' || !/^#(?:\/|$)/.test(reference)) return null
  let at: Json | undefined = root
  for (const step of reference.slice(2).split('/')) {
    if (reference === '#') return root
    let name: string
    try {
      name = decodeURIComponent(step).replaceAll('~1', '/').replaceAll('~0', '~')
    } catch {
      return null
    }
    at = Array.isArray(at) ? at[Number(name)] : isObject(at) ? own(at, name) : undefined
    if (at === undefined) return null
  }
  return at
}
