/** Reads the store in one transaction, and hands over a backup of it, chunk by chunk: see snapshot.ts. */
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { parentPort, workerData } from 'node:worker_threads'
import { SluiceError } from '../../../core/errors.ts'
import { systemIds } from '../../../core/ids.ts'
import { encoded } from '../../shared/portable/file.ts'
import { partsOf } from '../../shared/portable/parts.ts'
import { explained } from '../disk/folder.ts'
import { Epochs } from '../log/epochs.ts'
import { sourcesOf } from './read.ts'
import type { FromSnapshot, SnapshotData } from './snapshot.ts'

const { path, age } = workerData as SnapshotData
const port = parentPort!
const tell = (message: FromSnapshot, chunk?: Uint8Array): void =>
  port.postMessage(message, chunk === undefined ? [] : [chunk.buffer as ArrayBuffer])
let chunks: AsyncGenerator<Uint8Array> | null = null

function begin(): AsyncGenerator<Uint8Array> {
  const db = new DatabaseSync(path, { readOnly: true })
  db.exec('PRAGMA cache_size = -8192; BEGIN')
  const epochs = new Epochs(db, systemIds()) // the first read: from here on it is one moment
  return encoded(partsOf(sourcesOf({ db, dir: dirname(path), epochs, age, damaged() {} })))
}

port.on('message', async () => {
  try {
    chunks ??= begin()
    const { done, value } = await chunks.next()
    if (done === true) tell({ type: 'end' })
    else {
      // Its own memory, which goes with it
      const chunk = Uint8Array.from(value)
      tell({ type: 'chunk', chunk }, chunk)
    }
  } catch (error) {
    const { code, message } = SluiceError.from(explained(path, error))
    tell({ type: 'failed', code, message })
  }
})
