/** The two ways to load a target. Both resolve when all that they sent has settled. */
import type { Clock } from '../core/clock.ts'

export interface Loop {
  /** How many were sent, and when the last one was, from the start. */
  readonly sent: number
  readonly sendMs: number
}

export interface LoopControl {
  /** Send nothing more. */
  isStopped(): boolean
}

/** `send` never rejects; it is told the index, and when it was due. */
export type Send = (index: number, dueMono: number) => Promise<void>

/**
 * Open loop: each is sent when it is due by an absolute schedule, whatever became of those before. A late wake-up makes
 * those late that were due until then, and no others: lateness does not add up.
 */
export function openLoop(clock: Clock, timesMs: readonly number[], control: LoopControl, send: Send): Promise<Loop> {
  const startMono = clock.monoMs()
  return new Promise((resolve) => {
    let next = 0
    let open = 0
    let sendMs = 0
    const settled = (): void => {
      open--
      finish()
    }
    const finish = (): void => {
      if (open === 0 && (next === timesMs.length || control.isStopped())) resolve({ sent: next, sendMs })
    }
    const wake = (): void => {
      while (next < timesMs.length && !control.isStopped()) {
        const waitMs = startMono + timesMs[next] - clock.monoMs()
        if (waitMs > 0) {
          // Timers have whole ms: rounded down, what is left of one is waited for by another
          clock.after(waitMs < 1 ? waitMs : Math.min(Math.floor(waitMs), LOOK_MS), wake)
          return
        }
        open++
        const index = next++
        sendMs = clock.monoMs() - startMono
        void send(index, startMono + timesMs[index]).then(settled)
      }
      finish()
    }
    wake()
  })
}

/** So often it is seen that the loop was stopped. */
const LOOK_MS = 250

/** Closed loop: `concurrency` at once; when one has ended, the next is sent: `count` in all, none after `untilMs`. */
export async function closedLoop(
  clock: Clock,
  { concurrency, count, untilMs }: { concurrency: number; count: number; untilMs: number },
  control: LoopControl,
  send: Send,
): Promise<Loop> {
  const startMono = clock.monoMs()
  let next = 0
  let sendMs = 0
  const one = async (): Promise<void> => {
    while (next < count && !control.isStopped()) {
      const nowMono = clock.monoMs()
      if (nowMono - startMono >= untilMs) return
      sendMs = nowMono - startMono
      await send(next++, nowMono)
    }
  }
  await Promise.all(Array.from({ length: concurrency }, one))
  return { sent: next, sendMs }
}
