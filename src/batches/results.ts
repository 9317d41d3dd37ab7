/**
 * A file of results: lines are added in groups, each at the length that is known, so that of two writers one succeeds.
 * What is in it tells which lines are done.
 */
import type { Files } from '../core/ports/files.ts'
import { MAX_FILE_CHUNK_BYTES } from '../core/ports/files.ts'
import { linesOf } from './lines.ts'

/** The file has another length: somebody else writes. */
export class Lost extends Error {}

const HEAD_CHARS = 256

export const resultId = (batch: string, line: number): string => `batch_req_${batch.replace(/^batch_/, '')}_${line}`

export interface ResultLine {
  readonly id: string
  readonly custom_id: string
  readonly response: {
    readonly status_code: number
    readonly request_id: string | null
    readonly body: unknown
  } | null
  readonly error: { readonly code: string; readonly message: string } | null
}

/** `isWell`: it belongs to the answers. `job`: which has the answer, too. */
export function resultOf(
  id: string,
  customId: string,
  response: NonNullable<ResultLine['response']>,
  job: string | null,
): ResultLine & { readonly isWell: boolean } {
  const line: ResultLine = { id, custom_id: customId, response, error: null }
  if (Buffer.byteLength(JSON.stringify(line)) < MAX_FILE_CHUNK_BYTES)
    return { ...line, isWell: response.status_code < 400 }
  const message = `The answer is too large for a line: GET /v1/jobs/${job}/result has it while the job is kept.`
  return { ...line, response: null, error: { code: 'result_too_large', message }, isWell: false }
}

export class Results {
  readonly #files: Files
  readonly #id: string
  #bytes = 0
  /** Lines in it. */
  count = 0
  #pending: Buffer[] = []
  #pendingBytes = 0
  #last: Promise<void> = Promise.resolve()

  constructor(files: Files, id: string) {
    this.#files = files
    this.#id = id
  }

  /** Numbers of the lines that are in it. Rejects with file_not_found, unless it `mayBeGone`. */
  async read(done: (line: number) => void, mayBeGone = false): Promise<void> {
    const file = await this.#files.get(this.#id)
    if (file === null && mayBeGone) return
    this.#bytes = file?.bytes ?? 0
    for await (const { bytes } of linesOf(this.#files.read(this.#id, 0, this.#bytes), MAX_FILE_CHUNK_BYTES)) {
      const match = /^\{"id":"batch_req_\w+_(\d+)"/.exec(bytes?.toString('latin1', 0, HEAD_CHARS) ?? '')
      if (match === null) continue
      this.count++
      done(Number(match[1]))
    }
  }

  /** At most MAX_FILE_CHUNK_BYTES with its end. Written by the next `flush`. */
  add(line: object): void {
    const bytes = Buffer.from(`${JSON.stringify(line)}\n`)
    this.#pending.push(bytes)
    this.#pendingBytes += bytes.length
  }

  get pendingBytes(): number {
    return this.#pendingBytes
  }

  /** Rejects with Lost, storage_full, storage_unavailable; what was not written stays pending. */
  flush(): Promise<void> {
    this.#last = this.#last.catch(() => {}).then(() => this.#write())
    return this.#last
  }

  async #write(): Promise<void> {
    while (this.#pending.length > 0) {
      let [n, bytes] = [0, 0]
      while (n < this.#pending.length && bytes + this.#pending[n].length <= MAX_FILE_CHUNK_BYTES)
        bytes += this.#pending[n++].length
      const file = await this.#files.append(this.#id, this.#bytes, Buffer.concat(this.#pending.slice(0, n)))
      if (file === null) throw new Lost()
      this.#bytes = file.bytes
      this.count += n
      this.#pending = this.#pending.slice(n)
      this.#pendingBytes -= bytes
    }
  }

  /** It is kept until then, unless it was closed before. Null: it was empty, and is gone. */
  async close(expiresAtMs: number): Promise<string | null> {
    if (this.#bytes === 0) await this.#files.remove(this.#id)
    else await this.#files.seal(this.#id, { expiresAtMs })
    return this.#bytes === 0 ? null : this.#id
  }
}
