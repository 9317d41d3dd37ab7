/** What images and sounds are priced by, beside tokens: as a request asks for it, and as its answer tells it. */
import type { JobKind } from './job.ts'
import { isRecord, type JsonRecord } from './json.ts'

export interface MediaUnits {
  readonly images?: number
  /** Milliseconds of a sound that is heard. */
  readonly audioMs?: number
  /** Of a text that is spoken. */
  readonly characters?: number
}

const NONE: MediaUnits = {}
/** A sound whose length nobody has told: as MP3 at 64 kbit/s. */
const ASSUMED_BYTES_PER_MS = 8
/** One whose size nobody knows yet, either. */
const ASSUMED_MS = 300_000
/** No codec speaks with less: whoever tells of more seconds is wrong. */
const LEAST_BYTES_PER_MS = 0.5

/** Before the call. `soundBytes`: null: not known. */
export function unitsAsked(kind: JobKind, request: JsonRecord, soundBytes: number | null): MediaUnits {
  switch (kind) {
    case 'image': {
      const n = Number(request['n'] ?? 1)
      return { images: Number.isInteger(n) && n > 0 ? n : 1 }
    }
    case 'speech':
      return { characters: charactersOf(request['input']) }
    case 'transcription':
      return { audioMs: soundBytes === null ? ASSUMED_MS : Math.ceil(soundBytes / ASSUMED_BYTES_PER_MS) }
    default:
      return NONE
  }
}

/** As its answer tells it; else as it was asked for. */
export function unitsMade(kind: JobKind, answer: JsonRecord, asked: MediaUnits, soundBytes: number): MediaUnits {
  if (kind === 'image') {
    const { data } = answer
    return Array.isArray(data) ? { images: data.length } : asked
  }
  if (kind !== 'transcription') return asked
  const { usage, duration } = answer
  const seconds = (isRecord(usage) ? usage['seconds'] : undefined) ?? duration
  const ms = typeof seconds === 'number' || typeof seconds === 'string' ? Math.ceil(Number(seconds) * 1_000) : 0
  return ms > 0 && ms <= Math.max(1_000, soundBytes / LEAST_BYTES_PER_MS) ? { audioMs: ms } : asked
}

/** Code points, as OpenAI counts them. */
function charactersOf(text: unknown): number {
  let count = 0
  if (typeof text === 'string')
    for (let i = 0; i < text.length; i++) if ((text.charCodeAt(i) & 0xfc00) !== 0xdc00) count++
  return count
}

/** A usage in the words of chats: those of images and transcriptions are others. */
export function inTokens(usage: JsonRecord): JsonRecord {
  const { input_tokens: input, output_tokens: output, input_token_details: details } = usage
  if (input === undefined && output === undefined) return usage
  return {
    ...usage,
    prompt_tokens: input ?? 0,
    completion_tokens: output ?? 0,
    ...(isRecord(details) && { prompt_tokens_details: details }),
  }
}
