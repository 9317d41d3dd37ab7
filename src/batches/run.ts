/**
 * One batch, from its claim to its end, or until this process is to stop: whoever takes it over reads what is done from
 * its files, and joins the jobs that run by their keys.
 */
import { type Batch, type BatchError, type BatchStatus, become, isOver, lineKey, mayBecome } from '../core/batch.ts'
import { type Clock, sleep } from '../core/clock.ts'
import { crashpoint } from '../core/crashpoint.ts'
import { type ErrorCode, SluiceError } from '../core/errors.ts'
import type { Job } from '../core/job.ts'
import { PASSING_FOR_ALL, PASSING_FOR_ONE } from '../core/passing.ts'
import type { Files } from '../core/ports/files.ts'
import type { Jobs } from '../core/ports/jobs.ts'
import type { Progress } from './figures.ts'
import { isBad, linesOf, readLine } from './lines.ts'
import { Lost, type ResultLine, Results, resultId, resultOf } from './results.ts'
import { type FileRules, validated } from './validate.ts'

export interface BatchSettings extends Omit<FileRules, 'endpoint'> {
  /** Lines of a batch that are submitted at once. */
  readonly window: number
}

export interface LineRequest {
  readonly batch: Batch
  readonly key: string
  readonly body: Uint8Array
  readonly deadlineMs: number
}

export interface RunDeps {
  readonly files: Files
  readonly jobs: Pick<Jobs, 'cancel' | 'byKey'>
  /** The one door. Rejects with what it is refused for. */
  readonly submit: (line: LineRequest) => Promise<Job>
  /** The answer to a line that was refused, as its route would give it. */
  readonly refusal: (batch: Batch, error: SluiceError) => { readonly status: number; readonly body: unknown }
  /** The answer, as its route would give it; once the job has ended. */
  readonly result: (job: Job) => Promise<{ readonly status: number; readonly body: unknown }>
  /** A line has its result, which is not in its file yet. */
  readonly onResult: (line: ResultLine) => void
  /** Resolves when it is stored that the batch has ended so; told again, it is the same event. */
  readonly announce: (batch: Batch, status: BatchStatus) => Promise<void>
  /** Of the store. */
  readonly wallMs: () => number
  readonly clock: Clock
  readonly settings: BatchSettings
}

/** The batch as it is stored: `save` returns what became of a change; null: another process has it now. */
export interface Claim {
  readonly batch: Batch
  save(change: (batch: Batch) => Batch | null): Promise<Batch | null>
}

/** What is asked again: also bodies and answers that this process has no room for, or that are with a broker. */
const FOR_NOW: ReadonlySet<ErrorCode> = new Set([
  ...PASSING_FOR_ALL,
  ...PASSING_FOR_ONE,
  ...(['not_arrived', 'too_many_unfinished'] as const),
])
const FIRST_WAIT_MS = 100
const LAST_WAIT_MS = 5_000
const FLUSH_MS = 200
const FLUSH_BYTES = 262_144
const SAVE_MS = 1_000
/** Lines are validated and skipped by so many in a turn. */
const LINES_A_TURN = 200
/** A file that still grows outlasts its batch by this: those that no batch names, after a kill, are to go, too. */
const GROWING_MS = 30 * 86_400_000

export class Run {
  readonly #deps: RunDeps
  readonly #claim: Claim
  readonly #flying = new Map<number, Job | null>()
  #isStopping = false
  #isLost = false
  #failure: unknown = null
  #wake: () => void = () => {}
  #out: Results | null = null
  #err: Results | null = null
  /** Numbers of lines. */
  readonly #done = new Set<number>()

  constructor(deps: RunDeps, claim: Claim) {
    this.#deps = deps
    this.#claim = claim
  }

  /** Takes no more lines, and writes what has come. */
  stop(): void {
    this.#isStopping = true
    this.#wake()
  }

