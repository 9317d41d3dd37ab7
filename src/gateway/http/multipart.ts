/**
 * A multipart/form-data body, part by part, as it comes: nothing is held but a chunk and the beginning of what may be a
 * boundary. Whoever reads it decides how fast (backpressure), and reads or skips each part before the next.
 */
import { SluiceError } from '../../core/errors.ts'
import { bad } from '../../core/fields.ts'

export interface FormPart {
  readonly name: string
  /** Null: it is a field, not a file. */
  readonly fileName: string | null
  /** Media type; null: none is told. */
  readonly type: string | null
  /** To be read once. */
  readonly bytes: AsyncIterable<Uint8Array>
}

const MAX_PARTS = 64
const MAX_PART_HEADER_BYTES = 8_192
const MAX_BOUNDARY_CHARS = 70
/** Before the first boundary, and after the last. */
const MAX_AROUND_BYTES = 65_536
/** A body of more chunks than this must average so many bytes each: every chunk costs a call. */
const MAX_SMALL_CHUNKS = 16_384
const MEAN_CHUNK_BYTES = 16

const CRLF = Buffer.from('\r\n')
const HEADERS_END = Buffer.from('\r\n\r\n')

const broken = (what: string): SluiceError =>
  new SluiceError('invalid_request', { message: `The body is not valid multipart/form-data: ${what}.` })

/** Throws unsupported_media_type. */
export function boundaryOf(contentType: string | undefined): string {
  const [type, ...parameters] = pieces(contentType ?? '')
  const boundary = parameters.find(([name]) => name === 'boundary')?.[1]
  if (type?.[0] === 'multipart/form-data' && boundary !== undefined && boundary !== '')
    if (boundary.length <= MAX_BOUNDARY_CHARS) return boundary
  throw new SluiceError('unsupported_media_type', {
    message: 'Send the body as content-type: multipart/form-data, with its boundary, as SDKs and "curl -F" do.',
  })
}

/** At most `maxBytes` of the whole body. Throws invalid_request, body_too_large; rethrows what the source throws. */
export async function* readForm(
  source: AsyncIterable<Buffer>,
  boundary: string,
  maxBytes: number,
): AsyncGenerator<FormPart> {
  const input = new Input(source, maxBytes)
  const delimiter = Buffer.from(`\r\n--${boundary}`)
  // The first boundary has no line before it
  input.pending = CRLF
  await skip(input.until(delimiter), MAX_AROUND_BYTES)
  for (let parts = 0; await input.opensPart(); parts++) {
    if (parts === MAX_PARTS) throw broken(`it has more than ${MAX_PARTS} parts`)
    const { name, fileName, type } = headersOf(await input.headers())
    const bytes = input.until(delimiter)
    yield { name, fileName, type, bytes }
    await skip(bytes, Infinity)
  }
  await skip(input.rest(), MAX_AROUND_BYTES)
}

/** A field's text. Throws invalid_request. */
export async function textOf({ name, bytes }: FormPart, maxBytes = 4_096): Promise<string> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of bytes) {
    length += chunk.length
    if (length > maxBytes) throw bad(name, `"${name}" is longer than ${maxBytes} bytes.`)
    chunks.push(Buffer.from(chunk))
  }
  return Buffer.concat(chunks).toString('utf8')
}

async function skip(bytes: AsyncIterable<Uint8Array>, most: number): Promise<void> {
  let left = most
  for await (const chunk of bytes) {
    left -= chunk.length
    if (left < 0) throw broken('there are too many bytes around its parts')
  }
}

class Input {
  readonly #source: AsyncIterator<Buffer>
  readonly #maxBytes: number
  #bytes = 0
  #chunks = 0
  /** Read, but not given away yet. */
  pending: Buffer = Buffer.alloc(0)

  constructor(source: AsyncIterable<Buffer>, maxBytes: number) {
    this.#source = source[Symbol.asyncIterator]()
    this.#maxBytes = maxBytes
  }

  /** All before the delimiter; it is taken too. Read again it gives nothing. */
  async *until(delimiter: Buffer): AsyncGenerator<Uint8Array> {
    for (;;) {
      const at = this.pending.indexOf(delimiter)
      if (at >= 0) {
        const before = this.pending.subarray(0, at)
        this.pending = this.pending.subarray(at + delimiter.length)
        if (before.length > 0) yield before
        return
      }
      // What may be the beginning of one stays
      const sure = this.pending.length - delimiter.length + 1
      if (sure > 0) {
        const before = this.pending.subarray(0, sure)
        this.pending = this.pending.subarray(sure)
        yield before
      }
      await this.#more()
    }
  }

