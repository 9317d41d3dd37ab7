/** Beside the event loop: makes what is committed safe from power loss when asked, and watches over the files. */
import { fdatasyncSync, fstatSync } from 'node:fs'
import { systemClock } from '../../../core/clock.ts'
import { type WalState, walState, writeMark } from './mark.ts'
import { changes, expectFiles, files, guarded, onMessage, tell } from './thread.ts'

/** How long a folder that was deleted or moved away can go unnoticed where nothing is synced. */
const WATCH_MS = 1_000

const { path, wal, shm } = files
let marked: WalState | null = null
/** Power-safe: then the mark claims only what is synced. */
let syncs = false

function sync(): void {
  const startedMono = systemClock.monoMs()
  syncs = true
  const state = walState(shm)
  fdatasyncSync(wal)
  expectFiles()
  changes.expectNone()
  mark(state)
  tell({ type: 'synced', ms: systemClock.monoMs() - startedMono, walBytes: fstatSync(wal).size })
}

function mark(state: WalState | null): void {
  if (state === null || (state.frames === marked?.frames && state.salts === marked.salts)) return
  try {
    writeMark(path, state)
    marked = state
    changes.marked(state)
  } catch {
    // It only claims less; the store has its own writes to judge the disk by
  }
}

const stopWatching = systemClock.every(WATCH_MS, () =>
  guarded(() => {
    expectFiles()
    changes.expectNone()
    if (!syncs) mark(walState(shm))
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
