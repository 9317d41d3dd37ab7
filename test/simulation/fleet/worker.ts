/** A worker that writes text which tells whose it is, and ends its attempts in all ways. */
import { SluiceError } from '../../../src/core/errors.ts'
import type { JobId, Usage } from '../../../src/core/job.ts'
import type { LogWriter } from '../../../src/core/ports/log.ts'
import type { Attachment, Lease, Outcome, Work, Worker } from '../../../src/core/ports/work.ts'
import type { Logs } from '../../../src/engines/redis/log/log.ts'
import { recordOf } from './logs.ts'
import { type Fleet, LEASE_MS, type SimNode, WORKER_SLOTS } from './node.ts'

interface Run {
  readonly lease: Lease
  readonly writer: LogWriter
  written: number
  /** Records to come. */
  left: number
  stop: () => void
}

const TIMING = { queuedMs: 0, totalMs: 0, attempts: 1 }
/** What an attempt came to that wrote so much. */
const usageOf = ({ written }: Run, estimated: boolean): Usage => ({
  promptTokens: 10,
  completionTokens: written,
  estimated,
})
const released = (run: Run): Outcome => ({ kind: 'released', attemptUsage: usageOf(run, true) })
/** Between two records. */
const PACES = [2, 20, 150, 700]
const DRAIN_MS = 500

export class SimWorker implements Worker {
  readonly id = 'w'
  readonly pools: readonly string[] = []
  readonly slots = WORKER_SLOTS
  /** As the fleet knows it. */
  readonly name: string
  readonly #fleet: Fleet
  readonly #node: SimNode
  readonly #work: Work
  readonly #logs: Logs
  readonly #runs = new Map<string, Run>()
  readonly #attachment: Attachment

  constructor(fleet: Fleet, node: SimNode, work: Work, logs: Logs) {
    this.#fleet = fleet
    this.#node = node
    this.#work = work
    this.#logs = logs
    this.name = `${node.ground!.bus.process}.1`
    this.#attachment = work.attach(this)
    node.clock.every(LEASE_MS / 3, () => this.#attachment.heartbeat())
  }

  cut(): void {}

  leased(leases: readonly Lease[]): void {
    for (const lease of leases) this.#begin(lease)
  }

  revoked(job: JobId, attempt: number, reason: 'canceled' | 'lost'): void {
    const run = this.#runs.get(job)
    if (run?.lease.attempt !== attempt) return
    this.#fleet.log(`${this.name} hears that ${job} ${attempt} is ${reason}`)
    run.stop()
    if (reason === 'canceled') void this.#end(run, { kind: 'canceled', attemptUsage: usageOf(run, true) })
    else this.#runs.delete(job)
  }

  /** Takes nothing more; what runs ends within its time, or is handed back. */
  async drain(): Promise<void> {
    this.#attachment.resize(0)
    await new Promise<void>((passed) => this.#node.clock.after(DRAIN_MS, passed))
    await Promise.all([...this.#runs.values()].map((run) => this.#end(run, released(run))))
    await this.#attachment.leave().catch(() => {})
  }

  #begin(lease: Lease): void {
    const { ledger, draw, log, network } = this.#fleet
    const { job, attempt } = lease
    try {
      ledger.begins(this.name, job.id, attempt)
    } catch (error) {
      network.timeline.fail(error)
    }
    log(`${this.name} begins ${job.id} ${attempt} at ${lease.log.head} of ${lease.log.epoch}`)
    if (lease.damaged !== undefined) network.timeline.fail(new Error(`${job.id} has no request`))
    const writer = this.#logs.open(lease)
    const run: Run = { lease, writer, written: 0, left: draw.below(8), stop: () => {} }
    this.#runs.set(job.id, run)
    const pace = draw.of(PACES)
    const next = (): void => {
      if (run.left-- > 0) {
        run.written++
        writer.append([recordOf(this.name, attempt, run.written)], 1, run.written === 1)
        run.stop = this.#node.clock.after(draw.below(2 * pace), next)
      } else void this.#end(run, this.#outcome(run))
    }
    run.stop = this.#node.clock.after(draw.below(2 * pace), next)
  }

  #outcome(run: Run): Outcome {
    const { draw } = this.#fleet
    if (draw.chance(0.75)) return { kind: 'done', usage: usageOf(run, false), timing: TIMING }
    if (draw.chance(0.3)) return released(run)
    const error = new SluiceError('provider_error')
    return { kind: 'failed', error, retry: draw.chance(0.7), textShown: false, attemptUsage: usageOf(run, true) }
  }

  async #end(run: Run, outcome: Outcome): Promise<void> {
    const { ledger, log, network } = this.#fleet
    const { lease } = run
    const { id } = lease.job
    if (this.#runs.get(id) !== run) return
    run.stop()
    this.#runs.delete(id)
    const { losses } = ledger
    ledger.reports(this.name, id, lease.attempt, outcome.kind, run.written)
    log(`${this.name} ends ${id} ${lease.attempt}: ${outcome.kind} after ${run.written}`)
    try {
      const finished = await this.#work.finish(lease, outcome)
      log(`${this.name} hears of ${id} ${lease.attempt}: ${finished.kind}`)
      ledger.finished(id, lease.attempt, finished, losses)
    } catch (error) {
      if (!(error instanceof SluiceError)) network.timeline.fail(error)
    }
  }
}
