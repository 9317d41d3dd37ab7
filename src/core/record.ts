/**
 * The log record, from which everything a client sees is rendered. See PROTOCOL.md "The record".
 *
 * A record is one text: one event of the canonical dialect (the JSON of an OpenAI `chat.completion.chunk`, byte for
 * byte as an OpenAI-dialect upstream sent it); or "@document" and a whole answer, also byte for byte; or a control
 * record, which begins with "@" and its kind. `seq` (1, 2, 3 … without gaps, over all attempts) numbers records.
 *
 * Texts here are binary strings: one char is one byte (latin1) of the UTF-8 encoding. The stream path
 * then never decodes or encodes a token; sockets write them with 'latin1'.
 */
import type { WireError } from './errors.ts'
import type { Timing, Usage } from './job.ts'
import type { Shortfall } from './limits.ts'

/** A binary string: every char is one byte, 0-255. */
export type Bytes = string

/** A short text is looked at faster than it is copied to a buffer and back. */
const SHORT = 512

function isShortAscii(text: string): boolean {
  if (text.length > SHORT) return false
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 127) return false
  return true
}

/** UTF-16 text to its UTF-8 bytes. */
export const toBytes = (text: string): Bytes =>
  isShortAscii(text) ? text : Buffer.from(text, 'utf8').toString('latin1')
/** UTF-8 bytes to text; invalid sequences become U+FFFD. */
export const toText = (bytes: Bytes): string =>
  isShortAscii(bytes) ? bytes : Buffer.from(bytes, 'latin1').toString('utf8')

/** V8 copies shorter ones instead of referring to what they are cut from. */
const SHORTEST_SLICE = 13
/** For what is kept: a slice would keep alive all that its socket's read brought. */
export const copyOf = (bytes: Bytes): Bytes =>
  bytes.length < SHORTEST_SLICE ? bytes : Buffer.from(bytes, 'latin1').toString('latin1')

export type RecordKind = 'chunk' | 'document' | 'attempt' | 'reset' | 'usage' | 'end'

/** How an attempt begins: `first` shows new text, `continue` extends what was shown, `restart` follows a reset. */
export interface Attempt {
  /** 1 for the first attempt. */
  readonly n: number
  readonly mode: 'first' | 'continue' | 'restart'
  /** Name of the deployment. */
  readonly deployment: string
}

/** How a job ended. Written once, as the last record. */
export interface End {
  readonly state: 'done' | 'failed' | 'canceled' | 'expired'
  readonly error?: WireError
  /** HTTP status of the error, if it is not the table's. */
  readonly status?: number
  /** When to come back, ms, if the error has one. */
  readonly retryAfterMs?: number
  readonly usage?: Usage
  readonly timing?: Timing
  /** `done`, and cut for this: nothing was left for it. */
  readonly cut?: Shortfall
}

export const attemptRecord = (attempt: Attempt): Bytes => toBytes(`@attempt ${JSON.stringify(attempt)}`)
/** What was shown so far is withdrawn; the next attempt starts the answer anew. */
export const resetRecord = (reason: string): Bytes => toBytes(`@reset ${JSON.stringify({ reason })}`)
/** The upstream's usage chunk (`choices: []`), kept byte for byte; hidden from clients that did not ask. */
export const usageRecord = (chunk: Bytes): Bytes => `@usage ${chunk}`
/** The whole answer, byte for byte as the upstream sent it. It is then the only record of the answer. */
export const documentRecord = (document: Bytes): Bytes => `@document ${document}`
export const endRecord = (end: End): Bytes => endRecordOf(JSON.stringify(end))
export const endRecordOf = (json: string): Bytes => toBytes(`@end ${json}`)

/** The first byte of all records but chunks: "@". */
export const CONTROL = 0x40
/** The second one: the kind's first letter. */
const [A, D, E, R, U] = [0x61, 0x64, 0x65, 0x72, 0x75]

export function kindOf(record: Bytes): RecordKind {
  if (record.charCodeAt(0) !== CONTROL) return 'chunk'
  switch (record.charCodeAt(1)) {
    case D:
      return 'document'
    case A:
      return 'attempt'
    case R:
      return 'reset'
    case U:
      return 'usage'
    default:
      return 'end'
  }
}

export const isEnd = (record: Bytes): boolean => record.charCodeAt(0) === CONTROL && record.charCodeAt(1) === E
/** The JSON inside a control record; a chunk is its own payload. */
export const payloadOf = (record: Bytes): Bytes =>
  record.charCodeAt(0) === CONTROL ? record.slice(record.indexOf(' ') + 1) : record
/** As `parseEnd(record).state === 'done'`: an end begins with its state. */
export const isEndOfDone = (record: Bytes): boolean => record.startsWith('@end {"state":"done"')
export const parseEnd = (record: Bytes): End => JSON.parse(toText(payloadOf(record))) as End

/**
/**
 * What a reader has: the events up to number `n`, of the log's incarnation `epoch`. Most dialects number their events
 * as the records are numbered. Each start of the server gives unfinished logs a new epoch; a cursor of an older one is
 * valid as far as the log is still the one that it saw.
 */
export interface Cursor {
  /** Null: the current one. */
  readonly epoch: number | null
  readonly n: number
}

export const isOfEpoch = (cursor: Cursor, epoch: number): boolean => cursor.epoch === null || cursor.epoch === epoch

/** Epoch 0: none is known yet. */
export const formatCursor = (epoch: number, n: number): string => (epoch === 0 ? String(n) : `${epoch}-${n}`)

/** "<epoch>-<n>", or a bare "<n>" of the current epoch; null when it is neither. */
export function parseCursor(text: string): Cursor | null {
  const match = /^(?:(\d{1,15})-)?(\d{1,15})$/.exec(text)
  return match ? { epoch: match[1] === undefined ? null : Number(match[1]), n: Number(match[2]) } : null
}
