/**
 * How work comes in. The request is stored first, together with the command that submits it; the answer comes from the
 * commit that accepts it. What is not answered is sent again under the same id, which the coordinator takes once.
 *
 * A submit that is given up is refused, and must then not be accepted after all: the coordinator takes nothing after
 * `untilMs`, and once that has passed the store tells which way it went. Where the store can't be asked, its client is
 * refused, and what turns out to be accepted is canceled.
 */
import { SluiceError } from '../../../core/errors.ts'
import type { Job, JobDraft, JobId, Place } from '../../../core/job.ts'
import type { Redriver, Submissions, Submitted, Terms } from '../../../core/ports/submissions.ts'
import { redriven } from '../../shared/redriven.ts'
import { withoutKey } from '../../shared/scheduled.ts'
import type { Ground } from '../bus/ground.ts'
import { FULL, unavailable } from '../client/errors.ts'
import type { Argument } from '../client/scripts.ts'
import { turnRangeOf } from '../conversations/turn.ts'
import type { RedisKeys } from '../keys.ts'
import type { Logs } from '../log/log.ts'
import { COMMIT_MS, type Item } from '../protocol/commands.ts'
import { packError, unpackError } from '../protocol/errors.ts'
import type { SubmitAnswer } from '../protocol/messages.ts'
import { NO_BODY } from '../protocol/rows.ts'
import { Doubts } from './doubts.ts'
import type { RedisJobs } from './jobs.ts'
import { Orders } from './orders.ts'
import type { RedisPresence } from './presence.ts'

/** The coordinator accepts nothing that is older than this; its bus gives up later. */
const ACCEPT_MS = 10_000
/** Bytes of requests that wait for their answer; one alone may be larger. */
const MAX_PENDING_BYTES = 64 << 20
const MAX_PENDING = 10_000
/** What of one turn of the event loop goes in one script. */
const ONE_STORE_BYTES = 1 << 20
/** Entries that nobody has read yet: the coordinator is not there, or does not keep up. */
const MAX_INBOX = 20_000
const NOWHERE: Place = { position: 0, tokensAhead: 0 }

/** API keys, which must be valid when the submit is stored. */
export type SubmitKeys = Pick<RedisKeys, 'digestOf' | 'isValid' | 'doubt'>

/** Logs that this process reads as soon as their jobs are accepted. */
export type SubmitLogs = Pick<Logs, 'expect' | 'granted' | 'missing'>

interface Storing {
  readonly entry: string
  readonly digests: readonly string[]
  /** Id and request of each job. */
  readonly bodies: readonly Argument[]
  readonly bytes: number
  /** Called when it may reach Redis from now on. */
  readonly sending: () => void
  readonly done: () => void
  readonly failed: (error: unknown) => void
}

export class RedisSubmissions implements Submissions {
  readonly #ground: Ground
  readonly #jobs: RedisJobs
  readonly #presence: RedisPresence
  readonly #logs: SubmitLogs
  readonly #keys: SubmitKeys
  readonly #maxPendingBytes: number
  readonly #orders: Orders
  readonly #doubts: Doubts
  #pending = 0
  #pendingBytes = 0
  #storing: Storing[] = []
  #storesUnderWay = 0

  constructor(
    ground: Ground,
    jobs: RedisJobs,
    presence: RedisPresence,
    logs: SubmitLogs,
    keys: SubmitKeys,
    maxPendingBytes: number = MAX_PENDING_BYTES,
  ) {
    this.#maxPendingBytes = maxPendingBytes
    this.#ground = ground
    this.#keys = keys
    this.#jobs = jobs
    this.#presence = presence
    this.#logs = logs
    this.#orders = new Orders(ground)
    this.#doubts = new Doubts(ground, (id) => jobs.cancel(id))
  }

