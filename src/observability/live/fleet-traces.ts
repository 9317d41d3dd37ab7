/** Jobs of a fleet, newest first: what each of its nodes knows of one is put together when it has changed. */
import type { JobId } from '../../core/job.ts'
import { mergeTraces, type PackedTrace, packTrace } from '../traces/merged.ts'
import { MAX_TRACES, type Trace, type TraceBook, type Traces } from '../traces/traces.ts'
import type { Copy } from './copies.ts'

export class FleetTraces implements TraceBook {
  readonly #own: Traces
  readonly #copies: () => Iterable<Copy>
  readonly #merged = new Map<JobId, Trace>()
  #newest: readonly Trace[] = []
  #version = 0
  #ownVersion = 0
  #ownEdit = 0

  constructor(own: Traces, copies: () => Iterable<Copy>) {
    this.#own = own
    this.#copies = copies
  }

  get version(): number {
    this.#refresh()
    return this.#version
  }

  get(job: JobId): Trace | null {
    this.#refresh()
    return this.#merged.get(job) ?? null
  }

  newest(): Iterable<Trace> {
    this.#refresh()
    return this.#newest
  }

  isLate(trace: Trace, nowMs: number): boolean {
    return this.#own.isLate(trace, nowMs)
  }

  /** What was told of it was not all: it counts as changed. */
  touch(job: JobId): void {
    const trace = this.#merged.get(job)
    if (trace !== undefined) trace.version = ++this.#version
  }

  #refresh(): void {
    const changed = new Set<JobId>()
    if (this.#own.version !== this.#ownVersion) {
      this.#ownVersion = this.#own.version
      for (const { edit, pack } of this.#own.editedAfter(this.#ownEdit).sort((a, b) => a.edit - b.edit)) {
        this.#ownEdit = edit
        changed.add(pack().job)
      }
    }
    for (const copy of this.#copies()) {
      for (const job of copy.changed) changed.add(job)
      copy.changed.clear()
    }
    if (changed.size === 0) return
    for (const job of changed) this.#merge(job)
    const newest = [...this.#merged.values()].sort((a, b) => b.acceptedAtMs - a.acceptedAtMs)
    for (const { job } of newest.splice(MAX_TRACES)) this.#merged.delete(job)
    this.#newest = newest
  }

  #merge(job: JobId): void {
    const own = this.#own.get(job)
    const parts: PackedTrace[] = own === null ? [] : [packTrace(own, false)]
    for (const { jobs } of this.#copies()) {
      const part = jobs.get(job)
      if (part !== undefined) parts.push(part)
    }
    const trace = mergeTraces(parts)
    if (trace === null) return
    trace.version = ++this.#version
    this.#merged.set(job, trace)
  }
}
