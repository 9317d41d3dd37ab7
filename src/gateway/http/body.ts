/** Request bodies: read within the cap, then checked, cheapest check first, before JSON.parse sees them. */
import { isUtf8 } from 'node:buffer'
import { SluiceError } from '../../core/errors.ts'
import {
  bodyLimits,
  checkUnique,
  isRecord,
  type JsonLimits,
  type JsonRecord,
  type Member,
  NO_LIMITS,
  scan,
  scanObject,
} from '../../core/json.ts'
import type { Call } from './call.ts'
import { Aborted } from './exchange.ts'
import type { Holding } from './inflow.ts'

/** One that was checked. */
export class JsonBody {
  /** As sent, without a BOM. */
  readonly bytes: Uint8Array
  readonly value: JsonRecord
  /** How many keys it has, at all depths. */
  readonly keys: number
  #members: readonly Member[] | null = null

  constructor(bytes: Uint8Array, value: JsonRecord, keys: number) {
    this.bytes = bytes
    this.value = value
    this.keys = keys
  }

  /** Top-level members by their bytes, in order. Few requests need them. */
  get members(): readonly Member[] {
    this.#members ??= scanObject(this.bytes, NO_LIMITS)
    return this.#members
  }
}

/** A body of more chunks than this must average so many bytes each: every chunk costs a call. */
const MAX_SMALL_CHUNKS = 16_384
const MEAN_CHUNK_BYTES = 16
const inPieces = (): SluiceError =>
  new SluiceError('invalid_request', { message: 'The body comes in chunks of a few bytes each: send larger ones.' })

/** `bytes`: of the whole body, where that is known. */
export function tooLarge(maxBytes: number, bytes?: number): SluiceError {
  const size = bytes === undefined ? 'is larger than this server accepts' : `has ${bytes} bytes`
  return new SluiceError('body_too_large', {
    message: `The body ${size}; the most is ${maxBytes} (http.max_body_bytes).`,
  })
}

const UTF8_CHARSET = /^charset ?= ?"?(?:utf-?8|us-ascii)"?$/
const JSON_TYPE = /^\s*application\/(?:[\w.-]+\+)?json\s*(?:;|$)/i

/** JSON is UTF-8. By hand: the value is untrusted. */
const isJsonType = (type: string): boolean =>
  type === 'application/json' ||
  (JSON_TYPE.test(type) &&
    type
      .toLowerCase()
      .split(';')
      .map((parameter) => parameter.trim())
      .every((parameter) => !parameter.startsWith('charset') || UTF8_CHARSET.test(parameter)))

/**
 * The body as a JSON object in which no member is there twice. Rejects with what parseBody throws,
 * unsupported_media_type, body_too_large; overloaded and too_many_unfinished while it is on its way.
 */
export const readJson = (call: Call, maxBytes: number, limits: JsonLimits): Promise<JsonBody> =>
  read(call, maxBytes, limits, checkUnique)

/** The same for a body that may be a list of requests, each to be checked by itself for members that it has twice. */
export const readParts = (call: Call, maxBytes: number, limits: JsonLimits): Promise<JsonBody> =>
  read(call, maxBytes, limits, () => {})

/** A request may come without any, where all that it may have is optional. */
export function hasBody({ exchange }: Pick<Call, 'exchange'>): boolean {
  const { 'content-length': length, 'transfer-encoding': encoding } = exchange.request.headers
  return encoding !== undefined || Number(length ?? 0) > 0
}

