/** A server with a number of slots and a fixed pace, in simulated time, around the real scheduler. */

import type { ScheduledJob } from '../../../core/ports/coordinator.ts'
import type { Headroom, Scheduler } from '../port.ts'
import { done, job, yes } from './jobs.ts'

const STEP_MS = 200

export interface Source {
  readonly tenant: string
  readonly promptTokens: number
  readonly outputTokens: number
  /** Jobs it wants in line at `now`; the simulation keeps as many there. Infinity is cut to 50. */
  readonly backlog: (now: number) => number
  readonly more?: Partial<ScheduledJob>
}

export interface Simulation {
  /** Weighted tokens served since the last call, by tenant. */
  served(): Readonly<Record<string, number>>
  run(untilMs: number): void
  readonly now: number
}

/** `slots` jobs at once, each `tokensPerSecond`. Prompts take no time. */
export function simulate(
  scheduler: Scheduler,
  sources: readonly Source[],
  slots: number,
  tokensPerSecond: number,
  headroom: Headroom = yes,
): Simulation {
  let now = 0
  let made = 0
  let served: Record<string, number> = {}
  const inLine = new Map<Source, number>(sources.map((source) => [source, 0]))
  const running = new Map<string, { readonly source: Source; readonly attempt: number; left: number }>()
  const sourceOf = new Map<string, Source>()

  function step(): void {
    now += STEP_MS
    for (const [id, run] of running) {
      const tokens = Math.min(run.left, (tokensPerSecond * STEP_MS) / 1_000)
      run.left -= tokens
      served[run.source.tenant] = (served[run.source.tenant] ?? 0) + 2 * tokens
      scheduler.charge(id, run.attempt, tokens)
      if (run.left > 0) continue
      running.delete(id)
      scheduler.finish(id, run.attempt, done(run.source.promptTokens, run.source.outputTokens), now)
    }
    for (const source of sources) {
      for (let missing = Math.min(50, source.backlog(now)) - inLine.get(source)!; missing > 0; missing--) {
        const id = `${source.tenant}${++made}`
        sourceOf.set(id, source)
        scheduler.submit(
          job(id, {
            tenant: source.tenant,
            promptTokens: source.promptTokens,
            acceptedMono: now,
            notBeforeMono: now,
            ...source.more,
          }),
          now,
        )
        inLine.set(source, inLine.get(source)! + 1)
      }
    }
    for (const { id, attempt } of scheduler.lease('w', [], slots - running.size, headroom, now)) {
      const source = sourceOf.get(id)!
      sourceOf.delete(id)
      inLine.set(source, inLine.get(source)! - 1)
      running.set(id, { source, attempt, left: source.outputTokens })
      served[source.tenant] = (served[source.tenant] ?? 0) + source.promptTokens
    }
    scheduler.heartbeat('w', now)
    scheduler.drain()
  }

  return {
    served() {
      const since = served
      served = {}
      return since
    },
    run(untilMs) {
      while (now < untilMs) step()
    },
    get now() {
      return now
    },
  }
}
