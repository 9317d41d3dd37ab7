/**
 * The database in the data folder, and the tables in it. A job is keyed by the order number in its id, so that inserts
 * append to the B-tree. What is deleted is gone for every reader of this program; its bytes stay in free pages until
 * those are written again (secure_delete is off: it would double what a delete writes).
 */
import { closeSync, openSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { SluiceError } from '../../core/errors.ts'
import { CORRUPT } from './faults.ts'
import { closeToOthers, explained, inspect, locate, makePrivate, own, shmOf, syncFolder, walOf } from './folder.ts'
import { findLoss, forget, type Loss } from './mark.ts'
import { MIGRATIONS } from './migrations.ts'

const SCHEMA_VERSION = 2

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

-- A job's end, and its whole log (but its first parts, where it has some). No row: not ended.
CREATE TABLE results (
  ord INTEGER PRIMARY KEY, state TEXT NOT NULL,
  ended_at INTEGER NOT NULL, -- wall clock, for people
  ended_age INTEGER NOT NULL, epoch INTEGER NOT NULL, attempts INTEGER NOT NULL,
  facts TEXT NOT NULL, -- JSON: error, usage, timing
  records INTEGER NOT NULL, parts INTEGER NOT NULL, log BLOB NOT NULL, checksum INTEGER);
CREATE INDEX results_bad ON results (ord) WHERE state <> 'done';

-- Jobs without a result, so that a start need not look at all others; and what their next lease must know when they
-- came back (a retry, a crash, a release): see Tally in core/ports.ts.
CREATE TABLE unfinished (
  ord INTEGER PRIMARY KEY, attempts INTEGER NOT NULL, fails INTEGER NOT NULL, deaths INTEGER NOT NULL,
  crashes INTEGER NOT NULL, not_before_age INTEGER NOT NULL);

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
}

export interface Folder {
  readonly db: DatabaseSync
  /** Null: in memory. */
  readonly files: Files | null
  /** What an operator should know: each a sentence that says what to do. */
  readonly warnings: readonly string[]
  /** Commits of the last run that are not there any more. */
  readonly loss: Loss | null
  release(): void
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
  const location = locate(dir)
  let lock: DatabaseSync | null = null
  let db: DatabaseSync | null = null
  let fds: number[] = []
  const close = (): void => {
    if (db?.isOpen) db.close()
    for (const fd of fds) closeSync(fd)
    lock?.close()
  }
  try {
    lock = own(location)
    inspect(location)
    makePrivate(location.file)
    db = new DatabaseSync(location.file, { timeout: lockWaitMs })
    db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;
      PRAGMA journal_size_limit = ${WAL_KEPT_BYTES}; PRAGMA cache_size = -32768; PRAGMA temp_store = MEMORY`)
    db.prepare('PRAGMA user_version').get() // reads the WAL
    const path = location.file
    fds = [openSync(path, 'r+'), openSync(walOf(path), 'r+'), openSync(shmOf(path), 'r')]
    const files = { path, database: fds[0], wal: fds[1], shm: fds[2] }
    const loss = findLoss(path, files.shm)
    if (loss !== null) expectWhole(db)
    migrate(db, dir)
    db.exec('PRAGMA busy_timeout = 0') // from here on a lock must not hold the event loop: the store tries again
    const warnings = closeToOthers(location)
    syncFolder(location.dir)
    return {
      db,
      files,
      warnings,
      loss,
      release() {
        // Closing takes the WAL away, and what the mark claims with it
        forget(path)
        close()
      },
    }
  } catch (error) {
    close()
    throw explained(dir, error)
  }
}

/**
 * The WAL's pages up to the damage lie over those of the database, some of which may be newer: then it does not fit
 * together, and must not be written to. Throws what `explained` takes for damage.
 */
function expectWhole(db: DatabaseSync): void {
  const [first] = db.prepare('PRAGMA integrity_check(1)').all() as Array<{ integrity_check: string }>
  if (first.integrity_check !== 'ok')
    throw Object.assign(new Error(`its WAL is damaged; ${first.integrity_check}`), { errcode: CORRUPT })
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
