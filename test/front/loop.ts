/**
 * How long was the event loop held at a stretch? Counted in the thread's own CPU time: on a machine that is busy with
 * other things, time on the wall says nothing about us.
 */
export function watchLoop(): { start(): void; stop(): number } {
  let timer: NodeJS.Timeout | undefined
  let longestMs = 0
  let last = 0
  const cpuMs = (): number => {
    const { user, system } = process.threadCpuUsage()
    return (user + system) / 1000
  }
  return {
    start() {
      last = cpuMs()
      timer = setInterval(() => {
        const now = cpuMs()
        longestMs = Math.max(longestMs, now - last)
        last = now
      }, 1)
    },
    /** The longest stretch, ms. */
    stop() {
      clearInterval(timer)
      longestMs = Math.max(longestMs, cpuMs() - last)
      return longestMs
    },
  }
}

/** A test that fails with it is run again (vitest.config.ts): what is slow is slow each time. */
export class HeldLoop extends Error {
  constructor(heldMs: number) {
    super(`held the loop for ${heldMs.toFixed(0)} ms`)
  }
}
