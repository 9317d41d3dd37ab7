/** How long the event loop was held. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { type Histogram, histogram, type NumberSource } from '../core/numbers.ts'

/** The interval of the monitor's timer, which wakes even an idle process. */
const RESOLUTION_MS = 20
/** Less late, nobody notices. */
const HELD_MS = 50

export interface LoopMonitor extends NumberSource {
  readonly delay: Histogram
  /** In all, of the times when it was held for 50 ms and more. */
  readonly heldMs: number
  refresh(): void
  stop(): void
}

export function watchLoop(): LoopMonitor {
  const loop = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  const delay = histogram('loop_delay_ms', 'How late timers ran: above 100 ms, the CPU is the bottleneck')
  loop.enable()
  let heldMs = 0
  return {
    delay,
    get heldMs() {
      return heldMs
    },
    metrics: [delay],
    refresh() {
      // Node lists percentiles, ever finer towards the maximum; values between two of them count as the upper one
      let counted = 0
      for (const [percentile, ns] of loop.percentiles) {
        const upTo = Math.round((loop.count * percentile) / 100)
        // Measured values include the timer's own interval: an idle loop would show 20 ms
        const lateMs = Math.max(0, ns / 1e6 - RESOLUTION_MS)
        if (upTo > counted) delay.record(lateMs, upTo - counted)
        if (upTo > counted && lateMs >= HELD_MS) heldMs += lateMs * (upTo - counted)
        counted = upTo
      }
      loop.reset()
    },
    stop: () => void loop.disable(),
  }
}
