/**
 * Are the files still what this process wrote? A backup copied over them, or a WAL cut in place, keeps every inode, and
 * later commits go where nobody will find them. Looked at with each sync, for a few small reads.
 */
import { fstatSync } from 'node:fs'
import { markOf, walOf } from './folder.ts'
import { bytesAt, FRAME_HEADER_BYTES, readMark, WAL_HEADER_BYTES, type WalState, walState } from './mark.ts'
import type { Files } from './schema.ts'

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
  #mark: WalState | null = null

  constructor(files: Files) {
    this.#files = files
  }

  /** We wrote this mark. */
  marked(state: WalState): void {
    this.#mark = state
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
    const header = bytesAt(database, 0, DATABASE_HEADER_BYTES)
    if (header.length < DATABASE_HEADER_BYTES) throw changed(path)
    const counter = header.readUInt32BE(CHANGE_COUNTER_AT)
    const { size } = fstatSync(database)
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
    const { path } = this.#files
    const mark = this.#mark
    const found = mark === null ? null : markNow(path)
    if (found !== null && (found.salts !== mark!.salts || found.frames !== mark!.frames)) throw changed(markOf(path))
  }
}

/** Null: there is none, or no descriptor to look for it with. */
function markNow(path: string): WalState | null {
  try {
    return readMark(path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EMFILE' || code === 'ENFILE') return null
    throw error
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
