/** Beside the event loop: makes what is committed safe from power loss when asked, and watches over the files. */
import { fdatasyncSync, fstatSync } from 'node:fs'
import { systemClock } from '../../../core/clock.ts'
import { walState } from './mark.ts'
import { changes, files, guarded, names, onMessage, tell } from './thread.ts'

/** How long a folder that was deleted or moved away can go unnoticed where nothing is synced. */
const WATCH_MS = 1_000

const { wal, shm } = files
/** Power-safe: then the mark claims only what is synced. */
let syncs = false

function sync(): void {
  const startedMono = systemClock.monoMs()
  syncs = true
  const state = walState(shm)
  fdatasyncSync(wal)
  if (names.expectStill()) changes.renamed()
  changes.expectNone()
  changes.mark(state)
  tell({ type: 'synced', ms: systemClock.monoMs() - startedMono, walBytes: fstatSync(wal).size })
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
  stopWatching()
}

onMessage((message) => {
  if (message === 'sync') return sync()
  stopWatching()
  tell({ type: 'closed' })
}, stop)
