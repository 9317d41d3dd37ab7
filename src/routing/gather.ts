/**
 * How long an upstream socket is left unread after a read, so that the next read brings several tokens. At low load
 * nothing is held back; when the event loop is busy with many streams, fewer and larger reads halve the cost of a token
 * (decision 0008).
 */
import { performance } from 'node:perf_hooks'
import type { Clock } from '../core/clock.ts'
import { gauge, type NumberSource } from '../core/numbers.ts'

/** Share of the loop's time above which gathering begins, and below which it ends: gathering itself lowers it. */
const BUSY = 0.3
const CALM = 0.15
const SAMPLE_MS = 200
/** Reads in a sample from which on gathering pays (15 streams of 50 tokens/s); while it lasts, there are a quarter. */
const MANY = 150
const FEW = 40

export interface GatherOptions {
  readonly gather: 'auto' | 'on' | 'off'
  readonly gatherMs: number
}

/** How long to gather, asked after each read; 0 = not at all. */
export interface GatherGauge extends NumberSource {
  readonly gatherMs: () => number
  stop(): void
}

export function gatherGauge({ gather, gatherMs }: GatherOptions, clock: Clock): GatherGauge {
  const always = gather === 'on' ? gatherMs : 0
  let nowMs = always
  let reads = 0
  let last = performance.eventLoopUtilization()
  function sample(): void {
    const read = performance.eventLoopUtilization()
    const { utilization } = performance.eventLoopUtilization(read, last)
    last = read
    const gathers = nowMs > 0
    nowMs = utilization > (gathers ? CALM : BUSY) && reads >= (gathers ? FEW : MANY) ? gatherMs : 0
    reads = 0
  }
  return {
    gatherMs() {
      reads++
      return nowMs
    },
    stop: gather === 'auto' ? clock.every(SAMPLE_MS, sample) : () => {},
    metrics: [gauge('gather_ms', 'How long an upstream is left unread after a read', () => nowMs, 'max')],
  }
}
