/**
 * What a request means, as one text: the same question under the same idempotency key is the same job, however it
 * arrived. A page repeats over HTTP what it submitted over a WebSocket, and each client writes JSON in its own way.
 */
import { hash } from 'node:crypto'
import type { JobKind } from '../../core/job.ts'

const [QUOTE, BACKSLASH, SPACE] = [0x22, 0x5c, 0x20]
/** Control characters by the letter of their short escape: \b \t \n \f \r. */
const SHORT: ReadonlyMap<number, number> = new Map([
  [0x08, 0x62],
  [0x09, 0x74],
  [0x0a, 0x6e],
  [0x0c, 0x66],
  [0x0d, 0x72],
])

/** `given`: the client's options by name, wherever it put them. */
export function fingerprint(kind: JobKind, request: Uint8Array, given: Readonly<Record<string, unknown>>): string {
  const options = JSON.stringify([
    kind,
    Object.keys(given)
      .sort()
      .map((name) => [name, given[name]]),
  ])
  return hash('sha256', Buffer.concat([canonical(request), Buffer.from(`\n${options}`)]), 'base64url')
}

/**
 * Valid JSON without white space, and each text in one spelling: no escape where JSON needs none. The order
 * of members and the digits of numbers stay. One pass; the result is never longer.
 */
export function canonical(json: Uint8Array): Uint8Array {
  const out = Buffer.allocUnsafe(json.length)
  let n = 0
  let inText = false
  for (let i = 0; i < json.length; i++) {
    const c = json[i]
    if (!inText) {
      if (c <= SPACE) continue
      inText = c === QUOTE
      out[n++] = c
    } else if (c !== BACKSLASH) {
      inText = c !== QUOTE
      out[n++] = c
    } else if (json[++i] === 0x75) {
      let unit = unitAt(json, i)
      i += 4
      if (unit >= 0xd800 && unit < 0xdc00 && json[i + 1] === BACKSLASH && json[i + 2] === 0x75) {
        const low = unitAt(json, i + 2)
        if (low >= 0xdc00 && low < 0xe000) {
          unit = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
          i += 6
        }
      }
      n = writeCharacter(out, n, unit)
    } else if (json[i] === 0x2f) out[n++] = 0x2f
    else {
      out[n++] = BACKSLASH
      out[n++] = json[i]
    }
  }
  return out.subarray(0, n)
}

/** The code unit of the escape whose "u" is at `at`. */
function unitAt(json: Uint8Array, at: number): number {
  let unit = 0
  for (let i = at + 1; i <= at + 4; i++) unit = unit * 16 + ((json[i] & 0x0f) + (json[i] > 0x39 ? 9 : 0))
  return unit
}

/** Returns where the next begins. */
function writeCharacter(out: Buffer, at: number, code: number): number {
  let n = at
  const short = code === QUOTE || code === BACKSLASH ? code : SHORT.get(code)
  if (short !== undefined) {
    out[n++] = BACKSLASH
    out[n++] = short
    return n
  }
  // A control character, or half of a pair, has no other spelling
  if (code < SPACE || (code >= 0xd800 && code < 0xe000))
    return n + out.write(`\\u${code.toString(16).padStart(4, '0')}`, n, 'latin1')
  if (code < 0x80) out[n++] = code
  else if (code < 0x800) {
    out[n++] = 0xc0 | (code >> 6)
    out[n++] = 0x80 | (code & 0x3f)
  } else {
    if (code < 0x1_0000) out[n++] = 0xe0 | (code >> 12)
    else {
      out[n++] = 0xf0 | (code >> 18)
      out[n++] = 0x80 | ((code >> 12) & 0x3f)
    }
    out[n++] = 0x80 | ((code >> 6) & 0x3f)
    out[n++] = 0x80 | (code & 0x3f)
  }
  return n
}
