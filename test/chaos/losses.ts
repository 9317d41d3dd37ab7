/** Spans of a run whose writes may be lost: what was acknowledged or shown in them may be missing, if that is told. */
import type { Span } from './history.ts'

/** What was stored before the span reached its client later. */
const LATE_MS = 1_000

export class Losses {
  readonly #spans: readonly Span[]

  constructor(spans: readonly Span[]) {
    this.#spans = spans
  }

  /** It happened in one of them. */
  covers(atMs: number | undefined): boolean {
    return this.isAfter(atMs, LATE_MS)
  }

  /** In one of them, or within so long after it. */
  isAfter(atMs: number | undefined, withinMs: number): boolean {
    return atMs !== undefined && this.#spans.some(({ fromMs, toMs }) => fromMs <= atMs && atMs <= toMs + withinMs)
  }

  /** One has begun by then. */
  anyBy(atMs: number | undefined): boolean {
    return atMs !== undefined && this.#spans.some(({ fromMs }) => fromMs <= atMs)
  }
}
