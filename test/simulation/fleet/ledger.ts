/**
 * What a fleet has promised, and what its store shows of that: whatever is stored is judged as it is stored, by rules
 * that know nothing of how it was decided.
 */
import type { Coordinator } from '../../../src/core/ports/coordinator.ts'
import type { Finished } from '../../../src/core/ports/work.ts'
import { readFrames } from '../../../src/engines/redis/log/chunk.ts'
import { readMail } from '../../../src/engines/redis/protocol/messages.ts'
import { type LiveRow, type RunRow, readEnded, readLive, readRun } from '../../../src/engines/redis/protocol/rows.ts'
import { must } from '../ledger.ts'
import { Cancels } from './cancels.ts'
import { LedgerLogs } from './logs.ts'
import type { Reply } from './model.ts'
import type { Call, Observer, SimServer } from './server.ts'
import { type Counted, judgeSlots, type Terms } from './slots.ts'
import { JudgedUsage, judgeConcurrency } from './usage.ts'

export const SHARD = '{s0}'

interface Known {
  readonly row: LiveRow
  /** As it was stored last. */
  run: RunRow | null
  runText: string
  end: { readonly state: string; readonly attempts: number; readonly at: number } | null
  isLost: boolean
}

interface Decided {
  readonly machine: Coordinator
  readonly counted: Counted
}

export class FleetLedger implements Observer {
  readonly logs = new LedgerLogs()
  readonly usage = new JudgedUsage()
  /** Machines of the terms, by their host. */
  readonly machines = new Map<string, Coordinator>()
  /** What the machine counted when a commit was decided, by term and number: by now it may be ahead of that. */
  readonly #decided = new Map<string, Decided>()
  /** How often the store lost its end. */
  losses = 0
  /** It has lost all it had: its epochs begin anew, and tell nothing. */
  isEmptied = false
  readonly jobs = new Map<string, Known>()
  readonly #server: SimServer
  readonly #terms: Terms
  readonly #byTag = new Map<string, string[]>()
  readonly #byKey = new Map<string, string>()
  readonly #begun = new Map<string, number>()
  /** Ends of attempts as their workers gave them: records written. */
  readonly #reported = new Map<string, { readonly kind: string; readonly records: number }>()
  readonly cancels = new Cancels()
  #seq = 0

  constructor(server: SimServer, terms: Terms) {
    this.#server = server
    this.#terms = terms
  }

