/**
 * Beside the event loop, and beside the thread that syncs: no sync waits for a checkpoint, which takes 10 to 30 ms on a
 * busy machine. Moves the WAL's pages to the database when enough was written.
 *
 * The WAL starts over only when a commit finds all of it checkpointed, which under steady load never happens by
 * itself. So when it is long: flush the database file (while commits and syncs go on), checkpoint the rest, then ask
 * for a moment without commits and do the last few pages.
 */
import { fdatasyncSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { kindOf, whyRefused } from './faults.ts'
import { changes, files, names, onMessage, reason, tell } from './thread.ts'

const RESTART_BYTES = 48 << 20
const PAGE_BYTES = 4096 + 24

const { path, database } = files
const db = open()
const passive = db.prepare('PRAGMA wal_checkpoint(PASSIVE)')
let restarting = false

function open(): DatabaseSync {
  try {
    names.expect()
    const db = new DatabaseSync(path)
    db.exec('PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0')
    return db
  } catch (error) {
    throw reason(error)
  }
}

/** Bytes of the WAL that are in use. */
function checkpoint(): number {
  changes.expectNone() // what is wrong in the WAL must not get into the database
  try {
    const walBytes = (passive.get() as { log: number }).log * PAGE_BYTES
    tell({ type: 'checkpointed', walBytes })
    return walBytes
  } catch (error) {
    // The database can't grow now; the WAL keeps what it has, and the next commit tells so itself
    const kind = kindOf(error)
    if (kind === 'full' || (kind === 'write' && whyRefused(path, RESTART_BYTES) === 'full')) return 0
    throw error
  }
}

function restart(): void {
  restarting = true
  fdatasyncSync(database)
  checkpoint()
  tell({ type: 'hold' })
}

onMessage((message) => {
  switch (message) {
    case 'checkpoint':
      if (checkpoint() >= RESTART_BYTES && !restarting) restart()
      break
    case 'held':
      checkpoint()
      restarting = false
      tell({ type: 'release' })
      break
    case 'close':
      db.close()
      tell({ type: 'closed' })
  }
})
