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

export type ToThread = 'checkpoint' | 'held' | 'close'
export type FromThread =
  | { readonly type: 'synced'; readonly ms: number; readonly walBytes: number }
  | { readonly type: 'hold' | 'release' | 'closed' }
  | { readonly type: 'checkpointed'; readonly walBytes: number }
  | { readonly type: 'failed'; readonly detail: string }

/** What the thread that syncs is asked for, as bits of a word that it waits for. */
export interface Asked {
  readonly asked: Int32Array<SharedArrayBuffer>
}
export const [NOTHING, SYNC, CLOSE] = [0, 1, 2]

export const openDisk: OpenDisk = (files, events) => {
  const asked = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
  const ask = (what: number): void => {
    Atomics.or(asked, 0, what)
    Atomics.notify(asked, 0)
  }
  const syncs = openThread('sync-worker', { ...files, asked }, events, events.failed, () => ask(CLOSE))
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
    sync: () => ask(SYNC),
    checkpoint: () => checkpointing('checkpoint'),
    held: () => checkpointing('held'),
    close: async () => void (await Promise.all([syncs.close(), checkpoints?.close()])),
  }
}

interface Thread {
  tell(message: ToThread): void
  close(): Promise<void>
}

/** `unstarted`: it ended before it had told anything. `askToClose`: null for one that takes messages. */
function openThread(
  name: string,
  workerData: Files & Partial<Asked>,
  events: DiskEvents,
  unstarted: (detail: string) => void,
  askToClose: (() => void) | null = null,
): Thread {
  const source = `./${name}.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`
  const worker = new Worker(new URL(source, import.meta.url), {
    workerData,
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
        if (askToClose === null) tell('close')
        else askToClose()
      })
      await worker.terminate()
    },
  }
}
