/** The answer, cut at its seams: where an attempt or a reader changed. */
import type { AnswerText, JobTrace } from '../../../../src/core/live.ts'
import { count } from '../../format.ts'
import { type Cut, cutsOf } from './axis.ts'

export interface Seam {
  readonly kind: 'lost' | 'on' | 'anew' | 'cut' | 'back'
  readonly text: string
}

/** What comes after a seam, until the next one. */
export interface Piece {
  readonly seams: readonly Seam[]
  readonly text: string
  /** It came in one write, when its reader was back. */
  readonly isOneWrite: boolean
}

interface At extends Seam {
  /** Before this chunk. */
  readonly chunk: number
}

export function piecesOf(answer: AnswerText, trace: JobTrace | null): readonly Piece[] {
  const { chunks, attempts } = answer
  const seams: At[] = []
  // What was shown before a restart is void
  let from = 0
  for (const [at, { attempt, deployment, mode, chunk }] of attempts.entries()) {
    if (at === 0) continue
    const before = attempts[at - 1]
    const lost = trace?.attempts.find((one) => one.attempt === before.attempt)?.deployment ?? before.deployment
    if (mode === 'restart') from = chunk
    seams.push({ kind: 'lost', chunk, text: `${lost ?? `attempt ${before.attempt}`} lost · ${count(chunk)}` })
    seams.push(
      mode === 'restart'
        ? { kind: 'anew', chunk, text: `${deployment ?? `attempt ${attempt}`} begins anew` }
        : { kind: 'on', chunk, text: `${deployment ?? `attempt ${attempt}`} goes on · ${count(chunk + 1)}` },
    )
  }
  const cuts = trace === null ? [] : cutsOf(trace, Number.POSITIVE_INFINITY)
  const writes = cuts.flatMap((cut) => writeOf(cut, chunks.length, trace?.counts.stored ?? 0))
  for (const [at, { first, end }] of writes.entries()) {
    seams.push({ kind: 'cut', chunk: first, text: `✂ cut · ${count(cuts[at].atToken)}` })
    if (end !== null)
      seams.push({ kind: 'back', chunk: end, text: `back · ${count(cuts[at].atToken + cuts[at].tokens)}` })
  }
  const own = seams.filter(({ chunk }) => chunk >= from).sort((one, other) => one.chunk - other.chunk)
  const places = [...new Set([from, ...own.map(({ chunk }) => chunk)])].sort((one, other) => one - other)
  return places.map((place, at) => ({
    seams: own.filter(({ chunk }) => chunk === place),
    text: chunks.slice(place, places[at + 1] ?? chunks.length).join(''),
    isOneWrite: writes.some(({ first, end }) => end !== null && place >= first && place < end),
  }))
}

/** Chunks are not quite tokens: where they differ in number, by their share. */
function writeOf({ atToken, tokens, toMs }: Cut, chunks: number, stored: number) {
  const scale = stored > 0 ? chunks / stored : 1
  const first = Math.min(chunks, Math.round(atToken * scale))
  const end = Math.min(chunks, Math.round((atToken + tokens) * scale))
  return { first, end: toMs === null ? null : end }
}

/** What is known of a growing answer, and what has come since. */
export function extended(known: AnswerText, told: AnswerText): AnswerText {
  const moved = known.chunks.length
  return {
    ...told,
    chunks: [...known.chunks, ...told.chunks],
    attempts: [...known.attempts, ...told.attempts.map((one) => ({ ...one, chunk: one.chunk + moved }))],
  }
}
