/**
 * One job, followed: what the server sends is applied once and in order, folded into `text`, and handed to its
 * reader. How it travels is the transport's business.
 */
import type { AcceptedFrame, EndFrame, EvFrame, JobRequest, WireEvent, WirePlace } from '../../src/core/frames.ts'
import { deferred } from './deferred.ts'
import { SluiceError } from './errors.ts'
import type { Accepted, Answer, EndEvent, JobEvent } from './events.ts'
import { asDelta, emptyMessage, fold, type Message, showsSomething, textOf } from './fold.ts'
import { documentOf } from './made.ts'
import { advance, cursorAt, type Place, placeOf, START } from './place.ts'

/** What a job asks of its connection. */
export interface Wire {
  credit(job: Job, bytes: number): void
  cancel(job: Job): Promise<void>
  detach(job: Job): void
  /** Records are missing: read again from the job's cursor. */
  reattach(job: Job): void
  report(job: Job, ttftMs: number): void
  /** A call below the job's path, which may be repeated. Rejects with a SluiceError. */
  fetch<T>(job: Job, path: string, take: (response: Response) => Promise<T>, method?: 'POST'): Promise<T>
}

/** Events that nobody has asked for yet are kept up to this many windows; then their chunks are folded into one. */
const UNREAD_WINDOWS = 4

export class Job implements AsyncIterable<JobEvent> {
  #request: JobRequest | null
  readonly #wire: Wire
  readonly #window: number
  readonly #submittedAt = performance.now()
  readonly #accepted = deferred<Accepted>()
  readonly #ended = deferred<EndEvent>()
  #id: string | null = null
  #place: Place = START
  #text = ''
  /** Chunks with text of the first choice. */
  #tokens = 0
  #cutAt: number | null = null
  #message: Message = emptyMessage()
  /** What came are choices, as a chat's chunks have them. */
  #isMessage = true
  #queue: WirePlace | null = null
  #ttftMs: number | null = null
  #over = false
  #detached = false

  /** Events not taken yet, with the credit to give when they are. */
  #unread: Array<{ readonly event: JobEvent; readonly bytes: number }> = []
  /** Sum of their bytes. */
  #held = 0
  /** Bytes of events kept for a reader that may come later. */
  #unasked = 0
  #owed = 0
  #reader: 'none yet' | 'iterates' | 'folds' = 'none yet'
  #wake: (() => void) | null = null

  constructor(wire: Wire, window: number, request: JobRequest | null, id: string | null, cursor: string | null) {
    this.#wire = wire
    this.#window = window
    this.#request = request
    this.#id = id
    if (cursor !== null) {
      const place = placeOf(cursor)
      if (place === null)
        throw new SluiceError(
          'cursor_invalid',
          `"${cursor}" is not a cursor: expected "<epoch>-<seq>", as job.cursor gives it.`,
        )
      this.#place = place
    }
    if (id !== null) this.#accepted.resolve({ id, joined: true, queue: null, limits: [] })
  }

  /** What was submitted; null for a job that was attached to. */
  get request(): JobRequest | null {
    return this.#request
  }

  /** Null until it was accepted. */
  get id(): string | null {
    return this.#id
  }

  /** This reader's position in the log: keep it to resume later, from anywhere. Null at the start. */
  get cursor(): string | null {
    return this.#place.cursor
  }

  /** The first choice's text so far. */
  get text(): string {
    return this.#text
  }

  /** The first choice so far, tool calls included. */
  get message(): Readonly<Message> {
    return this.#message
  }

  /** Its place in the queue; null when it is not queued. */
  get queue(): WirePlace | null {
    return this.#queue
  }

  /** Has its reader enough? Up to a quarter of the window may have been taken without being reported. */
  get full(): boolean {
    return this.#held >= this.#window * 0.75
  }

  /** Has it ended, was it refused, or was it detached? */
  get over(): boolean {
    return this.#over
  }

  /** Resolves when the job is durable; rejects with a SluiceError when it is refused. */
  get accepted(): Promise<Accepted> {
    return this.#accepted.promise
  }

