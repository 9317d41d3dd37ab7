/**
 * Delivers. An event is claimed by putting off when it is due, so that of all processes one has it, and only for as
 * long as a try may take; its outcome is stored in its place. Whoever dies in between leaves it to the next look: it
 * is sent again, under the same id. Looks are for what nobody was told of; who hears of an end hastens it.
 */
import type { Clock } from '../core/clock.ts'
import { crashpoint } from '../core/crashpoint.ts'
import type { JobId, TenantId } from '../core/job.ts'
import { gauge, type NumberSource } from '../core/numbers.ts'
import type { Document, Documents } from '../core/ports/documents.ts'
import { type EndsParts, endAwaitedBy } from './ends.ts'
import { documentOf, type EventBody, eventOfJob, KIND, nextAtMs, readEvent, type Tried, withWanted } from './event.ts'
import { Lanes } from './lanes.ts'
import { nextLookMs } from './tries.ts'
import { Trying, type TryingParts } from './trying.ts'

export interface DelivererParts extends TryingParts, EndsParts {
  readonly documents: Documents
  readonly clock: Clock
}

const LOOK_MS = 1_000
const DUE_AT_ONCE = 64
/** A claim outlasts a try, and the storing of its outcome. */
const CLAIM_SPARE_MS = 20_000
/** Ends that are heard of and looked at, at once; and those that wait for it. */
const HASTENED_AT_ONCE = 16
const MOST_HASTENED = 100_000
/** An end that was told may be readable a moment later. */
const AGAIN_MS = 250
const MOST_AGAIN = 8
const STORE_TRIES = 3
const MOST_PUT_OFF = 100_000
const COUNT_MS = 5_000
const CAUGHT_UP_AT_ONCE = 100
const STOP_MS = 1_000

interface PutOff {
  readonly version: number
  readonly times: number
  /** Since when it is due. */
  readonly sinceMs: number
}

export class Deliverer {
  readonly #parts: DelivererParts
  readonly #lanes: Lanes
  readonly #trying: Trying
  #looking = false
  #dueMs = 0
  #pending = 0
  #countedMono = -Infinity
  /** Event → how often it was looked at in vain. */
  readonly #hastened = new Map<string, number>()
  #hastening = 0
  /** Of those that this process has put off: which version that was, and how often it had been before. */
  readonly #putOff = new Map<string, PutOff>()
  #stops: ReadonlyArray<() => void> = []
  readonly #stopped = new AbortController()
  readonly #underWay = new Set<Promise<unknown>>()
  readonly numbers: NumberSource

