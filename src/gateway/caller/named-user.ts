/**
 * The end user that a request names to the provider. A session may name only its own user, or a provider would charge,
 * count or block somebody else for it. Some servers read names in any case.
 */
import { isRecord, type JsonRecord } from '../../core/json.ts'

const NAMES = new Set(['user', 'safetyidentifier', 'enduser', 'enduserid', 'userid'])
const MAX_NAME_CHARS = 64

/** Path of the first member of `request` that names somebody other than `user`; null if there is none. */
export function namesAnother(request: JsonRecord, user: string): string | null {
  for (const key in request) {
    const name = lettersOf(key)
    const value = request[key]
    if (NAMES.has(name) && !isOwn(value, user)) return key
    if (name !== 'metadata' || !isRecord(value)) continue
    for (const label in value) if (NAMES.has(lettersOf(label)) && !isOwn(value[label], user)) return `${key}.${label}`
  }
  return null
}

/** Without case, dashes and the like; "uſer" is "user" to servers that compare by Unicode folding. */
const lettersOf = (name: string): string =>
  name.length > MAX_NAME_CHARS
    ? ''
    : name
        .normalize('NFKC')
        .toLowerCase()
        .replace(/[^a-z]/g, '')

const isOwn = (value: unknown, user: string): boolean => value === null || value === '' || value === user
