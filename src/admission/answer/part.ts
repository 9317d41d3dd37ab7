/** What guards can do with an answer; stage.ts does it. */
import type { Finder } from '../scan/finder.ts'
import type { JsonCheck } from '../schema/json-check.ts'

export type AnswerPart =
  | { readonly kind: 'text'; readonly finder: Finder; readonly action: 'block' | 'redact' | 'flag' }
  /** The provider gets placeholders in the place of what is found; in its answer they are replaced again. */
  | { readonly kind: 'hide'; readonly finder: Finder; readonly also: Extract<AnswerPart, { kind: 'text' }> | null }
  | {
      readonly kind: 'schema'
      /** Null: the one that the request asks for. */
      readonly own: JsonCheck | null
      readonly invalid: 'retry' | 'fail'
    }
  | { readonly kind: 'moderation'; readonly moderation: ModerationSettings }

/** A guard of answers. */
export interface AnswerGuard {
  readonly name: string
  readonly mode: 'enforce' | 'shadow'
  readonly answer: AnswerPart | null
}

export interface ModerationSettings {
  readonly url: string
  readonly key: { reveal(): string } | null
  readonly model: string | null
  readonly timeout: number
  /** Whether requests pass that the service could not judge. */
  readonly fail: 'open' | 'closed'
  /** Nothing of the answer is shown before the verdict. */
  readonly wait: boolean
}
