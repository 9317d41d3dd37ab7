/**
 * Runs beside the event loop: syncs the WAL when asked, and checkpoints it when enough was written.
 *
 * The WAL starts over only when a commit finds all of it checkpointed, which under steady load never happens by
 * itself. So when it is long: flush the database file (while commits and syncs go on), checkpoint the rest, then ask
 * for a moment without commits and do the last few pages.
 */
import { fdatasync, fdatasyncSync, fstatSync, statSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { parentPort, workerData } from 'node:worker_threads'
import { systemClock } from '../../../core/clock.ts'
import { ChangedFiles, Changes } from './changes.ts'
import type { FromWorker, ToWorker } from './disk.ts'
import { kindOf, whyRefused } from './faults.ts'
import { shmOf, walOf } from './folder.ts'
import { CHANGED_FILES, type WalState, walState, writeMark } from './mark.ts'
import type { Files } from './schema.ts'

const RESTART_BYTES = 48 << 20
const PAGE_BYTES = 4096 + 24
/** How long a deleted or moved folder can go unnoticed while nothing is synced. */
const WATCH_MS = 1_000

const files = workerData as Files
const { path, database, wal, shm, lock } = files
const port = parentPort!
const tell = (message: FromWorker): void => port.postMessage(message)
const db = open()
const passive = db.prepare('PRAGMA wal_checkpoint(PASSIVE)')
let restarting = false
let marked = ''
const changes = new Changes(files)
/** Power-safe: then the mark claims only what is synced. */
let syncs = false

function open(): DatabaseSync {
  try {
    expectFiles()
    const db = new DatabaseSync(path)
    db.exec('PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0')
    return db
  } catch (error) {
    throw reason(error)
  }
}

/** Bytes of the WAL that are in use. */
function checkpoint(): number {
  changes.expectNone() // damage in the WAL must not get into the database
  try {
    const walBytes = (passive.get() as { log: number }).log * PAGE_BYTES
    tell({ type: 'checkpointed', walBytes })
    return walBytes
  } catch (error) {
    // The database can't grow now; the WAL keeps what it has, and the next commit reports it
    const kind = kindOf(error)
    if (kind === 'full' || (kind === 'write' && whyRefused(path, RESTART_BYTES) === 'full')) return 0
    throw error
  }
}

/** Writes to files that nobody will find again must not be acknowledged. */
function expectFiles(): void {
  for (const [fd, name] of [
    [database, path],
    [wal, walOf(path)],
    [shm, shmOf(path)], // other processes would lock another file
  ] as const) {
    const there = statSync(name, { throwIfNoEntry: false })
    const { dev, ino } = fstatSync(fd)
    if (there?.ino !== ino || there.dev !== dev)
      throw new Error(`${name} was deleted, moved or replaced while the server ran`)
  }
  const there = statSync(lock.path, { throwIfNoEntry: false })
  if (there?.ino !== lock.ino || there.dev !== lock.dev)
    throw new Error(`${lock.path} was deleted, moved or replaced while the server ran: another server may have started`)
}

/** If files are gone, that is the reason, whatever else went wrong. */
function reason(error: unknown): unknown {
  try {
    expectFiles()
    return error
  } catch (missing) {
    return missing
  }
}

function mark(state: WalState | null): void {
  if (state === null) return
  const next = `${state.salts} ${state.frames}`
  if (next === marked) return
  try {
    writeMark(path, state)
    marked = next
    changes.marked(state)
  } catch {
    // It only claims less; the store judges the disk by its own writes
  }
}

function guarded(work: () => void): void {
  try {
    work()
  } catch (error) {
    stopWatching()
    if (error instanceof ChangedFiles) tellNextStart()
    tell({ type: 'failed', detail: String(reason(error)) })
  }
}

/** Even if an older mark came with the backup. */
function tellNextStart(): void {
  try {
    writeMark(path, CHANGED_FILES)
  } catch {
    // The failure itself is reported anyway
  }
}

function restart(): void {
  restarting = true
  fdatasync(database, (error) =>
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
        const startedMono = systemClock.monoMs()
        syncs = true
        const state = walState(shm)
        fdatasyncSync(wal)
        expectFiles()
        changes.expectNone()
        mark(state)
        tell({ type: 'synced', ms: systemClock.monoMs() - startedMono, walBytes: fstatSync(wal).size })
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
        stopWatching()
        db.close()
        tell({ type: 'closed' })
    }
  }),
)

const stopWatching = systemClock.every(WATCH_MS, () =>
  guarded(() => {
    expectFiles()
    changes.expectNone()
    if (!syncs) mark(walState(shm))
  }),
)
