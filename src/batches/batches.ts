/**
 * Batches of a process: those that are due it claims, a few at a time, and works on them while it renews its claim. Of
 * a fleet any process may take over what another one left.
 */
import { type Batch, batchDocument, batchOf, isOver } from '../core/batch.ts'
import type { TenantId } from '../core/job.ts'
import type { Family, Metric } from '../core/numbers.ts'
import type { Document, Documents } from '../core/ports/documents.ts'
import { Figures } from './figures.ts'
import { type Claim, Run, type RunDeps } from './run.ts'
import { MOST_ENDING, nextTurn } from './turns.ts'

export interface BatchesDeps extends Omit<RunDeps, 'onResult'> {
  readonly documents: Documents
  /** This process's name, anew with each start. */
  readonly owner: string
  /** No other process works on them: what was claimed before this start is nobody's. */
  readonly isAlone: boolean
  readonly onFault: (error: unknown, batch: string) => void
}

const LOOK_MS = 500
/** So many that are due are looked at; where none of these has its turn, all of them, now and then. */
const LOOKED_AT = 32
const ALL_DUE = 1_000
const LOOK_AT_ALL_MS = 5_000
/** A claim is over after this, unless it is renewed. */
const CLAIM_MS = 15_000
const RENEW_MS = 4_000
const LISTED = 1_000
const COUNT_MS = 5_000
const MOST_TRIES = 10

interface Running {
  readonly tenant: TenantId
  readonly run: Run
  readonly over: Promise<void>
  /** It was to end when it was begun: it has no place of its tenant's. */
  readonly isEnding: boolean
}

export class Batches {
  readonly #deps: BatchesDeps
  readonly #running = new Map<string, Running>()
  #stopLooks: () => void = () => {}
  #isLooking = false
  #lookedAtAllMono = -Infinity
  #isStopping = false
  #overdueMs = 0
  #unfinished = 0
  #countedMono = -Infinity
  readonly #figures: Figures
  readonly metrics: readonly Metric[]
  readonly families: readonly Family[]

  constructor(deps: BatchesDeps) {
    this.#deps = deps
    this.#figures = new Figures({
      running: () => [...this.#running.values()].map(({ run }) => run.progress),
      wallMs: deps.wallMs,
      overdueMs: () => this.#overdueMs,
      unfinished: () => this.#unfinished,
    })
    this.metrics = this.#figures.metrics
    this.families = [this.#figures.failed]
  }