  /** Resolves when it is over, or this process has nothing more to do with it. Rejects with what the store throws. */
  async run(): Promise<void> {
    try {
      if (this.#batch.status === 'validating') await this.#validate()
      const { outputFileId, errorFileId } = this.#batch
      if (isOver(this.#batch) || this.#isEnding) return
      if (outputFileId === null || errorFileId === null) return await this.#finish()
      this.#out = new Results(this.#deps.files, outputFileId)
      this.#err = new Results(this.#deps.files, errorFileId)
      for (const file of [this.#out, this.#err])
        await file.read((line) => this.#done.add(line), this.#batch.status === 'finalizing')
      await this.#work()
    } catch (error) {
      if (error instanceof Lost) return
      if (!(error instanceof SluiceError) || !['file_not_found', 'file_damaged'].includes(error.code)) throw error
      await this.#fail([await this.#missing(error)])
    }
  }

  /** Of its files one is gone, or damaged: which one is told. */
  async #missing({ code, message }: SluiceError): Promise<BatchError> {
    const { inputFileId, outputFileId, errorFileId } = this.#batch
    const names = { input_file_id: inputFileId, output_file_id: outputFileId, error_file_id: errorFileId }
    for (const [param, id] of Object.entries(names))
      if (id !== null && (await this.#deps.files.get(id)) === null) return { code, message, line: null, param }
    return { code, message, line: null, param: null }
  }

  get #batch(): Batch {
    return this.#claim.batch
  }

  get progress(): Progress {
    const { createdAtMs, counts } = this.#batch
    const flying = this.#flying.size
    return { createdAtMs, flying, waiting: Math.max(0, counts.total - this.#done.size - flying) }
  }

  /** It works on nothing more: it is another's, or this process stops. */
  get #isEnding(): boolean {
    return this.#isStopping || this.#isLost
  }

  async #save(change: (batch: Batch) => Batch | null): Promise<void> {
    if ((await this.#claim.save(change)) === null) this.#isLost = true
  }

  async #become(status: BatchStatus, more: Partial<Batch> = {}): Promise<void> {
    const isEnd = mayBecome(this.#batch, status) && isOver({ status })
    if (isEnd) crashpoint('batch-before-end')
    // Before it has ended: a kill in between tells it again, and loses nothing
    if (isEnd) await this.#deps.announce(this.#batch, status)
    if (isEnd) crashpoint('batch-in-end')
    await this.#save((batch) => become({ ...batch, ...more }, status, this.#deps.wallMs()) ?? batch)
  }

  /** What its files have stays as long as that of one that ended well. */
  async #fail(errors: readonly BatchError[]): Promise<void> {
    const { outputFileId, errorFileId } = this.#batch
    for (const id of [outputFileId, errorFileId])
      if (id !== null) await this.#deps.files.seal(id, { expiresAtMs: this.#keptUntilMs })
    await this.#become('failed', { errors })
  }

  /** Of files of a batch that ends now. */
  get #keptUntilMs(): number {
    return this.#deps.wallMs() + this.#batch.outputMs
  }

  // ------------------------------------------------------------ validating

  async #validate(): Promise<void> {
    const { files, settings } = this.#deps
    const { inputFileId, endpoint, tenant, outputMs, expiresAtMs: endsAtMs, id } = this.#batch
    const rules = { ...settings, endpoint }
    const lines = await validated(files.read(inputFileId, 0, Infinity), rules, (line) => this.#turn(line))
    if (lines === null) return
    if (lines.errors.length > 0) return this.#fail(lines.errors)
    const make = async (kind: string): Promise<string> => {
      // How long it is kept counts from the batch's end
      const expiresAtMs = endsAtMs + Math.max(outputMs, GROWING_MS)
      const name = `${id}_${kind}.jsonl`
      const more = { user: null, purpose: 'batch_output', type: 'application/jsonl' }
      return (await files.create({ tenant, name, expiresAtMs, ...more })).id
    }
    const made = { outputFileId: await make('output'), errorFileId: await make('error') }
    await this.#become('in_progress', { ...made, counts: { total: lines.total, completed: 0, failed: 0 } })
  }

  /** Others have their turns between lines; false: it works on nothing more. */
  #turn(line: number): Promise<boolean> | boolean {
    if (line % LINES_A_TURN > 0) return !this.#isEnding
    return new Promise<void>((next) => this.#deps.clock.soon(next)).then(() => !this.#isEnding)
  }

  // ------------------------------------------------------------ lines

  /** Nothing more is begun: it is cancelled, its time is over, or this process stops. */
  get #isClosing(): boolean {
    return this.#isEnding || this.#failure !== null || this.#isOff
  }

  /** What runs is not wanted any more. */
  get #isOff(): boolean {
    return this.#batch.status === 'cancelling' || this.#isLate
  }

  get #isLate(): boolean {
    return this.#deps.wallMs() >= this.#batch.expiresAtMs
  }

  async #work(): Promise<void> {
    const { clock } = this.#deps
    const beat = this.#beat()
    try {
      await this.#feed()
      for (let isTold = false; !this.#isEnding && this.#failure === null; await this.#woken(SAVE_MS)) {
        if (this.#isOff && !isTold) {
          isTold = true
          await this.#cancelAll()
        }
        if (this.#flying.size === 0) break
      }
      await this.#flush()
      if (this.#failure !== null) throw this.#failure
      if (this.#isEnding) return
      if (this.#isLate && this.#batch.status !== 'cancelling') await this.#tellLate()
      await this.#finish()
    } finally {
      beat()
      await new Promise<void>((next) => clock.soon(next))
    }
  }

  /** Writes what has come, and tells how far it is. */
  #beat(): () => void {
    const { clock } = this.#deps
    let isUnderWay = false
    let savedMono = clock.monoMs()
    return clock.every(FLUSH_MS, () => {
      if (isUnderWay) return
      isUnderWay = true
      const beat = async (): Promise<void> => {
        await this.#flush()
        if (clock.monoMs() - savedMono < SAVE_MS) return
        savedMono = clock.monoMs()
        await this.#save((batch) => ({ ...batch, counts: this.#counts }))
        this.#wake()
      }
      beat()
        .catch((error: unknown) => {
          // What passes is tried again with the next beat
          if (!(error instanceof SluiceError) || !FOR_NOW.has(error.code)) this.#failure = error
          this.#wake()
        })
        .finally(() => {
          isUnderWay = false
        })
    })
  }

  get #counts(): Batch['counts'] {
    return { ...this.#batch.counts, completed: this.#out?.count ?? 0, failed: this.#err?.count ?? 0 }
  }

  async #flush(): Promise<void> {
    await this.#out?.flush()
    await this.#err?.flush()
  }

  /** Until the next event, or for so long. */
  async #woken(withinMs: number): Promise<void> {
    const { clock } = this.#deps
    await new Promise<void>((wake) => {
      const cancel = clock.after(withinMs, wake)
      this.#wake = () => {
        cancel()
        wake()
      }
    })
  }

  async #feed(): Promise<void> {
    const { files, settings } = this.#deps
    const { inputFileId, endpoint } = this.#batch
    for await (const { line, bytes } of linesOf(files.read(inputFileId, 0, Infinity), settings.maxBytes)) {
      if (!(await this.#turn(line)) || this.#isClosing) return
      if (bytes?.length === 0 || this.#done.has(line)) continue
      const read = readLine(bytes, { ...settings, endpoint })
      // It was well-formed when it was validated
      if (isBad(read)) continue
      while (!this.#isClosing && (this.#flying.size >= settings.window || this.#isFull)) await this.#woken(SAVE_MS)
      if (this.#isClosing) return
      this.#flying.set(line, null)
      // Its own bytes: else the lines beside it stay in memory
      this.#ask(line, read.customId, Buffer.from(read.body)).then(
        () => this.#landed(line),
        (error: unknown) => {
          this.#failure ??= error
          this.#landed(line)
        },
      )
    }
  }

  /** Results that can't be written wait; no more are asked for. */
  get #isFull(): boolean {
    return (this.#out?.pendingBytes ?? 0) + (this.#err?.pendingBytes ?? 0) > 16 * FLUSH_BYTES
  }

  #landed(line: number): void {
    this.#flying.delete(line)
    this.#wake()
  }

  async #ask(line: number, customId: string, body: Uint8Array): Promise<void> {
    const { submit, result, jobs, clock } = this.#deps
    const batch = this.#batch
    for (let wait = FIRST_WAIT_MS; ; wait = Math.min(2 * wait, LAST_WAIT_MS)) {
      if (this.#isClosing) return
      try {
        // The same whenever it is asked for: else it would be another request under the same key
        const deadlineMs = batch.expiresAtMs - batch.createdAtMs
        const job = await submit({ batch, key: lineKey(batch.id, line), body, deadlineMs })
        this.#flying.set(line, job)
        // It came after the others were canceled
        if (this.#isOff && !this.#isEnding) await jobs.cancel(job.id)
        const { status, body: answer } = await result(job)
        if (this.#isEnding || this.#isUnwanted(status)) return
        return this.#tell(line, customId, { status_code: status, request_id: job.id, body: answer }, job.id)
      } catch (thrown) {
        const error = SluiceError.from(thrown)
        if (error.code === 'internal') throw thrown
        if (!this.#passes(error)) {
          const { status, body: answer } = this.#deps.refusal(batch, error)
          return this.#tell(line, customId, { status_code: status, request_id: null, body: answer }, null)
        }
        await sleep(clock, Math.min(LAST_WAIT_MS, error.retryAfterMs ?? wait))
      }
    }
  }

  /** It may be asked again, and have its answer while there is time. */
  #passes({ code, limit }: SluiceError): boolean {
    // A budget that has room again with the next hour, or day
    if (code === 'insufficient_quota')
      return limit?.waitMs != null && this.#deps.wallMs() + limit.waitMs < this.#batch.expiresAtMs
    // A job that is no longer there may be asked for again
    return FOR_NOW.has(code) || code === 'job_not_found' || code === 'job_gone'
  }

  /** Its job was canceled, or had no more time, because its batch was. */
  #isUnwanted(status: number): boolean {
    return (status === 499 || status === 504) && this.#isClosing
  }

  #tell(line: number, customId: string, response: NonNullable<ResultLine['response']>, job: string | null): void {
    const { isWell, ...result } = resultOf(resultId(this.#batch.id, line), customId, response, job)
    const file = (isWell ? this.#out : this.#err)!
    file.add(result)
    this.#deps.onResult(result)
    this.#done.add(line)
    // The beat writes the rest
    if (file.pendingBytes > FLUSH_BYTES) file.flush().catch(() => {})
  }

  // ------------------------------------------------------------ ends

  /** Also those of a process before this one: they are among the first lines that are not done. */
  async #cancelAll(): Promise<void> {
    const { jobs, files, settings } = this.#deps
    const { id, tenant, inputFileId } = this.#batch
    const cancel = async (job: string | null): Promise<unknown> => job !== null && jobs.cancel(job)
    await Promise.all([...this.#flying.values()].map((job) => cancel(job?.id ?? null)))
    const open: number[] = []
    for await (const { line, bytes } of linesOf(files.read(inputFileId, 0, Infinity), settings.maxBytes)) {
      if (bytes?.length !== 0 && !this.#done.has(line)) open.push(line)
      if (open.length === settings.window) break
    }
    await Promise.all(
      open.map(async (line) => this.#flying.has(line) || cancel(await jobs.byKey(tenant, lineKey(id, line)))),
    )
  }

  async #tellLate(): Promise<void> {
    const { files, settings } = this.#deps
    const { inputFileId, endpoint, id } = this.#batch
    const error = { code: 'batch_expired', message: 'This request could not be executed before the batch expired.' }
    for await (const { line, bytes } of linesOf(files.read(inputFileId, 0, Infinity), settings.maxBytes)) {
      if (this.#done.has(line) || bytes?.length === 0) continue
      const read = readLine(bytes, { ...settings, endpoint })
      if (isBad(read)) continue
      const result = { id: resultId(id, line), custom_id: read.customId, response: null, error }
      this.#err!.add(result)
      this.#deps.onResult(result)
      this.#done.add(line)
      if (this.#err!.pendingBytes > FLUSH_BYTES) await this.#err!.flush()
    }
    await this.#err!.flush()
  }

  async #finish(): Promise<void> {
    const counts = this.#counts
    const wasCancelled = this.#batch.status === 'cancelling'
    const isLate = this.#isLate
    if (!wasCancelled && !isLate && this.#batch.status === 'in_progress') await this.#become('finalizing', { counts })
    if (this.#isEnding) return
    const [outputFileId, errorFileId] = [
      await this.#out?.close(this.#keptUntilMs),
      await this.#err?.close(this.#keptUntilMs),
    ]
    const files = { outputFileId: outputFileId ?? null, errorFileId: errorFileId ?? null }
    const isCancelled = this.#batch.status === 'cancelling'
    const end = isCancelled ? 'cancelled' : isLate && this.#batch.status !== 'finalizing' ? 'expired' : 'completed'
    await this.#become(end, { counts, ...files })
  }
}
