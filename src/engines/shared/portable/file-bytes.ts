/**
 * Bytes of files, in pieces that follow each other. They come before the documents that tell of them: one whose bytes
 * are not all there is left out with what there is of them, and what is stored holds whole files alone.
 */
import { isRecord } from '../../../core/json.ts'
import type { Item } from '../../../core/ports/portable.ts'
import { count, parse } from '../shape.ts'
import { kind } from './kinds.ts'

/** Every piece but a file's last one has so many. */
export const PIECE_BYTES = 256 << 10

export interface FilePiece {
  /** Of the file. */
  readonly id: string
  /** How many bytes come before it. */
  readonly at: number
}

/** It becomes a path, or part of a key. */
const ID = /^file-[\w-]{1,120}$/

export const FILE_BYTES = kind<FilePiece>(
  'file_bytes',
  { id: (value) => typeof value === 'string' && ID.test(value), at: count },
  [],
  (value, { length }) => (value as FilePiece).at % PIECE_BYTES === 0 && length >= 1 && length <= PIECE_BYTES,
  ({ blob }) => [blob],
)

/** How many bytes a file has, by the text of its document; 0 where that tells none. */
export function fileBytes(body: string): number {
  const parsed = parse(body)
  const bytes = isRecord(parsed) ? parsed['bytes'] : 0
  return Number.isSafeInteger(bytes) && (bytes as number) > 0 ? (bytes as number) : 0
}

export const pieceAt = (id: string, at: number, blob: Uint8Array): Item<FilePiece> => ({ value: { id, at }, blob })

export const leftOut = (id: string): string => `The file ${id} has lost bytes, and is left out.`
