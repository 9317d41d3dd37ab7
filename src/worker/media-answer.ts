/** An answer with bytes, as its attempt takes it: they go into files, then its document is told. */
import type { Job } from '../core/job.ts'
import type { MediaRef } from '../core/media.ts'
import type { Bytes } from '../core/record.ts'
import { type MediaDeps, type MediaEvents, MediaOut, withFiles } from './media.ts'

export class MediaAnswer {
  readonly #out: MediaOut
  /** Of an answer with images. */
  #document: { readonly document: Bytes; readonly usage: unknown } | null = null

  constructor(deps: MediaDeps, job: Job, events: MediaEvents) {
    // Of an image nobody reads a part
    const grew = (ref: MediaRef): void => {
      if (job.kind === 'speech') events.grew(ref)
    }
    this.#out = new MediaOut(deps, job, { ...events, grew })
  }

  part(type: string): void {
    this.#out.part(type)
  }

  bytes(chunk: Uint8Array): void {
    this.#out.bytes(chunk)
  }

  event(event: Bytes): void {
    this.#out.event(event)
  }

  /** Keeps the document until its files are there. */
  hold(document: Bytes, usage: unknown): void {
    this.#document = { document, usage }
  }

  /**
   * Resolves when its bytes are whole, and safe. `told` takes the document that was held, with its files. Rejects with
   * what kept them from being written.
   */
  async finish(told: (document: Bytes, usage: unknown) => void): Promise<void> {
    const files = await this.#out.finish()
    const held = this.#document
    if (held !== null) told(withFiles(held.document, files), held.usage)
  }

  /** It is no answer: nothing of it stays. Never rejects. */
  drop(): Promise<void> {
    return this.#out.drop()
  }
}
