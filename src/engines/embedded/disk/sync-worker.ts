/**
 * Beside the event loop: makes what is committed safe from power loss when asked, and watches over the files. It is
 * asked by a word in shared memory and has no event loop of its own: a message costs as much as the checks of a sync.
 */
import { fdatasyncSync, fstatSync } from 'node:fs'
import { workerData } from 'node:worker_threads'
import { systemClock } from '../../../core/clock.ts'
import { type Asked, CLOSE, NOTHING, SYNC } from './disk.ts'
import { type WalState, walState, writeMark } from './mark.ts'
import { changes, expectFiles, files, guarded, tell } from './thread.ts'

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

function watch(): void {
  expectFiles()
  changes.expectNone()
  if (!syncs) mark(walState(shm))
}

const { asked } = workerData as Asked
let watchMs = WATCH_MS
const stop = (): void => {
  watchMs = Infinity
}
for (let what = NOTHING; (what & CLOSE) === 0; ) {
  Atomics.wait(asked, 0, NOTHING, watchMs)
  what = Atomics.exchange(asked, 0, NOTHING)
  if (what === NOTHING) guarded(watch, stop)
  else if ((what & SYNC) !== 0) guarded(sync, stop)
}
tell({ type: 'closed' })
