/**
 * Bytes of an answer on their way into files: written in the order in which they come, in pieces that are as large as
 * they may be, and no faster than the store takes them: the upstream is left unread meanwhile.
 */
import type { Clock } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import type { Job } from '../core/job.ts'
import { isRecord, type JsonRecord } from '../core/json.ts'
import { filesNamed, MEDIA_PURPOSE, type MediaRef, mapImages } from '../core/media.ts'
import { type Files, MAX_FILE_CHUNK_BYTES, type StoredFile } from '../core/ports/files.ts'
import type { Upload } from '../core/ports/provider.ts'
import { type Bytes, toBytes, toText } from '../core/record.ts'

export interface MediaDeps {
  readonly files: Files
  readonly clock: Clock
  /** When what is made now for this job is to be gone, wall clock, if that ends now, or later; null: it stays. */
  readonly expiresAtMs: (job: Job, endsNow: boolean) => number | null
}

export interface MediaEvents {
  pause(): void
  resume(): void
  /** So much of it can be read. */
  grew(ref: MediaRef): void
  /** An event whose bytes can be read. */
  told(event: JsonRecord): void
  threw(thrown: unknown): void
}

/** What waits to be written, above which the upstream is left unread, and below which it is read again. */
const HIGH_BYTES = 1 << 20
const LOW_BYTES = 256 << 10
/** A smaller piece waits this long for more: each is a write that is synced, and a record of the log. */
const SMALL_BYTES = 64 << 10
const GATHER_MS = 100

/** A file begins; an event comes after the bytes that it refers to; bytes. */
type Step = { readonly type: string } | { readonly event: Bytes } | Uint8Array

export class MediaOut {
  readonly #deps: MediaDeps
  readonly #job: Job
  readonly #events: MediaEvents
  readonly #steps: Step[] = []
  #pending = 0
  #paused = false
  #isComplete = false
  #dropped = false
  /** Ends the wait for more. */
  #hurry: () => void = () => {}
  #running: Promise<void> | null = null
  #thrown: unknown = null
  readonly #made: StoredFile[] = []

  constructor(deps: MediaDeps, job: Job, events: MediaEvents) {
    this.#deps = deps
    this.#job = job
    this.#events = events
  }

  part(type: string): void {
    this.#steps.push({ type })
    this.#run()
  }

