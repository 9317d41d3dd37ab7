/** How an attempt begins, given what earlier attempts left in the log. Pure. */
import { type Answer, foldAnswer } from '../core/answer.ts'
import { type Json, type JsonObject, showsSomething } from '../core/fold.ts'
import type { Job } from '../core/job.ts'
import { mediaEventOf, mediaOf } from '../core/media.ts'
import { type Bytes, kindOf } from '../core/record.ts'
import { attemptOf } from '../core/seen.ts'

/** What readers have been shown, since the last reset. */
export interface Shown {
  /** Some text, or a tool call, was shown: it can't be taken back unseen. */
  readonly text: boolean
  /** All of it was thought. */
  readonly onlyThought: boolean
  /** What the chunks in the log tell of themselves, once any is there: later attempts' chunks are rewritten to it. */
  readonly identity: Identity | null
  /** The text to prolong, where the answer so far is nothing but text of one choice. */
  readonly prefix: string | null
}

export interface Identity {
  readonly id?: Json
  readonly created?: Json
  readonly model?: Json
}

export const NOTHING_SHOWN: Shown = { text: false, onlyThought: false, identity: null, prefix: null }

export function shownBy(records: readonly Bytes[]): Shown {
  if (!records.some((r) => kindOf(r) === 'chunk')) return NOTHING_SHOWN
  // A sound, or images: what is in a file can't be prolonged, nor taken back unseen
  if (records.some((r) => mediaOf(r) !== null || mediaEventOf(r) !== null))
    return { text: true, onlyThought: false, identity: null, prefix: null }
  const answer = foldAnswer(records)
  const text = answer.choices.some(({ message }) => showsSomething(message))
  const onlyThought = text && !answer.choices.some(({ message }) => showsSomething(withoutThought(message)))
  return { text, onlyThought, identity: identityOf(answer), prefix: text ? prefixOf(answer) : null }
}

const withoutThought = (message: JsonObject): JsonObject =>
  Object.fromEntries(Object.entries(message).filter(([name]) => !name.startsWith('reasoning')))

/** Only what says something: some upstreams open with a placeholder. */
function identityOf({ head }: Answer): Identity {
  const said = Object.entries({ id: head['id'], created: head['created'], model: head['model'] })
  return Object.fromEntries(said.filter(([, value]) => Boolean(value)))
}

function prefixOf({ choices: [choice, ...others] }: Answer): string | null {
  if (choice === undefined || others.length > 0 || choice.finishReason !== null) return null
  const { role: _role, content, refusal, ...rest } = choice.message
  const onlyText = typeof content === 'string' && content !== '' && (refusal ?? null) === null && !showsSomething(rest)
  return onlyText ? content : null
}

/** Where the last attempt of a log ran; null: it has none. */
export function lastDeployment(records: readonly Bytes[]): string | null {
  const last = records.findLast((record) => kindOf(record) === 'attempt')
  return last === undefined ? null : (attemptOf(last)?.deployment ?? null)
}

export type Beginning =
  | { readonly mode: 'first' }
  | { readonly mode: 'continue'; readonly prefix: string }
  | { readonly mode: 'restart' }
  /** Nothing may be added to what was shown. */
  | { readonly mode: 'fail' }

export function beginAttempt(
  job: Pick<Job, 'options' | 'takesBack' | 'hidesThought'> & Partial<Pick<Job, 'kind'>>,
  shown: Shown,
  continues: boolean,
): Beginning {
  if (!shown.text) return { mode: 'first' }
  const policy = job.options.onWorkerLoss
  // What is heard in a sound is no beginning of an answer to it
  const mayContinue = policy === 'continue' && continues && job.kind !== 'transcription'
  if (mayContinue && shown.prefix !== null) return { mode: 'continue', prefix: shown.prefix }
  // What nobody is shown can be taken back, whatever the dialect and the policy
  if (shown.onlyThought && job.hidesThought === true) return { mode: 'restart' }
  // S4
  if (policy === 'fail' || !job.takesBack) return { mode: 'fail' }
  return { mode: 'restart' }
}
