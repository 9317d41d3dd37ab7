/** The operator's log: JSON lines on stderr. */
import pino from 'pino'

/** Written at once, so that the last line before an end is there. */
export const openLog = (level: string): pino.Logger =>
  pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination({ dest: 2, sync: true }))
