/** A job's log on its way from one store to another: runs of records, each readable by itself. */
import type { Bytes } from '../../../core/record.ts'
import { decode, Encoder, Extract } from '../codec.ts'
import { count, type Member } from '../shape.ts'

/** Records that were written in one epoch; `bytes` of the blob, encoded (codec.ts). */
export type Run = readonly [epoch: number, records: number, bytes: number]

export const runs: Member = (value) =>
  Array.isArray(value) && value.every((run) => Array.isArray(run) && run.length === 3 && run.every(count))

/** A run and its encoded records. */
export interface Piece {
  readonly epoch: number
  readonly records: number
  readonly data: Uint8Array
}

export const runOf = ({ epoch, records, data }: Piece): Run => [epoch, records, data.length]

/** The pieces in a blob, from byte `at` on. */
export function* piecesOf(log: readonly Run[], blob: Uint8Array, at: number): Generator<Piece> {
  for (const [epoch, records, bytes] of log) {
    yield { epoch, records, data: blob.subarray(at, at + bytes) }
    at += bytes
  }
}

/** Throws where it does not hold as many records as it claims. */
export function recordsOf({ records, data }: Piece): readonly Bytes[] {
  const into = new Extract(0, records + 1, Infinity)
  decode(Buffer.from(data.buffer, data.byteOffset, data.length).toString('latin1'), [], into)
  if (into.records.length !== records) throw new Error('a log has fewer or more records than it claims')
  return into.records
}

export function pieceOf(epoch: number, records: readonly Bytes[]): Piece {
  const encoder = new Encoder()
  let text = ''
  for (const record of records) text += encoder.encode(record)
  return { epoch, records: records.length, data: Buffer.from(text, 'latin1') }
}

/** Records of one epoch, to be stored together. */
export interface Stretch {
  readonly epoch: number
  readonly records: readonly Bytes[]
}

/** The log's records in stretches of one epoch and about `maxBytes` of records each. */
export function* stretchesOf(pieces: Iterable<Piece>, maxBytes: number): Generator<Stretch> {
  let epoch = 0
  let records: Bytes[] = []
  let bytes = 0
  for (const piece of pieces) {
    if (records.length > 0 && piece.epoch !== epoch) {
      yield { epoch, records }
      records = []
      bytes = 0
    }
    epoch = piece.epoch
    for (const record of recordsOf(piece)) {
      records.push(record)
      bytes += record.length
      if (bytes < maxBytes) continue
      yield { epoch, records }
      records = []
      bytes = 0
    }
  }
  if (records.length > 0) yield { epoch, records }
}
