/**
 * What is measured of a generation, and what the words mean: one place for the gateway, the benchmark and the
 * dashboard. All times are monotonic ms, taken when bytes leave a socket, before they are parsed.
 */

/** Where the time to first token went. All but `turn` add up to it, exactly. */
export interface TtftParts {
  /**
   * From the request's head to the job's acceptance: authentication, parsing, guards, estimate, commit. Not what the
   * client took to send the body: that is the network's, and its own.
   */
  readonly admission: number
  /**
   * Until it was its own turn: its delay was over, those that it comes after had ended, and it was the first of its
   * lane or conversation. Whoever submitted it asked for that, so it is no part of TTFT, and no goal counts it. Absent:
   * it never waited so, or nobody knows.
   */
  readonly turn?: number
  /** In line from then on, until the lease of the attempt that gave the first token. */
  readonly queue: number
  /** Attempts before that one, as far as they ran: what failed before it showed anything. */
  readonly retries: number
  /** From that lease to the call: its commit, the log, the prompt. */
  readonly routing: number
  /** Until the request was on its way on a connection: 0 where one was kept. */
  readonly connect: number
  /** From then on until the first token came: the provider's queue, and its prefill. */
  readonly upstream: number
  /** From there until it was handed to the reader's socket; 0 where nobody reads live. */
  readonly delivery: number
}

/** What TTFT is the sum of. */
export type TtftPart = Exclude<keyof TtftParts, 'turn'>

/** One stream, as its reader saw it. */
export interface AnswerMarks {
  /** When it was to be sent, by the schedule; as `sentMono` where there is none. */
  readonly scheduledMono: number
  readonly sentMono: number
  readonly firstByteMono: number | null
  /** Of the first content, reasoning, refusal or piece of a tool call: not of a role, a comment or a keep-alive. */
  readonly firstTokenMono: number | null
  /** The same without reasoning. */
  readonly firstOutputMono: number | null
  readonly lastTokenMono: number | null
  readonly endMono: number
  /** All of the answer, reasoning included. */
  readonly tokens: number
  /** Tokens that were there with the first one: `openingOf`. Later ones are what the pace is measured by. */
  readonly firstTokens: number
}

/** What is known of the chunks with a token, and of those that came at once with the first. */
export interface Opening {
  /** All of the answer, reasoning included. */
  readonly tokens: number
  /** By the usage in the first chunk, where upstreams send one with each; null: it had none. */
  readonly reported: number | null
  /** Reasoning that was counted but never shown: it came before the first token. */
  readonly hidden: number
  readonly chunks: number
  /** Of them, those in the read of the first token: at least 1. */
  readonly firstChunks: number
  /** Their part of the answer's text, 0 to 1. */
  readonly share: number
}

/** Above this chunks are bundles of tokens: how many the first one has is told by its text. */
export const BUNDLED = 1.5

/**
 * Tokens that were there with the first one. Exact where the first chunk told it; else one a chunk, or what their text
 * amounts to, and what was made unseen. A usage that is that of the whole answer already (some upstreams repeat it in
 * each chunk) tells nothing of the first.
 */
export function openingOf(opening: Opening): { readonly firstTokens: number; readonly isExact: boolean } {
  const { tokens, reported, hidden, chunks, firstChunks, share } = opening
  if (reported !== null && reported > 0 && reported < tokens)
    return { firstTokens: Math.min(tokens, reported + firstChunks - 1), isExact: firstChunks === 1 }
  const unseen = Math.min(hidden, tokens)
  const shown = tokens - unseen
  const first = shown > chunks * BUNDLED ? Math.max(1, Math.round(shown * share)) : firstChunks
  return { firstTokens: Math.max(1, Math.min(unseen + first, tokens)), isExact: false }
}

/**
 * Time per output token after the first chunk: (last - first) / (tokens - tokens of the first chunk). Null where that
 * is no number: fewer than two tokens, or all of them at once.
 */
export function tpotOf({
  firstTokenMono,
  lastTokenMono,
  tokens,
  firstTokens,
}: Pick<AnswerMarks, 'firstTokenMono' | 'lastTokenMono' | 'tokens' | 'firstTokens'>): number | null {
  if (firstTokenMono === null || lastTokenMono === null) return null
  const after = tokens - firstTokens
  const tookMs = lastTokenMono - firstTokenMono
  return after < 1 || tookMs <= 0 ? null : tookMs / after
}

export const ttftOf = ({ sentMono, firstTokenMono }: AnswerMarks): number | null =>
  firstTokenMono === null ? null : firstTokenMono - sentMono

export const e2eOf = ({ sentMono, lastTokenMono }: AnswerMarks): number | null =>
  lastTokenMono === null ? null : lastTokenMono - sentMono

/** Time per character after the first chunk: the only pace that holds across tokenizers. Null as for TPOT. */
export function msPerCharOf(marks: AnswerMarks, chars: number, firstChars: number): number | null {
  return tpotOf({ ...marks, tokens: chars, firstTokens: firstChars })
}

/** A gap between two chunks that a reader notices. */
export const STALL_MS = 1_000
/** An answer that brought nothing for so long stands still: a model may think for a while. */
export const SILENT_MS = 10_000

/** What the words mean, for whoever reads a number: dashboard, report, documents. */
export const GLOSSARY = {
  ttft:
    'Time to first token: from the request’s head to the first text, reasoning or tool call of its answer, without ' +
    'the wait for its own turn.',
  tpot: 'Time per output token after the first, reasoning included, over the answer as a whole.',
  msPerChar: 'TPOT by characters instead of tokens, which differ from one tokenizer to the next.',
  e2e: 'From the request’s head to the last token.',
  stall: 'A pause of a second or more between two chunks of an answer.',
  goodput: 'The share of all attempted requests that ended well and met their goals for TTFT and TPOT.',
  turn: 'Until its own turn: its delay, the job before it in its lane or conversation, the jobs that it comes after.',
  queue: 'In line: limits, fairness and free slots.',
  upstream: 'The provider’s own queue and its reading of the prompt, until its first token.',
  delivery: 'From the first token’s arrival until it was handed to the reader’s socket.',
} as const satisfies Readonly<Record<string, string>>
