/** The operator's log, on stderr: JSON lines, or text for people at a terminal. Never blocks, never fails. */
import { isatty } from 'node:tty'
import pino from 'pino'
import { systemClock } from '../core/clock.ts'
import { pretty } from './pretty.ts'
import { Sink } from './sink.ts'

export type ServerLog = pino.Logger

/** `json`: JSON even at a terminal. */
export function openLog(level: string, json: boolean): ServerLog {
  const asText = !json && isatty(2)
  const render = (line: string): string => (asText ? pretty(line) : line)
  const sink = new Sink(2, { onLost: (lines) => render(lossLine(lines)) })
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (name) => ({ level: name }) },
    },
    { write: (line: string) => sink.write(render(line)) },
  )
}

function lossLine(lines: number): string {
  const time = new Date(systemClock.wallMs()).toISOString()
  const msg = 'log lines were dropped: nobody read them, or the disk was full'
  return `${JSON.stringify({ level: 'warn', time, lines, msg })}\n`
}
