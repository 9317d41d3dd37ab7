/**
 * The database in the data folder, and the tables in it. A job is keyed by the order number in its id, so that inserts
 * append to the B-tree. What is deleted is gone for every reader of this program; its bytes stay in free pages until
 * those are written again (secure_delete is off: it would double what a delete writes).
 */
import { closeSync, openSync, statSync, writeSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { SluiceError } from '../../../core/errors.ts'
import { damage, expectDescriptors, isNoRoom, kindOf } from './faults.ts'
import {
  closeToOthers,
  expectAlone,
  explained,
  inspect,
  type Location,
  locate,
  lockOf,
  makePrivate,
  own,
  shmOf,
  syncFolder,
  walOf,
} from './folder.ts'
import { findLoss, forget, GONE, type Loss, readMark } from './mark.ts'
import { DOCUMENTS, LIMITS_AND_USAGE, MIGRATIONS, RUN_JOBS } from './migrations.ts'

const SCHEMA_VERSION = 8

/** What the WAL file is cut to when it starts over. */
const WAL_KEPT_BYTES = 64 << 20

const TABLES = `
CREATE TABLE jobs (
  ord INTEGER PRIMARY KEY, id TEXT NOT NULL, tenant TEXT NOT NULL, idem TEXT, model TEXT NOT NULL, lane TEXT,
  conversation TEXT,
  accepted_age INTEGER NOT NULL, -- ages: see age.ts
  facts TEXT NOT NULL, -- JSON: what else was submitted
  body BLOB NOT NULL, checksum INTEGER);
CREATE UNIQUE INDEX jobs_idem ON jobs (tenant, idem) WHERE idem IS NOT NULL;
CREATE INDEX jobs_tenant ON jobs (tenant);

-- Jobs that came from another engine, where the order in an id is not the order of acceptance: see positions.ts.
CREATE TABLE moved (ord INTEGER PRIMARY KEY, id_ord INTEGER NOT NULL);
CREATE INDEX moved_by_id ON moved (id_ord);

-- A job's end, and its whole log (but its first parts, where it has some). No row: not ended.
CREATE TABLE results (
  ord INTEGER PRIMARY KEY, state TEXT NOT NULL,
  ended_at INTEGER NOT NULL, -- wall clock, for people
  ended_age INTEGER NOT NULL, epoch INTEGER NOT NULL, attempts INTEGER NOT NULL,
  facts TEXT NOT NULL, -- JSON: error, usage, timing
  records INTEGER NOT NULL, parts INTEGER NOT NULL, log BLOB NOT NULL, checksum INTEGER);
CREATE INDEX results_bad ON results (ord) WHERE state <> 'done';

-- Jobs without a result, so that a start need not look at all others; and what their next lease must know when they
-- came back (a retry, a crash, a release): see Tally in core/ports/coordinator.ts.
CREATE TABLE unfinished (
  ord INTEGER PRIMARY KEY, attempts INTEGER NOT NULL, fails INTEGER NOT NULL, deaths INTEGER NOT NULL,
  crashes INTEGER NOT NULL, not_before_age INTEGER NOT NULL,
  ttft INTEGER,
  failed_at TEXT, -- JSON: FailedAt; null: nowhere
  ran INTEGER NOT NULL DEFAULT 0,
  reservation TEXT, -- JSON: Amounts; what it holds until its first lease; null: nothing
  unbooked TEXT); -- JSON: an attempt that died with its process, and has no usage record yet; null: none

-- Token records of live jobs, one row a commit for all of them; gone when no live job needs them.
CREATE TABLE segments (n INTEGER PRIMARY KEY, data BLOB NOT NULL, checksum INTEGER);
-- Beginnings of logs too long for memory, or that would keep old segments alive. Holds what segments before
-- \`segment\` had.
CREATE TABLE parts (
  n INTEGER PRIMARY KEY, ord INTEGER NOT NULL, segment INTEGER NOT NULL, records INTEGER NOT NULL, data BLOB NOT NULL,
  epoch INTEGER NOT NULL, checksum INTEGER);
CREATE INDEX parts_of ON parts (ord);

CREATE TABLE conversations (
  tenant TEXT, id TEXT, name TEXT, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
  last_ord INTEGER NOT NULL, -- order of its newest turn, also when that is gone
  updated_age INTEGER NOT NULL,
  turns INTEGER NOT NULL, bytes INTEGER NOT NULL, -- of its turns
  first_ord INTEGER, -- the turn that it began with, which need not be there any more
  PRIMARY KEY (tenant, id)) WITHOUT ROWID;
CREATE INDEX conversations_newest ON conversations (tenant, last_ord, id);
-- Names up to the first "/" are a name space of a session's user.
CREATE INDEX conversations_scoped ON conversations (tenant, substr(id, 1, instr(id, '/')), last_ord, id)
  WHERE instr(id, '/') > 0;
-- That conversations began with, by first_ord: JSON arrays. Apart, so that no look at a key reads them.
CREATE TABLE instructions (ord INTEGER PRIMARY KEY, messages TEXT NOT NULL);
CREATE TABLE conversation_bytes (tenant TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID;
-- By order, as jobs: in a table WITHOUT ROWID each look at a key would read whole turns.
CREATE TABLE turns (
  ord INTEGER PRIMARY KEY, tenant TEXT NOT NULL, conversation TEXT NOT NULL, job TEXT NOT NULL, state TEXT NOT NULL,
  bytes INTEGER NOT NULL, messages TEXT NOT NULL, answer TEXT);
CREATE INDEX turns_of ON turns (tenant, conversation, ord, bytes);

CREATE TABLE keys (digest TEXT PRIMARY KEY, id TEXT NOT NULL, tenant TEXT NOT NULL, facts TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE pauses (selector TEXT PRIMARY KEY) WITHOUT ROWID;
${LIMITS_AND_USAGE}
${DOCUMENTS}
${RUN_JOBS}
-- Starts: logs of jobs before \`before\` that had not ended went on under a new epoch.
CREATE TABLE epochs (epoch INTEGER PRIMARY KEY, before INTEGER NOT NULL);
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
`

/** Open in this process for as long as its connections are: a closed one would drop their locks (POSIX). */
export interface Files {
  /** The database, without symbolic links. */
  readonly path: string
  readonly database: number
  readonly wal: number
  readonly shm: number
  /** The owner's lock as it was taken. */
  readonly lock: { readonly path: string; readonly dev: number; readonly ino: number }
}

export interface Folder {
  readonly db: DatabaseSync
  /** Null: in memory. */
  readonly files: Files | null
  /** What an operator should know: each a sentence that says what to do. */
  readonly warnings: readonly string[]
  /** Commits of the last run that are not there any more. */
  readonly loss: Loss | null
  /**
   * `isWhole` false: the store failed, and what the mark claims holds. Then nothing but what fits the checksums of the
   * WAL goes to the database.
   */
  release(isWhole?: boolean): void
}

/** How long a start waits for another program's lock on the database. */
const LOCK_WAIT_MS = 5_000

/**
 * `dir` null: in memory. Each commit is synced until `PRAGMA synchronous = NORMAL`: what a start finds and changes
 * (epochs) must not be lost when the power goes again. Throws config_invalid, storage_full or storage_failed with the
 * path and what to do.
 */
export function openFolder(dir: string | null, lockWaitMs = LOCK_WAIT_MS): Folder {
  if (dir === null) {
    const db = new DatabaseSync(':memory:')
    migrate(db, ':memory:')
    return { db, files: null, warnings: [], loss: null, release: () => db.close() }
  }
  let opened: Opened | null = null
  let lock: DatabaseSync | null = null
  const close = (): void => {
    opened?.close()
    lock?.close()
  }
  try {
    expectDescriptors()
    const location = locate(dir)
    const path = location.file
    lock = own(location)
    const { dev, ino } = statSync(lockOf(path))
    inspect(location)
    makePrivate(path)
    const walBytes = statSync(walOf(path), { throwIfNoEntry: false })?.size ?? 0
    opened = connect(location, lockWaitMs)
    const loss = findLoss(path, opened.shm) ?? (walBytes === 0 && wasRunning(opened.db, path) ? GONE : null)
    if (loss !== null) expectWhole(opened.db)
    if (isNotTheLockOf(opened.db, ino)) {
      opened.close()
      expectAlone(location, Math.min(lockWaitMs, ALONE_WAIT_MS))
      opened = connect(location, lockWaitMs)
    }
    const { db, shm } = opened
    migrate(db, dir)
    noteStart(db, ino)
    db.exec('PRAGMA busy_timeout = 0') // from here on a lock must not hold the event loop: the store tries again
    const warnings = closeToOthers(location)
    syncFolder(location.dir)
    return {
      db,
      files: { path, database: opened.database, wal: opened.wal, shm, lock: { path: lockOf(path), dev, ino } },
      warnings,
      loss,
      release(isWhole = true) {
        if (isWhole) {
          noteEnd(db)
          forget(path) // Closing takes the WAL away, and what the mark claims with it
        } else writeSync(shm, NO_INDEX, 0, NO_INDEX.length, 0)
        close()
      },
    }
  } catch (error) {
    close()
    throw explained(dir, error)
  }
}

/** How long a start whose lock is new waits for readers of the database. */
const ALONE_WAIT_MS = 1_000
/** In place of the header of the WAL's index: whoever reads it next makes it anew, from the frames that fit. */
const NO_INDEX = Buffer.alloc(96)

interface Opened {
  readonly db: DatabaseSync
  readonly database: number
  readonly wal: number
  readonly shm: number
  close(): void
}

/** The descriptors are closed after the connection: each would drop its locks (POSIX). */
function connect({ file }: Location, lockWaitMs: number): Opened {
  const db = new DatabaseSync(file, { timeout: lockWaitMs })
  const fds: number[] = []
  const close = (): void => {
    if (db.isOpen) db.close()
    for (const fd of fds.splice(0)) closeSync(fd)
  }
  try {
    db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;
      PRAGMA journal_size_limit = ${WAL_KEPT_BYTES}; PRAGMA cache_size = -32768; PRAGMA temp_store = MEMORY`)
    db.prepare('PRAGMA user_version').get() // reads the WAL
    for (const path of [file, walOf(file), shmOf(file)]) fds.push(openSync(path, 'r+'))
    return { db, database: fds[0], wal: fds[1], shm: fds[2], close }
  } catch (error) {
    close()
    throw error
  }
}

// ---------------------------------------------------------------- what the last run noted

/** Null: there is no such note, or no store yet. */
function noted(db: DatabaseSync, key: 'running' | 'lock'): string | null {
  if (db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'meta'").get() === undefined) return null
  const row = db.prepare('SELECT value FROM meta WHERE key = ?').get(key) as { value: string } | undefined
  return row?.value ?? null
}

/**
 * The database was copied from a running server, or out of the remains of one, without its WAL. Where the mark claims
 * a WAL, `findLoss` knows better.
 */
const wasRunning = (db: DatabaseSync, path: string): boolean =>
  noted(db, 'running') !== null && (readMark(path)?.frames ?? 0) === 0

/** No file takes the number of one that a process still holds. A new store has had no lock before this one. */
function isNotTheLockOf(db: DatabaseSync, ino: number): boolean {
  const { user_version: schema } = db.prepare('PRAGMA user_version').get() as { user_version: number }
  return schema > 0 && schema <= SCHEMA_VERSION && noted(db, 'lock') !== String(ino)
}

/** In the database file itself, so that a copy of nothing else knows it. */
function noteStart(db: DatabaseSync, ino: number): void {
  db.prepare("INSERT OR REPLACE INTO meta VALUES ('running', ''), ('lock', ?)").run(String(ino))
  try {
    db.prepare('PRAGMA wal_checkpoint(PASSIVE)').get()
  } catch (error) {
    const kind = kindOf(error)
    if (kind !== 'full' && kind !== 'write' && !isNoRoom(error)) throw error
  }
}

/** With the last connection closed, the WAL goes into the database. */
function noteEnd(db: DatabaseSync): void {
  try {
    db.exec("DELETE FROM meta WHERE key = 'running'")
  } catch {
    // Full or locked: then the WAL stays too
  }
}

/**
 * The WAL's pages up to the damage lie over those of the database, some of which may be newer: then it does not fit
 * together, and must not be written to. Throws what `explained` takes for damage.
 */
function expectWhole(db: DatabaseSync): void {
  const [first] = db.prepare('PRAGMA integrity_check(1)').all() as Array<{ integrity_check: string }>
  if (first.integrity_check !== 'ok') throw damage(`its WAL is damaged or missing; ${first.integrity_check}`)
}

function migrate(db: DatabaseSync, dir: string): void {
  db.exec('BEGIN IMMEDIATE')
  try {
    const { user_version: found } = db.prepare('PRAGMA user_version').get() as { user_version: number }
    if (found > SCHEMA_VERSION)
      throw new SluiceError('config_invalid', {
        message:
          `The data folder ${dir} was written by a newer Sluice (schema ${found}; this one knows ${SCHEMA_VERSION}). ` +
          'Start that version, or choose another data_dir.',
      })
    if (found > 0) for (let n = found; n < SCHEMA_VERSION; n++) MIGRATIONS[n](db)
    else if (db.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get() === undefined) db.exec(TABLES)
    else
      throw new SluiceError('config_invalid', {
        message: `The database sluice.db in ${dir} is another program's. Move it, or choose another data_dir.`,
      })
    db.exec(`PRAGMA user_version = ${SCHEMA_VERSION}; COMMIT`)
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK')
    throw error
  }
}