  /** After a boundary: does a part follow, rather than the end? */
  async opensPart(): Promise<boolean> {
    for (let at = 0; ; ) {
      while (this.pending.length < at + 2) await this.#more()
      const [first, second] = this.pending.subarray(at)
      if (at === 0 && first === 0x2d && second === 0x2d) {
        this.pending = this.pending.subarray(2)
        return false
      }
      if (first === 0x0d && second === 0x0a) {
        // Of a part without headers, their end is this line's
        this.pending = this.pending.subarray(at)
        return true
      }
      // White space may follow a boundary
      if ((first !== 0x20 && first !== 0x09) || at > MAX_BOUNDARY_CHARS)
        throw broken('a boundary is not followed by a line')
      at++
    }
  }

  async headers(): Promise<string> {
    for (;;) {
      const at = this.pending.indexOf(HEADERS_END)
      if (at > MAX_PART_HEADER_BYTES || (at < 0 && this.pending.length > MAX_PART_HEADER_BYTES))
        throw broken(`the headers of a part exceed ${MAX_PART_HEADER_BYTES} bytes`)
      if (at >= 0) {
        const text = this.pending.toString('utf8', 0, at)
        this.pending = this.pending.subarray(at + HEADERS_END.length)
        return text
      }
      await this.#more()
    }
  }

  async *rest(): AsyncGenerator<Uint8Array> {
    yield this.pending
    for (let next = await this.#next(); next !== null; next = await this.#next()) yield next
  }

  async #more(): Promise<void> {
    const next = await this.#next()
    if (next === null) throw broken('it ends in the middle of a part')
    this.pending = this.pending.length === 0 ? next : Buffer.concat([this.pending, next])
  }

  async #next(): Promise<Buffer | null> {
    const next = await this.#source.next()
    if (next.done === true) return null
    this.#bytes += next.value.length
    if (this.#bytes > this.#maxBytes) throw new SluiceError('body_too_large')
    if (++this.#chunks > MAX_SMALL_CHUNKS && this.#chunks * MEAN_CHUNK_BYTES > this.#bytes)
      throw new SluiceError('invalid_request', { message: 'The body comes in chunks of a few bytes each.' })
    return next.value
  }
}

function headersOf(text: string): Pick<FormPart, 'name' | 'fileName' | 'type'> {
  const headers = new Map(
    text
      .split('\r\n')
      .filter((line) => line !== '')
      .map((line) => {
        const colon = line.indexOf(':')
        if (colon <= 0) throw broken('a part has a header without a name')
        return [line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()] as const
      }),
  )
  const encoding = headers.get('content-transfer-encoding')?.toLowerCase() ?? 'binary'
  if (!['binary', '8bit', '7bit'].includes(encoding)) throw broken('the only transfer encoding of parts is "binary"')
  const [disposition, ...parameters] = pieces(headers.get('content-disposition') ?? '')
  const values = new Map(parameters)
  const name = values.get('name')
  if (disposition?.[0] !== 'form-data' || name === undefined) throw broken('a part has no name')
  return {
    name: unescaped(name),
    fileName: extended(values.get('filename*')) ?? (values.has('filename') ? unescaped(values.get('filename')!) : null),
    type: headers.get('content-type') ?? null,
  }
}

/** `form-data; name="a"; filename="b"` as [["form-data", ""], ["name", "a"], …]. */
function pieces(header: string): ReadonlyArray<readonly [string, string]> {
  const found: Array<readonly [string, string]> = []
  for (let at = 0; at < header.length; ) {
    const [end, value] = [header.indexOf(';', at), header.indexOf('=', at)]
    if (value < 0 || (end >= 0 && end < value)) {
      const to = end < 0 ? header.length : end
      found.push([header.slice(at, to).trim().toLowerCase(), ''])
      at = to + 1
      continue
    }
    const name = header.slice(at, value).trim().toLowerCase()
    if (header[value + 1] !== '"') {
      const to = end < 0 ? header.length : end
      found.push([name, header.slice(value + 1, to).trim()])
      at = to + 1
      continue
    }
    let text = ''
    let i = value + 2
    for (; i < header.length && header[i] !== '"'; i++) {
      // Browsers and SDKs send %22 for a quote, older clients a backslash before it; any other one is a path's
      if (header[i] === '\\' && (header[i + 1] === '"' || header[i + 1] === '\\')) i++
      text += header[i]
    }
    found.push([name, text])
    const next = header.indexOf(';', i)
    at = next < 0 ? header.length : next + 1
  }
  return found
}

const unescaped = (text: string): string =>
  text.replaceAll('%22', '"').replaceAll('%0D', '\r').replaceAll('%0A', '\n').replaceAll('%0d', '\r')

function extended(text: string | undefined): string | null {
  const match = /^utf-8'[^']*'(.+)$/i.exec(text ?? '')
  if (match === null) return null
  try {
    return decodeURIComponent(match[1])
  } catch {
    return null
  }
}
