/**
 * Are the files still what this process wrote? A backup copied over them, or a WAL cut in place, keeps every inode, and
 * later commits go where nobody will find them. Looked at with each sync, for a few small reads.
 */
import { closeSync, fstatSync, openSync } from 'node:fs'
import { markOf, walOf } from './folder.ts'
import {
  bytesAt,
  FRAME_HEADER_BYTES,
  openMark,
  readOpenMark,
  WAL_HEADER_BYTES,
  type WalState,
  walState,
  writeOpenMark,
} from './mark.ts'
import type { Files } from './schema.ts'

const UNSEEN: ReadonlySet<string | undefined> = new Set(['ENOENT', 'EMFILE', 'ENFILE'])
const DATABASE_HEADER_BYTES = 100
/** Grows with the database (https://sqlite.org/fileformat2.html#database_header). */
const CHANGE_COUNTER_AT = 24

interface LastFrame extends WalState {
  readonly header: Buffer
}

export class Changes {
  readonly #files: Files
  #counter = 0
  #databaseBytes = 0
  #last: LastFrame | null = null
  /** As we wrote it, and where. */
  #mark: WalState | null = null
  #markFile: number | null = null

  constructor(files: Files) {
    this.#files = files
  }

  /** Claims so much for the next start. */
  mark(state: WalState | null): void {
    if (state === null || (state.frames === this.#mark?.frames && state.salts === this.#mark.salts)) return
    try {
      this.#markFile ??= openMark(this.#files.path)
      writeOpenMark(this.#markFile, state)
      this.#mark = state
    } catch {
      // It only claims less; the store has its own writes to judge the disk by
    }
  }

  /** Another file may have the mark's name by now. */
  renamed(): void {
    if (this.#markFile !== null) closeSync(this.#markFile)
    this.#markFile = null
  }

  /** Throws an error that names what another program changed. */
  expectNone(): void {
    this.#expectDatabase()
    this.#expectWal()
    this.#expectMark()
  }

  /** Another program's checkpoint or VACUUM only counts on. */
  #expectDatabase(): void {
    const { database, path } = this.#files
    const { size } = fstatSync(database)
    if (size < DATABASE_HEADER_BYTES) throw changed(path)
    const counter = bytesAt(database, CHANGE_COUNTER_AT, 4).readUInt32BE()
    if (counter < this.#counter || (counter === this.#counter && size < this.#databaseBytes)) throw changed(path)
    this.#counter = counter
    this.#databaseBytes = size
  }

  /** It is as long as its index says, and the last frame that we saw is still there: its checksum covers all before. */
  #expectWal(): void {
    const { wal, shm, path } = this.#files
    const state = walState(shm)
    if (state === null || state.frames === 0) return
    const header = bytesAt(wal, 0, WAL_HEADER_BYTES)
    const last = this.#last?.salts === state.salts ? this.#last : null
    const before = last === null ? null : frameHeader(wal, header, last.frames)
    const now = frameHeader(wal, header, state.frames)
    if (walState(shm)?.salts !== state.salts) return // it has started over in the meantime
    const isOurs = saltsAt(header, 16) === state.salts && saltsAt(now, 8) === state.salts
    if (!isOurs || (last !== null && before?.equals(last.header) !== true)) throw changed(walOf(path))
    this.#last = { ...state, header: now }
  }

  #expectMark(): void {
    if (this.#mark === null) return
    const found = this.#markNow()
    if (found !== null && (found.salts !== this.#mark.salts || found.frames !== this.#mark.frames))
      throw changed(markOf(this.#files.path))
  }

  /** Null: there is none, or no descriptor to look for it with. */
  #markNow(): WalState | null {
    try {
      this.#markFile ??= openSync(markOf(this.#files.path), 'r+')
      return readOpenMark(this.#markFile)
    } catch (error) {
      if (UNSEEN.has((error as NodeJS.ErrnoException).code)) return null
      throw error
    }
  }
}

function frameHeader(wal: number, header: Buffer, n: number): Buffer {
  if (header.length < WAL_HEADER_BYTES) return header
  const frameBytes = FRAME_HEADER_BYTES + header.readUInt32BE(8)
  return bytesAt(wal, WAL_HEADER_BYTES + (n - 1) * frameBytes, FRAME_HEADER_BYTES)
}

const saltsAt = (bytes: Buffer, at: number): string => bytes.toString('hex', at, at + 8)

export class ChangedFiles extends Error {}

const changed = (path: string): ChangedFiles =>
  new ChangedFiles(
    `${path} was changed by another program while the server ran (a backup copied over it, a file cut short). ` +
      'Stop the server, restore a backup into an empty folder, and start it there',
  )
