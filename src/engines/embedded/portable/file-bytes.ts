/** Bytes of files in a data folder that is read, or filled. */
import {
  closeSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import type { Item } from '../../../core/ports/portable.ts'
import {
  FILE_BYTES,
  type FilePiece,
  fileBytes,
  leftOut,
  PIECE_BYTES,
  pieceAt,
} from '../../shared/portable/file-bytes.ts'
import { FILES_FOLDER } from '../blobs.ts'
import { damage } from '../disk/faults.ts'
import { syncFolder } from '../disk/folder.ts'

/** `torn`: gets the ids of those whose bytes are not all there. */
export function* fileBytesOf(
  db: DatabaseSync,
  dir: string,
  torn: Set<string>,
  damaged: (detail: string) => void,
): Generator<Item<FilePiece>> {
  torn.clear()
  const rows = db.prepare("SELECT id, body FROM documents WHERE kind = 'file' ORDER BY id")
  for (const { id, body } of rows.iterate() as Iterable<{ readonly id: string; readonly body: string }>) {
    const bytes = fileBytes(body)
    if (bytes === 0) continue
    const file = opened(dir, id)
    try {
      // What is open stays, even where it is removed meanwhile
      if (file !== null && fstatSync(file).size >= bytes) yield* piecesOf(file, id, bytes)
      else {
        torn.add(id)
        damaged(leftOut(id))
      }
    } finally {
      if (file !== null) closeSync(file)
    }
  }
}

function opened(dir: string, id: string): number | null {
  if (!FILE_BYTES.fits({ id, at: 0 }, ONE)) return null
  try {
    return openSync(join(dir, FILES_FOLDER, id), 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}
const ONE = new Uint8Array(1)

function* piecesOf(file: number, id: string, bytes: number): Generator<Item<FilePiece>> {
  for (let at = 0; at < bytes; at += PIECE_BYTES) {
    const piece = Buffer.alloc(Math.min(PIECE_BYTES, bytes - at))
    for (let got = 0; got < piece.length; ) {
      const read = readSync(file, piece, got, piece.length - got, at + got)
      if (read === 0) throw damage(`the file ${id} became shorter while it was read`)
      got += read
    }
    yield pieceAt(id, at, piece)
  }
}

/** Into a folder that is being made. Throws storage_failed for a piece that does not follow the one before. */
export function fileBytesWriter(dir: string): (piece: FilePiece, blob: Uint8Array) => void {
  const folder = join(dir, FILES_FOLDER)
  let isMade = false
  return ({ id, at }, blob) => {
    if (!isMade) mkdirSync(folder, { recursive: true, mode: 0o700 })
    isMade = true
    const file = openSync(join(folder, id), 'a', 0o600)
    try {
      if (fstatSync(file).size !== at) throw damage(`pieces of the file ${id} do not follow each other`)
      for (let put = 0; put < blob.length; ) put += writeSync(file, blob, put)
    } finally {
      closeSync(file)
    }
  }
}

/** From the folder that was filled to that which is used, safe from power loss. Others that lie there stay. */
export function moveFileBytes(from: string, to: string): void {
  const [source, target] = [join(from, FILES_FOLDER), join(to, FILES_FOLDER)]
  const ids = listed(source)
  if (ids.length === 0) return
  mkdirSync(target, { recursive: true, mode: 0o700 })
  for (const id of ids) {
    const file = openSync(join(source, id), 'r+')
    try {
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    renameSync(join(source, id), join(target, id))
  }
  syncFolder(target)
  syncFolder(to)
}

function listed(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}
