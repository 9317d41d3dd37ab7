/**
 * Facts as spans, written as OTLP when they end. Nearly all of a span is in the fact that ends it, so that little is
 * kept meanwhile. Which process tells a fact does not matter: a job's trace has the span of its request as parent, and
 * ids of its attempts are made of their names.
 */
import { ERRORS, type ErrorCode } from '../../core/errors.ts'
import type { Fact } from '../../core/facts.ts'
import type { JobId, JobKind } from '../../core/job.ts'
import { Table } from '../../core/table.ts'
import { flagsOf, isSampled, parentOf, spanIdOf, type Traceparent, traceIdOf } from '../../core/trace.ts'
import type { Observe } from '../emit.ts'
import { countAttribute, flagAttribute, ITEM, listAttribute, numberAttribute, textAttribute } from './envelope.ts'
import { type Names, providerName } from './names.ts'
import type { ProtoWriter } from './protobuf.ts'

/** What is configured of a deployment. */
export interface CalledAt {
  /** Its provider's kind: "openai". */
  readonly provider: string
  /** Null: it is part of this process. */
  readonly address: string | null
  readonly port: number | null
}
export type CalledAtOf = (deployment: string) => CalledAt | null

const OPERATIONS: Readonly<Record<JobKind, string>> = {
  chat: 'chat',
  embedding: 'embeddings',
  image: 'image_generation',
  speech: 'speech',
  transcription: 'transcription',
}
export const operationOf = (kind: JobKind): string => OPERATIONS[kind]

const INTERNAL = 1
const SERVER = 2
const CLIENT = 3
type Kind = typeof INTERNAL | typeof SERVER | typeof CLIENT

/** Fields of a Span. */
const ATTRIBUTE = 9
const EVENT = 11
/** Its parent is known to be of another process, or of this one. */
const HAS_IS_REMOTE = 0x100
const IS_REMOTE = 0x200
const NS_PER_MS = 1e6

/** Of what one fact does not tell. Where more are kept, most must have been given up: all are forgotten. */
const MAX_KEPT = 50_000

/** Of a request that has submitted a job. */
interface Submitted {
  readonly job: JobId | null
  readonly model: string | null
}

type Of<T extends Fact['type']> = Extract<Fact, { readonly type: T }>
type Traced = { readonly trace: Traceparent | null }

export class Spans {
  readonly observe: Observe
  readonly #w: ProtoWriter
  readonly #names: Names
  readonly #calledAt: CalledAtOf
  readonly #nowMs: () => number
  readonly #onSpan: () => void
  /** By the span of its request. */
  #submitted = new Table<string, Submitted>()
  /** Jobs that are back in line, and since when. */
  #returned = new Table<JobId, number>()

  /** Writes to `w`, as items of a scope. `nowMs`: the wall clock, to the microsecond. `onSpan`: one more is there. */
  constructor(w: ProtoWriter, names: Names, calledAt: CalledAtOf, nowMs: () => number, onSpan: () => void) {
    this.#w = w
    this.#nowMs = nowMs
    this.#names = names
    this.#calledAt = calledAt
    this.#onSpan = onSpan
    this.observe = (fact) => {
      if (!('trace' in fact) || fact.trace === null || !isSampled(fact.trace)) return
      const { length } = w
      try {
        this.#observe(fact, fact.trace)
      } catch (thrown) {
        // Half a span would spoil all that are sent with it
        w.back(length)
        throw thrown
      }
    }
  }

