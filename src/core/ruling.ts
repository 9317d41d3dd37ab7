/** What guards tell of themselves. */

export type Verdict = 'allow' | 'flag' | 'redact' | 'block'

/** What a guard could not look into: it is told as such, never as passed. */
export type Unscanned = 'too_long' | 'media' | 'schema' | 'parts' | 'unavailable'

/** What a guard made of a request or an answer; only where that is worth telling. It holds no text. */
export interface Ruling {
  readonly guard: string
  readonly on: 'request' | 'answer'
  /** `shadow`: nothing came of it. */
  readonly mode: 'enforce' | 'shadow'
  readonly verdict: Verdict
  /** Names of what was found, as its documentation lists them. */
  readonly rules: readonly string[]
  /** How often. */
  readonly count: number
  readonly unscanned: readonly Unscanned[]
}
