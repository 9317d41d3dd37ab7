/** Lines of files, as they come; and what a line of a batch is. */
import { isUtf8 } from 'node:buffer'
import { SluiceError } from '../core/errors.ts'
import { bodyLimits, checkUnique, isRecord, type JsonLimits, type Member, scan } from '../core/json.ts'

const NEWLINE = 0x0a

/** Without their ends, and what is blank as nothing; one that is longer is told as null. Numbered from 1. */
export async function* linesOf(
  chunks: AsyncIterable<Uint8Array>,
  maxBytes: number,
): AsyncGenerator<{ readonly line: number; readonly bytes: Buffer | null }> {
  let held: Buffer[] = []
  let length = 0
  let line = 1
  const whole = (): Buffer | null => {
    const bytes = length > maxBytes ? null : Buffer.concat(held)
    held = []
    length = 0
    return bytes === null ? null : trimmed(line === 1 ? withoutMark(bytes) : bytes)
  }
  for await (const chunk of chunks) {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    for (let at = 0; at < bytes.length; ) {
      const end = bytes.indexOf(NEWLINE, at)
      const to = end < 0 ? bytes.length : end
      length += to - at
      if (length <= maxBytes) held.push(bytes.subarray(at, to))
      else held = []
      at = to + 1
      if (end >= 0) yield { bytes: whole(), line: line++ }
    }
  }
  if (length > 0) yield { line, bytes: whole() }
}

/** A byte order mark, which editors and shells of Windows put before the first line. */
const withoutMark = (bytes: Buffer): Buffer =>
  bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes

const isBlank = (byte: number): boolean => byte === 0x20 || byte === 0x09 || byte === 0x0d

function trimmed(bytes: Buffer): Buffer {
  let end = bytes.length
  while (end > 0 && isBlank(bytes[end - 1])) end--
  return bytes.subarray(0, end)
}

export interface Line {
  readonly customId: string
  /** The request, as it was written. */
  readonly body: Buffer
}

export interface BadLine {
  readonly code: string
  readonly message: string
  readonly param: string | null
}

export interface LineRules {
  readonly endpoint: string
  readonly maxBytes: number
  /** Of the request in it. */
  readonly limits: JsonLimits
}

const MAX_CUSTOM_ID_CHARS = 512
/** A line is an object around its request. */
const [MORE_DEPTH, MORE_KEYS] = [1, 16]

const bad = (code: string, param: string | null, message: string): BadLine => ({ code, param, message })

export const isBad = (line: Line | BadLine): line is BadLine => 'code' in line

export function readLine(bytes: Buffer | null, { endpoint, maxBytes, limits }: LineRules): Line | BadLine {
  if (bytes === null) return bad('line_too_large', null, `A line may have ${maxBytes} bytes (http.max_body_bytes).`)
  const members: Member[] = []
  let value: unknown = null
  try {
    const { maxDepth, maxKeys } = limits
    const around = bodyLimits({ ...limits, maxDepth: maxDepth + MORE_DEPTH, maxKeys: maxKeys + MORE_KEYS })
    const keys = scan(bytes, around, members)
    if (isUtf8(bytes)) value = JSON.parse(bytes.toString('utf8'))
    if (isRecord(value)) checkUnique({ bytes, value, keys })
  } catch (thrown) {
    // A request that its route would refuse as a whole
    if (thrown instanceof SluiceError && thrown.code === 'invalid_request')
      return bad('invalid_json_line', thrown.param, thrown.message.replace('The body', 'This line'))
    value = null
  }
  if (!isRecord(value)) return bad('invalid_json_line', null, 'This line is not a JSON object.')
  const { custom_id: customId, method, url, body } = value
  if (typeof customId !== 'string' || customId === '' || customId.length > MAX_CUSTOM_ID_CHARS)
    return bad('missing_required_parameter', 'custom_id', '"custom_id" must be a text that names this line.')
  if (method !== 'POST') return bad('invalid_method', 'method', '"method" must be "POST".')
  if (url !== endpoint) return bad('invalid_url', 'url', `"url" must be the batch's endpoint, "${endpoint}".`)
  if (!isRecord(body)) return bad('missing_required_parameter', 'body', '"body" must be the request, an object.')
  const { valueStart, valueEnd } = members.find(({ key }) => key === 'body')!
  return { customId, body: bytes.subarray(valueStart, valueEnd) }
}
