/**
 * Bytes of files, a file of the data folder each: `files/<id>`. They are synced before the document that tells of them.
 * One process writes here, so what is under way with a file waits for what was before.
 */
import { type FileHandle, mkdir, open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'
import type { Document, Documents, NewDocument } from '../../core/ports/documents.ts'
import type { Durability } from '../shared/durability.ts'
import type { Blobs } from '../shared/files.ts'
import { isNoRoom } from './disk/faults.ts'

export const FILES_FOLDER = 'files'
/** What belongs to no document any more is looked for so often. */
const SWEEP_MS = 60_000
const LOOKED_AT_ONCE = 64

export interface DiskBlobsDeps {
  /** The data folder. */
  readonly dir: string
  readonly durability: Durability
  readonly documents: Documents
  readonly clock: Clock
}

export class DiskBlobs implements Blobs {
  readonly #deps: DiskBlobsDeps
  readonly #dir: string
  readonly #last = new Map<string, Promise<unknown>>()
  #isMade = false
  #sweptMono = -Infinity

  constructor(deps: DiskBlobsDeps) {
    this.#deps = deps
    this.#dir = join(deps.dir, FILES_FOLDER)
  }

  append(next: NewDocument, version: number, at: number, bytes: Uint8Array): Promise<Document | null> {
    const { documents } = this.#deps
    return this.#alone(next.id, async () => {
      // Nobody else changes its bytes meanwhile, and what is written is not overwritten
      if ((await documents.get(next.kind, next.id))?.version !== version) return null
      await this.#write(next.id, at, bytes).catch(refused)
      return documents.put(next, version)
    })
  }

  async read(id: string, start: number, end: number): Promise<Uint8Array> {
    let file: FileHandle
    try {
      file = await open(join(this.#dir, id), 'r')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Uint8Array(0)
      throw refused(error)
    }
    try {
      const bytes = Buffer.allocUnsafe(end - start)
      let got = 0
      while (got < bytes.length) {
        const { bytesRead } = await file.read(bytes, got, bytes.length - got, start + got)
        if (bytesRead === 0) break
        got += bytesRead
      }
      return bytes.subarray(0, got)
    } catch (error) {
      throw refused(error)
    } finally {
      await file.close()
    }
  }

  remove(id: string, version: number): Promise<boolean> {
    return this.#alone(id, async () => {
      const isGone = await this.#deps.documents.remove('file', id, version)
      if (isGone) await this.#unlink(id)
      return isGone
    })
  }

  /** Bytes without a document: it has expired, or a kill came between. */
  async sweep(isClosed: () => boolean): Promise<void> {
    const { clock, documents } = this.#deps
    if (clock.monoMs() - this.#sweptMono < SWEEP_MS) return
    this.#sweptMono = clock.monoMs()
    const ids = await readdir(this.#dir).catch(() => [])
    for (let i = 0; i < ids.length && !isClosed(); i++) {
      if (i % LOOKED_AT_ONCE === 0) await new Promise<void>((next) => clock.soon(next))
      // A document comes before its first byte, and no id comes twice
      if ((await documents.get('file', ids[i])) === null) await this.#alone(ids[i], () => this.#unlink(ids[i]))
    }
  }

  async #write(id: string, at: number, bytes: Uint8Array): Promise<void> {
    const { durability } = this.#deps
    if (!this.#isMade) {
      await mkdir(this.#dir, { recursive: true, mode: 0o700 })
      if (durability === 'power') await syncFolder(this.#deps.dir)
      this.#isMade = true
    }
    const file = at === 0 ? await open(join(this.#dir, id), 'w', 0o600) : await open(join(this.#dir, id), 'r+')
    try {
      for (let put = 0; put < bytes.length; )
        put += (await file.write(bytes, put, bytes.length - put, at + put)).bytesWritten
      if (durability === 'power') await file.datasync()
    } finally {
      await file.close()
    }
    if (at === 0 && durability === 'power') await syncFolder(this.#dir)
  }

  /** What can't be removed now the sweep removes. */
  async #unlink(id: string): Promise<void> {
    await rm(join(this.#dir, id), { force: true }).catch(() => {})
  }

  async #alone<T>(id: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(id) ?? Promise.resolve()
    const own = before.then(work, work)
    this.#last.set(id, own)
    try {
      return await own
    } finally {
      if (this.#last.get(id) === own) this.#last.delete(id)
    }
  }
}

/** With `durability: memory`. */
export class MemoryBlobs implements Blobs {
  readonly #documents: Documents
  readonly #bytes = new Map<string, Uint8Array[]>()

  constructor(documents: Documents) {
    this.#documents = documents
  }

  async append(next: NewDocument, version: number, at: number, bytes: Uint8Array): Promise<Document | null> {
    const stored = await this.#documents.put(next, version)
    if (stored === null) return null
    // Whoever gave them may write over them (a Buffer's slice is no copy)
    this.#bytes.set(
      next.id,
      at === 0 ? [Buffer.from(bytes)] : [...(this.#bytes.get(next.id) ?? []), Buffer.from(bytes)],
    )
    return stored
  }

  async read(id: string, start: number, end: number): Promise<Uint8Array> {
    const found: Uint8Array[] = []
    let at = 0
    for (const chunk of this.#bytes.get(id) ?? []) {
      if (at < end && at + chunk.length > start) found.push(chunk.subarray(Math.max(0, start - at), end - at))
      at += chunk.length
    }
    return Buffer.concat(found)
  }

  async remove(id: string, version: number): Promise<boolean> {
    const isGone = await this.#documents.remove('file', id, version)
    if (isGone) this.#bytes.delete(id)
    return isGone
  }

  async sweep(): Promise<void> {
    for (const id of this.#bytes.keys()) if ((await this.#documents.get('file', id)) === null) this.#bytes.delete(id)
  }
}

/** A new name survives a power loss once its folder is synced. */
async function syncFolder(dir: string): Promise<void> {
  const folder = await open(dir, 'r')
  await folder.sync().finally(() => folder.close())
}

function refused(error: unknown): never {
  if (error instanceof SluiceError) throw error
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw new SluiceError('file_damaged')
  throw isNoRoom(error)
    ? new SluiceError('storage_full', { cause: error })
    : new SluiceError('storage_unavailable', {
        message: "The data folder's files can't be read or written: check the disk.",
        retryAfterMs: 1_000,
        cause: error,
      })
}
