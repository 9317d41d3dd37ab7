/** How long the event loop was held. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { type Histogram, histogram, type NumberSource } from '../core/numbers.ts'

/** The interval of the monitor's timer, which wakes even an idle process. */
const RESOLUTION_MS = 20

export interface LoopMonitor extends NumberSource {
  readonly delay: Histogram
  refresh(): void
  stop(): void
}

export function watchLoop(): LoopMonitor {
  const loop = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  const delay = histogram('loop_delay_ms', 'How late timers ran: above 100 ms, the CPU is the bottleneck')
  loop.enable()
  return {
    delay,
    metrics: [delay],
    refresh() {
      // Node lists percentiles, ever finer towards the maximum; values between two of them count as the upper one
      let counted = 0
      for (const [percentile, ns] of loop.percentiles) {
        const upTo = Math.round((loop.count * percentile) / 100)
        // Measured values include the timer's own interval: an idle loop would show 20 ms
        if (upTo > counted) delay.record(Math.max(0, ns / 1e6 - RESOLUTION_MS), upTo - counted)
        counted = upTo
      }
      loop.reset()
    },
    stop: () => void loop.disable(),
  }
}
