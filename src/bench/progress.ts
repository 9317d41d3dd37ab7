/** What is shown while a run goes on: one line a second. */
import type { Clock } from '../core/clock.ts'
import { figure, milliseconds, sparkline } from './format.ts'
import { quantile } from './quantile.ts'
import type { BenchRecord } from './record.ts'
import type { PhaseSpan } from './run.ts'
import type { Watcher } from './runner.ts'
import { isOk, ttft } from './summary.ts'

export interface Progress extends Watcher {
  close(): void
}

export interface ProgressOptions {
  readonly clock: Clock
  /** A line that is written over on a terminal; else a line of its own. */
  readonly isTerminal: boolean
  readonly rounds: number
  write(text: string): void
}

const WIDTH = 60
/** Where nobody watches, a line is worth more when it is rare. */
const PLAIN_EVERY = 10

export function showProgress({ clock, isTerminal, rounds, write }: ProgressOptions): Progress {
  let phase: PhaseSpan['name'] = 'fingerprint'
  let round: number | null = null
  let planned = 0
  let sent = 0
  let ended = 0
  let failed = 0
  let ttfts: number[] = []
  let lags: number[] = []
  let seconds = 0
  const seen: Array<number | null> = []
  const median = (values: number[]): number | null => quantile(Float64Array.from(values).sort(), 0.5)

  const line = (): string => {
    const where = round === null ? phase : `round ${round + 1}/${rounds}`
    const last = median(ttfts)
    const lag = quantile(Float64Array.from(lags).sort(), 0.99)
    const done = planned === 0 ? `${ended}` : `${ended}/${planned}`
    const bars = isTerminal ? sparkline(seen, WIDTH).padStart(WIDTH) : ''
    return [
      where.padEnd(12),
      done.padStart(8),
      bars,
      `TTFT ${milliseconds(last)}`.padEnd(14),
      `in flight ${sent - ended}`.padEnd(14),
      `lag ${milliseconds(lag)}`,
      failed === 0 ? '' : `  failed ${figure(failed)}`,
    ].join('  ')
  }
  const stop = clock.every(1_000, () => {
    seen.push(median(ttfts))
    if (seen.length > WIDTH) seen.shift()
    if (isTerminal) write(`\r${line()}\x1b[K`)
    else if (++seconds % PLAIN_EVERY === 0) write(`${line()}\n`)
    ttfts = []
    lags = []
  })
  return {
    phase(name, at, count) {
      phase = name
      round = at
      planned = count
      sent = ended = failed = 0
      if (!isTerminal && at === null) write(`${name}\n`)
    },
    sent() {
      sent++
    },
    ended(record: BenchRecord) {
      ended++
      if (!isOk(record)) failed++
      lags.push(record.sent - record.scheduled)
      const first = ttft(record)
      if (first !== null) ttfts.push(first)
    },
    close() {
      stop()
      if (isTerminal) write('\r\x1b[K')
    },
  }
}

export const QUIET: Progress = { phase() {}, sent() {}, ended() {}, close() {} }
