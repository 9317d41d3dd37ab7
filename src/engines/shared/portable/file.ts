/**
 * A store as a file, for backups. It is
 *
 *   "sluice 1\n"
 *   frames: length of the JSON (4 bytes), length of the bytes (4), CRC-32 of both (4), CRC-32 of these 12 bytes (4);
 *     JSON; bytes
 *
 * with numbers low byte first. A frame's JSON is {"section", "version"}, or {"item"}, whose bytes follow; the last one
 * is {"frames": how many came before it}. A file without that one is not whole.
 */
import { crc32 } from 'node:zlib'
import { SluiceError } from '../../../core/errors.ts'
import { isRecord } from '../../../core/json.ts'
import { count, fits, object, parse, text } from '../shape.ts'
import { NO_BLOB } from './kinds.ts'
import type { Part } from './parts.ts'

const MAGIC = 'sluice 1\n'
const HEAD_BYTES = 16
const HEAD_CHECKED = 12
/** Frames are gathered to chunks of about this size. */
const CHUNK_BYTES = 256 << 10
function frame(json: object, blob: Uint8Array): readonly Uint8Array[] {
  const head = Buffer.alloc(HEAD_BYTES)
  const body = Buffer.from(JSON.stringify(json))
  head.writeUInt32LE(body.length, 0)
  head.writeUInt32LE(blob.length, 4)
  head.writeUInt32LE(crc32(blob, crc32(body)), 8)
  head.writeUInt32LE(crc32(head.subarray(0, HEAD_CHECKED)), HEAD_CHECKED)
  return [head, body, blob]
}

/** The file, in chunks. */
export async function* encoded(parts: AsyncIterable<Part>): AsyncGenerator<Uint8Array> {
  let gathered: Uint8Array[] = [Buffer.from(MAGIC)]
  let bytes = 0
  let frames = 0
  const add = (json: object, blob: Uint8Array): void => {
    for (const piece of frame(json, blob)) {
      gathered.push(piece)
      bytes += piece.length
    }
  }
  for await (const part of parts) {
    if ('item' in part) add({ item: part.item.value }, part.item.blob)
    else add(part, NO_BLOB)
    frames++
    if (bytes < CHUNK_BYTES) continue
    yield Buffer.concat(gathered)
    gathered = []
    bytes = 0
  }
  add({ frames }, NO_BLOB)
  yield Buffer.concat(gathered)
}

/** `name`: for messages. Rejects with storage_failed where it is damaged or cut short. */
export async function* decoded(chunks: AsyncIterable<Uint8Array>, name: string): AsyncGenerator<Part> {
  const reader = new Reader(chunks)
  const damaged = (): SluiceError =>
    new SluiceError('storage_failed', {
      message: `${name} is damaged at byte ${reader.at}, or was cut short: use another backup.`,
    })
  const magic = await reader.take(MAGIC.length)
  if (magic === null || magic.toString('latin1') !== MAGIC)
    throw new SluiceError('config_invalid', {
      message: `${name} is no backup of Sluice, or one of a later version.`,
    })
  for (let frames = 0; ; frames++) {
    const head = await reader.take(HEAD_BYTES)
    if (head === null) throw damaged()
    const [jsonBytes, blobBytes, checksum, ofHead] = [0, 4, 8, 12].map((at) => head.readUInt32LE(at))
    if (crc32(head.subarray(0, HEAD_CHECKED)) !== ofHead) throw damaged()
    const body = await reader.take(jsonBytes)
    const blob = await reader.take(blobBytes)
    if (body === null || blob === null || crc32(blob, crc32(body)) !== checksum) throw damaged()
    const json = parse(body.toString('utf8'))
    if (fits(json, { section: text, version: count })) yield json as Part
    else if (fits(json, { item: object })) yield { item: { value: (json as { item: object }).item, blob } }
    else if (isRecord(json) && json['frames'] === frames && (await reader.take(1)) === null) return
    else throw damaged()
  }
}

/** Bytes of a stream, as many as are asked for. */
class Reader {
  readonly #chunks: AsyncIterator<Uint8Array>
  #held: Uint8Array[] = []
  #heldBytes = 0
  at = 0

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]()
  }

  /** Null: it ends before. */
  async take(bytes: number): Promise<Buffer | null> {
    while (this.#heldBytes < bytes) {
      const { done, value } = await this.#chunks.next()
      if (done === true) return null
      this.#held.push(value)
      this.#heldBytes += value.length
    }
    const all = this.#held.length === 1 ? this.#held[0] : Buffer.concat(this.#held)
    this.#held = [all.subarray(bytes)]
    this.#heldBytes -= bytes
    this.at += bytes
    return Buffer.from(all.buffer, all.byteOffset, bytes)
  }
}
