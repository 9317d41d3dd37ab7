/** How large a prompt is, before a provider has counted it. Fairness and guards use it. */
import { BYTES_PER_TOKEN, MEDIA_TOKENS } from '../core/estimate.ts'
import type { PromptSize } from '../core/ports/admission.ts'

export const estimateTokens = ({ textBytes, media }: PromptSize): number =>
  Math.max(1, Math.ceil(textBytes / BYTES_PER_TOKEN) + media * MEDIA_TOKENS)
