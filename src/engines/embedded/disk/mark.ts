/**
 * The mark beside the WAL: how far it was known to be written. SQLite reads a WAL up to the first frame that does not
 * fit its checksum and takes the rest for never written; so one flipped bit silently drops every commit after
 * it. The mark is written after each sync and not synced itself: it may lag behind the WAL, and never claims what is
 * not there.
 */
import { closeSync, constants, copyFileSync, fstatSync, openSync, readSync, statSync, writeSync } from 'node:fs'
import { endianness } from 'node:os'
import { crc32 } from 'node:zlib'
import { markOf, walOf } from './folder.ts'

export interface WalState {
  /** They change each time the WAL starts over; hex. */
  readonly salts: string
  /** Valid frames. */
  readonly frames: number
}

const MAGIC = 0x534c4d31
const MARK_BYTES = 20
export const WAL_HEADER_BYTES = 32
export const FRAME_HEADER_BYTES = 24
/**
 * Two copies of the header of the WAL's index (https://sqlite.org/walformat.html), which only differ while it is
 * written.
 */
const INDEX_COPY_BYTES = 48

/** In place of the frames: the files were changed under the server that used them. */
const CHANGED = 0xffffffff
export const CHANGED_FILES: WalState = { salts: '0'.repeat(16), frames: CHANGED }

/** `null` claims nothing, as after an orderly close. */
function encodeMark(state: WalState | null): Buffer {
  const mark = Buffer.alloc(MARK_BYTES)
  if (state === null) return mark
  mark.writeUInt32LE(MAGIC, 0)
  mark.writeUInt32LE(state.frames, 4)
  mark.write(state.salts, 8, 'hex')
  mark.writeUInt32LE(crc32(mark.subarray(0, 16)), 16)
  return mark
}

function decodeMark(mark: Buffer): WalState | null {
  if (mark.length < MARK_BYTES || mark.readUInt32LE(0) !== MAGIC) return null
  if (mark.readUInt32LE(16) !== crc32(mark.subarray(0, 16))) return null
  return { frames: mark.readUInt32LE(4), salts: mark.toString('hex', 8, 16) }
}

const index = Buffer.alloc(2 * INDEX_COPY_BYTES)

/**
 * From the WAL's index, open as `shm`; null while a commit is changing it. Its numbers are of this machine's byte
 * order. That file is never closed before the process's own connections: it would drop their locks (POSIX).
 */
export function walState(shm: number): WalState | null {
  if (readSync(shm, index, 0, index.length, 0) < index.length) return null
  const copy = index.subarray(0, INDEX_COPY_BYTES)
  if (copy[12] === 0 || !copy.equals(index.subarray(INDEX_COPY_BYTES))) return null
  return {
    frames: endianness() === 'LE' ? copy.readUInt32LE(16) : copy.readUInt32BE(16),
    salts: copy.toString('hex', 32, 40),
  }
}

/** To be read and written; made where it is missing. */
export const openMark = (file: string): number => openSync(markOf(file), constants.O_RDWR | constants.O_CREAT, 0o600)

export const readOpenMark = (fd: number): WalState | null => decodeMark(bytesAt(fd, 0, MARK_BYTES))

export const writeOpenMark = (fd: number, state: WalState | null): void =>
  void writeSync(fd, encodeMark(state), 0, MARK_BYTES, 0)

export function writeMark(file: string, state: WalState | null): void {
  const fd = openMark(file)
  try {
    writeOpenMark(fd, state)
  } finally {
    closeSync(fd)
  }
}

/** From now on nothing is claimed. A folder that is gone needs no mark. */
export function forget(file: string): void {
  try {
    writeMark(file, null)
  } catch {}
}

export interface Loss {
  /** `changed`: by another program, under the running server. */
  readonly what: 'damaged' | 'gone' | 'changed'
  /** Commits that can still be told apart in the damaged part; 0: the WAL itself is gone or unreadable. */
  readonly commits: number
  /** Where the damaged WAL was copied to, before the next commit writes over it; null: it could not be. */
  readonly copy: string | null
}

export const GONE: Loss = { what: 'gone', commits: 0, copy: null }

/** Null: nothing is claimed. */
export const readMark = (file: string): WalState | null => read(markOf(file), readOpenMark)

/**
 * Compares what SQLite found in the WAL, by its index, with the mark. To be called before the first write, which would
 * overwrite what is damaged.
 */
export function findLoss(file: string, shm: number): Loss | null {
  const mark = readMark(file)
  if (mark === null || mark.frames === 0) return null
  if (mark.frames === CHANGED) return { what: 'changed', commits: 0, copy: keep(walOf(file)) }
  const found = walState(shm)
  return read(walOf(file), (fd) => {
    const header = bytesAt(fd, 0, WAL_HEADER_BYTES)
    // Gone, and the database is newer: another program has moved its pages there
    if (header.length < WAL_HEADER_BYTES) return statSync(file).mtimeMs > statSync(markOf(file)).mtimeMs ? null : GONE
    const salts = header.toString('hex', 16, 24)
    if (salts !== mark.salts && fits(header)) return null // it has started over since
    const frames = found?.salts === mark.salts ? found.frames : 0
    if (salts === mark.salts && frames >= mark.frames) return null
    return { what: 'damaged', commits: commitsIn(fd, header, frames, mark), copy: keep(walOf(file)) }
  })
}

function commitsIn(fd: number, header: Buffer, after: number, mark: WalState): number {
  const frameBytes = FRAME_HEADER_BYTES + header.readUInt32BE(8)
  const { size } = fstatSync(fd)
  let commits = 0
  for (let n = after; n < mark.frames && WAL_HEADER_BYTES + n * frameBytes < size; n++)
    // The size of the database after the commit; 0: not the last frame of one
    if (bytesAt(fd, WAL_HEADER_BYTES + n * frameBytes, FRAME_HEADER_BYTES).readUInt32BE(4) !== 0) commits++
  return commits
}

const MAX_COPIES = 3

function keep(wal: string): string | null {
  for (let n = 1; n <= MAX_COPIES; n++) {
    const copy = `${wal}.damaged-${n}`
    try {
      copyFileSync(wal, copy, constants.COPYFILE_EXCL)
      return copy
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') return null
    }
  }
  return null
}

/** Does the header match its checksum? (https://sqlite.org/fileformat2.html#walformat) */
function fits(header: Buffer): boolean {
  const word = (at: number): number =>
    (header.readUInt32BE(0) & 1) === 1 ? header.readUInt32BE(at) : header.readUInt32LE(at)
  let [a, b] = [0, 0]
  for (let at = 0; at < 24; at += 8) {
    a = (a + word(at) + b) >>> 0
    b = (b + word(at + 4) + a) >>> 0
  }
  return header.readUInt32BE(24) === a && header.readUInt32BE(28) === b
}

export function bytesAt(fd: number, at: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  return bytes.subarray(0, readSync(fd, bytes, 0, length, at))
}

function read<T>(path: string, from: (fd: number) => T): T | null {
  let fd: number
  try {
    fd = openSync(path, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
  try {
    return from(fd)
  } finally {
    closeSync(fd)
  }
}
