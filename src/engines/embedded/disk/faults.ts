/** What a failed call of SQLite or of the system means for the store. */
import { closeSync, openSync, rmSync, statSync, writeSync } from 'node:fs'
import { constants } from 'node:os'

export type SqliteFault = 'full' | 'busy' | 'damaged' | 'readonly' | 'write' | 'failed' | 'statement' | 'other'

/** SQLite's result codes (https://sqlite.org/rescode.html). */
const [BUSY, LOCKED, READONLY, IOERR, FULL, NOTADB] = [5, 6, 8, 10, 13, 26]
const CORRUPT = 11
/** ERROR, TOOBIG, CONSTRAINT, MISMATCH, RANGE: the statement's own fault, not the disk's. */
const OF_THE_STATEMENT: ReadonlySet<number> = new Set([1, 18, 19, 20, 25])
const IOERR_WRITE = IOERR | (3 << 8)
const IOERR_TRUNCATE = IOERR | (6 << 8)
/** The shared index of the WAL could not grow. */
const IOERR_SHMSIZE = IOERR | (19 << 8)

/** `write`: the system refused a write; SQLite tells only ENOSPC apart. `other`: not SQLite's. */
export function kindOf(error: unknown): SqliteFault {
  const code = (error as { errcode?: number }).errcode
  if (code === undefined) return 'other'
  if (code === IOERR_SHMSIZE) return 'full'
  if (code === IOERR_WRITE || code === IOERR_TRUNCATE) return 'write'
  const primary = code & 0xff
  if (primary === FULL) return 'full'
  if (primary === BUSY || primary === LOCKED) return 'busy'
  if (primary === CORRUPT || primary === NOTADB) return 'damaged'
  if (primary === READONLY) return 'readonly'
  return OF_THE_STATEMENT.has(primary) ? 'statement' : 'failed'
}

/** A full disk, a used-up quota, or a file at its size limit: it works again once there is room. */
export function isNoRoom(error: unknown): boolean {
  const { code, errno } = error as NodeJS.ErrnoException
  // Node has no name for a used-up quota: its code is UNKNOWN
  return code === 'ENOSPC' || code === 'EFBIG' || errno === -constants.errno.EDQUOT
}

/** As SQLite would report it: what is stored is inconsistent. */
export const damage = (what: string): Error => Object.assign(new Error(what), { errcode: CORRUPT })

/** What a start needs before it can report a lack: the database, its thread, two ports. A server needs more. */
const SPARE_DESCRIPTORS = 32

/** Throws EMFILE or ENFILE, which SQLite would only call "unable to open". */
export function expectDescriptors(): void {
  const open: number[] = []
  try {
    while (open.length < SPARE_DESCRIPTORS) open.push(openSync(process.execPath, 'r'))
  } catch (error) {
    throw Object.assign(error as Error, { path: undefined }) // the path is arbitrary
  } finally {
    for (const fd of open) closeSync(fd)
  }
}

const MAX_PROBE_BYTES = 8 << 20

/**
 * Why was a write refused? SQLite keeps the system's error to itself, so a write of our own is tried beside the file:
 * as far out as the file is long (limits of file size) and of about as many bytes (quotas).
 */
export function whyRefused(file: string, bytes: number): 'full' | 'failed' {
  const probe = `${file}-probe`
  let fd: number | null = null
  try {
    const { size } = statSync(file)
    const data = Buffer.alloc(Math.min(bytes, MAX_PROBE_BYTES))
    fd = openSync(probe, 'w', 0o600)
    for (let at = 0; at < data.length; ) at += writeSync(fd, data, at, data.length - at, size + at)
    return 'failed'
  } catch (error) {
    return isNoRoom(error) ? 'full' : 'failed'
  } finally {
    if (fd !== null) closeSync(fd)
    rmSync(probe, { force: true })
  }
}
