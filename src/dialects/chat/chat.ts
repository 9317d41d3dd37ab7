/** OpenAI's chat completions. */
import type { Dialect, RequestForm } from '../../core/ports/dialect.ts'
import { errorJson } from '../../core/wire.ts'
import { stream } from './stream.ts'
import { whole } from './whole.ts'

const completions: RequestForm = {
  path: '/v1/chat/completions',
  kind: 'chat',
  shownAs({ stream_options: options }) {
    const asksForUsage = (options as { readonly include_usage?: unknown } | null | undefined)?.include_usage === true
    return asksForUsage ? { include_usage: true } : undefined
  },
}

export const chat: Dialect = { name: 'chat', requests: [completions], stream, whole, error: errorJson }
