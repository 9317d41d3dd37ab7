/** What calls share that are no chat of OpenAI's dialect: they are paused, aborted and timed, and end exactly once. */
import type { Clock } from '../../../core/clock.ts'
import type { ProviderCall, ProviderEnd, ProviderRun, ProviderSink } from '../../../core/ports/provider.ts'
import type { UpstreamLimits } from '../../../core/upstream-limits.ts'
import type { Sweep, Swept } from './sweep.ts'

/** What it is answered by. */
interface Upstream {
  readonly sentMono: number | null
  pause(): void
  resume(): void
}

export abstract class RunningCall implements ProviderRun, Swept {
  sweepPlace = -1
  protected readonly call: ProviderCall
  protected readonly sink: ProviderSink
  protected readonly startedMono: number
  /** When something came last; 0: nothing did. */
  protected lastMono = 0
  protected paused = false
  protected over = false
  readonly #clock: Clock
  readonly #sweep: Sweep

  constructor(clock: Clock, sweep: Sweep, call: ProviderCall, sink: ProviderSink) {
    this.#clock = clock
    this.#sweep = sweep
    this.call = call
    this.sink = sink
    this.startedMono = clock.monoMs()
  }

  /** Null: it is not asked yet. */
  protected abstract get upstream(): Upstream | null
  /** What the upstream told of our limits. */
  protected abstract get limits(): UpstreamLimits | undefined
  /** Lets go of the upstream. */
  protected abstract release(): void
  abstract sweep(nowMono: number): void

  protected begin(): void {
    this.#sweep.add(this)
  }

  /** It could not even be sent. Reported later in this turn, as `start` must return first. */
  refuse(end: ProviderEnd): void {
    queueMicrotask(() => this.finish(end))
  }

  get sentMono(): number | null {
    return this.upstream?.sentMono ?? null
  }

  abort(): void {
    if (this.over) return
    this.close()
    queueMicrotask(() => this.sink.end({ kind: 'aborted' }))
  }

  pause(): void {
    this.paused = true
    this.upstream?.pause()
  }

  resume(): void {
    this.paused = false
    // The wait was ours
    this.lastMono = this.#clock.monoMs()
    this.upstream?.resume()
  }

  protected finish(end: ProviderEnd): void {
    if (this.over) return
    const { limits } = this
    this.close()
    this.sink.end(limits === undefined || end.kind === 'aborted' ? end : { ...end, limits })
  }

  protected close(): void {
    this.over = true
    this.#sweep.delete(this)
    this.release()
  }
}
