/**
 * Where a server writes its log. A log must never stop or end a server: a write that would block (a pipe that nobody
 * reads, a stopped terminal) or that fails (a full disk, a reader that is gone) leaves its lines in a bounded buffer
 * and is retried; lines that find no room there are dropped and counted, and the count is written once there is room.
 */
import { constants, fstatSync, openSync, writeSync } from 'node:fs'
import { Socket } from 'node:net'
import { isatty } from 'node:tty'
import { type Clock, systemClock } from '../core/clock.ts'

const MAX_PENDING_CHARS = 1 << 20
/** After a write, lines wait this long for others: a busy server would write in each turn of its event loop. */
const GATHER_MS = 20
/** A slow reader is soon ready again; a full disk is not. */
const BLOCKED_RETRY_MS = 20
const FAILED_RETRY_MS = 1_000

export interface SinkOptions {
  readonly clock?: Clock
  readonly maxPendingChars?: number
  /** The line that reports how many were dropped. */
  readonly onLost: (lines: number) => string
}

export class Sink {
  readonly #fd: number
  readonly #clock: Clock
  readonly #max: number
  readonly #onLost: (lines: number) => string
  #lines: string[] = []
  #chars = 0
  /** Of a write that was cut short. */
  #rest: Uint8Array = new Uint8Array(0)
  #lost = 0
  #due = false
  #waiting = false
  #writtenMono = -Infinity

  constructor(fd: number, { clock = systemClock, maxPendingChars = MAX_PENDING_CHARS, onLost }: SinkOptions) {
    this.#fd = nonBlocking(fd)
    this.#clock = clock
    this.#max = maxPendingChars
    this.#onLost = onLost
    process.on('exit', this.flush)
  }

  /**
   * One line, with its end; written at the end of this turn of the event loop, or where others were just written,
   * GATHER_MS after those.
   */
  write(line: string): void {
    if (this.#chars + line.length > this.#max) {
      this.#lost++
      return
    }
    this.#lines.push(line)
    this.#chars += line.length
    if (this.#due || this.#waiting) return
    this.#due = true
    const leftMs = this.#writtenMono + GATHER_MS - this.#clock.monoMs()
    if (leftMs <= 0) this.#clock.soon(this.#flushDue)
    else this.#clock.after(leftMs, this.#flushDue)
  }

  readonly #flushDue = (): void => {
    this.#due = false
    this.#writtenMono = this.#clock.monoMs()
    this.flush()
  }

  /** Writes what can be written now. */
  readonly flush = (): void => {
    try {
      for (;;) {
        while (this.#rest.length > 0) this.#rest = this.#rest.subarray(writeSync(this.#fd, this.#rest))
        if (this.#lines.length === 0 && this.#lost > 0) {
          this.#lines.push(this.#onLost(this.#lost))
          this.#lost = 0
        }
        if (this.#lines.length === 0) return
        this.#rest = Buffer.from(this.#lines.join(''))
        this.#lines = []
        this.#chars = 0
      }
    } catch (error) {
      if (this.#waiting) return
      this.#waiting = true
      const blocked = (error as NodeJS.ErrnoException).code === 'EAGAIN'
      this.#clock.after(blocked ? BLOCKED_RETRY_MS : FAILED_RETRY_MS, () => {
        this.#waiting = false
        this.flush()
      })
    }
  }
}

/** Sockets that hold a descriptor in non-blocking mode. */
const kept: Socket[] = []

/**
 * A descriptor for the same file whose writes never wait. Opened anew where that is possible, since the mode belongs to
 * what is open and is shared with other processes: a shell must not find its terminal non-blocking.
 */
function nonBlocking(fd: number): number {
  try {
    const stat = fstatSync(fd)
    if (stat.isFIFO() || isatty(fd))
      return openSync(`/dev/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
    if (!stat.isSocket()) return fd
  } catch {
    // Not ours to open (a pipe of another user), or no /dev/fd
  }
  try {
    kept.push(new Socket({ fd, readable: false, writable: true }).unref())
  } catch {
    // Neither pipe nor socket: writes don't wait for a reader
  }
  return fd
}
