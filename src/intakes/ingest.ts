/**
 * From the broker to the coordinator. A delivery has its verdict when its job is owned. Where there is no room in line,
 * or no store, it is tried again for as long as it takes: it counts in the broker's window, so the broker keeps the
 * rest. Jobs of one order go one after the other, whatever the others do.
 */
import { type Clock, sleep } from '../core/clock.ts'
import { type ErrorCode, SluiceError } from '../core/errors.ts'
import type { JobDraft, JobId } from '../core/job.ts'
import { PASSING_FOR_ALL, PASSING_FOR_ONE } from '../core/passing.ts'
import type { Delivery, Entered, Intake, Take, Verdict } from '../core/ports/intake.ts'
import type { Jobs } from '../core/ports/jobs.ts'
import type { Submissions, Submitted } from '../core/ports/submissions.ts'
import { type Envelopes, isOwn, type Own, orderOf } from './envelope.ts'
import type { Figures } from './figures.ts'
import type { Published } from './published.ts'

/** Throws what it is refused for. */
export type Admit = (delivery: Delivery, intake: Intake['name']) => Entered

export interface IngestDeps {
  readonly submissions: Submissions
  readonly jobs: Pick<Jobs, 'cancel'>
  readonly envelopes: Envelopes
  readonly published: Published
  readonly admit: Admit
  /** For whom a message is that names nobody. */
  readonly tenant: string
  /** Deliveries of a queue or partition without a verdict, at most. */
  readonly window: (intake: Intake['name']) => number
  readonly figures: Figures
  readonly clock: Clock
  readonly jitter: () => number
  readonly onDead: (intake: Intake['name'], delivery: Delivery, error: SluiceError) => void
}

const FOR_NOW: ReadonlySet<ErrorCode> = new Set([...PASSING_FOR_ALL, 'internal'])
/** What passes, too, and nobody could be told of: what other programs publish waits for it. */
const FOR_NOW_OF_OTHERS: ReadonlySet<ErrorCode> = new Set([...FOR_NOW, ...PASSING_FOR_ONE])
/** What of that holds its own tenant or model alone waits for as long as an operator likes. */
const isOwnFault = (thrown: unknown): boolean => PASSING_FOR_ONE.has(SluiceError.from(thrown).code)
/** What it was admitted as is good for so long: then guards, switches and prices are asked again. */
const ADMITTED_MS = 1_000
const FIRST_WAIT_MS = 50
const LAST_WAIT_MS = 2_000
/** Ids of deliveries that were owned: one that comes again may be of a job that is no longer kept. */
const REMEMBERED = 20_000
const OWNED: Verdict = { kind: 'owned' }

const CANCELED = new SluiceError('job_canceled')

/** What waits for a switch of its own, or for its tenant's limits, may fill this share of a broker's window. */
const OF_ONE_TENANT = 1 / 4
const OF_ALL = 1 / 2

type Message = Partial<Pick<JobDraft, 'tenant'> & Pick<JobDraft['options'], 'lane' | 'conversation'>> & {
  readonly id?: unknown
}

const notOurs = (broker: Intake['name']): string => {
  const setting = broker === 'kafka' ? 'intakes.kafka.prefix' : 'intakes.rabbitmq.exchange'
  return (
    'It is not signed by this Sluice. Another one, with a store of its own, publishes to the same pools (give each ' +
    `its own ${setting}), or this store is not the one that was used before (migrate or restore that one, or put the ` +
    'intake.key of its folder into this data folder).'
  )
}

/** Where a delivery comes from. */
interface From {
  readonly broker: Intake['name']
  readonly pool: string
}

export class Ingest {
  readonly #deps: IngestDeps
  /** The last one of each order. */
  readonly #last = new Map<string, Promise<unknown>>()
  /** Ids of jobs, and names of other programs' messages. */
  readonly #owned = new Set<string>()
  readonly #deferred = new Deferred()
  #isStopping = false
  #stop: () => void = () => {}
  readonly #stopped: Promise<void>