/** The whole body. A content-length over the cap is refused before a byte is read. */
function read(call: Call, maxBytes: number, limits: JsonLimits, check: (body: JsonBody) => void): Promise<JsonBody> {
  return new Promise((resolve, reject) => {
    const { request, response } = call.exchange
    const { 'content-type': type, 'content-encoding': encoding, expect } = request.headers
    if (type !== undefined && !isJsonType(type)) throw new SluiceError('unsupported_media_type')
    // Nothing is ever decompressed, so there can be no bomb
    if (encoding !== undefined && encoding.toLowerCase() !== 'identity') throw new SluiceError('unsupported_media_type')
    const length = Number(request.headers['content-length'] ?? Number.NaN)
    if (length > maxBytes) throw tooLarge(maxBytes, length)
    if (expect !== undefined) response.writeContinue()
    const askedMs = call.exchange.tookMs
    const gathered = new Gathered()
    let holding: Holding | undefined
    const fail = (error: Error): void => {
      holding?.hold(0)
      request.off('data', onData)
      reject(error)
    }
    let chunks = 0
    const onData = (chunk: Buffer): void => {
      if (++chunks > MAX_SMALL_CHUNKS && chunks * MEAN_CHUNK_BYTES > gathered.length) return fail(inPieces())
      if (gathered.length + chunk.length > maxBytes) return fail(tooLarge(maxBytes))
      gathered.add(chunk)
      // What arrived complete holds nothing up
      if (gathered.length === length || call.inflow === null) return
      try {
        holding ??= call.inflow.open(call.caller)
        holding.hold(gathered.length)
      } catch (thrown) {
        fail(SluiceError.from(thrown))
      }
    }
    request.on('data', onData)
    request.on('end', () => {
      call.exchange.uploadMs = call.exchange.tookMs - askedMs
      holding?.hold(0)
      try {
        call.check()
        const body = parseBody(gathered.bytes, limits)
        check(body)
        resolve(body)
      } catch (thrown) {
        reject(thrown as Error)
      }
    })
    request.on('error', () => fail(new Aborted()))
  })
}

const NOTHING: Buffer = Buffer.alloc(0)

/** Chunks as one buffer: a body may come byte by byte, and a chunk costs more than its bytes. */
class Gathered {
  #buffer = NOTHING
  length = 0

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.length)
  }

  add(chunk: Buffer): void {
    const before = this.length
    this.length += chunk.length
    if (before === 0) this.#buffer = chunk
    else {
      if (this.length > this.#buffer.length) {
        const grown = Buffer.allocUnsafeSlow(2 * this.length)
        this.#buffer.copy(grown, 0, 0, before)
        this.#buffer = grown
      }
      chunk.copy(this.#buffer, before)
    }
  }
}

/** Throws invalid_json, or invalid_request for what is JSON but too deep, too wide, no object or no Unicode. */
export function parseBody(raw: Buffer, limits: JsonLimits): JsonBody {
  if (raw.length === 0)
    throw new SluiceError('invalid_json', { message: 'The body is empty; a JSON object is expected.' })
  if (!isUtf8(raw)) throw new SluiceError('invalid_json', { message: 'The body is not valid UTF-8.' })
  const bytes = raw[0] === 0xef && raw[1] === 0xbb && raw[2] === 0xbf ? raw.subarray(3) : raw
  const keys = scan(bytes, bodyLimits(limits))
  const text = bytes.toString('utf8')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new SluiceError('invalid_json') // the cause would quote the body
  }
  if (!isRecord(value)) throw new SluiceError('invalid_request', { message: 'The body must be a JSON object.' })
  if (hasLoneSurrogate(text, value))
    throw new SluiceError('invalid_json', { message: 'The body has a \\u escape that is half of a surrogate pair.' })
  return new JsonBody(bytes, value, keys)
}

/** JSON.stringify writes pairs as characters and lone halves as escapes. Only bodies with such escapes pay for it. */
function hasLoneSurrogate(text: string, value: JsonRecord): boolean {
  if (!text.includes('\\ud') && !text.includes('\\uD')) return false
  return /\\ud[89a-f]/.test(JSON.stringify(value).replaceAll('\\\\', ''))
}

/** Bytes of a member's value; of a repeated key the last one's. Empty when it is absent. */
export function memberBytes(body: Pick<JsonBody, 'bytes' | 'members'>, key: string): Uint8Array {
  const member = body.members.findLast((m) => m.key === key)
  return member === undefined ? body.bytes.subarray(0, 0) : body.bytes.subarray(member.valueStart, member.valueEnd)
}
