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
    const stopTimer = this.#clock.after(MOST_MS, () => void worker.terminate())
    try {
      for (;;) {
        const message = await asked(worker)
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

function asked(worker: Worker): Promise<FromSnapshot> {
  return new Promise((resolve, reject) => {
    const done = (): void => {
      worker.off('message', told)
      worker.off('error', failed)
      worker.off('exit', ended)
    }
    const told = (message: FromSnapshot): void => {
      done()
      resolve(message)
    }
    const failed = (error: unknown): void => {
      done()
      reject(SluiceError.from(error))
    }
    const ended = (): void => {
      done()
      reject(
        new SluiceError('draining', { message: 'The backup was cut short: it took too long, or the server stops.' }),
      )
    }
    worker.once('message', told)
    worker.once('error', failed)
    worker.once('exit', ended)
    const next: ToSnapshot = 'next'
    worker.postMessage(next)
  })
}
