/**
 * One measured request, a line of `records.jsonl`. Times are ms from the start of its round, monotonic, stamped when
 * bytes leave the socket. Lengths and hashes, never text. Every quantile is computed from these lines again.
 */
import { isRecord, type JsonRecord } from '../core/json.ts'
import type { AnswerMarks, TtftParts } from '../core/measure.ts'

export const RECORD_VERSION = 1

/** What a server said about the time it took; members that it did not name are absent. */
export interface ServerTimings {
  /** Sluice's own: they add up to its TTFT. */
  readonly parts?: Partial<TtftParts>
  /** Its TTFT, its TPOT by what the provider sent it, and how long the whole took. */
  readonly ttft?: number
  readonly tpot?: number
  readonly total?: number
  /** Of the engine behind it, where it tells of single requests (vLLM, NIM, Fireworks, LocalAI). */
  readonly engine?: {
    readonly queue?: number
    /** From scheduling to the first token. */
    readonly prefill?: number
    readonly decode?: number
    /** Mean time between tokens. */
    readonly itl?: number
  }
}

/** Who counted the tokens: the last usage that the upstream sent, or nobody: an estimate from the text. */
export type TokenSource = 'usage' | 'estimate'

export type Outcome =
  /** 200, and a proper end. */
  | 'ok'
  /** Refused, failed, or cut off. */
  | 'error'
  /** Given up, as the run was broken off. */
  | 'aborted'

export interface BenchRecord {
  readonly v: typeof RECORD_VERSION
  /** Sent as `x-request-id`, unique in a run. */
  readonly id: string
  /** As the server named it; null: it did not. */
  readonly serverId: string | null
  /** Requests of `idle` go one at a time, before the rounds. */
  readonly phase: 'idle' | 'round'
  /** From 0; of a sweep: its step. `index` within it: the same pair in two runs of one seed is the same prompt. */
  readonly round: number
  readonly index: number
  /** When it was to be sent; as `sent` in a closed loop. */
  readonly scheduled: number
  readonly sent: number
  /** When its new connection was ready; null: on a kept one. */
  readonly connected: number | null
  readonly firstByte: number | null
  readonly firstToken: number | null
  /** The same without reasoning. */
  readonly firstOutput: number | null
  readonly lastToken: number | null
  readonly end: number
  /** Events with something of the answer in them. */
  readonly chunks: number
  readonly tokens: {
    readonly prompt: number | null
    readonly cached: number | null
    /** All of the answer, reasoning included. */
    readonly completion: number
    readonly reasoning: number | null
    /** `estimate`: from its characters, and shown with a "~". */
    readonly source: TokenSource
  }
  /** Code points of the answer, reasoning and tool calls included. */
  readonly chars: number
  /** `openingOf`, and its characters. */
  readonly firstChunkTokens: number
  readonly isFirstChunkExact: boolean
  readonly firstChunkChars: number
  /** The longest gap between two chunks, a stall from STALL_MS on; null: there were fewer than two. */
  readonly maxGap: number | null
  readonly outcome: Outcome
  /** Of HTTP; null: no answer. */
  readonly status: number | null
  /** The server's code, or "timeout", "connection_lost", "incomplete"; null: none. */
  readonly errorCode: string | null
  readonly finishReason: string | null
  /** Attempt of the server that answered, from 1; null: unknown. */
  readonly attempt: number | null
  /** As the server calls it ("hit", "miss"); null: it does not. */
  readonly cache: string | null
  readonly server: ServerTimings | null
  /** SHA-256 of the request's messages, its first 16 hex digits; the round's nonce is left out. */
  readonly promptHash: string
  readonly promptChars: number
  /** The length of the answer that was asked for, in tokens; null: none was. */
  readonly askedTokens: number | null
}

/** For ttftOf and tpotOf. */
export const marksOf = (record: BenchRecord): AnswerMarks => ({
  scheduledMono: record.scheduled,
  sentMono: record.sent,
  firstByteMono: record.firstByte,
  firstTokenMono: record.firstToken,
  firstOutputMono: record.firstOutput,
  lastTokenMono: record.lastToken,
  endMono: record.end,
  tokens: record.tokens.completion,
  firstTokens: record.firstChunkTokens,
})

