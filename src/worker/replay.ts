/**
 * An answer that another job makes, or made, in place of a provider's (0051): its log is followed and read from the
 * start, and what readers of that job were shown is passed on as it is. Where that answer is not complete in the end,
 * or not there, the call fails, and the job makes its own.
 */
import { type Clock, sleep } from '../core/clock.ts'
import { codeOf, SluiceError } from '../core/errors.ts'
import type { JobId } from '../core/job.ts'
import { NO_LIMITS, scanObject } from '../core/json.ts'
import type { Following, TokenLog } from '../core/ports/log.ts'
import type { Deployment, Provider, ProviderEnd, ProviderRun, ProviderSink } from '../core/ports/provider.ts'
import { FROM_CACHE } from '../core/ports/work.ts'
import { type Bytes, type End, kindOf, parseEnd, payloadOf } from '../core/record.ts'

export type Replays = (source: JobId) => Deployment

export interface ReplayDeps {
  readonly log: Pick<TokenLog, 'read' | 'follow'>
  readonly clock: Clock
}

/** Of the log, read at once. */
const PAGE_BYTES = 256 << 10
/** A log that is silent is looked at this often: its news may have been lost on their way. */
const LOOK_MS = 5_000
const RETRY_MS = 500
/** As long as a store may be away. */
const PATIENCE_MS = 300_000

/** Where a claim with a source leads. */
export const createReplays =
  (deps: ReplayDeps): Replays =>
  (source) => ({
    name: FROM_CACHE,
    kinds: [],
    upstreamModel: null,
    concurrent: Infinity,
    order: 0,
    revision: '',
    contextTokens: Infinity,
    stream: 'as_asked',
    minSpeed: null,
    conversationMembers: [],
    timeouts: { ttftMs: Infinity, interTokenMs: Infinity, totalMs: Infinity },
    provider: providerOf(source, deps),
  })

const providerOf = (source: JobId, deps: ReplayDeps): Provider => ({
  continues: false,
  start: (_call, sink) => new Replay(source, deps, sink),
  check: () => Promise.resolve({ ok: true, detail: '' }),
  close() {},
})

class Replay implements ProviderRun {
  readonly sentMono = null
  readonly #source: JobId
  readonly #deps: ReplayDeps
  readonly #sink: ProviderSink
  readonly #stopLooking: () => void
  #following: Following | null = null
  /** Last seq that was passed on, or is none of the answer; last that the log told of. */
  #taken = 0
  #heard = 0
  /** `#heard` when the log was last read. */
  #known = 0
  #isReading = false
  #isPaused = false
  #isOver = false
  /** Something was passed on. */
  #hasShown = false

