/** Lines of files, as they come; and what a line of a batch is. */
import { isUtf8 } from 'node:buffer'
import { isRecord, type JsonRecord } from '../core/json.ts'

const NEWLINE = 0x0a

/** Without their ends; one that is longer is told as null. Numbered from 1. */
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
    return bytes !== null && bytes.at(-1) === 0x0d ? bytes.subarray(0, -1) : bytes
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
      if (end >= 0) yield { line: line++, bytes: whole() }
    }
  }
  if (length > 0) yield { line, bytes: whole() }
}

export interface Line {
  readonly customId: string
  readonly body: JsonRecord
}

export interface BadLine {
  readonly code: string
  readonly message: string
  readonly param: string | null
}

const MAX_CUSTOM_ID_CHARS = 512

const bad = (code: string, param: string | null, message: string): BadLine => ({ code, param, message })

export const isBad = (line: Line | BadLine): line is BadLine => 'code' in line

export function readLine(bytes: Buffer | null, endpoint: string, maxBytes: number): Line | BadLine {
  if (bytes === null) return bad('line_too_large', null, `A line may have ${maxBytes} bytes (http.max_body_bytes).`)
  let value: unknown
  try {
    value = isUtf8(bytes) ? JSON.parse(bytes.toString('utf8')) : null
  } catch {
    value = null
  }
  if (!isRecord(value)) return bad('invalid_json_line', null, 'This line is not a JSON object.')
  const { custom_id: customId, method, url, body } = value
  if (typeof customId !== 'string' || customId === '' || customId.length > MAX_CUSTOM_ID_CHARS)
    return bad('missing_required_parameter', 'custom_id', '"custom_id" must be a text that names this line.')
  if (method !== 'POST') return bad('invalid_method', 'method', '"method" must be "POST".')
  if (url !== endpoint) return bad('invalid_url', 'url', `"url" must be the batch's endpoint, "${endpoint}".`)
  if (!isRecord(body)) return bad('missing_required_parameter', 'body', '"body" must be the request, an object.')
  return { customId, body }
}
