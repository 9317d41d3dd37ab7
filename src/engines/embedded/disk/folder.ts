/**
 * The data folder before it is opened: where it really is, who owns it, and whether its files may be opened. Everything
 * that can be wrong with it becomes one typed error here: the path, the reason, and what to do.
 */
import {
  accessSync,
  chmodSync,
  closeSync,
  constants,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readlinkSync,
  readSync,
  realpathSync,
  rmdirSync,
  rmSync,
  type Stats,
  statSync,
} from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { SluiceError } from '../../../core/errors.ts'
import { isNoRoom, kindOf } from './faults.ts'

export interface Location {
  /** As configured, for people. */
  readonly given: string
  /** Without symbolic links: what every thread opens. The WAL, the lock and the mark are beside the file. */
  readonly dir: string
  readonly file: string
  /** Folders that were made for it, the innermost first. */
  readonly made: readonly string[]
}

const DATABASE = 'sluice.db'
/** In the data folder, while `sluice migrate` or `sluice restore` fills it. */
export const FILLING = 'filling'
const HEADER = 'SQLite format 3\0'
const OTHERS = 0o077

/** The files beside a database file. */
export const walOf = (file: string): string => `${file}-wal`
export const shmOf = (file: string): string => `${file}-shm`
export const markOf = (file: string): string => `${file}-mark`
export const lockOf = (file: string): string =>
  join(dirname(file), basename(file) === DATABASE ? 'owner.lock' : `${basename(file)}.lock`)

/** Finds the folder, and makes it where it is missing. Throws config_invalid, storage_full. */
export function locate(given: string): Location {
  try {
    const made = makeFolder(resolve(given))
    const dir = realpathSync(given)
    if (!statSync(dir).isDirectory()) throw unusable(given, given, ['it is not a folder', CHOOSE])
    accessSync(dir, constants.R_OK | constants.W_OK | constants.X_OK)
    const file = realFile(given, join(dir, DATABASE))
    accessSync(dirname(file), constants.R_OK | constants.W_OK | constants.X_OK)
    return { given, dir: dirname(file), file, made }
  } catch (error) {
    throw explained(given, error)
  }
}

/** As a start would find it, leaving nothing behind. Throws what a start would. `made`: it does not exist yet. */
export function examine(given: string): { readonly made: boolean; readonly warnings: readonly string[] } {
  const full = resolve(given)
  try {
    if (found(full) === null) {
      let above = dirname(full)
      while (found(above) === null) above = dirname(above)
      tryToMakeOne(above)
      return { made: true, warnings: [] }
    }
    const location = locate(given)
    inspect(location)
    const { mode } = statSync(location.dir)
    return { made: false, warnings: isExposed(mode) ? [exposed(location.dir, mode)] : [] }
  } catch (error) {
    throw explained(given, error)
  }
}

function tryToMakeOne(above: string): void {
  const probe = join(above, `.sluice-probe-${process.pid}`)
  try {
    mkdirSync(probe)
    rmdirSync(probe)
  } catch (error) {
    throw Object.assign(error as Error, { path: above })
  }
}

