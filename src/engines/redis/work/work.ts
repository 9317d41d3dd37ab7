/**
 * The worker's side of the fleet: seats are taken over the bus, leases are pushed, and a heartbeat each second tells
 * the coordinator what is held here, so that whatever message was lost heals within a beat.
 */
import type { CheckReport } from '../../../core/engine-check.ts'
import { SluiceError } from '../../../core/errors.ts'
import type { JobId } from '../../../core/job.ts'
import type { Shortfall } from '../../../core/limits.ts'
import {
  type Attachment,
  type Claim,
  FENCED,
  type Finished,
  type Lease,
  type Outcome,
  type Race,
  type Work,
  type Worker,
} from '../../../core/ports/work.ts'
import type { Ground } from '../bus/ground.ts'
import { packOutcome } from '../protocol/commands.ts'
import type { Beat, Enclosed, FinishAnswer, LeaseNote } from '../protocol/messages.ts'
import { readLive } from '../protocol/rows.ts'
import { Beats } from './beats.ts'
import { attemptKey, type Held, HeldAttempts, type Seat } from './held.ts'
import { fetchBodies, leaseOf } from './leases.ts'

/** What work needs of the token log. */
export interface AttemptLogs {
  /** The lease is this process's: its log can be opened. */
  begin(job: JobId, attempt: number, log: { readonly epoch: number; readonly head: number }): void
  /** Stores a command in the inbox, behind the attempt's text; nothing is written after it. */
  store(job: JobId, attempt: number, entry: string): Promise<'stored' | 'fenced'>
  /** Last seq of what the attempt wrote, or found; null: it is over. */
  taken(job: JobId, attempt: number): number | null
  /** The attempt writes nothing more; resolves when what it wrote is stored, or never will be. */
  settle(job: JobId, attempt: number): Promise<void>
  /** Nothing of this attempt is stored any more. */
  fence(job: JobId, attempt: number): void
}

/** No lease runs out while its coordinator can't hear, so an attempt's end waits longer than other commands. */
const FINISH_WITHIN_MS = 60_000
/** Reports of checks in one message. */
const REPORTS = 64
/** What an answer is kept for where its end never comes. */
const ANSWER_S = 3_600

export class FleetWork implements Work {
  readonly #ground: Ground
  readonly #logs: AttemptLogs
  /** By the worker's own name. */
  readonly #seats = new Map<string, Seat>()
  readonly #held = new HeldAttempts()
  readonly #beats: Beats
  #made = 0
  #closed = false
  /** Requests are on their way; what was told after them waits. */
  #fetching: Promise<void> | null = null

