/** What every importer makes, and how a record is made of what a tool knows. */
import { type BenchRecord, RECORD_VERSION } from '../record.ts'
import type { Load } from '../run.ts'

export class ImportError extends Error {}

export interface Imported {
  /** "vllm bench serve" */
  readonly source: string
  readonly model: string | null
  readonly load: Load
  readonly startedAtMs: number | null
  readonly rounds: ReadonlyArray<{ readonly rate: number | null; readonly records: readonly BenchRecord[] }>
  /** Where the tool measures something else. */
  readonly remarks: readonly string[]
}

/** Times in ms from the start of the round. */
export interface Known {
  readonly id: string
  readonly round: number
  readonly index: number
  readonly sent: number
  readonly firstToken: number | null
  readonly firstOutput?: number | null
  readonly lastToken: number | null
  readonly end: number
  readonly chunks: number
  readonly promptTokens: number | null
  readonly outputTokens: number
  readonly reasoningTokens?: number | null
  readonly chars?: number
  readonly maxGap?: number | null
  readonly errorCode: string | null
}

export const recordOf = (known: Known): BenchRecord => ({
  v: RECORD_VERSION,
  id: known.id,
  serverId: null,
  phase: 'round',
  round: known.round,
  index: known.index,
  scheduled: known.sent,
  sent: known.sent,
  connected: null,
  firstByte: null,
  firstToken: known.firstToken,
  firstOutput: known.firstOutput ?? known.firstToken,
  lastToken: known.lastToken,
  // By its own clock it may have ended some microseconds before its last token
  end: Math.max(known.end, known.lastToken ?? known.sent),
  chunks: known.chunks,
  tokens: {
    prompt: known.promptTokens,
    cached: null,
    completion: known.outputTokens,
    reasoning: known.reasoningTokens ?? null,
    source: 'usage',
  },
  chars: known.chars ?? 0,
  firstChunkTokens: 1,
  isFirstChunkExact: false,
  firstChunkChars: 0,
  maxGap: known.maxGap ?? null,
  outcome: known.errorCode === null ? 'ok' : 'error',
  status: null,
  errorCode: known.errorCode,
  finishReason: null,
  attempt: null,
  cache: null,
  server: null,
  promptHash: '',
  promptChars: 0,
  askedTokens: null,
})

export function jsonOf(text: string, howTo: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  } catch {
    // The same mistake as one of another shape
  }
  throw new ImportError(`it is not a JSON object: ${howTo}`)
}

export const numberOr = <T>(value: unknown, otherwise: T): number | T =>
  typeof value === 'number' && Number.isFinite(value) ? value : otherwise
export const textOr = <T>(value: unknown, otherwise: T): string | T => (typeof value === 'string' ? value : otherwise)