/** Level by level: Node's recursive mkdir never returns where the kernel makes no folders (/proc). */
function makeFolder(dir: string): readonly string[] {
  const missing: string[] = []
  for (let at = dir; found(at) === null; at = dirname(at)) missing.push(at)
  const made: string[] = []
  for (const each of missing.reverse()) {
    try {
      mkdirSync(each, { mode: 0o700 })
      made.unshift(each)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
  }
  return made
}

/** Removes the folders that were made for it, its lock with them, unless something is in there. */
export function unmake({ made, file }: Location): void {
  if (made.length === 0) return
  for (const path of [lockOf(file), `${lockOf(file)}-journal`]) rmSync(path, { force: true })
  try {
    for (const each of made) rmdirSync(each)
  } catch {
    // It is in use by now
  }
}

/** Null: nothing has that name. A symbolic link counts, wherever it leads. */
function found(path: string): Stats | null {
  try {
    return lstatSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

/**
 * A linked database is opened by its real name: SQLite puts the WAL beside that, and every thread must sync the same
 * one.
 */
function realFile(given: string, path: string): string {
  if (found(path) === null) return path
  const file = realpathSync(path)
  const { nlink } = regular(given, file)!
  if (nlink > 1)
    throw unusable(given, path, [
      'it has a second name (hard link), and each name would have its own WAL',
      'Copy it instead',
    ])
  accessSync(file, constants.R_OK | constants.W_OK)
  return file
}

function regular(given: string, path: string): Stats | null {
  const stats = found(path)
  if (stats !== null && !stats.isFile()) throw unusable(given, path, ['it is not a regular file', CHOOSE])
  return stats
}

/**
 * Is it a database, or the place for a new one? SQLite takes an empty file for a new database and deletes the WAL
 * beside it: where there was one, that would silently lose it.
 */
export function inspect({ given, file }: Location): void {
  try {
    const size = regular(given, file)?.size ?? 0
    const walBytes = regular(given, walOf(file))?.size ?? 0
    regular(given, shmOf(file))
    if (size === 0) {
      if (walBytes === 0 && found(markOf(file)) === null) {
        if (found(join(dirname(file), FILLING)) === null) return
        throw new SluiceError('config_invalid', {
          message:
            `The data folder ${given} is half filled: a migration, or a restore, was cut short. Run it again; or, to ` +
            `begin anew, remove ${join(dirname(file), FILLING)}.`,
        })
      }
      throw new SluiceError('config_invalid', {
        message:
          `${file} is ${found(file) === null ? 'missing' : 'empty'}, but this folder held a store. Restore the file ` +
          `from a backup; or, to begin anew without its jobs, move ${walOf(file)} and ${markOf(file)} away too.`,
      })
    }
    if (firstBytes(file) !== HEADER)
      throw new SluiceError('config_invalid', {
        message:
          `${file} is not an SQLite database, or its beginning is damaged. Restore it from a backup, or choose ` +
          'another data_dir.',
      })
  } catch (error) {
    throw explained(given, error)
  }
}

function firstBytes(file: string): string {
  const bytes = Buffer.alloc(HEADER.length)
  const fd = openSync(file, 'r')
  try {
    readSync(fd, bytes, 0, bytes.length, 0)
  } finally {
    closeSync(fd)
  }
  return bytes.toString('latin1')
}

/** The lock is the kernel's, and dies with its process. */
export function own({ given, file }: Location): DatabaseSync {
  const path = lockOf(file)
  makePrivate(path)
  const lock = new DatabaseSync(path)
  try {
    lock.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE')
    return lock
  } catch (cause) {
    lock.close()
    if (kindOf(cause) !== 'busy') throw cause
    throw new SluiceError('in_use', {
      message: `The data folder ${given} is in use by another Sluice. Stop that one, or choose another data_dir.`,
      cause,
    })
  }
}

/**
 * Throws in_use if another process has the database open. Checked when the lock is not the one of the last start: it
 * may have been deleted under a running server. To be called before we open a connection.
 */
export function expectAlone({ given, file }: Location, waitMs: number): void {
  const probe = new DatabaseSync(file, { timeout: waitMs })
  try {
    probe.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE; ROLLBACK')
  } catch (cause) {
    if (kindOf(cause) !== 'busy') throw cause
    throw new SluiceError('in_use', {
      message:
        `The data folder ${given} is in use by another Sluice whose ${lockOf(file)} was deleted or replaced, or by ` +
        'another program that has sluice.db open. End it (lsof or fuser names it), then start again.',
      cause,
    })
  } finally {
    probe.close()
  }
}

/**
 * Only this user may read it, whatever the umask; made where it is missing. SQLite gives a WAL the mode of its
 * database.
 */
export function makePrivate(path: string): void {
  try {
    closeSync(openSync(path, 'ax', 0o600))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    closeFile(path)
  }
}

/** Returns why it can't be. */
function closeFile(path: string): string | null {
  const stats = found(path)
  if (stats === null || !isExposed(stats.mode)) return null
  try {
    chmodSync(path, 0o600)
    return null
  } catch (error) {
    return `${path} can be read by other users, and its mode can't be changed (${codeOf(error)}): chmod 600 it.`
  }
}

/** Prompts and answers are for the server's user alone. Returns what could not be made so. */
export function closeToOthers({ dir, file }: Location): string[] {
  const files = [file, walOf(file), shmOf(file), markOf(file), lockOf(file)]
  const { mode } = statSync(dir)
  const open = [...files.map(closeFile), isExposed(mode) ? exposed(dir, mode) : null]
  return open.filter((warning) => warning !== null)
}

const isExposed = (mode: number): boolean => (mode & OTHERS) !== 0
const exposed = (dir: string, mode: number): string =>
  `The data folder ${dir} is open to other users (mode ${(mode & 0o777).toString(8)}): chmod 700 it.`

/** New files survive a power loss only once their folder is synced. */
export function syncFolder(dir: string): void {
  const folder = openSync(dir, 'r')
  fsyncSync(folder)
  closeSync(folder)
}

// ---------------------------------------------------------------- what went wrong

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error)

/** `path`: the part of it that is at fault. */
const unusable = (given: string, path: string, [reason, remedy]: Reason, cause?: unknown): SluiceError =>
  new SluiceError('config_invalid', {
    message: `The data folder ${given} can't be used (${path === given ? '' : `${path}: `}${reason}). ${remedy}.`,
    cause,
  })

type Reason = readonly [reason: string, remedy: string]
const CHOOSE = 'Choose another data_dir'
const REASONS: Readonly<Record<string, Reason>> = {
  EACCES: ['no permission', `Run as the folder's owner, chown it, or ${CHOOSE.toLowerCase()}`],
  EPERM: ['the system does not permit it', `Check the folder's owner and attributes, or ${CHOOSE.toLowerCase()}`],
  EROFS: ['the file system is read-only', `Mount it writable, or ${CHOOSE.toLowerCase()}`],
  ENOTDIR: ['a part of the path is not a folder', CHOOSE],
  EEXIST: ['something that is not a folder has this name', `Move it, or ${CHOOSE.toLowerCase()}`],
  ENOENT: ["it can't be created here", CHOOSE],
  ENAMETOOLONG: ['the name is too long', CHOOSE],
  ELOOP: ['its symbolic links form a loop', 'Remove the link'],
  EINVAL: ['the system does not accept this name', CHOOSE],
  ERR_INVALID_ARG_VALUE: ['the system does not accept this name', CHOOSE],
  EMFILE: ['too many open files', 'Raise the limit (ulimit -n)'],
  ENFILE: ['too many open files in the system', 'Raise fs.file-max'],
}

/**
 * What was thrown while the folder was opened, as an error that says what to do. What is neither SQLite's nor the
 * system's is a fault of ours, and stays as it is.
 */
export function explained(given: string, error: unknown): unknown {
  if (error instanceof SluiceError) return error
  if ((error as NodeJS.ErrnoException).code === undefined && kindOf(error) === 'other') return error
  const { code = '', path = given } = error as NodeJS.ErrnoException
  const kind = isNoRoom(error) ? 'full' : kindOf(error)
  if (kind === 'full')
    return new SluiceError('storage_full', {
      message: `There is no room left for the data folder ${given}. Free some space, or raise the quota.`,
      cause: error,
    })
  if (kind === 'busy')
    return new SluiceError('in_use', {
      message:
        `Another program holds a lock on the database in ${given}. End it (lsof or fuser names it), and start again: ` +
        'Sluice must be the only writer.',
      cause: error,
    })
  if (kind === 'readonly') return unusable(given, given, REASONS['EROFS'], error)
  const link = code === 'ENOENT' ? danglingLink(path) : null
  if (link !== null)
    return unusable(given, path, [`it is a symbolic link to ${link}, which does not exist`, 'Remove the link'], error)
  if (REASONS[code] !== undefined) return unusable(given, path, REASONS[code], error)
  if (kind === 'damaged')
    return new SluiceError('storage_failed', {
      message:
        `The database in ${given} is damaged (${(error as Error).message}). Restore the folder from a backup; ` +
        'what can still be read: sqlite3 sluice.db .recover',
      cause: error,
    })
  return new SluiceError('storage_failed', {
    message: `The data folder ${given} can't be opened: ${(error as Error).message}. Check the disk, then start again.`,
    cause: error,
  })
}

function danglingLink(path: string): string | null {
  try {
    return readlinkSync(path)
  } catch {
    return null
  }
}
