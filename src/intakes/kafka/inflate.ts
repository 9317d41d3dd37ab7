/**
 * Compressed batches, with a bound on what they become: the brokers count compressed bytes, and the client inflates
 * whole batches, so a record of some kilobytes could take all memory. What is over the bound is not inflated: each of
 * its records stands as an empty one with a header that says so, so that it is buried, and what follows it is read.
 */
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { systemClock } from '../../core/clock.ts'

type Kafka = typeof import('@platformatic/kafka')

export type Codec = 'gzip' | 'snappy' | 'lz4' | 'zstd'

/** Of one batch, and of all that come in one fetch: they are inflated in one go. */
export const MAX_BATCH_BYTES = 64 << 20
const MAX_FETCH_BYTES = 256 << 20
/** On what was not inflated. */
export const TOO_LARGE = 'x-sluice-too-large'

/** A batch's head, up to its records, and what of it is read. */
const HEAD = 61
const [MAGIC_AT, COUNT_AT, MAGIC] = [16, 57, 2]
const MAX_RECORDS = 1_000_000

const bounded = new WeakSet<object>()

type Inflate = (data: Buffer | { readonly buffer: Buffer }) => Uint8Array
type Codecs = Record<Codec, { decompressSync: Inflate }>

/** For all clients of this process. */
export function boundInflating(kafka: Kafka, max = MAX_BATCH_BYTES): void {
  const codecs: Codecs = kafka.compressionsAlgorithms as unknown as Codecs
  if (bounded.has(codecs)) return
  bounded.add(codecs)
  let left = MAX_FETCH_BYTES
  let isCounting = false
  for (const codec of ['gzip', 'snappy', 'lz4', 'zstd'] as const) {
    const inflate = codecs[codec].decompressSync
    codecs[codec].decompressSync = (sent) => {
      // It is in several pieces
      const data = Buffer.isBuffer(sent) ? sent : sent.buffer
      if (!isCounting) {
        isCounting = true
        systemClock.soon(() => {
          isCounting = false
          left = MAX_FETCH_BYTES
        })
      }
      const bytes = inflated(codec, data, Math.min(max, left), (all) =>
        inflate.call(codecs[codec], Buffer.from(all.buffer, all.byteOffset, all.length)),
      )
      if (bytes !== null) {
        left -= bytes.length
        return bytes
      }
      return placeholders(kafka, data)
    }
  }
}

/** Null: it would be larger. Throws for what can't be inflated. */
export function inflated(
  codec: Codec,
  data: Uint8Array,
  max: number,
  inflate: (data: Uint8Array) => Uint8Array,
): Uint8Array | null {
  if (max <= 0) return null
  if (codec === 'snappy' || codec === 'lz4') {
    const size = codec === 'snappy' ? snappySize(data) : lz4Size(data)
    return size > max ? null : inflate(data)
  }
  try {
    return (codec === 'gzip' ? gunzipSync : zstdDecompressSync)(data, { maxOutputLength: max })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') return null
    throw error
  }
}

const XERIAL = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00])
const XERIAL_HEAD = 16

/** As it says of itself: in front, or in front of each of its parts (as Java's clients write it). */
function snappySize(data: Uint8Array): number {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.length)
  if (!bytes.subarray(0, XERIAL.length).equals(XERIAL)) return varint(bytes, 0)
  let size = 0
  for (let at = XERIAL_HEAD; at + 4 <= bytes.length; at += 4 + bytes.readUInt32BE(at)) size += varint(bytes, at + 4)
  return size
}

function varint(bytes: Uint8Array, from: number): number {
  let value = 0
  for (let i = 0; i < 5; i++) {
    const byte = bytes[from + i] ?? 0
    value += (byte & 0x7f) * 2 ** (7 * i)
    if (byte < 0x80) break
  }
  return value
}

const LZ4_MAGIC = 0x184d2204

/** At most: its blocks, each as large as one may be. Infinity: it is no frame whose size can be told. */
function lz4Size(data: Uint8Array): number {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.length)
  if (bytes.length < 7 || bytes.readUInt32LE(0) !== LZ4_MAGIC) return 0
  const [flags, descriptor] = [bytes[4], bytes[5]]
  const block = 2 ** (8 + 2 * ((descriptor >> 4) & 7))
  const hasBlockSums = (flags & 0x10) !== 0
  let at = 7 + ((flags & 0x08) === 0 ? 0 : 8) + ((flags & 0x01) === 0 ? 0 : 4)
  let size = 0
  while (at + 4 <= bytes.length) {
    const length = bytes.readUInt32LE(at) & 0x7fffffff
    if (length === 0) break
    size += block
    at += 4 + length + (hasBlockSums ? 4 : 0)
  }
  return size
}

/** As many records as the batch says that it has. Throws where it does not lie before its records in memory. */
function placeholders(kafka: Kafka, data: Uint8Array): Buffer {
  const from = data.byteOffset - HEAD
  const head = from < 0 ? null : Buffer.from(data.buffer, from, HEAD)
  const count = head?.readInt32BE(COUNT_AT) ?? 0
  if (head === null || head[MAGIC_AT] !== MAGIC || count < 1 || count > MAX_RECORDS)
    throw new Error(`a compressed batch is larger than ${MAX_BATCH_BYTES} bytes, and can't be passed over`)
  const headers = new Map([[Buffer.from(TOO_LARGE), Buffer.from(String(data.length))]])
  const empty = { topic: '', value: Buffer.alloc(0), timestamp: 0n, headers }
  const records = Array.from({ length: count }, (_, i) => {
    const { buffer } = kafka.createRecord(empty as never, i, 0n).dynamicBuffer
    return buffer
  })
  return Buffer.concat(records)
}