  constructor(source: JobId, deps: ReplayDeps, sink: ProviderSink) {
    this.#source = source
    this.#deps = deps
    this.#sink = sink
    this.#stopLooking = deps.clock.every(LOOK_MS, () => this.#read())
    deps.clock.soon(() => this.#begin())
  }

  abort(): void {
    if (this.#isOver) return
    this.#stop()
    queueMicrotask(() => this.#sink.end({ kind: 'aborted' }))
  }

  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    this.#isPaused = false
    this.#read()
  }

  // ------------------------------------------------------------ the log

  /** Followed before it is read, so that nothing is missed in between. */
  #begin(): void {
    if (this.#isOver) return
    const { log } = this.#deps
    try {
      this.#following = log.follow(
        this.#source,
        (firstSeq, records) => this.#hear(firstSeq, records),
        () => this.#fail(),
      )
    } catch {
      return this.#fail()
    }
    if (this.#following.ready === null) this.#read()
    else
      this.#following.ready.then(
        () => this.#read(),
        () => this.#fail(),
      )
  }

  #hear(firstSeq: number, records: readonly Bytes[]): void {
    this.#heard = Math.max(this.#heard, firstSeq + records.length - 1)
    if (this.#isReading || this.#isPaused || this.#isOver) return
    if (firstSeq > this.#taken + 1) this.#read()
    else this.#take(firstSeq, records)
  }

  #read(): void {
    if (this.#isReading || this.#isPaused || this.#isOver || this.#following === null) return
    this.#isReading = true
    this.#catchUp()
      .catch(() => this.#fail())
      .finally(() => {
        this.#isReading = false
        // Told while the last page was on its way to here
        if (this.#heard > this.#known) this.#read()
      })
  }

  /** Until it has all that the log told of. */
  async #catchUp(): Promise<void> {
    const { clock } = this.#deps
    for (;;) {
      this.#known = this.#heard
      const page = await this.#page()
      if (this.#isOver) return
      if (page === null) return this.#fail()
      this.#take(page.firstSeq, page.records)
      const hasAll = page.records.length === 0 || this.#taken >= Math.max(page.head, this.#heard)
      if (hasAll || this.#isPaused || this.#isOver) return
      await new Promise<void>((next) => clock.soon(next))
    }
  }

  /** While the store is away it is asked again. */
  async #page(): ReturnType<TokenLog['read']> {
    const { clock, log } = this.#deps
    const untilMono = clock.monoMs() + PATIENCE_MS
    for (;;)
      try {
        return await log.read(this.#source, this.#taken, PAGE_BYTES)
      } catch (thrown) {
        const isAway = SluiceError.from(thrown).code === 'storage_unavailable'
        if (!isAway || this.#isOver || clock.monoMs() >= untilMono) throw thrown
        await sleep(clock, RETRY_MS)
      }
  }

  // ------------------------------------------------------------ the answer

  #take(firstSeq: number, records: readonly Bytes[]): void {
    let chunks: Bytes[] = []
    const pass = (): void => {
      if (chunks.length > 0) this.#show(() => this.#sink.events(chunks))
      chunks = []
    }
    for (let i = Math.max(0, this.#taken + 1 - firstSeq); i < records.length && !this.#isOver; i++) {
      const record = records[i]
      this.#taken = firstSeq + i
      switch (kindOf(record)) {
        case 'chunk':
          chunks.push(record)
          break
        case 'usage':
          chunks.push(payloadOf(record))
          break
        case 'document': {
          pass()
          const document = payloadOf(record)
          this.#show(() => this.#sink.document(document, usageIn(document)))
          break
        }
        case 'reset':
          // What is not passed on yet need not be taken back
          chunks = []
          if (this.#hasShown) this.#fail()
          break
        case 'end':
          pass()
          if (!this.#isOver) this.#over(parseEnd(record))
          break
        case 'attempt':
      }
    }
    if (!this.#isOver) pass()
  }

  #show(tell: () => void): void {
    if (this.#isOver) return
    this.#hasShown = true
    tell()
  }

  #over(end: End): void {
    if (end.state === 'done' && end.cut === undefined) return this.#finish({ kind: 'done' })
    const refusal = end.error === undefined || codeOf(end.error) !== 'provider_rejected' ? null : refusalOf(end)
    // The provider would refuse this one as well
    if (refusal !== null) this.#finish({ kind: 'failed', error: refusal, retry: false })
    else this.#fail()
  }

  #fail(): void {
    this.#finish({ kind: 'failed', error: INCOMPLETE, retry: 'elsewhere' })
  }

  #finish(end: ProviderEnd): void {
    if (this.#isOver) return
    this.#stop()
    this.#sink.end(end)
  }

  #stop(): void {
    this.#isOver = true
    this.#stopLooking()
    this.#following?.stop()
  }
}

/** Shown where its text can't be taken back. */
const INCOMPLETE = new SluiceError('worker_lost', {
  message: 'The answer that this one was shared with ended before it was complete: send the request again.',
})

/** As the provider said it. */
function refusalOf({ error, status }: End): SluiceError {
  const { message, param, code, sluice_code: own, upstream_code: theirs } = error!
  const upstreamCode = own === undefined ? (theirs ?? null) : code
  return new SluiceError(codeOf(error!), { message, param, upstreamCode, ...(status !== undefined && { status }) })
}

/** Its member of that name; what else is in it is not parsed: it may be thousands of vectors. */
function usageIn(document: Bytes): unknown {
  if (!document.includes('"usage"')) return undefined
  const bytes = Buffer.from(document, 'latin1')
  const member = scanObject(bytes, NO_LIMITS).findLast(({ key }) => key === 'usage')
  return member === undefined ? undefined : JSON.parse(bytes.toString('utf8', member.valueStart, member.valueEnd))
}
