/** The only source of randomness. Everything else is handed an Ids. */
import type { JobId } from './job.ts'

export interface Ids {
  /** The id of the job with this order number; ids sort by it. */
  job(order: number): JobId
  /** "<prefix>_<hex>", of `bytes` random bytes. */
  name(prefix: string, bytes: number): string
  /** `bytes` random bytes. */
  random(bytes: number): Uint8Array
  /** Uniform in [0, 1): jitter. */
  jitter(): number
}

/** Digits of base32, in the order of ASCII. */
export const CROCKFORD = '0123456789abcdefghjkmnpqrstvwxyz'
const ORDER_CHARS = 11
const SECRET_CHARS = 15

/** Bytes as two hex digits; two characters of Crockford's base32 by their ten bits. */
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))
const PAIRS = Array.from({ length: 1_024 }, (_, bits) => CROCKFORD[bits >> 5] + CROCKFORD[bits & 31])

/** From cryptographic randomness. */
export function systemIds(): Ids {
  const pool = new Uint8Array(4096)
  let used = pool.length
  /** Offset of `n` fresh bytes in the pool. Each is replaced by 0 when it is taken, so that no key stays there. */
  const take = (n: number): number => {
    if (used + n > pool.length) {
      crypto.getRandomValues(pool)
      used = 0
    }
    used += n
    return used - n
  }
  const byteAt = (place: number): number => {
    const byte = pool[place]
    pool[place] = 0
    return byte
  }
  return {
    random(n) {
      if (n > 256) return crypto.getRandomValues(new Uint8Array(n))
      const from = take(n)
      const out = pool.slice(from, from + n)
      pool.fill(0, from, from + n)
      return out
    },
    jitter: () => Math.random(),
    name(prefix, bytes) {
      const from = take(bytes)
      let text = `${prefix}_`
      for (let i = 0; i < bytes; i++) text += HEX[byteAt(from + i)]
      return text
    },
    job(order) {
      // 11 characters: five of the upper bits, six of the lower ones
      const high = Math.floor(order / 2 ** 30)
      const low = order % 2 ** 30
      let text =
        `job_${PAIRS[high >> 15]}${PAIRS[(high >> 5) & 1_023]}${CROCKFORD[high & 31]}` +
        PAIRS[low >> 20] +
        PAIRS[(low >> 10) & 1_023] +
        PAIRS[low & 1_023]
      const from = take(SECRET_CHARS)
      // 15 characters: seven pairs and one
      for (let i = 0; i < SECRET_CHARS - 1; i += 2)
        text += PAIRS[((byteAt(from + i) & 31) << 5) | (byteAt(from + i + 1) & 31)]
      return `${text}${CROCKFORD[byteAt(from + SECRET_CHARS - 1) & 31]}`
    },
  }
}

/**
 * The order number inside a job id, a safe integer; stores use it as the row's key. Null when the text is no job id.
 */
export function jobOrder(id: string): number | null {
  if (!/^job_[0-9a-hjkmnp-tv-z]{26}$/.test(id)) return null
  let n = 0
  for (let i = 4; i < 4 + ORDER_CHARS; i++) n = n * 32 + CROCKFORD.indexOf(id[i])
  return Number.isSafeInteger(n) ? n : null
}

const AGE_CHARS = 10
const RANDOM_BYTES = 10

/** "<prefix><time><random>" of what is made at `wallMs`: ids sort by that, to the millisecond. */
export function agedId({ random }: Pick<Ids, 'random'>, prefix: string, wallMs: number): string {
  return agedPrefix(prefix, wallMs) + Array.from(random(RANDOM_BYTES), (byte) => HEX[byte]).join('')
}

/** What `agedId` begins with. */
export function agedPrefix(prefix: string, wallMs: number): string {
  let time = ''
  for (let rest = Math.max(0, Math.floor(wallMs)); time.length < AGE_CHARS; rest = Math.floor(rest / 32))
    time = CROCKFORD[rest % 32] + time
  return prefix + time
}