  constructor(deps: IngestDeps) {
    this.#deps = deps
    this.#stopped = new Promise((stop) => {
      this.#stop = stop
    })
  }

  /** For the deliveries of this intake. */
  from({ name }: Intake): Take {
    return async (delivery) => {
      const from: From = { broker: name, pool: delivery.pool }
      const verdict = await this.#take(delivery, from)
      const { figures } = this.#deps
      if (verdict.kind === 'owned') figures.owned.of(name, from.pool).add()
      else figures.dead.of(name, from.pool, verdict.code).add()
      return verdict
    }
  }

  /** What has no verdict yet gets none. */
  stop(): void {
    this.#isStopping = true
    this.#stop()
  }

  async #take(delivery: Delivery, from: From): Promise<Verdict> {
    const { envelopes, onDead } = this.#deps
    try {
      if (!isOwn(delivery.payload)) return await this.#takeForeign(delivery, from)
      const own = envelopes.open(delivery.payload)
      if (own === null) throw new SluiceError('forbidden', { message: notOurs(from.broker) })
      return await this.#takeOwn(own, from)
    } catch (thrown) {
      if (thrown === STOPPING) throw thrown
      const error = SluiceError.from(thrown instanceof Final ? thrown.error : thrown)
      onDead(from.broker, delivery, error)
      return { kind: 'dead', code: error.code, reason: error.message }
    }
  }

  #takeOwn(own: Own, from: From): Promise<Verdict> {
    const { jobs, published } = this.#deps
    if (own.type === 'cancel')
      return this.#inOrder(own.order, async () => {
        await this.#untilOwned(from, async () => {
          await jobs.cancel(own.id)
          return null
        })
        return OWNED
      })
    const { id, draft, isAsked } = own
    return this.#inOrder(orderOf(draft, id), async () => {
      if (this.#owned.has(id)) return OWNED
      const told = published.get(id)
      const come: JobDraft = { ...draft, intake: { broker: from.broker } }
      const isCanceled = (): boolean => told?.isCanceled === true || published.isCanceled(id)
      const result = await this.#submit(from, come, id, isCanceled)
      // It has ended, and is no longer kept
      const isGone = result.kind === 'refused' && result.error.code === 'job_gone'
      // Where it is asked for here, its client is told, and nothing is kept of it
      const isStored = result.kind === 'refused' && !isGone && !(isAsked && told !== null)
      published.settle(id, isStored ? await this.#refuse(from, draft, id, result.error) : result)
      this.#remember(id)
      if (isCanceled()) await jobs.cancel(id).catch(() => {})
      return OWNED
    })
  }

  /** It was told as accepted, or its client asks elsewhere: whoever looks for it finds what it was refused for. */
  async #refuse(from: From, draft: JobDraft, id: JobId, error: SluiceError): Promise<Submitted> {
    const { submissions } = this.#deps
    return this.#untilOwned(from, async () => {
      const stored = await submissions.refuse(draft, id, error)
      if (stored.kind === 'refused' && stored.error.code !== 'job_gone') throw stored.error
      return stored
    })
  }

  #takeForeign(delivery: Delivery, from: From): Promise<Verdict> {
    const { submissions, clock } = this.#deps
    const admittedMono = clock.monoMs()
    const first = this.#admitted(delivery, from)
    const { order, tenant } =
      first instanceof SluiceError
        ? this.#orderIn(delivery)
        : { order: orderOf(first.draft, first.draft.options.idempotencyKey!), tenant: first.draft.tenant }
    const ask = async (): Promise<SluiceError | null> => {
      const isFresh = clock.monoMs() - admittedMono < ADMITTED_MS
      const entered = isFresh && !(first instanceof SluiceError) ? first : this.#admitted(delivery, from)
      if (entered instanceof SluiceError) throw entered
      const { draft, told } = entered
      const known = `${draft.tenant}\n${draft.options.idempotencyKey}\n${draft.bodyHash}`
      // It has been a job, which is no longer kept, perhaps
      if (this.#owned.has(known)) return null
      const [result] = await submissions.submit([draft])
      if (result.kind === 'refused' && FOR_NOW_OF_OTHERS.has(result.error.code)) throw result.error
      told(result)
      if (result.kind !== 'refused') this.#remember(known)
      return result.kind === 'refused' ? result.error : null
    }
    const waits = new Deferral(
      this.#deferred,
      [delivery.pool, `${delivery.pool}\n${tenant}`],
      this.#deps.window(from.broker),
    )
    return this.#behind(order, waits, () =>
      this.#inOrder(
        order,
        async () => {
          const refused = await this.#untilOwned(
            from,
            () =>
              ask().catch((thrown: unknown) => {
                if (isOwnFault(thrown)) this.#deferred.hold(order, waits, SluiceError.from(thrown))
                throw thrown
              }),
            FOR_NOW_OF_OTHERS,
          )
          if (refused !== null) throw refused
          return OWNED
        },
        waits.over,
      ),
    )
  }

  /** Those behind a delivery that waits for what holds it alone are counted with it. */
  async #behind(order: string, waits: Deferral, take: () => Promise<Verdict>): Promise<Verdict> {
    const leave = this.#deferred.enter(order, waits)
    try {
      return await take()
    } finally {
      leave()
    }
  }

  /** What keeps it out for now; throws what it is refused for, for good. */
  #admitted(delivery: Delivery, from: From): Entered | SluiceError {
    try {
      return this.#deps.admit(delivery, from.broker)
    } catch (thrown) {
      const error = SluiceError.from(thrown)
      if (FOR_NOW_OF_OTHERS.has(error.code) && error.code !== 'internal') return error
      throw new Final(error)
    }
  }

  /** Of a message that is not admitted yet. */
  #orderIn({ payload, id, pool }: Delivery): { readonly order: string; readonly tenant: string } {
    const message = JSON.parse(Buffer.from(payload).toString()) as Message
    const { tenant = this.#deps.tenant, lane, conversation, id: own = id } = message
    return { order: orderOf({ tenant, options: { lane, conversation } }, `${pool}\n${tenant}\n${own}`), tenant }
  }

  /** Runs when those of its order before it have their verdict, unless it is `over` before. */
  async #inOrder(order: string, take: () => Promise<Verdict>, over?: Promise<never>): Promise<Verdict> {
    // Of one that stays with the broker, what follows stays too: it rejects with STOPPING
    const before = this.#last.get(order)
    const run = (async () => {
      if (before !== undefined) await (over === undefined ? before : Promise.race([before, over]))
      return take()
    })()
    // What follows waits for all that was before this one, also where this one is over
    const after = run.then(
      () => before,
      (error: unknown) => (error === STOPPING ? Promise.reject(error) : before),
    )
    this.#last.set(order, after)
    const leave = (): void => {
      if (this.#last.get(order) === after) this.#last.delete(order)
    }
    after.then(leave, leave)
    return run
  }

  /** Where it `isCanceled` by then, it has its end at once. */
  #submit(from: From, draft: JobDraft, id: JobId, isCanceled: () => boolean): Promise<Submitted> {
    const { submissions } = this.#deps
    return this.#untilOwned(from, async () => {
      const result = isCanceled()
        ? await submissions.refuse(draft, id, CANCELED)
        : (await submissions.submit([draft], [id]))[0]
      if (result.kind === 'refused' && FOR_NOW.has(result.error.code)) throw result.error
      return result
    })
  }

  /** Again and again, as long as it fails with what passes. Rejects with STOPPING. */
  async #untilOwned<T>(from: From, ask: () => Promise<T>, passing = FOR_NOW): Promise<T> {
    const { clock, jitter } = this.#deps
    for (let wait = FIRST_WAIT_MS; ; wait = Math.min(wait * 2, LAST_WAIT_MS)) {
      if (this.#isStopping) throw STOPPING
      try {
        return await ask()
      } catch (thrown) {
        if (thrown instanceof Final || !passing.has(SluiceError.from(thrown).code)) throw thrown
        this.#deps.figures.waits.of(from.broker, from.pool).add()
      }
      await Promise.race([sleep(clock, wait * (0.5 + jitter() / 2)), this.#stopped])
    }
  }

  #remember(id: string): void {
    this.#owned.add(id)
    if (this.#owned.size <= REMEMBERED) return
    for (const oldest of this.#owned) {
      this.#owned.delete(oldest)
      break
    }
  }
}

/** Deliveries that wait for a switch, or for limits, of their own: too many would keep all others out of the window. */
class Deferred {
  /** By pool, and by pool and tenant. */
  readonly counts = new Map<string, number>()
  readonly #followers = new Map<string, Set<Deferral>>()
  /** Orders whose first one waits, and for what. */
  readonly #why = new Map<string, SluiceError>()

  /** Returns its leave. */
  enter(order: string, waits: Deferral): () => void {
    const all = this.#followers.get(order) ?? new Set()
    this.#followers.set(order, all.add(waits))
    const why = this.#why.get(order)
    if (why !== undefined) waits.begin(why)
    return () => {
      waits.end()
      all.delete(waits)
      // Whoever is next is asked anew
      this.#why.delete(order)
      if (all.size === 0 && this.#followers.get(order) === all) this.#followers.delete(order)
    }
  }

  /** The first one of its order waits. Throws its reason, for good, where that are too many. */
  hold(order: string, waits: Deferral, why: SluiceError): void {
    waits.begin(why)
    if (waits.refusal !== null) throw waits.refusal
    if (this.#why.has(order)) return
    this.#why.set(order, why)
    for (const follower of this.#followers.get(order) ?? []) follower.begin(why)
  }
}

/** One delivery's part in it. */
class Deferral {
  readonly #counts: Map<string, number>
  readonly #places: readonly [string, string]
  readonly #most: readonly [number, number]
  readonly #over = Promise.withResolvers<never>()
  #isCounted = false
  refusal: Final | null = null

  constructor({ counts }: Deferred, places: readonly [string, string], window: number) {
    this.#counts = counts
    this.#places = places
    this.#most = [Math.max(1, window * OF_ALL), Math.max(1, window * OF_ONE_TENANT)]
    // Perhaps nobody waits for it
    this.#over.promise.catch(() => {})
  }

  /** Rejects once it may not wait. */
  get over(): Promise<never> {
    return this.#over.promise
  }

  begin(why: SluiceError): void {
    if (this.#isCounted || this.refusal !== null) return
    if (this.#places.some((place, i) => (this.#counts.get(place) ?? 0) >= this.#most[i])) {
      this.refusal = new Final(why)
      this.#over.reject(this.refusal)
      return
    }
    this.#isCounted = true
    for (const place of this.#places) this.#counts.set(place, (this.#counts.get(place) ?? 0) + 1)
  }

  end(): void {
    if (!this.#isCounted) return
    this.#isCounted = false
    for (const place of this.#places) {
      const left = (this.#counts.get(place) ?? 1) - 1
      if (left <= 0) this.#counts.delete(place)
      else this.#counts.set(place, left)
    }
  }
}

/** Trying again would change nothing, also where it is `internal`. */
class Final extends Error {
  readonly error: SluiceError

  constructor(error: SluiceError) {
    super(error.message)
    this.error = error
  }
}

/** It stays with the broker. */
const STOPPING = new Error('this process stops')