  submit(drafts: readonly JobDraft[], ids?: readonly JobId[]): Promise<readonly Submitted[]> {
    // Those of reserved ids were let in when they were published
    const digests = new Set(ids === undefined ? drafts.map(({ keyId }) => this.#keys.digestOf(keyId)) : [])
    return this.#take(
      drafts,
      [...digests].filter((digest) => digest !== null),
      ids,
    )
  }

  reserve(n: number): Promise<readonly JobId[]> {
    return this.#orders.take(n)
  }

  /** Whoever asked passed the door before: its key need not be valid any longer. */
  async refuse(draft: JobDraft, id: JobId, error: SluiceError): Promise<Submitted> {
    const [submitted] = await this.#take([withoutKey(draft)], [], [id], error)
    return submitted
  }

  async #take(
    drafts: readonly JobDraft[],
    digests: readonly string[],
    reserved?: readonly JobId[],
    refused?: SluiceError,
  ): Promise<readonly Submitted[]> {
    if (drafts.length === 0) return []
    const bytes = drafts.reduce((sum, { body }) => sum + body.length, 0)
    const isFull = this.#pending === MAX_PENDING || this.#pendingBytes + bytes > this.#maxPendingBytes
    if (this.#pending > 0 && isFull) return refusedAll(drafts, unavailable())
    if (this.#ground.room.isFull) return refusedAll(drafts, FULL)
    this.#pending++
    this.#pendingBytes += bytes
    try {
      return await this.#ask(drafts, bytes, digests, reserved, refused)
    } catch (error) {
      return refusedAll(drafts, SluiceError.from(error))
    } finally {
      this.#pending--
      this.#pendingBytes -= bytes
    }
  }

  async begin(draft: JobDraft): Promise<{ readonly result: Submitted; readonly power: () => Promise<void> }> {
    const [result] = await this.submit([draft])
    // What a commit tells is as safe as the server makes it: see docs/engines.md
    return { result, power: () => Promise.resolve() }
  }

  async redrive(id: JobId, by: Redriver | null, terms?: Terms): Promise<Submitted | null> {
    const job = await this.#jobs.get(id)
    if (job === null || (job.state !== 'failed' && job.state !== 'expired')) return null
    const body = await this.#jobs.request(id)
    if (body === null) return null
    const draft = redriven(job, body, by, terms)
    // An operator asks: the key of the job that failed need not be valid any longer
    const [submitted] = await (by === null ? this.#take([draft], []) : this.submit([draft]))
    return submitted
  }

  close(): void {
    this.#doubts.close()
  }

  // ------------------------------------------------------------ one submit

  async #ask(
    drafts: readonly JobDraft[],
    bytes: number,
    digests: readonly string[],
    reserved?: readonly JobId[],
    refused?: SluiceError,
  ): Promise<readonly Submitted[]> {
    const ids = reserved ?? (await this.#orders.take(drafts.length))
    const ends = refused !== undefined && { refused: packError(refused) }
    const items = drafts.map((draft, i) => ({ ...itemOf(draft, ids[i]), ...ends }))
    const untilMs = this.#ground.time.nowMs() + ACCEPT_MS
    const isRead = refused === undefined && drafts.every(isPlain)
    if (isRead) for (const id of ids) this.#logs.expect(id)
    let isSent = false
    let isStored = false
    const store = async (entry: string): Promise<void> => {
      // A request that is stored need not be sent again
      const bodies = drafts.flatMap(({ body }, i) => [ids[i], isStored ? '' : bufferOf(body)])
      const sending = (): void => {
        isSent = true
      }
      try {
        await this.#store({ entry, digests, bodies, bytes: isStored ? 0 : bytes, sending })
        isStored = true
      } catch (error) {
        if (error !== MISSING || !isStored) throw error
        isStored = false
        await store(entry)
      }
    }
    let answers: readonly SubmitAnswer[]
    try {
      answers = await this.#ground.bus.askVia(
        {
          type: 'submit',
          untilMs,
          lasting: true,
          items,
          ...(isRead && { follows: true }),
          ...(reserved !== undefined && { reserved: true }),
        },
        store,
      )
    } catch (error) {
      // Who has reserved ids comes again with them
      if (!isSent || reserved !== undefined) throw error
      return this.#givenUp(drafts, ids, untilMs, SluiceError.from(error))
    }
    const results = await Promise.all(drafts.map((draft, i) => this.#result(draft, ids[i], answers[i])))
    // Another process may submit a reserved id, too, with the same request: what is left of those the sweep removes
    if (reserved === undefined) this.#drop(ids.filter((id, i) => !isTaken(id, answers[i])))
    return results
  }

  async #result(draft: JobDraft, id: JobId, answer: SubmitAnswer | undefined): Promise<Submitted> {
    if (answer?.kind === 'accepted') {
      const { state, epoch, attempts, acceptedAtMs, place, standing, cached } = answer
      if (answer.follows) this.#logs.granted(id, epoch)
      const known = { ...jobOf(draft, id), state, epoch, attempts, acceptedAtMs }
      const submitted = this.#accepted(cached === undefined ? known : { ...known, cached }, place)
      return standing === undefined ? submitted : { ...submitted, standing }
    }
    if (answer?.kind === 'refused') return { kind: 'refused', error: unpackError(answer.error) }
    if (answer?.kind !== 'joined') return { kind: 'refused', error: new SluiceError('internal') }
    const [job, places] = await Promise.all([this.#jobs.get(answer.id), this.#jobs.places([answer.id])])
    // Where it is its own, it has ended since it was sent first
    const kind = answer.id === id ? 'accepted' : 'joined'
    const { standing } = answer
    if (job !== null)
      return { kind, job, place: places.get(job.id) ?? NOWHERE, ...(standing !== undefined && { standing }) }
    // Kept no longer (retention 0, erased), or lost: a retry of it is a new job
    if (draft.isRetry) return (await this.submit([{ ...draft, isRetry: false }]))[0]
    const { epoch } = answer
    const error = epoch === undefined ? new SluiceError('job_gone') : await this.#logs.missing(answer.id, epoch)
    return { kind: 'refused', error: error ?? unavailable() }
  }

  #accepted(job: Job, place: Place): Extract<Submitted, { kind: 'accepted' }> {
    if (isPlain(job)) this.#presence.submitted(job.id)
    return { kind: 'accepted', job, place }
  }

  // ------------------------------------------------------------ the store

  /** All of this turn in as few scripts as its bytes allow. Rejects with invalid_api_key, or what Redis throws. */
  #store(submit: Omit<Storing, 'done' | 'failed'>): Promise<void> {
    return new Promise((done, failed) => {
      this.#storing.push({ ...submit, done, failed })
      if (this.#storing.length > 1) return
      // One that comes alone does not wait for the end of a busy turn
      if (this.#storesUnderWay === 0) queueMicrotask(() => this.#flush())
      else this.#ground.clock.soon(() => this.#flush())
    })
  }

  #flush(): void {
    const storing = this.#storing
    this.#storing = []
    for (let from = 0; from < storing.length; ) {
      let to = from
      for (let bytes = 0; to < storing.length && (to === from || bytes + storing[to].bytes <= ONE_STORE_BYTES); to++)
        bytes += storing[to].bytes
      void this.#storeAll(storing.slice(from, to))
      from = to
    }
  }

  async #storeAll(submits: readonly Storing[]): Promise<void> {
    const args = submits.flatMap(({ entry, digests, bodies }) => [
      entry,
      digests.length,
      ...digests,
      bodies.length,
      ...bodies,
    ])
    if (!this.#ground.commands.away) for (const { sending } of submits) sending()
    this.#storesUnderWay++
    try {
      const run = this.#ground.scripts.run('submit', [MAX_INBOX, ...args])
      const refused = (await run) as readonly number[] | null
      for (const [i, { digests, done, failed }] of submits.entries())
        if (refused === null) failed(unavailable())
        else if (refused.includes(i + 1)) failed(this.#keyRefused(digests))
        else if (refused.includes(-i - 1)) failed(MISSING)
        else done()
    } catch (error) {
      for (const { failed } of submits) failed(error)
    } finally {
      this.#storesUnderWay--
    }
  }

  /** Redis has not got one that is valid here: it was revoked just now, or Redis was emptied. It is sent again. */
  #keyRefused(digests: readonly string[]): SluiceError {
    if (!digests.every((digest) => this.#keys.isValid(digest))) return new SluiceError('invalid_api_key')
    this.#keys.doubt()
    return unavailable()
  }

  /** The requests of those that were not accepted; else the sweep finds them. */
  #drop(ids: readonly JobId[]): void {
    if (ids.length > 0)
      this.#ground.commands.client.unlink(ids.map((id) => this.#ground.names.body(id))).catch(() => {})
  }

  // ------------------------------------------------------------ given up

  /** No answer came in time. */
  async #givenUp(
    drafts: readonly JobDraft[],
    ids: readonly JobId[],
    untilMs: number,
    error: SluiceError,
  ): Promise<readonly Submitted[]> {
    const fromMs = untilMs + COMMIT_MS
    const taken = this.#ground.time.nowMs() < fromMs ? null : await this.#doubts.taken(ids)
    if (taken === null) {
      this.#doubts.add(ids, fromMs)
      return refusedAll(drafts, error)
    }
    return Promise.all(
      drafts.map(async (_, i): Promise<Submitted> => {
        const job = taken.has(ids[i]) ? await this.#jobs.get(ids[i]).catch(() => null) : null
        return job === null ? { kind: 'refused', error } : this.#accepted(job, NOWHERE)
      }),
    )
  }
}

/** Its submitter reads it. */
const isPlain = ({ options }: JobDraft | Job): boolean => options.onDisconnect === 'cancel'

/** Redis has lost a request that it had. */
const MISSING = unavailable()

function jobOf(
  { isRetry: _retry, ...draft }: JobDraft,
  id: JobId,
): Omit<Job, 'state' | 'epoch' | 'attempts' | 'acceptedAtMs'> {
  return { ...draft, id, body: NO_BODY }
}

/** Of a conversation's job, what will be its turn: the commit that ends it cuts that out of the request. */
function itemOf({ body, isRetry, ...draft }: JobDraft, id: JobId): Item {
  const turn = draft.options.conversation === undefined ? undefined : turnRangeOf(body)
  return { id, facts: turn === undefined ? draft : { ...draft, turn }, bodyBytes: body.length, isRetry }
}

const isTaken = (id: JobId, answer: SubmitAnswer | undefined): boolean =>
  answer?.kind === 'accepted' || (answer?.kind === 'joined' && answer.id === id)

const bufferOf = (body: Uint8Array): Buffer => Buffer.from(body.buffer, body.byteOffset, body.length)

const refusedAll = (drafts: readonly JobDraft[], error: SluiceError): readonly Submitted[] =>
  drafts.map(() => ({ kind: 'refused', error }))
