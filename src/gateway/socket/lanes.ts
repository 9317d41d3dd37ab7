/**
 * A dialect over a WebSocket: each message is a request, each answer a job that this connection follows. Requests of
 * one lane run one after the other. A job runs on without its connection, and is resumed over HTTP.
 */
import { SluiceError } from '../../core/errors.ts'
import type { JobId } from '../../core/job.ts'
import type { JsonRecord } from '../../core/json.ts'
import type { Dialect, Lanes, StreamForm } from '../../core/ports/dialect.ts'
import type { Bytes } from '../../core/record.ts'
import { textFrame } from '../../core/text-frame.ts'
import { requireScope } from '../caller/access.ts'
import type { Caller } from '../caller/caller.ts'
import { JsonBody } from '../http/body.ts'
import { errorHeaders } from '../http/exchange.ts'
import type { Holding } from '../http/inflow.ts'
import { type Draft, dialectDraft, type Spoken } from '../submit/draft.ts'
import { referencesIn } from '../submit/recall.ts'
import type { About } from './about.ts'
import { tooManyJobs } from './following.ts'
import type { Peer } from './peer.ts'
import type { Protocol, Talk } from './protocol.ts'

type Laned = Dialect & { readonly lanes: Lanes }
const isLaned = (dialect: Dialect): dialect is Laned => dialect.lanes !== undefined

/** Answers that only their own connection may go on from, the last ones. */
const MAX_OWN = 256

export const laneProtocols = (dialects: readonly Dialect[], maxMessageBytes: number): readonly Protocol[] =>
  dialects.filter(isLaned).map((dialect) => ({
    path: dialect.requests[0].path,
    subprotocol: null,
    letsStrangersIn: false,
    maxMessageBytes,
    tooLarge,
    errors: dialect,
    begin: (peer) => new LaneTalk(dialect, peer),
  }))

interface Waiting {
  /** It is only prepared for one that goes on from it. */
  readonly isPreparation: boolean
  readonly body: JsonBody
  readonly startedMono: number
}

class LaneTalk implements Talk {
  readonly #lanes: Lanes
  readonly #spoken: Spoken
  readonly #peer: Peer
  /** Requests behind the one that runs, by lane. */
  readonly #waiting = new Map<string | null, Waiting[]>()
  /** Requests that run or wait. */
  #open = 0
  /** Bytes of those that wait, and of what was prepared last. */
  #held = 0
  #holding: Holding | null = null
  #prepared: { readonly id: JobId; readonly body: JsonBody } | null = null
  /** What this connection asked for. */
  readonly #own = new Set<JobId>()

  constructor(dialect: Laned, peer: Peer) {
    this.#lanes = dialect.lanes
    this.#spoken = { dialect, form: dialect.requests[0], isFollowed: true }
    this.#peer = peer
  }

  take(body: JsonBody): void {
    const peer = this.#peer
    const { deps, auth } = peer.context
    const caller = this.#caller
    auth.check(caller)
    requireScope(deps.keys, caller.key, 'submit')
    const read = this.#lanes.read(body.value)
    if (read.asks === 'nothing') return peer.out.write(textFrame(read.reply))
    const { lane, request } = read
    const { maxJobs } = deps.options.socket
    if (this.#open >= maxJobs) throw tooManyJobs(maxJobs)
    const asked = bodyOf(request, body.keys)
    const waiting = { isPreparation: read.asks === 'preparation', body: asked, startedMono: deps.clock.monoMs() }
    const line = this.#waiting.get(lane)
    if (line !== undefined) {
      this.#hold(asked.bytes.length)
      line.push(waiting)
    } else {
      this.#waiting.set(lane, [])
      this.#run(lane, waiting)
    }
    this.#open++
  }

  get #caller(): Caller {
    const { caller } = this.#peer
    if (caller === null) throw new SluiceError('missing_api_key')
    return caller
  }

