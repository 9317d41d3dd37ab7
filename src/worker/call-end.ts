/** What a provider's last chunk, or its document, tells of how its answer ended: for spans. */
import { reasonOf } from '../core/delta.ts'
import { parseDocument } from '../core/document.ts'
import type { CallMarks } from '../core/facts.ts'
import { isObject } from '../core/fold.ts'
import type { Bytes } from '../core/record.ts'

/** A larger one, as of many embeddings, is not parsed again for this. */
const MAX_BYTES = 64 * 1024
const MAX_CHOICES = 16
/** Texts of the provider's that may be shown: names, and nothing that could be a text of users. */
const REASON = /^[a-z_]{1,40}$/i
const MODEL = /^[\w.:/@+-]{1,128}$/

export function endOf(last: Bytes): Pick<CallMarks, 'finishReasons' | 'model'> {
  if (last.length > MAX_BYTES) return {}
  try {
    const { choices, model } = parseDocument(last)
    const reasons = (Array.isArray(choices) ? choices.slice(0, MAX_CHOICES) : []).flatMap((choice) => {
      const reason = isObject(choice) ? reasonOf(choice) : null
      return reason !== null && REASON.test(reason) ? [reason] : []
    })
    return {
      ...(reasons.length > 0 && { finishReasons: reasons }),
      ...(typeof model === 'string' && MODEL.test(model) && { model }),
    }
  } catch {
    return {}
  }
}
