/**
 * API keys: "sk-sluice-" + 43 base62 chars (256 random bits) + 6 base62 chars, the CRC-32 of what precedes.
 * The checksum reveals a mistyped or made-up key without a look into the store; it is no secret.
 */
import { hash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import type { Ids } from '../../core/ids.ts'
import type { ApiKey } from '../../core/ports/keys.ts'

export const KEY_PREFIX = 'sk-sluice-'
/** Longer texts are refused before anything is computed over them. */
export const MAX_KEY_BYTES = 512

/** Shown after the prefix. */
const HINT_CHARS = 4
const NO_HINT = '…'
const SECRET_CHARS = 43
const CHECK_CHARS = 6
const SHAPE = new RegExp(`^${KEY_PREFIX}[0-9A-Za-z]{${SECRET_CHARS + CHECK_CHARS}}$`)
const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

export interface MintedKey {
  /** Shown once, stored nowhere. */
  readonly key: string
  readonly digest: string
  readonly hint: string
}

export function mintKey(ids: Ids): MintedKey {
  let secret = 0n
  for (const byte of ids.random(32)) secret = secret * 256n + BigInt(byte)
  const stem = KEY_PREFIX + base62(secret, SECRET_CHARS)
  const key = stem + checksum(stem)
  return { key, digest: digestOf(key), hint: hintOf(key) }
}

/** Has it our form, and is its checksum right? The key need not exist. */
export const isWellFormed = (key: string): boolean =>
  SHAPE.test(key) && key.endsWith(checksum(key.slice(0, -CHECK_CHARS)))

/** SHA-256, base64url: all that is ever stored or looked up. */
export const digestOf = (key: string): string => hash('sha256', key, 'base64url')

/** Enough to tell keys apart, too little to help a guess: nothing of a key that somebody chose. */
export const hintOf = (key: string): string => (isWellFormed(key) ? shortHint(key) : NO_HINT)

/**
 * As it may be shown: older versions stored 14 characters of whatever a start was given. What they stored of one that
 * was chosen and begins as ours do can't be told from ours, so given keys have none until they are rotated.
 */
export const shownHint = ({ hint, seeded, generation = 0 }: ApiKey): string =>
  seeded === true && generation === 0 ? NO_HINT : shortHint(hint)

/** Of texts of which no more is known. */
export const shortHint = (text: string): string =>
  text.startsWith(KEY_PREFIX) ? `${text.slice(0, KEY_PREFIX.length + HINT_CHARS).replace('…', '')}…` : NO_HINT

const checksum = (stem: string): string => base62(BigInt(crc32(stem)), CHECK_CHARS)

function base62(value: bigint, chars: number): string {
  let text = ''
  for (let n = value; text.length < chars; n /= 62n) text = BASE62[Number(n % 62n)] + text
  return text
}