  #observe(fact: Fact & Traced, trace: Traceparent): void {
    switch (fact.type) {
      case 'request-ended':
        return this.#request(fact, trace)
      case 'job-submitted':
      case 'job-refused':
        return this.#submit(fact, trace)
      case 'job-leased':
        return this.#leased(fact, trace)
      case 'job-returned':
        return this.#return(fact.job)
      case 'job-ended':
        return this.#jobEnded(fact, trace)
      case 'attempt-ended':
        return this.#attempt(fact, trace)
      case 'attempt-hedged':
        return this.#lostCall(fact, trace)
      case 'reader-closed':
        return this.#delivery(fact, trace)
      default:
    }
  }

  // ---------------------------------------------------------------- spans

  #request(fact: Of<'request-ended'>, trace: Traceparent): void {
    const { parentSpan, method, route, status, jobCode, complete, requestId, tenant, tookMs } = fact
    if (parentSpan === undefined) return
    const id = parentOf(trace)
    const atMs = this.#nowMs()
    const submitted = this.#submitted.get(id)
    this.#submitted.delete(id)
    const name = route === null ? (method ?? 'HTTP') : `${method} ${route}`
    const from = this.#begin(trace, id, parentSpan, true, name, SERVER, atMs - tookMs, atMs)
    if (method !== null) this.#text('http.request.method', method)
    if (route !== null) this.#text('http.route', route)
    if (status > 0) this.#count('http.response.status_code', status)
    if (tenant !== null) this.#text('sluice.tenant', tenant)
    if (requestId !== null) this.#text('sluice.request.id', requestId)
    if (submitted !== undefined) this.#about(submitted)
    if (!complete) this.#flag('sluice.client.left', true)
    // A client's mistake is no error of the server's; an answer that broke off is, whatever status it began with
    const code = fact.code ?? jobCode ?? null
    const worst = jobCode === undefined ? status : Math.max(status, (ERRORS[jobCode] ?? ERRORS.internal).status)
    this.#end(from, code, worst >= 500)
  }

  #about({ job, model }: Submitted): void {
    if (job !== null) this.#text('sluice.job.id', job)
    if (model !== null) this.#text(this.#names.attributes.requestModel, model)
  }

  /** What came by a WebSocket, or names its own trace, has no request's span above it. */
  #submit(fact: Of<'job-submitted'> | Of<'job-refused'>, trace: Traceparent): void {
    const { tookMs, parentSpan, tenant, model, requestId } = fact
    const [job, code] = fact.type === 'job-submitted' ? [fact.job, null] : [null, fact.code]
    // Where it joined a job, the trace is that job's
    if (tookMs === undefined || (fact.type === 'job-submitted' && fact.joined)) return
    const id = parentOf(trace)
    const atMs = this.#nowMs()
    const startMs = atMs - tookMs
    if (parentSpan === undefined) this.#keep(id, { job, model })
    else {
      const from = this.#begin(trace, id, parentSpan, true, 'submit', SERVER, startMs, atMs)
      if (tenant !== null) this.#text('sluice.tenant', tenant)
      if (requestId !== null) this.#text('sluice.request.id', requestId)
      this.#about({ job, model })
      this.#end(from, code, false)
    }
    const from = this.#begin(trace, spanIdOf(`${id}.admission`), id, false, 'admission', INTERNAL, startMs, atMs)
    if (fact.type === 'job-submitted' && fact.cached !== undefined) this.#text('sluice.cache', fact.cached)
    this.#about({ job, model })
    this.#end(from, code, false)
  }

  #leased(fact: Of<'job-leased'>, trace: Traceparent): void {
    const { job, attempt, deployment, queuedMs, turnMs = 0 } = fact
    const returnedAtMs = this.#returned.get(job)
    this.#returned.delete(job)
    // Nobody here knows when it came back: another process coordinated then
    if (attempt > 1 && returnedAtMs === undefined) return
    const atMs = this.#nowMs()
    const startMs = attempt > 1 ? returnedAtMs! : atMs - queuedMs + turnMs
    if (attempt === 1 && turnMs > 0) {
      const turn = this.#child(trace, `${job}.turn`, 'turn', INTERNAL, startMs - turnMs, startMs)
      this.#text('sluice.job.id', job)
      this.#end(turn, null, false)
    }
    const from = this.#child(trace, `${job}.${attempt}.queue`, 'queue', INTERNAL, startMs, atMs)
    this.#text('sluice.job.id', job)
    this.#count('sluice.attempt', attempt)
    this.#text('sluice.deployment', deployment)
    this.#end(from, null, false)
  }

  /** One that never ran, or not again, has ended in line. */
  #jobEnded(fact: Of<'job-ended'>, trace: Traceparent): void {
    const { job, state, deployment, timing, code } = fact
    const atMs = this.#nowMs()
    const returnedAtMs = this.#returned.get(job)
    this.#returned.delete(job)
    const queuedMs = deployment === null ? (timing?.queuedMs ?? timing?.totalMs) : undefined
    const startMs = returnedAtMs ?? (queuedMs === undefined ? atMs : atMs - queuedMs)
    if (deployment !== null && returnedAtMs === undefined) return
    const from = this.#child(trace, `${job}.end.queue`, 'queue', INTERNAL, startMs, atMs)
    this.#text('sluice.job.id', job)
    this.#text('sluice.job.state', state)
    this.#end(from, code, code !== null)
  }

  #attempt(fact: Of<'attempt-ended'>, trace: Traceparent): void {
    const { job, attempt, deployment, model, code, status, stopped, usage, cost, chunks } = fact
    const { calledMs = 0, marks } = fact
    const { attributes } = this.#names
    const isCall = marks !== undefined && !marks.isReplay
    const operation = operationOf(marks?.kind ?? 'chat')
    const name = marks === undefined ? 'attempt' : isCall ? `${operation} ${model}` : 'replay'
    const kind = isCall ? CLIENT : INTERNAL
    const atMs = this.#nowMs()
    const startMs = atMs - calledMs
    const from = this.#child(trace, `${job}.${attempt}${fact.isHedge ? '.hedge' : ''}`, name, kind, startMs, atMs)
    if (isCall) {
      const at = this.#calledAt(deployment)
      this.#text(attributes.operation, operation)
      if (at !== null) this.#text(attributes.provider, providerName(at.provider))
      if (at !== null && at.address !== null) this.#text('server.address', at.address)
      if (at !== null && at.port !== null) this.#count('server.port', at.port)
      this.#flag(attributes.stream, marks.isStream)
      if (marks.firstChunkMs !== undefined) this.#number(attributes.firstChunk, marks.firstChunkMs / 1_000)
      if (marks.finishReasons !== undefined)
        listAttribute(this.#w, ATTRIBUTE, attributes.finishReasons, marks.finishReasons)
      if (marks.model !== undefined) this.#text(attributes.responseModel, marks.model)
    }
    this.#text(attributes.requestModel, model)
    if (usage !== undefined) {
      this.#count(attributes.inputTokens, usage.promptTokens)
      this.#count(attributes.outputTokens, usage.completionTokens)
      if (usage.cachedTokens !== undefined) this.#count(attributes.cacheRead, usage.cachedTokens)
      if (usage.cacheWriteTokens !== undefined) this.#count(attributes.cacheWrite, usage.cacheWriteTokens)
      if (usage.reasoningTokens !== undefined) this.#count(attributes.reasoning, usage.reasoningTokens)
      this.#flag('sluice.usage.estimated', usage.estimated)
    }
    this.#text('sluice.tenant', fact.tenant)
    this.#text('sluice.job.id', job)
    this.#count('sluice.attempt', attempt)
    this.#text('sluice.deployment', deployment)
    if (chunks !== undefined) this.#count('sluice.chunks', chunks)
    if (fact.overheadMs !== undefined) this.#number('sluice.overhead', fact.overheadMs / 1_000)
    if (typeof cost?.nanoDollars === 'number') this.#number('sluice.cost_dollars', cost.nanoDollars / 1e9)
    if (stopped !== undefined) this.#text('sluice.stopped', stopped)
    if (code !== null && status !== undefined) this.#count('sluice.error.status', status)
    if (marks !== undefined) {
      this.#event('first_byte', startMs, marks.firstChunkMs)
      this.#event('first_token', startMs, marks.firstTokenMs)
      if (marks.isOutput === true) this.#event('first_output', startMs, marks.firstTokenMs)
      this.#event('last_token', startMs, marks.lastTokenMs)
    }
    this.#end(from, code, code !== null)
  }

  /** The one of an attempt's two calls that did not go on. */
  #lostCall(fact: Of<'attempt-hedged'>, trace: Traceparent): void {
    const { job, attempt, deployment, model, code, won, end, afterMs, tookMs, usage, cost } = fact
    const { attributes } = this.#names
    const atMs = this.#nowMs()
    const [id, startMs] = won === 'first' ? ['.hedge', atMs - tookMs] : ['', atMs - tookMs - afterMs]
    // Only streams are hedged
    const from = this.#child(trace, `${job}.${attempt}${id}`, `chat ${model}`, CLIENT, startMs, atMs)
    this.#text(attributes.operation, 'chat')
    this.#text(attributes.requestModel, model)
    this.#count(attributes.inputTokens, usage.promptTokens)
    this.#text('sluice.tenant', fact.tenant)
    this.#text('sluice.job.id', job)
    this.#count('sluice.attempt', attempt)
    this.#text('sluice.deployment', deployment)
    if (typeof cost?.nanoDollars === 'number') this.#number('sluice.cost_dollars', cost.nanoDollars / 1e9)
    this.#text('sluice.stopped', end)
    this.#end(from, code, code !== null)
  }

  #delivery(fact: Of<'reader-closed'>, trace: Traceparent): void {
    const { job, dialect, reader, complete, seq, from: before, tookMs } = fact
    const atMs = this.#nowMs()
    const from = this.#child(trace, `${job}.reader.${reader}.${fact.atMs}`, 'delivery', INTERNAL, atMs - tookMs, atMs)
    this.#text('sluice.job.id', job)
    this.#text('sluice.dialect', dialect)
    this.#count('sluice.records', Math.max(0, seq - (before ?? 0)))
    if (before !== null && before > 0) this.#count('sluice.resumed_after', before)
    this.#flag('sluice.complete', complete)
    this.#end(from, null, false)
  }

  #keep(id: string, submitted: Submitted): void {
    if (this.#submitted.size >= MAX_KEPT) this.#submitted = new Table()
    this.#submitted.set(id, submitted)
  }

  #return(job: JobId): void {
    if (this.#returned.size >= MAX_KEPT) this.#returned = new Table()
    this.#returned.set(job, this.#nowMs())
  }

  // ---------------------------------------------------------------- parts of a span

  /** Of what is within its request's span: `name` is known wherever it is told. */
  #child(trace: Traceparent, id: string, name: string, kind: Kind, startMs: number, endMs: number): number {
    return this.#begin(trace, spanIdOf(id), parentOf(trace), false, name, kind, startMs, endMs)
  }

  #begin(
    trace: Traceparent,
    id: string,
    parent: string | null,
    isRemote: boolean,
    name: string,
    kind: Kind,
    startMs: number,
    endMs: number,
  ): number {
    const w = this.#w
    const from = w.begin(ITEM)
    w.hex(1, traceIdOf(trace))
    w.hex(2, id)
    if (parent !== null) w.hex(4, parent)
    w.text(5, name)
    w.uint(6, kind)
    w.fixed64(7, Math.min(startMs, endMs) * NS_PER_MS)
    w.fixed64(8, endMs * NS_PER_MS)
    w.fixed32(16, flagsOf(trace) | HAS_IS_REMOTE | (isRemote && parent !== null ? IS_REMOTE : 0))
    return from
  }

  /** `isError`: and not only an answer to a client's mistake. */
  #end(from: number, code: ErrorCode | null, isError: boolean): void {
    const w = this.#w
    if (code !== null) this.#text('error.type', code)
    if (isError) {
      const status = w.begin(15)
      w.uint(3, 2)
      w.end(status)
    }
    w.end(from)
    this.#onSpan()
  }

  #event(name: string, startMs: number, afterMs: number | undefined): void {
    if (afterMs === undefined) return
    const w = this.#w
    const from = w.begin(EVENT)
    w.fixed64(1, (startMs + afterMs) * NS_PER_MS)
    w.text(2, name)
    w.end(from)
  }

  #text(key: string, value: string): void {
    textAttribute(this.#w, ATTRIBUTE, key, value)
  }

  #count(key: string, value: number): void {
    countAttribute(this.#w, ATTRIBUTE, key, value)
  }

  #number(key: string, value: number): void {
    numberAttribute(this.#w, ATTRIBUTE, key, value)
  }

  #flag(key: string, value: boolean): void {
    flagAttribute(this.#w, ATTRIBUTE, key, value)
  }
}
