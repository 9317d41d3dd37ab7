/**
 * How a token log lies in Redis. It is a list of chunks: what one attempt stored with one flush, or the end record.
 *
 *   chunk: header, then the records, encoded (engines/shared/codec.ts)
 *   header: flags (1 byte), epoch (6), seq of the first record (4), number of records (3), how many chunks before this
 *     one decoding may begin (2), bytes of the records before they were encoded (4); numbers with the high byte first
 *   frame: a chunk on its way: length of the job id (1), job id, attempt (4), number of the chunk (4), its length (4),
 *     chunk. Frames follow each other without anything between them.
 *
 * lua/log.lua reads and writes the same.
 */
import { SluiceError } from '../../../core/errors.ts'
import type { JobId } from '../../../core/job.ts'
import type { Bytes } from '../../../core/record.ts'
import { decode, Extract, type Template } from '../../shared/codec.ts'

export const HEADER_BYTES = 20

/** The log's end record, and nothing else. */
const END = 1
/** The first chunk of an attempt. */
const OPENING = 2

export interface Chunk {
  readonly isEnd: boolean
  readonly isOpening: boolean
  readonly epoch: number
  readonly firstSeq: number
  readonly count: number
  /** 0: it can be decoded without any other. */
  readonly back: number
  readonly bytes: number
  /** Encoded records. */
  readonly body: Bytes
}

export interface Frame {
  readonly job: JobId
  readonly attempt: number
  readonly chunk: Chunk
}

const CHARS: readonly Bytes[] = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code))
const u16 = (n: number): Bytes => CHARS[(n >>> 8) & 255] + CHARS[n & 255]
const u24 = (n: number): Bytes => CHARS[(n >>> 16) & 255] + u16(n)
const u32 = (n: number): Bytes => CHARS[n >>> 24] + u24(n)
const u48 = (n: number): Bytes => u16(Math.floor(n / 0x1_0000_0000)) + u32(n >>> 0)

export function writeChunk(chunk: Chunk): Bytes {
  const { isEnd, isOpening, epoch, firstSeq, count, back, bytes, body } = chunk
  const flags = (isEnd ? END : 0) + (isOpening ? OPENING : 0)
  return CHARS[flags] + u48(epoch) + u32(firstSeq) + u24(count) + u16(back) + u32(bytes) + body
}

export const writeFrame = (job: JobId, attempt: number, number: number, chunk: Bytes): Bytes =>
  CHARS[job.length] + job + u32(attempt) + u32(number) + u32(chunk.length) + chunk

const damaged = (cause?: unknown): SluiceError => new SluiceError('job_damaged', { cause })

/** The unsigned number in `size` bytes at `at`; NaN past the end. */
function numberAt(bytes: Bytes, at: number, size: number): number {
  let n = 0
  for (let i = at; i < at + size; i++) n = n * 256 + bytes.charCodeAt(i)
  return n
}

/** Throws when it is damaged. */
export function readChunk(chunk: Bytes): Chunk {
  if (chunk.length < HEADER_BYTES) throw damaged()
  const flags = chunk.charCodeAt(0)
  return {
    isEnd: (flags & END) !== 0,
    isOpening: (flags & OPENING) !== 0,
    epoch: numberAt(chunk, 1, 6),
    firstSeq: numberAt(chunk, 7, 4),
    count: numberAt(chunk, 11, 3),
    back: numberAt(chunk, 14, 2),
    bytes: numberAt(chunk, 16, 4),
    body: chunk.slice(HEADER_BYTES),
  }
}

/** Throws where the text is damaged; what came before that has been told. */
export function readFrames(frames: Bytes, fn: (frame: Frame) => void): void {
  for (let at = 0; at < frames.length; ) {
    const idEnd = at + 1 + frames.charCodeAt(at)
    const start = idEnd + 12
    const end = start + numberAt(frames, idEnd + 8, 4)
    if (!(end <= frames.length)) throw damaged()
    const job = frames.slice(at + 1, idEnd)
    at = end
    fn({ job, attempt: numberAt(frames, idEnd, 4), chunk: readChunk(frames.slice(start, end)) })
  }
}

/** Decodes a log's chunks, one after the other. */
export class Decoder {
  #templates: Template[] = []
  /** The seq with which it can go on; 0: only a chunk that needs no other. */
  #next = 0

  /** Does it know what this chunk needs? */
  canRead(chunk: Chunk): boolean {
    return chunk.back === 0 || chunk.firstSeq === this.#next
  }

  /** The chunk's records from `seq` on, up to about `maxBytes` of them. Throws when the chunk is damaged. */
  read(chunk: Chunk, seq: number, maxBytes = Number.POSITIVE_INFINITY): readonly Bytes[] {
    if (!this.canRead(chunk)) throw damaged()
    if (chunk.back === 0) this.#templates = []
    this.#next = 0
    const { firstSeq, count, body } = chunk
    const skip = Math.min(count, Math.max(0, seq - firstSeq))
    const into = new Extract(skip, count, maxBytes)
    try {
      decode(body, this.#templates, into)
    } catch (cause) {
      throw damaged(cause)
    }
    const { length } = into.records
    if (into.skip === 0 && length === count - skip) this.#next = firstSeq + count
    else if (!into.full) throw damaged()
    return into.records
  }

  /** Goes on only with a chunk that needs no other. */
  forget(): void {
    this.#next = 0
  }

  /** Whether it can go on at this seq. */
  isAt(seq: number): boolean {
    return this.#next === seq
  }
}