  /** What is told as a number of the whole store; where that is away, as it was. */
  async refresh(): Promise<void> {
    const { documents, clock } = this.#deps
    if (clock.monoMs() - this.#countedMono < COUNT_MS) return
    this.#countedMono = clock.monoMs()
    this.#unfinished = await documents.waiting('batch').catch(() => this.#unfinished)
  }

  begin(): void {
    const { clock, isAlone } = this.#deps
    const takeOver = isAlone ? this.#takeOver().catch(() => {}) : Promise.resolve() // claims end by themselves
    void takeOver.then(() => {
      if (!this.#isStopping) this.#stopLooks = clock.every(LOOK_MS, () => void this.#look())
    })
  }

  /** Resolves when nothing is written any more; others may go on at once. */
  async stop(): Promise<void> {
    this.#isStopping = true
    this.#stopLooks()
    for (const { run } of this.#running.values()) run.stop()
    await Promise.all([...this.#running.values()].map(({ over }) => over))
  }

  async #takeOver(): Promise<void> {
    const { documents, wallMs } = this.#deps
    for (let before: string | undefined; ; ) {
      const page = await documents.list('batch', { limit: LISTED, ...(before !== undefined && { before }) })
      for (const document of page) {
        const batch = batchOf(document)
        if (batch.owner !== null && !isOver(batch))
          await documents.put(batchDocument({ ...batch, owner: null }, wallMs()), document.version)
      }
      if (page.length < LISTED) return
      before = page.at(-1)!.id
    }
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return
    this.#isLooking = true
    try {
      const due = [...(await this.#due())]
      for (let next = this.#next(due); next !== null && !this.#isStopping; next = this.#next(due)) {
        due.splice(due.indexOf(next), 1)
        const claim = await Claimed.take(this.#deps, next)
        if (claim !== null) this.#start(claim)
      }
      this.#overdueMs = Math.max(0, this.#deps.wallMs() - (due[0]?.dueAtMs ?? Infinity))
    } catch {
      // The store is away, which health shows; the next look finds them
    } finally {
      this.#isLooking = false
    }
  }

  /** One that only ends waits for nobody's turn. */
  #next(due: readonly Document[]): Document | null {
    const running = [...this.#running.values()]
    const ending = running.filter(({ isEnding }) => isEnding).length
    const over = ending < MOST_ENDING ? due.find((document) => this.#isEnding(batchOf(document))) : undefined
    const tenants = running.filter(({ isEnding }) => !isEnding).map(({ tenant }) => tenant)
    return over ?? nextTurn(due, tenants)
  }

  #isEnding({ status, expiresAtMs }: Batch): boolean {
    return status === 'cancelling' || expiresAtMs <= this.#deps.wallMs()
  }

  /** Those of one tenant may stand before all others'. */
  async #due(): Promise<readonly Document[]> {
    const { documents, clock } = this.#deps
    const idle = (all: readonly Document[]): readonly Document[] => all.filter(({ id }) => !this.#running.has(id))
    const first = await documents.due('batch', LOOKED_AT)
    const due = idle(first)
    const isPassedOver = first.length > 0 && this.#next(due) === null
    if (!isPassedOver || clock.monoMs() - this.#lookedAtAllMono < LOOK_AT_ALL_MS) return due
    this.#lookedAtAllMono = clock.monoMs()
    return idle(await documents.due('batch', ALL_DUE))
  }

  #start(claim: Claimed): void {
    const { clock, onFault } = this.#deps
    const { id, tenant } = claim.batch
    const run = new Run({ ...this.#deps, onResult: (line) => this.#figures.count(line) }, claim)
    const stopRenewing = clock.every(RENEW_MS, () => void claim.save((batch) => batch).catch(() => {})) // or it is lost
    const over = run
      .run()
      .catch((error: unknown) => onFault(error, id))
      .finally(() => stopRenewing())
      .then(() => claim.release(this.#isStopping))
      .catch(() => {}) // it ends by itself
      .finally(() => this.#running.delete(id))
    this.#running.set(id, { tenant, run, over, isEnding: this.#isEnding(claim.batch) })
    if (this.#isStopping) run.stop()
  }
}

class Claimed implements Claim {
  readonly #deps: BatchesDeps
  #document: Document
  #isLost = false
  #last: Promise<unknown> = Promise.resolve()

  static async take(deps: BatchesDeps, document: Document): Promise<Claimed | null> {
    const batch: Batch = { ...batchOf(document), owner: deps.owner }
    const stored = await deps.documents.put(batchDocument(batch, deps.wallMs() + CLAIM_MS), document.version)
    return stored === null ? null : new Claimed(deps, stored)
  }

  private constructor(deps: BatchesDeps, document: Document) {
    this.#deps = deps
    this.#document = document
  }

  get batch(): Batch {
    return batchOf(this.#document)
  }

  save(change: (batch: Batch) => Batch | null): Promise<Batch | null> {
    const saved = this.#last.then(() => this.#save(change, CLAIM_MS))
    this.#last = saved.catch(() => {})
    return saved
  }

  /** `isSoon`: others may go on now; else when the claim is over. */
  async release(isSoon: boolean): Promise<void> {
    await this.#last
    if (!isOver(this.batch) && isSoon) await this.#save((batch) => ({ ...batch, owner: null }), 0)
  }

  async #save(change: (batch: Batch) => Batch | null, claimMs: number): Promise<Batch | null> {
    const { documents, owner, wallMs } = this.#deps
    for (let tries = 0; tries < MOST_TRIES && !this.#isLost; tries++) {
      const next = change(this.batch)
      if (next === null) return null
      const stored = await documents.put(batchDocument(next, wallMs() + claimMs), this.#document.version)
      if (stored !== null) {
        this.#document = stored
        return batchOf(stored)
      }
      // Somebody wants it canceled, or has taken it
      const now = await documents.get('batch', this.#document.id)
      if (now === null || batchOf(now).owner !== owner) this.#isLost = true
      else this.#document = now
    }
    return null
  }
}
