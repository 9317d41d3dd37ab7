/** How fast a client submits: well below what a server takes for a flood of messages (PROTOCOL.md section 6, 1008). */
const BURST = 2_000
const PER_SECOND = 500

export interface Pace {
  /** False: not now; `onReady` is called when there is room again. */
  take(): boolean
  stop(): void
}

export function createPace(onReady: () => void): Pace {
  let left = BURST
  let countedAt = performance.now()
  let timer: ReturnType<typeof setTimeout> | undefined
  return {
    take() {
      const now = performance.now()
      left = Math.min(BURST, left + ((now - countedAt) * PER_SECOND) / 1_000)
      countedAt = now
      if (left >= 1) {
        left--
        return true
      }
      timer ??= setTimeout(() => {
        timer = undefined
        onReady()
      }, 50)
      return false
    },
    stop: () => clearTimeout(timer),
  }
}
