/** Bytes of files in a shard that is read, or filled. */
import type { Item } from '../../../core/ports/portable.ts'
import { type FilePiece, fileBytes, leftOut, PIECE_BYTES, pieceAt } from '../../shared/portable/file-bytes.ts'
import { readDocument } from '../protocol/documents.ts'
import type { Change, Shard } from './hold.ts'
import { asked, type Damaged } from './reading.ts'

const IDS_AT_ONCE = 100

/** `torn`: gets the ids of those whose bytes are not all there. */
export async function* fileBytesOf(shard: Shard, torn: Set<string>, damaged: Damaged): AsyncGenerator<Item<FilePiece>> {
  torn.clear()
  for (let from = '-'; ; ) {
    const ids = await asked(shard, ({ connection: { client }, names }) =>
      client.zrangebylex(`${names.documents('file')}:ids`, from, '+', 'LIMIT', 0, IDS_AT_ONCE),
    )
    if (ids.length === 0) return
    const texts = await asked(shard, ({ connection: { client }, names }) =>
      client.hmget(names.documents('file'), ...ids),
    )
    for (const [i, id] of ids.entries()) {
      const bytes = fileBytes(readDocument('file', id, texts[i] ?? '')?.text ?? '')
      if (await isWhole(shard, id, bytes)) yield* piecesOf(shard, id, bytes)
      else {
        torn.add(id)
        damaged(leftOut(id))
      }
    }
    from = `(${ids.at(-1)}`
  }
}

/** Of its segments, which are as large as pieces are. */
async function isWhole(shard: Shard, id: string, bytes: number): Promise<boolean> {
  for (let at = 0; at < bytes; at += PIECE_BYTES) {
    const there = await asked(shard, ({ connection: { client }, names }) =>
      client.strlen(names.fileBytes(id, at / PIECE_BYTES)),
    )
    if (there < Math.min(PIECE_BYTES, bytes - at)) return false
  }
  return true
}

async function* piecesOf(shard: Shard, id: string, bytes: number): AsyncGenerator<Item<FilePiece>> {
  for (let at = 0; at < bytes; at += PIECE_BYTES) {
    const piece = await asked(shard, ({ connection: { client }, names }) =>
      client.getrangeBuffer(names.fileBytes(id, at / PIECE_BYTES), 0, Math.min(PIECE_BYTES, bytes - at) - 1),
    )
    yield pieceAt(id, at, piece)
  }
}

/** What puts a piece. That pieces follow each other is seen when the shard is read again. */
export const pieceChange = ({ id, at }: FilePiece, blob: Uint8Array): Change => [
  ...[1, 'SET', `file:${id}:${at / PIECE_BYTES}`],
  Buffer.from(blob.buffer, blob.byteOffset, blob.byteLength),
]