  get #now(): number {
    return this.#server.timeline.now
  }

  // ------------------------------------------------------------ what is stored

  sent({ name, args: [, term, number] }: Call): void {
    if (name !== 'commit') return
    const [commit, machine] = [`${term}:${number}`, this.machines.get(term.slice(term.indexOf('.') + 1))!]
    // Sent again; of another machine where the count of terms was lost
    if (this.#decided.get(commit)?.machine === machine) return
    this.#decided.set(commit, { machine, counted: machine.status(0) })
  }

  stored({ name, args }: Call, reply: Reply): void {
    if (name === 'commit') {
      if ((reply as readonly Reply[])[0] === 'ok') this.#judgeCommit(`${args[1]}:${args[2]}`)
    } else if (name === 'append') {
      const groups = Number(args[3])
      for (let g = 0; g < groups; g++) this.#judgeText(args[5 + 2 * g])
    }
  }

  /** Only whoever holds a job writes. */
  #judgeText(frames: string): void {
    readFrames(frames, ({ job }) => {
      const run = this.jobs.get(job)?.run
      this.logs.judge(
        this.#server.db,
        `${SHARD}:l`,
        job,
        (attempt, worker) => run?.attempt === attempt && run.worker === worker,
      )
    })
  }

  #judgeCommit(commit: string): void {
    const { db } = this.#server
    const live = db.hash(`${SHARD}:live`)
    const run = db.hash(`${SHARD}:run`)
    for (const [id, text] of live) if (this.jobs.get(id)?.isLost !== false) this.#judgeAccepted(id, text)
    this.usage.stored(db, SHARD, this.#tenantOf)
    for (const [id, known] of this.jobs) {
      // Its submit was not lost, nor its cancel: taken again, it has ended at once
      if (known.isLost && db.exists(`${SHARD}:r:${id}`)) known.isLost = false
      if (known.end !== null || known.isLost) continue
      if (!live.has(id)) this.#judgeEnd(id, known)
      else this.#judgeRun(id, known, run.get(id) ?? '')
    }
    for (const id of run.keys()) must(live.has(id), `${id} runs, and has ended`)
    this.usage.judge(db, SHARD)
    this.#judgeSlots(commit)
  }

  #judgeAccepted(id: string, text: string): void {
    const row = readLive(text)
    must(row !== null && row.id === id, `${id}: its row can not be read`)
    must(row.seq > this.#seq, `${id} is accepted as ${row.seq}, after ${this.#seq}`)
    this.#seq = row.seq
    this.jobs.set(id, { row, run: null, runText: '', end: null, isLost: false })
    const { metadata, tenant, options } = row.facts
    const tag = metadata!['tag']
    const twins = (this.#byTag.get(tag) ?? []).filter((twin) => twin !== id && this.#counts(twin))
    must(twins.length === 0, `${tag} is accepted twice, as ${twins} and ${id}`)
    this.#byTag.set(tag, [...twins, id])
    if (options.idempotencyKey === undefined) return
    const key = `${tenant} ${options.idempotencyKey}`
    const twin = this.#byKey.get(key)
    must(twin === undefined || twin === id || this.jobs.get(twin)!.isLost, `${twin} and ${id} have the key ${key}`)
    this.#byKey.set(key, id)
  }

  #counts(id: string): boolean {
    const known = this.jobs.get(id)!
    return !known.isLost && known.end?.state !== 'canceled'
  }

  #judgeRun(id: string, known: Known, text: string): void {
    if (text === known.runText) return
    const run = readRun(text)
    must(run !== null, `${id}: its run can not be read`)
    const before = known.run
    known.run = run
    known.runText = text
    const attempts = Math.max(before?.attempt ?? 0, before?.tally.attempts ?? 0)
    if (before !== null && before.attempt > 0 && before.attempt !== run.attempt) this.usage.ended(id, before.attempt)
    must(run.tally.attempts >= attempts, `${id} had ${attempts} attempts, and has ${run.tally.attempts}`)
    must(!this.#terms.isCalm || run.tally.deaths === 0, `${id}: a worker was blamed that was well`)
    if (run.attempt === 0) return
    if (before?.attempt === run.attempt) {
      must(before.worker === run.worker, `${id}: attempt ${run.attempt} of ${before.worker} is given to ${run.worker}`)
      return
    }
    must(run.attempt > attempts, `${id}: attempt ${run.attempt} after ${attempts}`)
    const { lane } = known.row.facts.options
    if (lane === undefined) return
    for (const [other, { row, end, isLost }] of this.jobs)
      if (end === null && !isLost && row.facts.options.lane === lane && row.facts.tenant === known.row.facts.tenant)
        must(row.seq >= known.row.seq || !this.#isLive(other), `${id} overtakes ${other} of its lane`)
  }

  #isLive(id: string): boolean {
    return this.#server.db.hash(`${SHARD}:live`).has(id)
  }

  #judgeEnd(id: string, known: Known): void {
    const { db } = this.#server
    const stored = db.get(`${SHARD}:r:${id}`)
    must(stored !== null, `${id} is gone, and has not ended`)
    const row = readEnded(stored)
    must(row !== null, `${id}: its end can not be read`)
    const { state } = row.end
    known.end = { state, attempts: row.attempts, at: this.#now }
    if (known.run !== null && known.run.attempt > 0) this.usage.ended(id, known.run.attempt)
    this.logs.judge(db, `${SHARD}:l`, id)
    must(this.logs.isEnded(id), `${id} has ended, and its log has not`)
    must(this.logs.head(id) === row.head, `${id}: its log has ${this.logs.head(id)} records of ${row.head}`)
    if (state === 'done') this.#judgeDone(id, row.attempts, known)
    if (state === 'canceled') must(this.cancels.mayBe(id, tagOf(known)), `${id}: nobody canceled it`)
  }

  #judgeDone(id: string, attempt: number, { run }: Known): void {
    must(run?.attempt === attempt, `${id} is done by attempt ${attempt}, and ${run?.attempt} runs`)
    const reported = this.#reported.get(`${id} ${attempt} ${run.worker}`)
    must(reported?.kind === 'done', `${id} is done, which its worker never told`)
    const last = this.logs.last(id)
    const written = last?.attempt === attempt ? last.k : 0
    must(written === reported.records, `${id} is done with ${written} records of ${reported.records}`)
  }

  readonly #tenantOf = (id: string): string => this.jobs.get(id)!.row.facts.tenant

  #judgeSlots(commit: string): void {
    const running = [...this.jobs.values()].filter(
      ({ run, end, isLost }) => run !== null && run.attempt > 0 && end === null && !isLost,
    )
    judgeSlots(
      running.map(({ run }) => run!),
      this.#terms,
      this.#decided.get(commit)!.counted,
    )
    judgeConcurrency(running.map(({ row }) => row.facts.tenant))
  }

  /** Nothing is told that is not stored. */
  told(channel: string, message: string): void {
    if (!channel.startsWith(`${SHARD}:p:`)) return
    const { db } = this.#server
    for (const told of readMail(Buffer.from(message, 'latin1')).messages)
      if (told.type === 'leased')
        for (const { id, attempt, worker } of told.leases) {
          const run = db.hash(`${SHARD}:run`).get(id) ?? ''
          must(run.startsWith(`${attempt} ${worker} `), `${worker} is told of ${id} ${attempt}, which is not stored`)
        }
      else if (told.type === 'answer' && Array.isArray(told.is))
        for (const answer of told.is as ReadonlyArray<{ readonly kind?: string; readonly id?: string }>)
          if (answer.kind === 'accepted')
            must(
              this.#isLive(answer.id!) || db.exists(`${SHARD}:r:${answer.id}`),
              `${answer.id} is told to be accepted, and is not stored`,
            )
  }

  lost(): void {
    this.losses++
    const { db } = this.#server
    const lostAll = db.list(`${SHARD}:epochs`).length === 0
    this.isEmptied ||= lostAll
    this.logs.forget(lostAll)
    this.#seq = 0
    for (const [id, known] of this.jobs) {
      const ended = readEnded(db.get(`${SHARD}:r:${id}`) ?? '')
      known.isLost = ended === null && !this.#isLive(id)
      if (ended === null) known.end = null
      if (known.isLost) {
        // Where it is taken again, that is another run of it
        known.run = null
        known.runText = ''
        continue
      }
      this.#seq = Math.max(this.#seq, known.row.seq)
      known.runText = db.hash(`${SHARD}:run`).get(id) ?? ''
      known.run = readRun(known.runText)
      this.logs.judge(db, `${SHARD}:l`, id)
    }
    this.usage.lost(db, SHARD, this.#tenantOf)
  }

  // ------------------------------------------------------------ what clients and workers see

  acknowledged(id: string): void {
    must(this.jobs.has(id), `${id} is acknowledged, and was never accepted`)
  }

  canceled(id: string, kind: string, losses: number): void {
    if (losses !== this.losses) return
    const known = this.jobs.get(id)!
    if (known.isLost) return
    must(kind !== 'unknown', `${id} was accepted, and is unknown`)
    if (kind === 'canceled') must(known.end?.state === 'canceled', `${id} is told to be canceled: ${known.end?.state}`)
    if (kind === 'ended') must(known.end !== null, `${id} is told to have ended`)
  }

  begins(worker: string, id: string, attempt: number): void {
    const key = `${id} ${attempt}`
    must(this.#begun.get(key) !== this.losses, `attempt ${attempt} of ${id} runs twice`)
    this.#begun.set(key, this.losses)
    must(!this.#reported.has(`${key} ${worker}`), `attempt ${attempt} of ${id} runs again`)
  }

  reports(worker: string, id: string, attempt: number, kind: string, records: number): void {
    this.#reported.set(`${id} ${attempt} ${worker}`, { kind, records })
  }

  finished(id: string, attempt: number, finished: Finished, losses: number): void {
    if (losses !== this.losses) return
    const known = this.jobs.get(id)
    must(known !== undefined, `${id} was never accepted`)
    if (finished.kind === 'ended')
      must(
        known.end?.state === finished.state && known.end.attempts === attempt,
        `${id} is told to be ${finished.state}: ${JSON.stringify(known.end)}`,
      )
  }

  // ------------------------------------------------------------ at its end

  get open(): readonly string[] {
    return [...this.jobs].filter(([, { end, isLost }]) => end === null && !isLost).map(([id]) => id)
  }

  /** All has ended, and nothing is to come: what was lost may be taken again, as its submit was not. */
  get isIdle(): boolean {
    const { db } = this.#server
    const isLive = db.hash(`${SHARD}:live`).size > 0 || db.stream(`${SHARD}:inbox`).entries.length > 0
    return !isLive && this.open.length === 0
  }

  settled(): void {
    const { db } = this.#server
    for (const name of ['live', 'after', 'run', 'fol', 'ttft']) {
      // "-" is no job: see lua/takeover.lua
      const left = [...db.hash(`${SHARD}:${name}`).keys()].filter((key) => key !== '-')
      must(left.length === 0, `${name} still has ${left}`)
    }
    must(db.stream(`${SHARD}:inbox`).entries.length === 0, 'the inbox is not empty')
    for (const known of this.jobs.values()) {
      const at = this.cancels.refusedAt(tagOf(known))
      if (at === undefined || known.isLost || known.end === null) continue
      must(
        known.end.state === 'canceled' || known.end.at < at + REFUSED_RUNS_MS,
        `${known.row.id} was refused, and is ${known.end.state}`,
      )
    }
  }
}

/** What was refused in doubt is canceled after this at the latest. */
const REFUSED_RUNS_MS = 30_000

const tagOf = ({ row }: Known): string => row.facts.metadata!['tag']
