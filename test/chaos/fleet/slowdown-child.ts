/** See slowdown.ts. Ends with its parent. */
import type { Worked } from './slowdown.ts'

const EVERY_MS = 100
const WORK_US = 10_000

process.on('disconnect', () => process.exit())
setInterval(() => {
  const startedMono = performance.now()
  const before = process.cpuUsage()
  let used = 0
  while (used < WORK_US) {
    const { user, system } = process.cpuUsage(before)
    used = user + system
  }
  const now = performance.now()
  const worked: Worked = { atMs: performance.timeOrigin + now, tookMs: now - startedMono, cpuMs: used / 1_000 }
  process.send!(worked)
}, EVERY_MS)