  constructor(parts: DelivererParts) {
    this.#parts = parts
    this.#lanes = new Lanes(parts.clock)
    this.#trying = new Trying(parts)
    const { delivered, failed, givenUp, results } = this.#trying
    this.numbers = {
      metrics: [
        delivered,
        failed,
        givenUp,
        gauge('webhooks_sending', 'Tries under way', () => this.#lanes.running),
        gauge('webhooks_waiting_ends', 'Ends that were told, and are not looked at yet', () => this.#hastened.size),
        gauge('webhooks_overdue_ms', 'How long the longest due event is due', () => this.#overdueMs, 'max'),
        gauge('webhooks_pending', 'Events of the store that are to come, or not delivered', () => this.#pending, 'max'),
        this.#trying.delay,
      ],
      families: [results],
      refresh: () => this.#count(),
    }
  }

  /** From now on it delivers; first what ended while nobody was there. */
  begin(): void {
    const { clock } = this.#parts
    if (this.#stopped.signal.aborted) return
    this.#stops = [clock.every(LOOK_MS, () => void this.look())]
    void this.#catchUp().catch(() => {}) // the looks come to it
  }

  /** What is being sent is given a moment; then it is for others, or the next start. */
  async stop(): Promise<void> {
    for (const stop of this.#stops) stop()
    this.#stops = []
    let late = (): void => {}
    const bound = new Promise<void>((done) => (late = this.#parts.clock.after(STOP_MS, done)))
    await Promise.race([Promise.allSettled([...this.#underWay]), bound])
    late()
    this.#stopped.abort()
    await Promise.allSettled([...this.#underWay])
  }

  /** Where the store is away, as it was. */
  async #count(): Promise<void> {
    const { documents, clock } = this.#parts
    if (clock.monoMs() - this.#countedMono < COUNT_MS) return
    this.#countedMono = clock.monoMs()
    this.#pending = await documents.waiting(KIND).catch(() => this.#pending)
  }

  /** Those that wait for a place are due, too, though they have been put off. */
  get #overdueMs(): number {
    let sinceMs = Infinity
    for (const one of this.#putOff.values()) sinceMs = Math.min(sinceMs, one.sinceMs)
    return Math.max(this.#dueMs, this.#parts.clock.wallMs() - sinceMs, 0)
  }

  /** The job has ended, by what somebody has told. */
  ended(job: JobId, tenant: TenantId): void {
    if (this.#stopped.signal.aborted || this.#hastened.size >= MOST_HASTENED) return
    const { endpoints } = this.#parts
    const known = endpoints.peek(tenant)
    if (known === null)
      void endpoints.of(tenant).then(
        (all) => all.length > 0 && this.hasten(eventOfJob(job)),
        () => {},
      )
    else if (known.length > 0) this.hasten(eventOfJob(job))
  }

  hasten(event: string, looks = 0): void {
    if (!this.#hastened.has(event)) this.#hastened.set(event, looks)
    this.#hasten()
  }

  #hasten(): void {
    while (this.#hastening < HASTENED_AT_ONCE && this.#hastened.size > 0 && !this.#stopped.signal.aborted) {
      const [event, looks] = this.#hastened.entries().next().value!
      this.#hastened.delete(event)
      this.#hastening++
      let isFree = false
      // What it sends goes on beside the next
      const next = (): void => {
        if (isFree) return
        isFree = true
        this.#hastening--
        this.#hasten()
      }
      void this.#tracked(this.#one(event, looks, next)).finally(next)
    }
  }

  async #one(event: string, looks: number, onClaim: () => void): Promise<void> {
    crashpoint('before-telling')
    const document = await this.#parts.documents.get(KIND, event).catch(() => null)
    if (document === null) return this.#handOn(event)
    const isOver = await this.#process(document, true, onClaim).catch(() => true)
    if (!isOver && looks < MOST_AGAIN) this.#parts.clock.after(AGAIN_MS, () => this.hasten(event, looks + 1))
  }

  /** Whoever is done with an event, or has freed a place: those that wait have their turn. */
  #handOn(event: string): void {
    this.#lanes.drop(event)
    if (this.#stopped.signal.aborted) return
    for (let next = this.#lanes.next(); next !== null; next = this.#lanes.next()) this.hasten(next)
  }

  #tracked<T>(work: Promise<T>): Promise<T> {
    this.#underWay.add(work)
    return work.finally(() => this.#underWay.delete(work))
  }

  /** At all that is due; unless it is under way. */
  async look(): Promise<void> {
    if (this.#looking) return
    this.#looking = true
    const { documents, clock } = this.#parts
    try {
      while (!this.#stopped.signal.aborted && this.#stops.length > 0) {
        const due = await documents.due(KIND, DUE_AT_ONCE)
        this.#dueMs = Math.max(0, clock.wallMs() - (due[0]?.dueAtMs ?? Infinity))
        if (due.length === 0) break
        // Tries go on beside the next look: one that hangs holds up nobody
        const claims = due.map((document) => this.#claimed(document))
        if ((await Promise.all(claims)).every((isClaimed) => !isClaimed)) break
      }
    } catch {
      // The store is away, which its health shows
    } finally {
      this.#looking = false
    }
  }

  /** Resolves when it is claimed, or is another's; what follows is tracked. */
  #claimed(document: Document): Promise<boolean> {
    return new Promise((resolve) => {
      const work = this.#process(document, false, () => resolve(true))
      this.#tracked(work).then(
        () => resolve(true),
        () => resolve(false),
      )
    })
  }

  /** Ends that nobody was told of, as their process died first. */
  async #catchUp(): Promise<void> {
    const { documents, clock } = this.#parts
    for (let before: string | undefined; ; ) {
      const page = await documents.list(KIND, {
        limit: CAUGHT_UP_AT_ONCE,
        ...(before !== undefined && { before }),
      })
      for (const document of page) if (readEvent(document)?.happened === null) this.hasten(document.id, MOST_AGAIN)
      if (page.length < CAUGHT_UP_AT_ONCE || this.#stopped.signal.aborted) return
      before = page.at(-1)!.id
      await new Promise<void>((next) => clock.after(LOOK_MS / 10, next))
    }
  }

  /**
   * False: its job has not ended. `isHastened`: somebody said so, and a look in vain does not put it off. Rejects where
   * the store is away.
   */
  #process(document: Document, isHastened: boolean, onClaim = (): void => {}): Promise<boolean> {
    return this.#processed(document, isHastened, onClaim).finally(() => this.#handOn(document.id))
  }

  async #processed(document: Document, isHastened: boolean, onClaim: () => void): Promise<boolean> {
    const { documents, clock } = this.#parts
    const { id, tenant } = document
    const putOff = this.#putOff.get(id)
    const isPutOff = putOff?.version === document.version
    let event = readEvent(document)
    if (event === null) {
      await documents.remove(KIND, id, document.version)
      return true
    }
    const { keepMs, timeoutMs } = this.#parts.rules()
    const now = clock.wallMs()
    if (event.happened === null) {
      const ended = await endAwaitedBy(event, this.#parts)
      if (ended === 'gone') {
        await documents.remove(KIND, id, document.version)
        return true
      }
      if (ended === null) {
        if (isHastened) return false
        const looked = { ...event, looks: event.looks + 1 }
        const dueAtMs = now + nextLookMs(event.looks, this.#parts.ids.jitter())
        await documents.put(documentOf(id, tenant, looked, dueAtMs, keepMs), document.version)
        return true
      }
      event = withWanted({ ...event, happened: ended }, await this.#parts.endpoints.of(tenant))
      if (event.to.length === 0) {
        await documents.remove(KIND, id, document.version)
        return true
      }
    }
    // It is another's, or waits for its next try
    else if (document.dueAtMs === null || (document.dueAtMs > now && !isPutOff)) return true
    this.#putOff.delete(id)
    const due = event.to.filter(({ nextAtMs }) => nextAtMs !== null && nextAtMs <= now)
    const taken = due.filter((tried) => this.#lanes.take(id, tenant, tried.endpoint))
    const trying = new Set(taken)
    try {
      const times = isPutOff ? putOff!.times + 1 : 0
      const isTrying = taken.length > 0
      const dueAtMs = isTrying ? now + timeoutMs + CLAIM_SPARE_MS : this.#putOffTo(tenant, event, due, times, now)
      const claimed = await documents.put(documentOf(id, tenant, event, dueAtMs, keepMs), document.version)
      onClaim()
      if (claimed !== null && !isTrying) this.#remember(claimed, event, due, times)
      if (claimed === null || !isTrying) return true
      const tried = await Promise.all(
        taken.map(async (one) => {
          const startedMono = clock.monoMs()
          // Where the store is away it stays due
          const outcome = await this.#trying
            .once(id, tenant, event!.happened!, one, this.#stopped.signal)
            .catch(() => one)
          trying.delete(one)
          const tookMs = clock.monoMs() - startedMono
          this.#lanes.free(tenant, one.endpoint, { tookMs, isFailing: outcome.state === 'pending' })
          this.#handOn(id)
          return outcome
        }),
      )
      const outcomes = new Map(tried.map((one) => [one.endpoint, one]))
      const to = event.to.map((one) => outcomes.get(one.endpoint) ?? one)
      await this.#store(claimed, { ...event, to }, keepMs)
      // Those that found no place wait for one now
      if (taken.length < due.length) this.hasten(id)
    } finally {
      for (const { endpoint } of trying) this.#lanes.free(tenant, endpoint, null)
    }
    return true
  }

  /** Nobody else has changed it while it has this version: it may be taken up before it is due. */
  #remember({ id, tenant, version }: Document, event: EventBody, due: readonly Tried[], times: number): void {
    // One that was not tried yet is due since it happened
    const sinceMs = Math.min(...due.map(({ nextAtMs }) => nextAtMs || event.happened!.atMs))
    if (this.#putOff.size >= MOST_PUT_OFF) this.#putOff.delete(this.#putOff.keys().next().value!)
    this.#putOff.set(id, { version, times, sinceMs })
    for (const { endpoint } of due) this.#lanes.wait(id, tenant, endpoint)
  }

  /** Its endpoints have no place for it, or it is early by some clock. */
  #putOffTo(tenant: TenantId, event: EventBody, due: readonly Tried[], times: number, now: number): number {
    if (due.length === 0) return nextAtMs(event) ?? now
    const waits = due.map(({ endpoint }) => this.#lanes.waitMs(tenant, endpoint, times))
    return now + Math.min(...waits) * (1 + this.#parts.ids.jitter() / 2)
  }

  /** Where it can't be stored, its claim ends, and it is sent again. */
  async #store(claimed: Document, event: EventBody, keepMs: number): Promise<void> {
    const { documents, clock } = this.#parts
    const next = documentOf(claimed.id, claimed.tenant, event, nextAtMs(event) ?? 0, keepMs)
    for (let n = 1; ; n++)
      try {
        await documents.put(next, claimed.version)
        return
      } catch (error) {
        if (n === STORE_TRIES) throw error
        await new Promise<void>((done) => clock.after(AGAIN_MS * n, done))
      }
  }
}