/** Text of a line; never with a line break in it. */
export const lineOf = (record: BenchRecord): string => JSON.stringify(record)

export class RecordError extends Error {}

/** Throws RecordError, which names the line. */
export function readRecords(text: string): BenchRecord[] {
  const records: BenchRecord[] = []
  const known = new Set<string>()
  let at = 0
  for (let number = 1; at < text.length; number++) {
    const end = text.indexOf('\n', at)
    const line = text.slice(at, end < 0 ? text.length : end)
    at = end < 0 ? text.length : end + 1
    if (line.trim() === '') continue
    const record = readRecord(line, number)
    const place = `${record.phase} ${record.round}.${record.index}`
    if (known.has(place)) throw new RecordError(`line ${number} is another record of the same request (${place})`)
    known.add(place)
    records.push(record)
  }
  return records
}

function readRecord(line: string, number: number): BenchRecord {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    // The line itself may be anything: it is not repeated
    throw new RecordError(`line ${number} is not JSON: was the run broken off while it was written?`)
  }
  if (!isRecord(value)) throw new RecordError(`line ${number} is not a record`)
  if (value['v'] !== RECORD_VERSION)
    throw new RecordError(
      `line ${number} has version ${String(value['v'])}; this Sluice reads version ${RECORD_VERSION}`,
    )
  const wrong = wrongMember(value)
  if (wrong !== null) throw new RecordError(`line ${number}: "${wrong}" is missing or of the wrong type`)
  const record = value as unknown as BenchRecord
  const impossible = impossibleIn(record)
  if (impossible !== null) throw new RecordError(`line ${number}: ${impossible}`)
  return record
}

/** No request takes longer, and none has more tokens: what is told is of another unit, or was damaged. */
const MAX_MS = 30 * 86_400_000
const MAX_COUNT = 1e9
/** Two clocks may have stamped two ends of the same moment. */
const SAME_MS = 1

/** What can't be, in words; null: nothing. */
export function impossibleIn(record: BenchRecord): string | null {
  const { sent, firstByte, firstToken, firstOutput, lastToken, end, maxGap, tokens } = record
  const times = { sent, firstByte, firstToken, firstOutput, lastToken, end, maxGap }
  for (const [name, ms] of Object.entries(times))
    if (ms !== null && !(ms >= -SAME_MS && ms <= MAX_MS)) return `"${name}" is no time that a request can have`
  const { chunks, chars, firstChunkTokens, firstChunkChars, promptChars, round, index } = record
  const { completion, prompt, cached, reasoning } = tokens
  const counts = { chunks, chars, firstChunkTokens, firstChunkChars, promptChars, round, index }
  for (const [name, n] of Object.entries({ ...counts, completion, prompt, cached, reasoning }))
    if (n != null && !(n >= 0 && n <= MAX_COUNT)) return `"${name}" is no count`
  const order = { sent, firstToken, lastToken, end }
  let [before, latest] = ['sent', sent]
  for (const [name, ms] of Object.entries(order)) {
    if (ms === null) continue
    if (ms < latest - SAME_MS) return `"${name}" is before "${before}"`
    before = name
    latest = ms
  }
  return null
}

const NUMBERS = [
  'round',
  'index',
  'scheduled',
  'sent',
  'end',
  'chunks',
  'chars',
  'firstChunkTokens',
  'firstChunkChars',
  'promptChars',
]
const NUMBERS_OR_NULL = [
  'connected',
  'firstByte',
  'firstToken',
  'firstOutput',
  'lastToken',
  'maxGap',
  'status',
  'attempt',
  'askedTokens',
]
const TEXTS = ['id', 'phase', 'outcome', 'promptHash']
const OUTCOMES: readonly unknown[] = ['ok', 'error', 'aborted'] satisfies Outcome[]

function wrongMember(value: JsonRecord): string | null {
  const tokens = value['tokens']
  return (
    NUMBERS.find((name) => typeof value[name] !== 'number') ??
    NUMBERS_OR_NULL.find((name) => value[name] !== null && typeof value[name] !== 'number') ??
    TEXTS.find((name) => typeof value[name] !== 'string') ??
    (isRecord(tokens) && typeof tokens['completion'] === 'number' ? null : 'tokens') ??
    (OUTCOMES.includes(value['outcome']) ? null : 'outcome')
  )
}
