/** How an attempt begins, given what earlier attempts left in the log. Pure. */
import { foldAnswer } from '../core/answer.ts'
import type { Job } from '../core/job.ts'
import { type Bytes, kindOf, toText } from '../core/record.ts'

/** What readers have been shown, since the last reset. */
export interface Shown {
  /** Some text, or a tool call, was shown: it can't be taken back unseen. */
  readonly text: boolean
  /** The chunks' identity, once any chunk is in the log: later attempts' chunks are rewritten to it. */
  readonly identity: Identity | null
  /** The text to prolong, where the answer so far is nothing but text of one choice. */
  readonly prefix: string | null
}

export interface Identity {
  readonly id?: unknown
  readonly created?: unknown
  readonly model?: unknown
}

export const NOTHING_SHOWN: Shown = { text: false, identity: null, prefix: null }

export function shownBy(records: readonly Bytes[]): Shown {
  const chunks = records.filter((r) => kindOf(r) === 'chunk')
  if (chunks.length === 0) return NOTHING_SHOWN
  const { id, created, model } = JSON.parse(toText(chunks[0])) as Identity
  const lastReset = records.findLastIndex((r) => kindOf(r) === 'reset')
  const since = records.slice(lastReset + 1).filter((r) => kindOf(r) === 'chunk')
  const text = since.some(showsText)
  return { text, identity: { id, created, model }, prefix: text ? prefixOf(since) : null }
}

function prefixOf(chunks: readonly Bytes[]): string | null {
  const [choice, ...others] = foldAnswer(chunks).choices
  if (choice === undefined || others.length > 0 || choice.finishReason !== null) return null
  const { role: _role, content, refusal, ...rest } = choice.message
  const onlyText =
    typeof content === 'string' &&
    content !== '' &&
    (refusal ?? null) === null &&
    Object.values(rest).every((v) => v === null)
  return onlyText ? content : null
}

/** The first chunk of most upstreams only says `role: assistant`; it shows nothing. */
export const showsText = (chunk: Bytes): boolean =>
  !/"delta"\s*:\s*\{\s*"role"\s*:\s*"assistant"\s*(,\s*"(content|refusal|reasoning_content)"\s*:\s*(""|null)\s*)*\}/.test(
    chunk,
  )

export type Beginning =
  | { readonly mode: 'first' }
  | { readonly mode: 'continue'; readonly prefix: string }
  | { readonly mode: 'restart' }
  /** Nothing may be added to what was shown. */
  | { readonly mode: 'fail' }

export function beginAttempt(job: Pick<Job, 'options' | 'stream'>, shown: Shown, continues: boolean): Beginning {
  if (!shown.text) return { mode: 'first' }
  const policy = job.options.onWorkerLoss
  if (policy === 'continue' && continues && shown.prefix !== null) return { mode: 'continue', prefix: shown.prefix }
  // A plain chat stream can't take text back (S4)
  if (policy === 'fail' || job.stream) return { mode: 'fail' }
  return { mode: 'restart' }
}
