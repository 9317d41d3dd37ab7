/**
 * The end user that a request names to the provider. A session may name only its own user, or a provider would charge,
 * count or block somebody else for it. The client's bytes are passed on as they are, so the bytes are read here: some
 * servers take the first of two members of one name, and some read names in any case.
 */
import { type Member, NO_LIMITS, scanObject } from '../../core/json.ts'

const NAMES = new Set(['user', 'safetyidentifier', 'enduser', 'enduserid', 'userid'])
const MAX_NAME_CHARS = 64

/** Path of the first member of `request` (valid JSON) that names somebody other than `user`; null if there is none. */
export function namesAnother(request: Uint8Array, user: string): string | null {
  for (const member of scanObject(request, NO_LIMITS)) {
    const name = lettersOf(member.key)
    if (NAMES.has(name) && !isOwn(parsed(request, member), user)) return member.key
    if (name !== 'metadata') continue
    const metadata = request.subarray(member.valueStart, member.valueEnd)
    for (const label of scanObject(metadata, NO_LIMITS))
      if (NAMES.has(lettersOf(label.key)) && !isOwn(parsed(metadata, label), user)) return `${member.key}.${label.key}`
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

const parsed = (json: Uint8Array, { valueStart, valueEnd }: Member): unknown =>
  JSON.parse(Buffer.from(json.buffer, json.byteOffset + valueStart, valueEnd - valueStart).toString('utf8'))
