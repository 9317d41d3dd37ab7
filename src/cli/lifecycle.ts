/**
 * What signals do to a server:
 *
 *   SIGTERM, SIGINT, SIGQUIT   stop: drain, hand back what still runs, close; again (after a second): hand back at once
 *   SIGHUP                     reload the configuration; or stop, if the server's terminal is gone
 *   SIGUSR2                    nothing
 *
 * They may come at any moment, also while it starts, and any number of times.
 */
import type { Clock } from '../core/clock.ts'
import { EXIT } from './command.ts'
import type { ServerLog } from './log.ts'
import { hasLostTerminal } from './signals.ts'

/** What happened to the jobs that ran. */
export interface Stopped {
  readonly jobsFinished: number
  readonly jobsHandedBack: number
}

export interface Running {
  stop(): Promise<Stopped>
  /** Ends a stop in progress as soon as possible. */
  hurry(): void
  reload(): Promise<void>
}

/** A terminal signals its whole process group, and npm passes the signal on: one Ctrl-C arrives twice. */
const SAME_SIGNAL_MS = 1_000
/** A stop that takes longer than this is stuck. */
const STUCK_AFTER_MS = 5_000
/** One that meets a start: all that is loaded must be first, which a busy machine takes seconds for. */
const STUCK_STARTING_MS = 12_000

export class Lifecycle {
  /** Resolves when the server has stopped. */
  readonly stopped: Promise<void>
  readonly #log: ServerLog
  readonly #clock: Clock
  readonly #abort = new AbortController()
  #resolve!: () => void
  #running: Running | null = null
  #stopAskedMono: number | null = null
  #mustReload = false
  #drainMs = 0

  constructor(log: ServerLog, clock: Clock) {
    this.#log = log
    this.#clock = clock
    this.stopped = new Promise((resolve) => (this.#resolve = resolve))
  }

  /** Aborted by a signal to stop: a start in progress need not be finished. */
  get stopAsked(): AbortSignal {
    return this.#abort.signal
  }

  started(running: Running, drainMs: number): void {
    this.#running = running
    this.#drainMs = drainMs
    if (this.#stopAskedMono !== null) this.#stop(running)
    else if (this.#mustReload) void running.reload()
  }

  readonly signal = (signal: NodeJS.Signals): void => {
    if (signal === 'SIGUSR2') return this.#log.info({ signal }, 'signal ignored')
    if (signal === 'SIGHUP' && !hasLostTerminal()) {
      this.#mustReload = true
      void this.#running?.reload()
      return
    }
    const now = this.#clock.monoMs()
    if (this.#stopAskedMono === null) {
      this.#stopAskedMono = now
      this.#log.info({ signal }, 'stopping: running jobs may finish; send the signal again to hand them back now')
      this.#abort.abort()
      if (this.#running === null) this.#endWithin(STUCK_STARTING_MS)
      else this.#stop(this.#running)
    } else if (now - this.#stopAskedMono >= SAME_SIGNAL_MS) this.#running?.hurry()
  }

  #stop(running: Running): void {
    this.#endWithin(this.#drainMs + STUCK_AFTER_MS)
    running.stop().then(
      (stopped) => {
        this.ended(stopped)
        this.#resolve()
      },
      (err: unknown) => {
        this.#log.error({ err }, 'the stop failed')
        process.exit(EXIT.failed)
      },
    )
  }

  /** The last line of a stop that went well. */
  ended({ jobsFinished, jobsHandedBack }: Stopped): void {
    const tookMs = Math.round(this.#clock.monoMs() - (this.#stopAskedMono ?? 0))
    this.#log.info({ jobs_finished: jobsFinished, jobs_handed_back: jobsHandedBack, took_ms: tookMs }, 'stopped')
  }

  #endWithin(ms: number): void {
    this.#clock.after(ms, () => {
      this.#log.error({ ms }, 'the stop is stuck: the process ends')
      process.exit(EXIT.failed)
    })
  }
}
