/** What the benchmark itself uses while it measures: CPU, and how late its event loop is. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Clock } from '../core/clock.ts'

export interface Meter {
  /** Since it was started: the share of one core, and the loop's p99 lag. */
  read(): { readonly cpuShare: number; readonly loopLagP99Ms: number }
}

const RESOLUTION_MS = 10

export function startMeter(clock: Clock): Meter {
  const fromMono = clock.monoMs()
  const cpu = process.cpuUsage()
  const loop = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  loop.enable()
  return {
    read() {
      const { user, system } = process.cpuUsage(cpu)
      const tookMs = Math.max(1, clock.monoMs() - fromMono)
      loop.disable()
      // It counts its own interval in
      const lag = loop.count === 0 ? 0 : loop.percentile(99) / 1e6 - RESOLUTION_MS
      return { cpuShare: (user + system) / 1_000 / tookMs, loopLagP99Ms: Math.max(0, lag) }
    },
  }
}
