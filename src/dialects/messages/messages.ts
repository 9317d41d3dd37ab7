/** Anthropic's Messages API, over any model that serves chat completions. */
import type { Dialect } from '../../core/ports/dialect.ts'
import { errorOf } from './errors.ts'
import { messageId } from './message.ts'
import { request } from './request.ts'
import { stream } from './stream.ts'
import { whole } from './whole.ts'

export const messages: Dialect = {
  name: 'messages',
  requests: [request],
  stream: stream as Dialect['stream'],
  whole,
  answerId: messageId,
  error: errorOf,
  idHeader: 'request-id',
}