  /** The whole answer of a chat. Rejects with a SluiceError when the job did not end well, or is no chat. */
  async answer(): Promise<Answer> {
    const { cut, usage, timing, seen } = await this.#done()
    if (!this.#isMessage)
      throw new SluiceError(
        'not_a_message',
        'The job is done, but it is no chat: result() or content() has its answer.',
      )
    return { text: this.#text, message: this.#message, cut, usage, timing, ttftMs: seen.ttftMs }
  }

  /**
   * Waits for the answer's document, as its endpoint gives it: embeddings, images in base64, a transcript (`{text}`
   * where that is no JSON). Rejects as `answer` does, and with `not_json` for a sound.
   */
  async result(): Promise<unknown> {
    await this.#done()
    return this.#wire.fetch(this, '/result', documentOf)
  }

  /** Waits for the bytes of a sound, or of one image of several; `type` is theirs. Rejects with `file_not_found`. */
  async content(index = 0): Promise<Blob> {
    await this.#done()
    return this.#wire.fetch(this, `/content?index=${index}`, (response) => response.blob())
  }

  /** Waits for its end. Rejects when it did not end well. */
  async #done(): Promise<EndEvent> {
    if (this.#reader === 'none yet') this.#readNoMore()
    const end = await this.#ended.promise
    if (end.state === 'done') return end
    throw !end.error ? new SluiceError(`job_${end.state}`, `The job ended: ${end.state}.`) : SluiceError.of(end.error)
  }

  /** Ends the job, wherever it is; resolves when the server has confirmed it. `tree`: and all that stems from it. */
  async cancel({ tree = false }: { readonly tree?: boolean } = {}): Promise<void> {
    if (this.#over && !tree) return
    await this.#accepted.promise
    if (!tree) return this.#wire.cancel(this)
    await this.#wire.fetch(this, '/cancel?tree=true', (response) => response.text(), 'POST')
  }

  /** The job continues without this reader, even if it is not accepted yet. Ends the iteration. */
  detach(): void {
    if (this.#over) return
    this.#over = true
    this.#detached = true
    this.#wire.detach(this)
    this.#ended.reject(new SluiceError('detached', 'This job was detached; attach to it by its id to read on.'))
    this.#wake?.()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<JobEvent, void, undefined> {
    if (this.#reader !== 'none yet')
      throw new SluiceError(
        'already_read',
        'A job is read once: its events go to one reader. Attach to it again for another.',
      )
    this.#reader = 'iterates'
    try {
      for (;;) {
        const next = this.#unread.shift()
        if (next !== undefined) {
          this.#held -= next.bytes
          this.#owe(next.bytes)
          yield next.event
          if (next.event.type === 'end') return
        } else if (this.#over) {
          if (!this.#detached) await this.#ended.promise
          return
        } else
          await new Promise<void>((wake) => {
            this.#wake = wake
          })
      }
    } finally {
      // A reader that stops does not hold the job up
      this.#readNoMore()
    }
  }

  // ---------------------------------------------------------------- from the transport

  /** What is to be sent: the jobs that it names have their ids now. */
  asks(request: JobRequest): void {
    this.#request = request
  }

  accept({ job, joined, queue, limits = [] }: Pick<AcceptedFrame, 'job' | 'joined' | 'queue' | 'limits'>): void {
    this.#id = job
    this.#queue = queue
    this.#accepted.resolve({ id: job, joined, queue, limits })
    if (queue !== null) this.#tell({ type: 'queue', ...queue }, 0)
  }

  /** `bytes`: how much of the window the run used. */
  run(frame: Pick<EvFrame, 'seq' | 'cursor' | 'e'>, bytes: number): void {
    if (this.#over) return
    const applied = advance(this.#place, frame)
    if (applied === 'hole') {
      this.#wire.credit(this, bytes)
      this.#wire.reattach(this)
      return
    }
    this.#place = applied.place
    this.#queue = null
    const { events } = applied
    if (events.length === 0) return this.#owe(bytes)
    const share = bytes / events.length
    let seq = applied.place.seq - events.length
    for (const event of events) this.#apply(event, cursorAt(frame.cursor, ++seq), share)
  }

  #apply(event: WireEvent, cursor: string, bytes: number): void {
    if ('chunk' in event) {
      const { chunk } = event
      const text = textOf(chunk)
      this.#text += text
      if (text !== '') this.#tokens++
      fold(this.#message, chunk)
      if (!Array.isArray(chunk['choices'])) this.#isMessage = false
      if (this.#ttftMs === null && this.request !== null && showsSomething(chunk)) {
        this.#ttftMs = performance.now() - this.#submittedAt
        this.#wire.report(this, this.#ttftMs)
      }
      this.#tell({ type: 'chunk', chunk, text, cursor }, bytes)
    } else if ('attempt' in event) this.#tell({ type: 'attempt', ...event.attempt, cursor }, bytes)
    else if ('reset' in event) {
      this.#clear()
      this.#tell({ type: 'reset', ...event.reset, cursor }, bytes)
    } else if ('usage' in event) this.#tell({ type: 'usage', chunk: event.usage, cursor }, bytes)
    else this.#owe(bytes)
  }

  gap(reason: string): void {
    this.#place = START
    this.#clear()
    this.#tell({ type: 'gap', reason }, 0)
  }

  waits(place: WirePlace): void {
    this.#queue = place
    this.#tell({ type: 'queue', ...place }, 0)
  }

  live(): void {
    this.#tell({ type: 'live' }, 0)
  }

  /** Its connection was lost. */
  cut(): void {
    if (this.#over || this.#id === null || this.#cutAt !== null) return
    this.#cutAt = performance.now()
    this.#tell({ type: 'cut', tokens: this.#tokens, chars: this.#text.length }, 0)
  }

  /** It is being read again. */
  resumed(): void {
    if (this.#cutAt === null) return
    const awayMs = performance.now() - this.#cutAt
    this.#cutAt = null
    this.#tell({ type: 'resumed', tokens: this.#tokens, chars: this.#text.length, awayMs }, 0)
  }

  end({
    seq,
    cursor,
    state,
    error,
    cut,
    usage,
    timing,
  }: Pick<EndFrame, 'seq' | 'cursor' | 'state' | 'error' | 'cut' | 'usage' | 'timing'>): void {
    if (this.#over) return
    if (seq > this.#place.seq + 1) return this.#wire.reattach(this)
    this.#place = { cursor, seq }
    this.#over = true
    const event: EndEvent = {
      type: 'end',
      cursor,
      state,
      error: error ?? null,
      cut: cut ?? null,
      usage: usage ?? null,
      timing: timing ?? null,
      seen: { ttftMs: this.#ttftMs },
    }
    this.#ended.resolve(event)
    this.#tell(event, 0)
  }

  /** It can't be followed any longer, or was never accepted. */
  fail(error: SluiceError): void {
    this.#accepted.reject(error) // no effect if it was accepted
    if (this.#over) return
    this.#over = true
    this.#ended.reject(error)
    this.#wake?.()
  }

  // ---------------------------------------------------------------- to the reader

  #clear(): void {
    this.#text = ''
    this.#tokens = 0
    this.#message = emptyMessage()
  }

  #tell(event: JobEvent, bytes: number): void {
    const unasked = this.#reader === 'none yet'
    if (this.#reader !== 'iterates') this.#owe(bytes)
    if (this.#reader === 'folds') return
    this.#unread.push({ event, bytes: unasked ? 0 : bytes })
    if (unasked) this.#unasked += bytes
    else this.#held += bytes
    if (this.#unasked > UNREAD_WINDOWS * this.#window) this.#compact()
    this.#wake?.()
    this.#wake = null
  }

  /** Nobody reads, and perhaps nobody will: a late reader gets the first choice so far as one chunk. */
  #compact(): void {
    this.#unasked = 0
    const last = this.#unread.findLast(({ event }) => event.type === 'chunk')?.event
    const kept = this.#unread.filter(({ event }) => event.type === 'usage' || event.type === 'live')
    if (last?.type === 'chunk') {
      const chunk = {
        ...last.chunk,
        choices: [{ index: 0, delta: asDelta(this.#message), finish_reason: null }],
      }
      kept.unshift({ event: { ...last, chunk, text: this.#text }, bytes: 0 })
    }
    this.#unread = kept
  }

  #readNoMore(): void {
    this.#reader = 'folds'
    this.#unread = []
    const held = this.#held
    this.#held = 0
    this.#owe(held)
  }

  /** This much of the window is free again; reported in portions. */
  #owe(bytes: number): void {
    this.#owed += bytes
    if (this.#owed < this.#window / 4 || this.#over) return
    const owed = Math.floor(this.#owed)
    this.#owed -= owed
    this.#wire.credit(this, owed)
  }
}
