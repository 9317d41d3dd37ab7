/**
 * How long was the event loop held at a stretch? Counted in the thread's own CPU time: on a machine that is busy with
 * other things, time on the wall says nothing about us.
 */
export function watchLoop(): { start(): void; stop(): number } {
  let timer: NodeJS.Timeout | undefined
  let longestMs = 0
  const cpuMs = (): number => {
    const { user, system } = process.threadCpuUsage()
    return (user + system) / 1000
  }
  return {
    start() {
      let last = cpuMs()
      timer = setInterval(() => {
        const now = cpuMs()
        longestMs = Math.max(longestMs, now - last)
        last = now
      }, 1)
    },
    /** The longest stretch, ms. */
    stop() {
      clearInterval(timer)
      return longestMs
    },
  }
}
