/** How fast a client submits: well below what a server treats as a flood of messages (PROTOCOL.md section 6, 1008). */
const BURST_SECONDS = 2
const SHARE = 0.5

export interface Pace {
  /** False: wait; `onReady` is called when there is room again. */
  take(): boolean
  stop(): void
}

/** `perSecond`: messages that the server accepts. */
export function createPace(perSecond: () => number, onReady: () => void): Pace {
  let left = Number.POSITIVE_INFINITY
  let countedAt = performance.now()
  let timer: ReturnType<typeof setTimeout> | undefined
  return {
    take() {
      const now = performance.now()
      left = Math.min(BURST_SECONDS * perSecond(), left + ((now - countedAt) * perSecond() * SHARE) / 1_000)
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