  bytes(chunk: Uint8Array): void {
    this.#steps.push(chunk)
    this.#pending += chunk.length
    if (this.#pending >= SMALL_BYTES) this.#hurry()
    if (this.#pending > HIGH_BYTES && !this.#paused) {
      this.#paused = true
      this.#events.pause()
    }
    this.#run()
  }

  /** An event as JSON, which may refer to a part by its place. */
  event(event: Bytes): void {
    this.#steps.push({ event })
    this.#run()
  }

  /** All of it is written, and nothing is added any more. Rejects with what kept it from that. */
  async finish(): Promise<readonly MediaRef[]> {
    this.#isComplete = true
    this.#hurry()
    await this.#running
    if (this.#thrown !== null) throw this.#thrown
    // It was made to last for as long as its job may run
    const expiresAtMs = this.#deps.expiresAtMs(this.#job, true)
    const sealed = await Promise.all(this.#made.map(({ id }) => this.#deps.files.seal(id, { expiresAtMs })))
    return sealed.map((file) => {
      if (file === null) throw gone()
      return refTo(file)
    })
  }

  /** It is no answer: nothing of it stays. Never rejects. */
  async drop(): Promise<void> {
    this.#dropped = true
    this.#hurry()
    await this.#running
    await Promise.allSettled(this.#made.map(({ id }) => this.#deps.files.remove(id)))
  }

  #run(): void {
    this.#running ??= this.#write()
      .catch((thrown: unknown) => {
        this.#thrown = thrown
        this.#events.threw(thrown)
      })
      .finally(() => {
        // What failed once is not begun again
        if (this.#thrown === null) this.#running = null
        if (this.#thrown === null && this.#steps.length > 0 && !this.#dropped) this.#run()
      })
  }

  async #write(): Promise<void> {
    const { files } = this.#deps
    while (this.#steps.length > 0 && !this.#dropped) {
      const step = this.#steps[0]
      if (!(step instanceof Uint8Array)) {
        this.#steps.shift()
        if ('event' in step) {
          this.#events.told(withFile(step.event, this.#made.map(refTo)))
          continue
        }
        const { tenant, user = null, id } = this.#job
        const expiresAtMs = this.#deps.expiresAtMs(this.#job, false)
        const name = `${id}${this.#made.length === 0 ? '' : `-${this.#made.length}`}.${extensionOf(step.type)}`
        this.#made.push(
          await files.create({
            tenant,
            user,
            purpose: MEDIA_PURPOSE,
            name,
            type: step.type,
            expiresAtMs,
            job: this.#job,
          }),
        )
        continue
      }
      const last = this.#made.length - 1
      const before = this.#made[last]
      // The first bytes are shown at once
      if (before.bytes > 0 && this.#pending < SMALL_BYTES && !this.#isComplete) await this.#gathered()
      if (this.#dropped) return
      const chunk = this.#take()
      const after = await files.append(before.id, before.bytes, chunk)
      if (after === null) throw gone()
      this.#made[last] = after
      this.#pending -= chunk.length
      if (this.#paused && this.#pending < LOW_BYTES) {
        this.#paused = false
        this.#events.resume()
      }
      if (!this.#dropped) this.#events.grew(refTo(after))
    }
  }

  #gathered(): Promise<void> {
    return new Promise((done) => {
      const over = (): void => {
        stop()
        this.#hurry = () => {}
        done()
      }
      const stop = this.#deps.clock.after(GATHER_MS, over)
      this.#hurry = over
    })
  }

  /** As much of this file as one write may have. */
  #take(): Uint8Array {
    const taken: Uint8Array[] = []
    let size = 0
    while (size < MAX_FILE_CHUNK_BYTES) {
      const step = this.#steps[0]
      if (!(step instanceof Uint8Array)) break
      const room = MAX_FILE_CHUNK_BYTES - size
      if (step.length > room) {
        taken.push(step.subarray(0, room))
        this.#steps[0] = step.subarray(room)
        size += room
      } else {
        taken.push(step)
        this.#steps.shift()
        size += step.length
      }
    }
    return taken.length === 1 ? taken[0] : Buffer.concat(taken)
  }
}

const refTo = ({ id, type, bytes }: StoredFile): MediaRef => ({ file: id, type, bytes })

const gone = (): SluiceError =>
  new SluiceError('internal', { message: 'The file that an answer was written to is gone, or has another writer.' })

const EXTENSIONS: Readonly<Record<string, string>> = { mpeg: 'mp3', 'x-wav': 'wav', wave: 'wav', 'octet-stream': 'bin' }
function extensionOf(type: string): string {
  const name = /\/([\w.+-]+)/.exec(type)?.[1] ?? 'bin'
  return EXTENSIONS[name] ?? name
}

/** What earlier attempts left, which may have been killed. Never rejects: what stays is removed with the job. */
export const removeLeft = (files: Files, job: Job): Promise<void> => files.removeMade(job).catch(() => {})

/** Files that its request names. Rejects with file_not_found: one is none of its tenant's, or gone. */
export async function uploadsOf(files: Files, job: Job, body: Uint8Array): Promise<readonly Upload[]> {
  const request: unknown = JSON.parse(Buffer.from(body).toString('utf8'))
  const uploads: Upload[] = []
  for (const { field, id } of isRecord(request) ? filesNamed(job.kind, request) : []) {
    const file = await files.get(id)
    const isOwn = file !== null && file.tenant === job.tenant && isOfSession(file, job)
    if (!isOwn || !file.sealed) throw new SluiceError('file_not_found', { param: field.replace('[]', '') })
    const { name, type, bytes } = file
    uploads.push({ field, name, type, bytes, read: () => files.read(file.id, 0, bytes) })
  }
  return uploads
}

/** A session's job has its user's files alone, or its own (gateway/caller). */
const isOfSession = ({ user }: StoredFile, { session }: Job): boolean =>
  session === undefined || user === session.replace(/^user\n/, '')

/** The event, with a file where its image was. Throws provider_garbage. */
function withFile(event: Bytes, files: readonly MediaRef[]): JsonRecord {
  const { b64_json: image, ...rest } = JSON.parse(toText(event)) as JsonRecord
  const ref = isRecord(image) ? files[Number(image['part'])] : undefined
  if (ref === undefined) throw new SluiceError('provider_garbage')
  return { ...rest, b64_json: ref }
}

/** The document, with files where its images were: each once. Throws provider_garbage. */
export function withFiles(document: Bytes, files: readonly MediaRef[]): Bytes {
  const parsed = JSON.parse(toText(document)) as JsonRecord
  const left = new Set(files)
  const put = (value: unknown): object => {
    const ref = isRecord(value) ? files[Number(value['part'])] : undefined
    if (ref === undefined || !left.delete(ref)) throw new SluiceError('provider_garbage')
    return { b64_json: ref }
  }
  const filled = mapImages(parsed, put)
  // Some stood where no image is
  if (left.size > 0) throw new SluiceError('provider_garbage')
  return toBytes(JSON.stringify(filled))
}
