/**
 * Files that hold one secret of ours: the admin key, the first API key. Written so that a crash or a full disk leaves
 * the whole secret or no file; read so that an empty or damaged one is refused instead of being taken for a key.
 */
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { SluiceError } from '../core/errors.ts'

/** Shorter keys can be guessed. */
const MIN_SECRET_CHARS = 16
const MAX_SECRET_CHARS = 512

/** Null if a key chosen by people is good enough, otherwise what is wrong with it and what to do. */
export function weaknessOf(secret: string): string | null {
  if (secret.length > MAX_SECRET_CHARS) return `is longer than ${MAX_SECRET_CHARS} characters`
  if (!/^[\x21-\x7e]*$/.test(secret)) return 'may hold only visible ASCII characters, without spaces'
  if (secret.length >= MIN_SECRET_CHARS && new Set(secret).size >= MIN_DISTINCT_CHARS) return null
  const enough = `at least ${MIN_SECRET_CHARS} random characters`
  return `is too easy to guess: use ${enough}, for example the output of "openssl rand -hex 24"`
}
/** "aaaaaaaaaaaaaaaa" is long, and no secret. */
const MIN_DISTINCT_CHARS = 5

/** The form of secrets that we make. */
export interface SecretKind {
  readonly prefix: string
  readonly shape: RegExp
}
export const ADMIN_KEY: SecretKind = { prefix: 'sluice-admin-', shape: /^sluice-admin-[\w-]{43}$/ }
export const SEALING_KEY: SecretKind = { prefix: 'sluice-sealing-', shape: /^sluice-sealing-[\w-]{43}$/ }
export const INTAKE_KEY: SecretKind = { prefix: 'sluice-intake-', shape: /^sluice-intake-[\w-]{43}$/ }
/** In the data folder: the key of a first start that nobody saw. */
export const FIRST_KEY_FILE = 'first-api.key'
export const API_KEY: SecretKind = { prefix: 'sk-sluice-', shape: /^sk-sluice-[0-9A-Za-z]{49}$/ }

/** The secret in the file, or the one that is made and stored there. */
export const keepSecret = (path: string, kind: SecretKind, make: () => string): string =>
  readSecret(path, kind) ?? storeSecret(path, make())

/**
 * Null: there is no such file. Throws config_invalid for anything that isn't a whole secret. It is never replaced
 * silently: sessions and scripts depend on it.
 */
export function readSecret(path: string, kind: SecretKind): string | null {
  const refuse = (what: string, remedy = RESTORE, cause?: unknown): never => {
    throw new SluiceError('config_invalid', { message: `${path} ${what}. ${remedy}.`, cause })
  }
  let text = ''
  try {
    // A pipe without a writer would block
    const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      const { mode, size } = fstatSync(file)
      if ((mode & constants.S_IFMT) !== constants.S_IFREG) refuse('is not a file', REMOVE)
      if (size > MAX_SECRET_CHARS + 2) refuse(`is too large to be a key (${size} bytes)`)
      if (!keepPrivate(file, mode))
        refuse('can be read by every user of this machine', `Run "chmod 600 ${path}" as its owner`)
      const bytes = Buffer.alloc(MAX_SECRET_CHARS + 2)
      text = bytes.toString('utf8', 0, readSync(file, bytes, 0, bytes.length, 0))
    } finally {
      closeSync(file)
    }
  } catch (error) {
    if (error instanceof SluiceError) throw error
    const { code = 'error' } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' && !isLink(path)) return null
    if (code === 'ENOENT' || code === 'ELOOP') refuse('is a link that leads nowhere', REMOVE, error)
    refuse(`can't be read (${code})`, 'Give this user read access to it', error)
  }
  const secret = text.replace(/\r?\n$/, '')
  if (secret === '') refuse('is empty')
  if (secret.startsWith(kind.prefix) && !kind.shape.test(secret)) refuse('is damaged: the key in it is incomplete')
  const weakness = weaknessOf(secret)
  if (weakness !== null) refuse(`holds no usable key: it ${weakness}`)
  return secret
}

const RESTORE =
  'Restore it from a backup, or delete it: the next start creates a new key, and sessions opened with the old one end'
const REMOVE = 'Remove it: the next start creates a file with a new key'

/**
 * All or nothing: written aside, synced, renamed, and the folder (which must be there) synced. Throws config_invalid
 * with what to do.
 */
function storeSecret(path: string, secret: string): string {
  const folder = dirname(path)
  const aside = `${path}.${process.pid}.tmp`
  try {
    rmSync(aside, { force: true })
    const file = openSync(aside, 'wx', 0o600)
    try {
      const bytes = Buffer.from(`${secret}\n`)
      for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    renameSync(aside, path)
    syncFolder(folder)
    return secret
  } catch (cause) {
    try {
      rmSync(aside, { force: true })
    } catch {
      // The folder is not usable: that is what is reported
    }
    const code = (cause as NodeJS.ErrnoException).code ?? 'error'
    throw new SluiceError('config_invalid', {
      message:
        `${path} can't be written (${code}). ` +
        `${REMEDIES[code] ?? 'Check the folder and its disk'}, or choose another folder with --data-dir.`,
      cause,
    })
  }
}

const REMEDIES: Readonly<Record<string, string>> = {
  ENOSPC: 'The disk is full: free some space',
  EDQUOT: 'The disk quota is used up: free some space',
  EACCES: 'Give this user write access to the folder',
  EPERM: 'Give this user write access to the folder',
  EROFS: 'The file system is read-only: mount it writable',
  ENOTDIR: 'A part of the path is a file: remove it',
}

/** Takes other users' access away. False: it is not ours to take (a mounted secret), and everybody has it. */
function keepPrivate(file: number, mode: number): boolean {
  if (process.platform === 'win32' || (mode & 0o077) === 0) return true
  try {
    fchmodSync(file, 0o600)
    return true
  } catch {
    return (mode & 0o007) === 0
  }
}

function isLink(path: string): boolean {
  try {
    return lstatSync(path).isSymbolicLink()
  } catch {
    return false
  }
}

function syncFolder(path: string): void {
  const folder = openSync(path, 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}
