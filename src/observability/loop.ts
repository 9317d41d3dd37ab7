/** How long the event loop was held, and the memory of the process. */
import { monitorEventLoopDelay } from 'node:perf_hooks'

const RESOLUTION_MS = 5

export function watchLoop(): { stats(): Readonly<Record<string, number>>; stop(): void } {
  const loop = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  // Its timer's own interval is in what it measures: an idle loop would read 5 ms
  const heldMs = (ns: number): number => Math.max(0, ns / 1e6 - RESOLUTION_MS)
  loop.enable()
  return {
    stats: () => ({
      loop_delay_p50_ms: heldMs(loop.percentile(50)),
      loop_delay_p99_ms: heldMs(loop.percentile(99)),
      loop_delay_max_ms: heldMs(loop.max),
      rss_bytes: process.memoryUsage.rss(),
    }),
    stop: () => void loop.disable(),
  }
}
