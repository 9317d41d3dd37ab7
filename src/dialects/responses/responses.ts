/** OpenAI's Responses API, over any model that serves chat completions. */
import type { Dialect, Sealing } from '../../core/ports/dialect.ts'
import { errorJson } from '../../core/wire.ts'
import { jobOfItem, responseId } from './ids.ts'
import { turnItems } from './inputs.ts'
import { lanes } from './lanes.ts'
import { request } from './request.ts'
import { stream } from './stream.ts'
import { resource, whole } from './whole.ts'

export const responses = (sealing: Sealing): Dialect<unknown> => ({
  name: 'responses',
  requests: [request(sealing)],
  stream: stream(sealing) as Dialect['stream'],
  whole: whole(sealing),
  answerId: responseId,
  resource: resource(sealing),
  turnItems,
  jobOfItem,
  lanes: lanes(sealing),
  error: errorJson,
})
