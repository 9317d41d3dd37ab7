/** The slow side of the store, in threads of its own: the event loop never waits for a disk, and no sync for a
 * checkpoint. */
import { Worker } from 'node:worker_threads'
import type { Files } from './schema.ts'

export interface Disk {
  /** Makes everything in the WAL safe from power loss; `synced` follows. One at a time. */
  sync(): void
  /** Moves the WAL's pages to the database. */
  checkpoint(): void
  /** Answer to `hold`: no commit will start before `release`. */
  held(): void
  close(): Promise<void>
}

export interface DiskEvents {
  synced(ms: number, walBytes: number): void
  /**
   * The WAL is long and nearly all of it moved: with no commit for a moment the rest can be, and the next commit starts
   * it over.
   */
  hold(): void
  release(): void
  /** Bytes of the WAL in use after a checkpoint. */
  checkpointed(walBytes: number): void
  /** A write or sync failed. Nothing is retried: after a failed sync the page cache can't be trusted. */
  failed(detail: string): void
}

export type OpenDisk = (files: Files, events: DiskEvents) => Disk

/** Small and steady work: a thread's young generation would grow to tens of MB all the same. */
const YOUNG_MB = 2

export type ToThread = 'sync' | 'checkpoint' | 'held' | 'close'
export type FromThread =
  | { readonly type: 'synced'; readonly ms: number; readonly walBytes: number }
  | { readonly type: 'hold' | 'release' | 'closed' }
  | { readonly type: 'checkpointed'; readonly walBytes: number }
  | { readonly type: 'failed'; readonly detail: string }

export const openDisk: OpenDisk = (files, events) => {
  const syncs = openThread('sync-worker', files, events, events.failed)
  // Who writes little needs no checkpoint, nor the memory of another thread
  let checkpoints: Thread | null = null
  /** Out of memory or descriptors it may not start: then the WAL grows on, and the next checkpoint tries again. */
  const unstarted = (): void => {
    checkpoints = null
  }
  function checkpointing(message: ToThread): void {
    try {
      checkpoints ??= openThread('checkpoint-worker', files, events, unstarted)
      checkpoints.tell(message)
    } catch {
      unstarted()
    }
  }
  return {
    sync: () => syncs.tell('sync'),
    checkpoint: () => checkpointing('checkpoint'),
    held: () => checkpointing('held'),
    close: async () => void (await Promise.all([syncs.close(), checkpoints?.close()])),
  }
}

interface Thread {
  tell(message: ToThread): void
  close(): Promise<void>
}

/** `unstarted`: it ended before it had told anything. */
function openThread(name: string, files: Files, events: DiskEvents, unstarted: (detail: string) => void): Thread {
  const source = `./${name}.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`
  const worker = new Worker(new URL(source, import.meta.url), {
    workerData: files,
    execArgv: [],
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB },
  })
  const tell = (message: ToThread): void => worker.postMessage(message)
  let closing = false
  let gone = false
  let started = false
  let closed = (): void => {}
  worker.unref()
  worker.on('message', (message: FromThread) => {
    started = true
    if (message.type === 'synced') events.synced(message.ms, message.walBytes)
    else if (message.type === 'failed') events.failed(message.detail)
    else if (message.type === 'checkpointed') events.checkpointed(message.walBytes)
    else if (message.type === 'hold') events.hold()
    else if (message.type === 'release') events.release()
    else closed()
  })
  const failed = (detail: string): void => (started ? events.failed : unstarted)(detail)
  worker.on('error', (error) => failed(String(error)))
  worker.on('exit', () => {
    gone = true
    if (closing) closed()
    else failed(`the ${name} thread ended`)
  })
  return {
    tell,
    async close() {
      closing = true
      if (gone) return
      worker.ref()
      await new Promise<void>((done) => {
        closed = done
        tell('close')
      })
      await worker.terminate()
    },
  }
}
