/** Usage, timing and errors as they are spelled on the wire: OpenAI's names and forms, snake_case, milliseconds. */
import type { WireError } from './errors.ts'
import type { WireTiming, WireTtft } from './frames.ts'
import type { Timing, Usage } from './job.ts'
import type { TtftParts } from './measure.ts'
import { type Bytes, toBytes } from './record.ts'

/** OpenAI's error body, and that of Sluice's own API. */
export const errorJson = (error: WireError): Bytes => toBytes(JSON.stringify({ error }))

export const wireUsage = (usage: Usage): Record<string, unknown> => ({
  prompt_tokens: usage.promptTokens,
  completion_tokens: usage.completionTokens,
  total_tokens: usage.promptTokens + usage.completionTokens,
  ...details('prompt_tokens_details', {
    cached_tokens: usage.cachedTokens,
    cache_write_tokens: usage.cacheWriteTokens,
    audio_tokens: usage.audioPromptTokens,
  }),
  ...details('completion_tokens_details', {
    reasoning_tokens: usage.reasoningTokens,
    audio_tokens: usage.audioCompletionTokens,
  }),
  estimated: usage.estimated,
})

function details(name: string, parts: Readonly<Record<string, number | undefined>>): object {
  const told = Object.entries(parts).filter(([, tokens]) => tokens !== undefined)
  return told.length === 0 ? {} : { [name]: Object.fromEntries(told) }
}

const round = (ms: number | undefined): number | null => (ms === undefined ? null : hundredths(ms))

export const wireTiming = (timing: Timing): WireTiming => ({
  queued_ms: round(timing.queuedMs),
  ...turnOf(timing.turnMs),
  ttft_ms: round(timing.ttftMs),
  tpot_ms: round(timing.tpotMs),
  total_ms: round(timing.totalMs),
  attempts: timing.attempts,
  ...(timing.parts !== undefined && { ttft: wireTtft(timing.parts) }),
})

const turnOf = (ms: number | undefined): { readonly turn_ms?: number } =>
  ms === undefined ? {} : { turn_ms: hundredths(ms) }

export const wireTtft = (parts: TtftParts): WireTtft => ({
  admission_ms: hundredths(parts.admission),
  ...turnOf(parts.turn),
  queue_ms: hundredths(parts.queue),
  retries_ms: hundredths(parts.retries),
  routing_ms: hundredths(parts.routing),
  connect_ms: hundredths(parts.connect),
  upstream_ms: hundredths(parts.upstream),
})

/** As the header `server-timing` has it. A job's own parts have no `delivery`: that is a reader's. */
export const partsText = ({ admission, turn, queue, retries, routing, connect, upstream }: TtftParts): string =>
  `admission;dur=${msText(admission)}, ${turnText(turn)}queue;dur=${msText(queue)}, retries;dur=${msText(retries)}, ` +
  `routing;dur=${msText(routing)}, connect;dur=${msText(connect)}, upstream;dur=${msText(upstream)}`

const turnText = (turn: number | undefined): string => (turn === undefined ? '' : `turn;dur=${msText(turn)}, `)

/** The same, for the reader who gets the first text now. */
export const deliveredText = (parts: TtftParts): string => `${partsText(parts)}, delivery;dur=${msText(parts.delivery)}`

/** The same of a job that has ended, without its total. */
export function timingText({ queuedMs, turnMs, ttftMs, tpotMs, parts }: Timing): string {
  const first =
    parts !== undefined
      ? partsText(parts)
      : `${turnText(turnMs)}queue;dur=${hundredths(queuedMs - (turnMs ?? 0))}` +
        (ttftMs === undefined ? '' : `, ttft;dur=${hundredths(ttftMs)}`)
  return tpotMs === undefined ? first : `${first}, tpot;dur=${hundredths(tpotMs)}`
}

export const hundredths = (ms: number): number => Math.round(ms * 100) / 100

/** The texts of most durations: to make one of a fraction takes ten times as long as to find it. */
const TEXTS: string[] = Array.from({ length: 4_096 }, (_, n) => String(n / 100))

/** To the hundredth. */
export function msText(ms: number): string {
  const n = Math.round(ms * 100)
  return n >= 0 && n < TEXTS.length ? TEXTS[n] : String(n / 100)
}
