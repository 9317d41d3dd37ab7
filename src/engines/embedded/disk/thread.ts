/** What the threads beside the event loop have in common: whom they tell, and what they look at. */
import { parentPort, workerData } from 'node:worker_threads'
import { ChangedFiles, Changes } from './changes.ts'
import type { FromThread, ToThread } from './disk.ts'
import { CHANGED_FILES, writeMark } from './mark.ts'
import { Names } from './names.ts'
import type { Files } from './schema.ts'

export const files = workerData as Files
const port = parentPort!
export const tell = (message: FromThread): void => port.postMessage(message)
/** Each thread looks for itself: both see all that was committed. */
export const changes = new Changes(files)
export const names = new Names(files)

/** Whatever went wrong, files that are gone are why. */
export function reason(error: unknown): unknown {
  try {
    names.expect()
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
    writeMark(files.path, CHANGED_FILES)
  } catch {
    // The failure itself is told all the same
  }
}

export function onMessage(work: (message: ToThread) => void, stop?: () => void): void {
  port.on('message', (message: ToThread) => guarded(() => work(message), stop))
}
