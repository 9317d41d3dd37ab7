/** What all guards have in common that look for something in texts. */
import { z } from 'zod'
import { SluiceError } from '../../core/errors.ts'
import type { Asked } from '../../core/ports/admission.ts'
import type { Unscanned } from '../../core/ruling.ts'
import { marker } from '../answer/marker.ts'
import type { AnswerPart } from '../answer/part.ts'
import type { Finder } from '../scan/finder.ts'
import { Redactor } from '../scan/redactor.ts'
import type { Finding, Parts } from './guard.ts'

export type Action = 'block' | 'redact' | 'flag'

/** Settings. */
export const on = z
  .enum(['request', 'answer', 'both'])
  .prefault('request')
  .describe('What is looked through: requests, answers as they come from the provider, or both.')
export const action = z
  .enum(['block', 'redact', 'flag'])
  .prefault('block')
  .describe('What is done where something is found: `block`, `redact` (it is replaced), or `flag` (it is only told).')
export const unscanned = z
  .enum(['pass', 'block'])
  .prefault('pass')
  .describe('What becomes of requests with content that can’t be looked through. It is told in any case.')

export interface TextSettings {
  readonly on: 'request' | 'answer' | 'both'
  readonly action: Action
  readonly unscanned: 'pass' | 'block'
}

/** Of one request; a longer one is not looked through to its end. */
const MAX_CHARS = 16 << 20

interface Sought {
  readonly finder: Finder
  /** "a credential": ends the sentence "The request contains …". */
  readonly what: string
  readonly maxChars?: number
  /** Makes, for each request, what stands in the place of a match. Absent: a marker. */
  readonly replacing?: () => (text: string, rule: string) => string
}

export function textParts(name: string, settings: TextSettings, sought: Sought): Parts {
  const { on, action } = settings
  return {
    ...(on !== 'answer' && { request: (asked: Asked) => checkTexts(name, settings, sought, asked) }),
    ...(on !== 'request' && { answer: textAnswer(sought.finder, action) }),
  }
}

export const textAnswer = (finder: Finder, action: Action): Extract<AnswerPart, { kind: 'text' }> => ({
  kind: 'text',
  finder,
  action,
})

export function checkTexts(
  name: string,
  { action, unscanned }: Pick<TextSettings, 'action' | 'unscanned'>,
  { finder, what, maxChars = MAX_CHARS, replacing = () => (_text, rule) => marker(rule) }: Sought,
  { texts, media }: Asked,
): Finding | null {
  const found = findings(finder, texts(), maxChars)
  const missing: Unscanned[] = []
  if (found.tooLong) missing.push('too_long')
  if ((media?.() ?? 0) > 0) missing.push('media')
  const told = { rules: [...found.rules], count: found.count, unscanned: missing }
  const blocked = (message: string): Finding => ({
    ...told,
    verdict: 'block',
    error: new SluiceError('content_blocked', { message: `${message} (guard ${name}).` }),
  })
  if (missing.length > 0 && unscanned === 'block' && (found.count === 0 || action !== 'block'))
    return blocked('The request contains content that can’t be looked through, which is not allowed for this tenant')
  if (found.count === 0) return missing.length === 0 ? null : { ...told, verdict: 'allow' }
  switch (action) {
    case 'block':
      return blocked(`The request contains ${what}`)
    case 'flag':
      return { ...told, verdict: 'flag' }
    case 'redact': {
      const replace = replacing()
      return {
        ...told,
        verdict: 'redact',
        edit: (text) => new Redactor([{ finder, found: replace }]).whole(text),
        remains: (left) => findings(finder, left, maxChars).count > 0,
      }
    }
  }
}

function findings(finder: Finder, texts: readonly string[], maxChars: number) {
  const rules = new Set<string>()
  let count = 0
  let left = maxChars
  const found = (text: string, rule: string): string => {
    rules.add(rule)
    count++
    return text
  }
  for (const text of texts) {
    if (left <= 0) break
    new Redactor([{ finder, found }]).whole(text.length > left ? text.slice(0, left) : text)
    left -= text.length
  }
  return { rules, count, tooLong: left < 0 }
}
