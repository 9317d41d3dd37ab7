/** How a job's answer gets to the caller that waits for it. Waiting callers count as present (S2). */
import { SluiceError } from '../../core/errors.ts'
import { isTerminal, type Job, type JobId, type Timing } from '../../core/job.ts'
import type { TtftParts } from '../../core/measure.ts'
import type { EventSink } from '../../core/ports/delivery.ts'
import { type Dialect, SSE, type StreamForm } from '../../core/ports/dialect.ts'
import type { Cursor } from '../../core/record.ts'
import { Slots } from '../../core/table.ts'
import { deliveredText, hundredths, partsText, timingText } from '../../core/wire.ts'
import type { GatewayDeps } from '../deps.ts'
import { type Answered, bytes, type Headers } from '../http/answer.ts'
import type { KeyCall } from '../http/call.ts'
import { EventStream } from '../http/event-stream.ts'
import type { ServerTiming } from '../http/exchange.ts'
import { FileEvents } from './file-events.ts'
import { FileStream } from './file-stream.ts'
import { resultOf, streamOf } from './location.ts'
import { HEARTBEAT_MS } from './watching.ts'

export interface StreamOptions {
  /** Null: from the start. */
  readonly cursor: Cursor | null
  /** Its request submits the job. */
  readonly submits: boolean
  /** As of a reader. */
  readonly endsEmpty?: boolean
  /** Nothing that names the job may be shown before. */
  readonly ready: Promise<void>
  /** Of its answer, beside those of every stream. */
  readonly headers?: Headers
}

export interface Answers {
  /** A job's events, written as they come; of one that is with its pool's broker, once it is owned. */
  stream(call: KeyCall, job: Job, form: StreamForm, options: StreamOptions): null
  /** The answer in one piece, to whoever submitted the job, once it has ended. */
  whole(call: KeyCall, job: Job, dialect: Dialect, headers: Headers): Promise<Answered>
  /** Waits for a job that is with its pool's broker; null: it has not come by then. */
  arrived(call: KeyCall, job: JobId, untilMono: number): Promise<Job | null>
  /** Waits for the end, first for the job itself where it is with a broker; null: it has not come by then. */
  whenEnded(call: KeyCall, job: Job, untilMono: number): Promise<Job | null>
  /** A stop waits for the answer to this request, which nobody can ask for elsewhere. */
  owe(call: KeyCall): void
  /** A stop waits for this, too, until what it returns is called. */
  hold(): () => void
  /** Resolves when no such answer is owed any more, or after so long; and with it all earlier calls. */
  settled(withinMs: number): Promise<void>
  /** The server stops: nobody waits any longer. Streams are let go by delivery. */
  releaseAll(): void
}

const GONE = Promise.resolve(null)

