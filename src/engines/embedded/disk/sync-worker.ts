/** Beside the event loop: makes what is committed safe from power loss when asked, and watches over the files. */
import { fdatasync, fstatSync } from 'node:fs'
import { systemClock } from '../../../core/clock.ts'
import { walState } from './mark.ts'
import { changes, files, guarded, names, onMessage, tell } from './thread.ts'

/** How long a folder that was deleted or moved away can go unnoticed where nothing is synced. */
const WATCH_MS = 1_000

const { wal, shm } = files
/** Power-safe: then the mark claims only what is synced. */
let syncs = false
let isSyncing = false
/** Nothing is told after a failure but that. */
let hasFailed = false
let isClosing = false

function sync(): void {
  const startedMono = systemClock.monoMs()
  syncs = true
  const state = walState(shm)
  isSyncing = true
  fdatasync(wal, (error) => {
    isSyncing = false
    guarded(() => {
      if (hasFailed) return
      if (error !== null) throw error
      changes.mark(state)
      tell({ type: 'synced', ms: systemClock.monoMs() - startedMono, walBytes: fstatSync(wal).size })
    }, stop)
    if (isClosing) tell({ type: 'closed' })
  })
  // While the disk works: what it is asked for was written before, and must be in files that have their names
  if (names.expectStill()) changes.renamed()
  changes.expectNone()
}

const stopWatching = systemClock.every(WATCH_MS, () =>
  guarded(() => {
    names.expect()
    changes.renamed()
    changes.expectNone()
    if (!syncs) changes.mark(walState(shm))
  }, stop),
)
function stop(): void {
  hasFailed = true
  stopWatching()
}

onMessage((message) => {
  if (message === 'sync') return sync()
  stopWatching()
  isClosing = true
  if (!isSyncing) tell({ type: 'closed' })
}, stop)
