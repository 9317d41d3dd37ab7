/**
 * Beside the event loop: syncs the WAL when asked, and checkpoints it when enough was written.
 *
 * The WAL starts over only when a commit finds all of it checkpointed, which under steady load never happens by itself. So
 * when it is long: flush the database file (while commits and syncs go on), checkpoint the rest, then ask for a moment without
 * commits and do the last few pages.
 */
import { fdatasync, fdatasyncSync, fstatSync, openSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { parentPort, workerData } from 'node:worker_threads'
import { systemClock } from '../../core/clock.ts'
import type { FromWorker, ToWorker } from './disk.ts'

const RESTART_BYTES = 48 << 20
const PAGE_BYTES = 4096 + 24
const SQLITE_FULL = 13

const path = workerData as string
// Never closed before the process's own connections: that would drop their locks (POSIX)
const wal = openSync(`${path}-wal`, 'r+')
const file = openSync(path, 'r+')
const db = new DatabaseSync(path)
db.exec('PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0')
const passive = db.prepare('PRAGMA wal_checkpoint(PASSIVE)')
const port = parentPort!
const tell = (message: FromWorker): void => port.postMessage(message)
let restarting = false

/** Bytes of the WAL that are in use. */
function checkpoint(): number {
  try {
    return (passive.get() as { log: number }).log * PAGE_BYTES
  } catch (error) {
    // The database can't grow now; the WAL keeps what it has, and the next commit says so itself
    if (((error as { errcode?: number }).errcode ?? 0) % 256 === SQLITE_FULL) return 0
    throw error
  }
}

function guarded(work: () => void): void {
  try {
    work()
  } catch (error) {
    tell({ type: 'failed', detail: String(error) })
  }
}

function restart(): void {
  restarting = true
  fdatasync(file, (error) =>
    guarded(() => {
      if (error) throw error
      checkpoint()
      tell({ type: 'hold' })
    }),
  )
}

port.on('message', (message: ToWorker) =>
  guarded(() => {
    switch (message) {
      case 'sync': {
        const startedAt = systemClock.monoMs()
        fdatasyncSync(wal)
        tell({ type: 'synced', ms: systemClock.monoMs() - startedAt, walBytes: fstatSync(wal).size })
        break
      }
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
  }),
)