export function createAnswers(deps: GatewayDeps): Answers {
  const { delivery, options, clock, dialects, presence } = deps
  const waiting = new Slots<() => void>()
  let owed = 0
  let onSettled: Array<() => void> = []

  function settle(): void {
    const all = onSettled
    onSettled = []
    for (const fn of all) fn()
  }

  function hold(): () => void {
    owed++
    let isHeld = true
    return () => {
      if (isHeld && --owed === 0) settle()
      isHeld = false
    }
  }

  /** The reader's leave; null when it left while its job was looked up: then it came and went. */
  function enter(call: KeyCall, job: Job): ((complete: boolean, goneMs?: number) => void) | null {
    if (presence.readers(job.id) >= options.maxReadersPerJob) throw new SluiceError('too_many_subscribers')
    const leave = presence.enter(job)
    if (!call.exchange.response.destroyed) return leave
    leave(false)
    return null
  }

  async function arrived(call: KeyCall, job: JobId, untilMono: number): Promise<Job | null> {
    const withinMs = untilMono - clock.monoMs()
    if (deps.jobs.arrived === undefined || withinMs <= 0 || call.exchange.response.destroyed) return null
    const leaving = new AbortController()
    const leave = (): void => leaving.abort()
    const place = waiting.add(leave)
    call.exchange.onClose(leave)
    try {
      return await deps.jobs.arrived(job, withinMs, leaving.signal)
    } finally {
      waiting.delete(place, leave)
    }
  }

  function read(call: KeyCall, job: Job, form: StreamForm, from: StreamOptions, sink: EventSink): void {
    const { cursor, submits, endsEmpty = false, ready } = from
    const leave = enter(call, job)
    if (leave === null) return
    if (submits) call.exchange.timing = new OfStream(job, delivery, clock)
    delivery.stream({
      job,
      form,
      cursor,
      sink,
      submits,
      endsEmpty,
      headersAfterMs: headersAfterMs(form),
      ready,
      onGone: () => leave(false, call.exchange.peerGoneMs),
      onDone: () => leave(true),
    })
  }

  const headersAfterMs = (form: StreamForm): number | null => (form.failure === null ? null : options.headersAfterMs)

  /** While it waits in the broker its reader sees what it would see while it waits in line: headers, and heartbeats. */
  async function readOnceOwned(call: KeyCall, job: JobId, sink: EventSink, form: StreamForm, from: StreamOptions) {
    const { heartbeat } = form.wire ?? SSE
    const stopHeaders = clock.after(headersAfterMs(form) ?? 0, () => sink.start())
    const stopBeats = clock.every(HEARTBEAT_MS, () => {
      if (heartbeat !== '' && sink.buffered === 0) sink.write(heartbeat)
    })
    const owned = await arrived(call, job, Infinity)
    stopHeaders()
    stopBeats()
    if (call.exchange.response.destroyed) return
    try {
      if (owned === null) throw new SluiceError('not_arrived')
      read(call, owned, form, from, sink)
    } catch (error) {
      // Its reader comes back, and is told then
      if (sink.started) sink.end('')
      else sink.fail(SluiceError.from(error))
    }
  }

  function sinkOf(call: KeyCall, job: Job, { wire }: StreamForm, headers: Headers): EventSink {
    const { exchange } = call
    if (wire?.refers === undefined) return new EventStream(exchange, headers, wire)
    const failed = (error: unknown): void => deps.onFault(error, call.requestId)
    return wire.refers === 'bytes'
      ? new FileStream(deps.files, job, exchange, headers, failed)
      : new FileEvents(deps.files, job, exchange, { headers, wire, failed })
  }

  return {
    stream(call, job, form, from) {
      const location = streamOf(job.id, form, dialects)
      const headers = { location, 'sluice-job': job.id, ...from.headers }
      const sink = sinkOf(call, job, form, headers)
      if (job.epoch > 0) read(call, job, form, from, sink)
      else void readOnceOwned(call, job.id, sink, form, from)
      return null
    },

    whole(call, job, dialect, limits) {
      const { exchange } = call
      const leave = enter(call, job)
      if (leave === null) return GONE
      return new Promise((resolve, reject) => {
        const over = (complete: boolean): void => {
          waiting.delete(place, giveUp)
          leave(complete, exchange.peerGoneMs)
        }
        const fail = (error: unknown): void => {
          over(true)
          reject(error as Error)
        }
        const giveUp = (): void => fail(new SluiceError('draining'))
        const place = waiting.add(giveUp)
        exchange.onClose(() => {
          over(false)
          resolve(null)
        })
        // The end is power-safe before it is told, and so is the job
        delivery.result(job, dialect).then(({ status, headers, body, type, timing, parts, error }) => {
          over(true)
          exchange.told(error)
          exchange.timing = new OfAnswer(parts, timing)
          const all = {
            location: resultOf(job.id),
            'sluice-job': job.id,
            ...limits,
            ...headers,
          }
          resolve(bytes(status, body, all, type))
        }, fail)
      })
    },

    arrived,

    async whenEnded(call, told, untilMono) {
      const job = told.epoch > 0 ? told : await arrived(call, told.id, untilMono)
      if (job === null || isTerminal(job.state)) return job
      const waitMs = untilMono - clock.monoMs()
      if (waitMs <= 0) return null
      const leave = enter(call, job)
      if (leave === null) return null
      return new Promise((resolve) => {
        const done = (ended: boolean): void => {
          stopWaiting()
          unwatch()
          waiting.delete(place, giveUp)
          leave(ended, call.exchange.peerGoneMs)
          resolve(ended ? job : null)
        }
        const giveUp = (): void => done(false)
        const stopWaiting = clock.after(waitMs, giveUp)
        const unwatch = delivery.ended(job, () => done(true))
        const place = waiting.add(giveUp)
        call.exchange.onClose(giveUp)
      })
    },

    owe: ({ exchange }) => exchange.onClose(hold()),

    hold,

    settled(withinMs) {
      if (owed === 0) return Promise.resolve()
      return new Promise((resolve) => {
        onSettled.push(resolve)
        const stopWaiting = clock.after(withinMs, settle)
        onSettled.push(stopWaiting)
      })
    },

    releaseAll() {
      for (const go of [...waiting]) go()
    },
  }
}

/** Of a stream, when its headers go out. It holds no more of the job than it needs. */
class OfStream implements ServerTiming {
  readonly #job: JobId
  readonly #admissionMs: number | undefined
  readonly #delivery: Pick<GatewayDeps['delivery'], 'firstText'>
  readonly #clock: Pick<GatewayDeps['clock'], 'monoMs'>

  constructor({ id, admissionMs }: Job, delivery: GatewayDeps['delivery'], clock: GatewayDeps['clock']) {
    this.#job = id
    this.#admissionMs = admissionMs
    this.#delivery = delivery
    this.#clock = clock
  }

  text(): string {
    const first = this.#delivery.firstText(this.#job)
    if (first !== null)
      return deliveredText({ ...first.parts, delivery: Math.max(0, this.#clock.monoMs() - first.receivedMono) })
    return this.#admissionMs === undefined ? '' : `admission;dur=${hundredths(this.#admissionMs)}`
  }
}

class OfAnswer implements ServerTiming {
  readonly #parts: TtftParts | undefined
  readonly #timing: Timing | undefined

  constructor(parts: TtftParts | undefined, timing: Timing | undefined) {
    this.#parts = parts
    this.#timing = timing
  }

  text(): string {
    if (this.#parts !== undefined) return partsText(this.#parts)
    return this.#timing === undefined ? '' : timingText(this.#timing)
  }
}
