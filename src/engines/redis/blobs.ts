/** Bytes of files, in keys of some hundred kilobytes each: a script puts them with the document that tells of them. */
import type { Document, NewDocument } from '../../core/ports/documents.ts'
import { documentOf, prepared } from '../shared/documents.ts'
import type { Blobs } from '../shared/files.ts'
import type { Ground } from './bus/ground.ts'
import { FULL, storageError } from './client/errors.ts'
import { documentArgs } from './protocol/documents.ts'

/** As in lua/documents.lua. */
const SEGMENT_BYTES = 262_144

export class RedisBlobs implements Blobs {
  readonly #parts: Pick<Ground, 'scripts' | 'commands' | 'names' | 'room'>

  constructor(parts: Pick<Ground, 'scripts' | 'commands' | 'names' | 'room'>) {
    this.#parts = parts
  }

  async append(document: NewDocument, version: number, at: number, bytes: Uint8Array): Promise<Document | null> {
    const { scripts, room } = this.#parts
    if (room.leftBytes < bytes.length) throw FULL
    room.take(bytes.length)
    const next = prepared(document, version)
    const args = [...documentArgs(next, version), at, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)]
    return (await scripts.run('files-append', args).catch(failed)) === 1 ? documentOf(next) : null
  }

  async read(id: string, start: number, end: number): Promise<Uint8Array> {
    const { commands, names } = this.#parts
    const parts: Buffer[] = []
    for (let at = start; at < end; ) {
      const from = at % SEGMENT_BYTES
      const most = Math.min(SEGMENT_BYTES - from, end - at)
      const key = names.fileBytes(id, Math.floor(at / SEGMENT_BYTES))
      const got = await commands.client.getrangeBuffer(key, from, from + most - 1).catch(failed)
      parts.push(got)
      if (got.length < most) break
      at += most
    }
    return parts.length === 1 ? parts[0] : Buffer.concat(parts)
  }

  async remove(id: string, version: number): Promise<boolean> {
    return (await this.#parts.scripts.run('documents-remove', ['file', id, version]).catch(failed)) === 1
  }
}

const failed = (error: unknown): never => {
  throw storageError(error)
}