  /** Throws overloaded, too_many_unfinished. */
  #hold(bytes: number): void {
    this.#holding ??= this.#peer.context.inflow.open(this.#caller)
    this.#holding.hold(this.#held + bytes)
    this.#held += bytes
  }

  #run(lane: string | null, waiting: Waiting): void {
    let isOver = false
    const over = (): void => {
      if (isOver) return
      isOver = true
      this.#next(lane)
    }
    this.#begin(lane, waiting, over).catch((error: unknown) => {
      if (!this.#peer.closing) this.#peer.refuse(error, { stream_id: lane })
      over()
    })
  }

  /** After this turn: those before it may all be refused at once. */
  #next(lane: string | null): void {
    this.#open--
    const { closing, context } = this.#peer
    if (closing) return
    const next = this.#waiting.get(lane)?.shift()
    if (next === undefined) return void this.#waiting.delete(lane)
    this.#hold(-next.body.bytes.length)
    context.deps.clock.soon(() => {
      if (!this.#peer.closing) this.#run(lane, next)
    })
  }

  async #begin(
    lane: string | null,
    { isPreparation, body: sent, startedMono }: Waiting,
    over: () => void,
  ): Promise<void> {
    const peer = this.#peer
    const caller = this.#caller
    const { context, following } = peer
    const { deps, submits, phase, auth } = context
    const refusal = phase.refusal()
    if (refusal !== null) throw refusal
    auth.check(caller)
    const body = this.#joined(sent)
    const isOwn = (job: JobId): boolean => this.#own.has(job)
    const references = await referencesIn(deps, caller, this.#spoken, body.value, {}, isOwn)
    const origin = { requestId: peer.id, startedMono, uploadMs: 0, trace: null }
    const draft = submits.drafted(caller, origin, () =>
      dialectDraft(deps, caller, {}, body, this.#spoken, false, origin, references),
    )
    if (isPreparation) {
      this.#prepare(lane, body, draft)
      return over()
    }
    const taken = await submits.one(caller, draft)
    if (peer.closing) return
    const now = taken.owned === undefined ? taken : await following.whileHere(taken.owned)
    if (peer.closing) return
    if (now.kind === 'refused') throw now.error
    this.#remember(now.job.id)
    if (following.get(now.job.id) !== undefined) throw followedAlready()
    // It may be the first one of a retry; this request decides how it is shown
    const { shownAs } = draft.job
    const job = { ...now.job, dialect: this.#spoken.dialect.name, ...(shownAs !== undefined && { shownAs }) }
    const form: StreamForm = this.#lanes.stream(lane)
    following.add(job, null, false, null, { form, about: { stream_id: lane }, over })
  }

  #prepare(lane: string | null, body: JsonBody, { job: { tenant, kind, model, shownAs } }: Draft): void {
    const { ids, clock } = this.#peer.context.deps
    this.#hold(body.bytes.length - (this.#prepared?.body.bytes.length ?? 0))
    const id = ids.job(0)
    this.#prepared = { id, body }
    const { name: dialect } = this.#spoken.dialect
    const about = { id, tenant, kind, dialect, model, acceptedAtMs: clock.wallMs() }
    const as = { ...about, ...(shownAs !== undefined && { shownAs }) }
    this.#peer.out.write(this.#lanes.prepared(as, lane))
  }

  #joined(body: JsonBody): JsonBody {
    if (this.#prepared === null) return body
    const { id, body: before } = this.#prepared
    const request = this.#lanes.joined(body.value, id, before.value)
    if (request === body.value) return body
    const joined = bodyOf(request, body.keys + before.keys)
    if (joined.bytes.length > this.#peer.context.deps.options.maxBodyBytes) throw new SluiceError('body_too_large')
    return joined
  }

  #remember(job: JobId): void {
    this.#own.add(job)
    if (this.#own.size > MAX_OWN) for (const oldest of this.#own) return void this.#own.delete(oldest)
  }

  error(error: SluiceError, { stream_id: lane }: About): Bytes {
    const { connection: _, ...headers } = errorHeaders(error)
    return this.#lanes.error(error, headers, this.#lanes.laneOf({ stream_id: lane }))
  }

  get isIdle(): boolean {
    return this.#open === 0
  }

  /** It has no word for it. What runs is told to its end; what waits behind it is refused, as what comes now. */
  leave(): void {
    const refusal = this.#peer.context.phase.refusal()
    if (refusal === null) return
    for (const [lane, line] of this.#waiting)
      for (const { body } of line.splice(0)) {
        this.#open--
        this.#hold(-body.bytes.length)
        this.#peer.refuse(refusal, { stream_id: lane })
      }
  }

  end(): void {
    this.#waiting.clear()
    this.#prepared = null
    this.#holding?.hold(0)
    this.#held = 0
  }
}

const bodyOf = (request: JsonRecord, keys: number): JsonBody =>
  new JsonBody(Buffer.from(JSON.stringify(request)), request, keys)

const tooLarge = (): SluiceError =>
  new SluiceError('message_too_large', {
    message: 'The message is larger than a request may be (http.max_body_bytes).',
  })

const followedAlready = (): SluiceError =>
  new SluiceError('invalid_request', {
    param: 'sluice.idempotency_key',
    message: 'The answer to this idempotency key is being sent on this connection, in another lane.',
  })