  /** `reading`: all plain POSTs that have a reader here. */
  constructor(ground: Ground, logs: AttemptLogs, reading: () => readonly JobId[]) {
    this.#ground = ground
    this.#logs = logs
    this.#beats = new Beats(
      ground,
      () => this.#told(),
      () => this.#held.streamed(),
      reading,
    )
    ground.bus.onMessage((message, enclosed) => {
      if (message.type === 'leased') this.#leased(message.leases, enclosed)
      else if (message.type === 'cut') this.#inOrder(() => this.#cut(message.id, message.attempt, message.cause))
      else this.#inOrder(() => this.revoke(message.id, message.attempt, message.reason))
    })
  }

  // ------------------------------------------------------------ workers

  attach(worker: Worker): Attachment {
    const { bus } = this.#ground
    const known = this.#seats.get(worker.id)
    const id = known?.id ?? `${bus.process}.${++this.#made}`
    const seat: Seat = known ?? { id, worker, slots: worker.slots, version: 0, isAlive: true }
    seat.worker = worker
    this.#seats.set(worker.id, seat)
    const isSeated = (): boolean => this.#seats.get(worker.id) === seat && seat.worker === worker
    const sit = (slots: number): void => {
      if (!isSeated()) return
      seat.slots = slots
      const version = ++seat.version
      bus.ask({ type: 'seat', worker: id, pools: worker.pools, slots, version }).catch(() => {}) // by the next beat
    }
    sit(worker.slots)
    return {
      heartbeat: () => {
        seat.isAlive = true
        this.#beats.soon()
      },
      resize: sit,
      leave: async () => {
        if (!isSeated()) return
        this.#seats.delete(worker.id)
        const left = this.#held.of(seat).filter(({ isFinishing }) => !isFinishing)
        for (const held of left) this.#held.end(held)
        // What it wrote is shown, whoever goes on
        await Promise.all(left.map((held) => this.#logs.settle(held.id, held.attempt)))
        await bus.ask({ type: 'leave', worker: id })
        for (const held of left) this.#logs.fence(held.id, held.attempt)
      },
    }
  }

  checked(reports: readonly CheckReport[]): void {
    for (let at = 0; at < reports.length; at += REPORTS)
      this.#ground.bus.tell({ type: 'checked', reports: reports.slice(at, at + REPORTS) })
  }

  onChecked(fn: (reports: readonly CheckReport[]) => void): void {
    this.#ground.bus.onControl((control) => control.type === 'checked' && fn(control.reports))
  }

  /** A stop began: what this process still holds when it is gone counts as handed back. */
  draining(): void {
    this.#ground.bus.ask({ type: 'draining' }).catch(() => {}) // then it is a crash of its jobs
  }

  close(): void {
    this.#closed = true
    this.#beats.close()
    this.#seats.clear()
  }

  /** Output tokens that an attempt has stored. */
  charge(id: JobId, attempt: number, tokens: number): void {
    const held = this.#held.get(id, attempt)
    if (held !== undefined) held.streamed += tokens
    this.#beats.charge(id, attempt, tokens)
  }

  #told(): Beat['workers'] {
    return [...this.#seats.values()].map((seat) => {
      const { id, slots, version, isAlive: alive, worker } = seat
      seat.isAlive = false
      const held = this.#held.of(seat).map((each) => attemptKey(each.id, each.attempt))
      return { id, pools: worker.pools, slots, version, alive, held }
    })
  }

  // ------------------------------------------------------------ leases

  #leased(notes: readonly LeaseNote[], enclosed: readonly Enclosed[]): void {
    this.#inOrder(() => {
      const missing = notes.filter((_, i) => enclosed[i]?.body == null).map(({ id }) => id)
      if (missing.length === 0) return this.#deliver(notes, enclosed)
      return fetchBodies(this.#ground, missing, () => this.#closed).then((bodies) =>
        this.#deliver(
          notes,
          enclosed.map((each, i) => ({ ...each, body: each.body ?? bodies.get(notes[i].id) ?? null })),
        ),
      )
    })
  }

  /** In the order in which it was told, though something of it has to be fetched first. */
  #inOrder(fn: () => void | Promise<void>): void {
    const fetching = this.#fetching === null ? fn() : this.#fetching.then(fn)
    if (fetching === undefined) return
    const done = fetching.finally(() => {
      if (this.#fetching === done) this.#fetching = null
    })
    this.#fetching = done
  }

  #deliver(notes: readonly LeaseNote[], enclosed: readonly Enclosed[]): void {
    const leases = new Map<Seat, Lease[]>()
    for (const [i, note] of notes.entries()) {
      const { id, attempt, worker } = note
      const seat = [...this.#seats.values()].find((each) => each.id === worker)
      if (seat === undefined || this.#held.get(id, attempt) !== undefined) continue
      const row = readLive(note.row ?? enclosed[i].row ?? '')
      const streamed = this.#held.over(id, attempt)
      if (row === null) this.#giveUp(note, { kind: 'failed', error: UNREADABLE, retry: true })
      else if (streamed !== undefined) {
        // It ran here: another attempt may run, this one never again
        const { promptTokens } = row.facts
        const attemptUsage = { promptTokens, completionTokens: streamed, estimated: true }
        if (note.again) this.#giveUp(note, { kind: 'released', attemptUsage })
      } else {
        this.#held.add(seat, id, attempt)
        this.#logs.begin(id, attempt, { epoch: note.epoch, head: enclosed[i].head })
        const own = leases.get(seat) ?? []
        own.push(leaseOf(note, row, enclosed[i]))
        leases.set(seat, own)
      }
    }
    for (const [{ worker }, own] of leases) worker.leased(own)
  }

  #giveUp({ worker, id, attempt }: LeaseNote, outcome: Outcome): void {
    const packed = packOutcome(outcome)
    this.#ground.bus.ask({ type: 'finish', worker, id, attempt, outcome: packed }).catch(() => {}) // it is told again
  }

  /** Canceled, or lost: so the coordinator says, or the log, which was refused. */
  revoke(id: JobId, attempt: number, reason: 'canceled' | 'lost'): void {
    const held = this.#held.get(id, attempt)
    if (held === undefined || held.isFinishing || (reason === 'canceled' && held.isRevoked)) return
    held.isRevoked = true
    if (reason === 'lost') {
      this.#held.end(held)
      this.#logs.fence(id, attempt)
    }
    held.seat.worker.revoked(id, attempt, reason)
  }

  #cut(id: JobId, attempt: number, cause: Shortfall): void {
    const held = this.#held.get(id, attempt)
    if (held !== undefined && !held.isFinishing && !held.isRevoked) held.seat.worker.cut(id, attempt, cause)
  }

  // ------------------------------------------------------------ ends

  async hedge({ job, attempt }: Lease): Promise<Claim | null> {
    const held = this.#held.get(job.id, attempt)
    if (held === undefined || held.isFinishing || held.isRevoked) return null
    return await this.#ground.bus.ask({ type: 'hedge', worker: held.seat.id, id: job.id, attempt })
  }

  raced({ job, attempt }: Lease, race: Race): void {
    const held = this.#held.get(job.id, attempt)
    if (held === undefined || held.isFinishing) return
    const told = { type: 'raced', worker: held.seat.id, id: job.id, attempt, race } as const
    this.#ground.bus.ask(told).catch(() => {}) // by its end
  }

  async finish(lease: Lease, outcome: Outcome): Promise<Finished> {
    const { bus, clock } = this.#ground
    const { job, attempt } = lease
    const held = this.#held.get(job.id, attempt)
    if (held === undefined || held.isFinishing) return FENCED
    held.isFinishing = true
    // What is appended from here on is not stored; what was before is, ahead of the end
    void this.#logs.settle(job.id, attempt)
    const { answer: _answer, ...told } = { answer: '', ...packOutcome(outcome) }
    const head = this.#logs.taken(job.id, attempt)
    const ends = { worker: held.seat.id, id: job.id, attempt, ...(head !== null && { head }), outcome: told }
    const ask = { type: 'finish', ...ends } as const
    try {
      const finished = await bus.askVia(ask, this.#storing(lease, outcome), FINISH_WITHIN_MS)
      return finishedOf(finished, clock.monoMs())
    } catch (error) {
      if (error !== REFUSED) throw error
      // So the log answers to an end that was stored before, and has been committed since, too
      return await this.#finishedBefore(held, outcome.kind)
    } finally {
      this.#held.end(held)
      this.#logs.fence(job.id, attempt)
    }
  }

  async #finishedBefore({ seat, id, attempt }: Held, kind: Outcome['kind']): Promise<Finished> {
    const { bus, clock } = this.#ground
    return finishedOf(await bus.ask({ type: 'finished', worker: seat.id, id, attempt, kind }), clock.monoMs())
  }

  /** After the attempt's text, each time: Redis may have lost that since. */
  #storing(lease: Lease, outcome: Outcome): (entry: string) => Promise<void> {
    let isStoring = false
    let isKept = false
    return async (entry) => {
      if (isStoring) return
      isStoring = true
      try {
        // In this very turn where there is none: an end that comes with its text shares its script
        const keeping = isKept ? null : this.#keepAnswer(lease, outcome)
        if (keeping !== null) await keeping
        isKept = true
        if ((await this.#logs.store(lease.job.id, lease.attempt, entry)) === 'fenced') throw REFUSED
      } finally {
        isStoring = false
      }
    }
  }

  /** Beside the bus; the commit that ends the job takes it. */
  #keepAnswer({ job, attempt }: Lease, outcome: Outcome): Promise<unknown> | null {
    if (!('answer' in outcome) || outcome.answer === undefined || job.options.conversation === undefined) return null
    const { scripts, names } = this.#ground
    return scripts.run('keep', [names.answer(job.id, attempt), outcome.answer, ANSWER_S])
  }
}

const finishedOf = (finished: FinishAnswer, now: number): Finished =>
  finished.kind === 'again' ? { kind: 'again', notBeforeMono: now + finished.inMs } : finished

const UNREADABLE = new SluiceError('job_damaged', { message: 'This worker can not read the job: see its version.' })
/** By the log: the attempt is over. */
const REFUSED = new SluiceError('internal')
