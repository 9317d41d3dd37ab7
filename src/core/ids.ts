/** The only source of randomness. Everything else is handed an Ids. */
import type { JobId } from './job.ts'

export interface Ids {
  /** The id of the job with this order number; ids sort by it. */
  job(order: number): JobId
  /** `bytes` random bytes. */
  random(bytes: number): Uint8Array
  /** Uniform in [0, 1): jitter. */
  jitter(): number
}

const CROCKFORD = '0123456789abcdefghjkmnpqrstvwxyz'
const ORDER_CHARS = 11
const SECRET_CHARS = 15

/** From cryptographic randomness. */
export function systemIds(): Ids {
  const pool = new Uint8Array(4096)
  let used = pool.length
  const random = (n: number): Uint8Array => {
    if (n > 256) return crypto.getRandomValues(new Uint8Array(n))
    if (used + n > pool.length) {
      crypto.getRandomValues(pool)
      used = 0
    }
    const out = pool.slice(used, used + n)
    pool.fill(0, used, used + n) // never the same bytes twice, and no key left in memory
    used += n
    return out
  }
  return {
    random,
    jitter: () => Math.random(),
    job(order) {
      let text = ''
      for (let n = order, i = 0; i < ORDER_CHARS; i++, n = Math.floor(n / 32)) text = CROCKFORD[n % 32] + text
      for (const byte of random(SECRET_CHARS)) text += CROCKFORD[byte & 31]
      return `job_${text}`
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
