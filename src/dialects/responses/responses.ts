/** OpenAI's Responses API, over any model that serves chat completions. */
import type { Dialect } from '../../core/ports/dialect.ts'
import { errorJson } from '../../core/wire.ts'
import { responseId } from './ids.ts'
import { lanes } from './lanes.ts'
import { request } from './request.ts'
import { stream } from './stream.ts'
import { resource, whole } from './whole.ts'

export const responses: Dialect<unknown> = {
  name: 'responses',
  requests: [request],
  stream: stream as Dialect['stream'],
  whole,
  answerId: responseId,
  resource,
  lanes,
  error: errorJson,
}
