/** What the threads beside the event loop have in common: whom they tell, and what they look at. */
import { fstatSync, statSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import { ChangedFiles, Changes } from './changes.ts'
import type { FromThread, ToThread } from './disk.ts'
import { shmOf, walOf } from './folder.ts'
import { CHANGED_FILES, writeMark } from './mark.ts'
import type { Files } from './schema.ts'

export const files = workerData as Files
const port = parentPort!
export const tell = (message: FromThread): void => port.postMessage(message)
/** Each thread looks for itself: both see all that was committed. */
export const changes = new Changes(files)

const { path, database, wal, shm, lock } = files
/** Each file by its name, and which one it was when it was opened. */
const OPENED = [
  { name: path, ...identity(database) },
  { name: walOf(path), ...identity(wal) },
  { name: shmOf(path), ...identity(shm) }, // others would lock another one
]

function identity(fd: number): { readonly dev: number; readonly ino: number } {
  const { dev, ino } = fstatSync(fd)
  return { dev, ino }
}

/** What is written to files that nobody will find again must not be acknowledged. */
export function expectFiles(): void {
  for (const { name, dev, ino } of OPENED) {
    const there = statSync(name, { throwIfNoEntry: false })
    if (there?.ino !== ino || there.dev !== dev)
      throw new Error(`${name} was deleted, moved or replaced while the server ran`)
  }
  const there = statSync(lock.path, { throwIfNoEntry: false })
  if (there?.ino !== lock.ino || there.dev !== lock.dev)
    throw new Error(`${lock.path} was deleted, moved or replaced while the server ran: another server may have started`)
}

/** Whatever went wrong, files that are gone are why. */
export function reason(error: unknown): unknown {
  try {
    expectFiles()
    return error
  } catch (missing) {
    return missing
  }
}

/** Tells what fails; `stop` comes first. */
export function guarded(work: () => void, stop: () => void = () => {}): void {
  try {
    work()
  } catch (error) {
    stop()
    if (error instanceof ChangedFiles) tellNextStart()
    tell({ type: 'failed', detail: String(reason(error)) })
  }
}

/** Also where a mark that is older came with the backup. */
function tellNextStart(): void {
  try {
    writeMark(path, CHANGED_FILES)
  } catch {
    // The failure itself is told all the same
  }
}

export function onMessage(work: (message: ToThread) => void, stop?: () => void): void {
  port.on('message', (message: ToThread) => guarded(() => work(message), stop))
}
