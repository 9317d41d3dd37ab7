/**
 * How long an upstream socket is left unread after a read, so that the next read brings several tokens. At low load
 * nothing is held back; when the event loop is busy, fewer and larger reads halve the cost of a token (decision 0008).
 */
import { performance } from 'node:perf_hooks'
import type { Clock } from '../core/clock.ts'
import { gauge, type NumberSource } from '../core/numbers.ts'

/** Share of the loop's time above which gathering begins, and below which it ends: gathering itself lowers it. */
const BUSY = 0.3
const CALM = 0.15
const SAMPLE_MS = 200

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
  if (gather !== 'auto')
    return gathered(
      () => (gather === 'on' ? gatherMs : 0),
      () => {},
    )
  let last = performance.eventLoopUtilization()
  let gathering = false
  const stop = clock.every(SAMPLE_MS, () => {
    const now = performance.eventLoopUtilization()
    const { utilization } = performance.eventLoopUtilization(now, last)
    last = now
    gathering = utilization > (gathering ? CALM : BUSY)
  })
  return gathered(() => (gathering ? gatherMs : 0), stop)
}

const gathered = (gatherMs: () => number, stop: () => void): GatherGauge => ({
  gatherMs,
  stop,
  metrics: [gauge('gather_ms', 'How long an upstream is left unread after a read', gatherMs, 'max')],
})
