/** Who of the fleet is still there, and what becomes of what a worker held that is not. */
import type { Scripts } from '../client/scripts.ts'
import { LAYOUT, layoutOf } from '../protocol/version.ts'
import type { Process } from './fleet.ts'
import { processOf } from './held.ts'
import { absorb } from './outcomes.ts'
import type { Term } from './parts.ts'

/** Older processes may only be cut off, as when Redis restarts in a rolling upgrade: they have so long to be back. */
const BACK_MS = 10_000

export class RollCall {
  readonly #term: Term
  readonly #scripts: Scripts
  /** Of the store, as far as is known. */
  layout = 1
  /** It is not raised before. */
  #raisedFromMono = Infinity

  constructor(term: Term, scripts: Scripts) {
    this.#term = term
    this.#scripts = scripts
  }

  /** From now on processes are missed that may come back. */
  wait(): void {
    this.#raisedFromMono = this.#term.now() + BACK_MS
  }

  /** Does anybody hear for each process? Resolves with false where Redis is away: then all have time to come back. */
  async call(): Promise<boolean> {
    const { fleet, attendance, names, won } = this.#term
    const ids = [...new Set([...fleet.ids, ...attendance.processes()])]
    for (const id of ids) fleet.expect(id, this.#term.now())
    try {
      const heard = (await this.#scripts.run('heard', ids)) as readonly number[]
      const now = this.#term.now()
      for (const [i, id] of ids.entries()) fleet.presence(id, heard[i] > 0, now)
      if (this.layout < LAYOUT) {
        const layout = this.#mayRaise(now) ? LAYOUT : 0
        this.layout = (await this.#scripts.run('layout', [won.term, layout, names.processes()])) as number
      }
      return true
    } catch {
      return false
    }
  }

  /** The script sees only who is there at that moment. */
  #mayRaise(now: number): boolean {
    const { fleet } = this.#term
    return now >= this.#raisedFromMono && fleet.isSettled(now) && fleet.ids.every((id) => layoutOf(id) >= LAYOUT)
  }
}

/** Its workers, those of which only what they run is known among them. */
export function workersOf({ held }: Pick<Term, 'held'>, { id, workers }: Process): ReadonlySet<string> {
  return new Set([...workers.keys(), ...held.workers.filter((worker) => processOf(worker) === id)])
}

export function processGone(term: Term, process: Process): void {
  const { id, isDraining } = process
  const { attendance, journal } = term
  for (const worker of workersOf(term, process)) workerLeft(term, worker, isDraining)
  attendance.gone(id)
  if (isDraining) journal.draft.change('SREM', 'drain', id)
}

/** What it held is lost; handed back where it was about to stop, which is no crash. Its calls were made anyway. */
export function workerLeft(term: Term, worker: string, wasDraining: boolean): void {
  const { coordinator, held } = term
  const now = term.now()
  if (wasDraining)
    // Put back in front one after the other, they keep their order
    for (const job of [...held.of(worker)].sort((a, b) => b.row.seq - a.row.seq)) {
      const { promptTokens } = job.row.facts
      const attemptUsage = { promptTokens, completionTokens: job.streamed, estimated: true }
      coordinator.finish(job.id, job.attempt, { kind: 'released', attemptUsage }, now)
      absorb(term)
    }
  coordinator.leave(worker, now)
  absorb(term)
}
