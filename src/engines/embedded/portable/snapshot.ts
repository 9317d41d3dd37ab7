/**
 * A backup of the store while it runs: what a thread with a connection of its own reads in one transaction. The event
 * loop only passes its chunks on, each once the one before is taken; commits go on, and the WAL grows meanwhile.
 */
import { Worker } from 'node:worker_threads'
import type { Clock } from '../../../core/clock.ts'
import { type ErrorCode, SluiceError } from '../../../core/errors.ts'

/** The WAL can't start over while it is read. */
const MOST_MS = 3_600_000

export interface SnapshotData {
  readonly path: string
  /** The store's age now. */
  readonly age: number
}

export type FromSnapshot =
  | { readonly type: 'chunk'; readonly chunk: Uint8Array }
  | { readonly type: 'end' }
  | { readonly type: 'failed'; readonly code: ErrorCode; readonly message: string }

export type ToSnapshot = 'next'

export class Snapshots {
  readonly #clock: Clock
  #running: Worker | null = null
  #closed = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** One at a time. */
  async *take(data: SnapshotData): AsyncGenerator<Uint8Array> {
    if (this.#closed) throw new SluiceError('draining')
    if (this.#running !== null)
      throw new SluiceError('overloaded', { message: 'A backup is being made already: retry when it is done.' })
    const source = `./snapshot-worker.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`
    const worker = new Worker(new URL(source, import.meta.url), { workerData: data, execArgv: [] })
    worker.unref()
    this.#running = worker
    const next = asking(worker)
    const stopTimer = this.#clock.after(MOST_MS, () => void worker.terminate())
    try {
      for (;;) {
        const message = await next()
        if (message.type === 'end') return
        if (message.type === 'failed') throw new SluiceError(message.code, { message: message.message })
        yield message.chunk
      }
    } finally {
      stopTimer()
      await worker.terminate()
      this.#running = null
    }
  }

  /** What runs is cut. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#running?.terminate()
  }
}

const CUT = 'The backup was cut short: it took too long, or the server stops.'

/** Asks the thread for its next message; rejects when it has ended. */
function asking(worker: Worker): () => Promise<FromSnapshot> {
  let told = (_: FromSnapshot): void => {}
  let failed = (_: SluiceError): void => {}
  let ended: SluiceError | null = null
  const end = (error: SluiceError): void => {
    ended ??= error
    failed(ended)
  }
  worker.on('message', (message: FromSnapshot) => told(message))
  worker.on('error', (error) => end(SluiceError.from(error)))
  worker.on('exit', () => end(new SluiceError('draining', { message: CUT })))
  return () =>
    new Promise((resolve, reject) => {
      ;[told, failed] = [resolve, reject]
      const next: ToSnapshot = 'next'
      if (ended === null) worker.postMessage(next)
      else reject(ended)
    })
}
