/** The Responses API over a WebSocket: events of clients. */
import { SluiceError } from '../../core/errors.ts'
import { bad, isText } from '../../core/fields.ts'
import type { JobId } from '../../core/job.ts'
import type { JsonRecord } from '../../core/json.ts'
import { didYouMean } from '../../core/nearest.ts'
import type { LaneMessage, Lanes, Rendering, Sealing, StreamForm } from '../../core/ports/dialect.ts'
import { type Bytes, toBytes } from '../../core/record.ts'
import { textFrame } from '../../core/text-frame.ts'
import { responseId } from './ids.ts'
import { laneError, laneOf } from './lane-events.ts'
import { responseOf, type Status } from './object.ts'
import { laneStream } from './stream.ts'

const CREATE = 'response.create'
const STEER = 'response.steer'
const TYPES = [CREATE, STEER]
const MAX_LANE_CHARS = 128

export const lanes = (sealing: Sealing): Lanes => ({
  read,
  laneOf: ({ stream_id: lane }) => (isText(lane) && lane.length <= MAX_LANE_CHARS ? lane : null),
  stream: (lane) => laneStream(sealing, lane) as StreamForm,
  prepared,
  joined,
  error: (error, headers, lane) => {
    const { wire, status } = error
    return toBytes(JSON.stringify({ type: 'error', ...laneError(wire, status, headers), ...laneOf(lane) }))
  },
})

function read(message: JsonRecord): LaneMessage {
  const { type } = message
  if (type === STEER) return { asks: 'nothing', reply: notSteered(message) }
  if (type === 'response.cancel')
    throw bad('type', 'There is no "response.cancel" on this socket: POST /v1/responses/{id}/cancel ends a response.')
  if (type !== CREATE)
    throw bad('type', `"type" must be ${TYPES.join(' or ')}.${isText(type) ? didYouMean(type, TYPES) : ''}`)
  const { type: _type, stream_id: lane = null, generate, ...request } = message
  if (lane !== null && (!isText(lane) || lane === '' || lane.length > MAX_LANE_CHARS))
    throw bad('stream_id', `"stream_id" must be a string of 1 to ${MAX_LANE_CHARS} characters.`)
  if (request['stream'] === false) throw bad('stream', 'On a WebSocket answers are streamed: leave "stream" out.')
  if (request['background'] === true)
    throw bad('background', 'Responses in the background are for POST /v1/responses; those that come here run on too.')
  if (generate !== undefined && typeof generate !== 'boolean') throw bad('generate', '"generate" must be a boolean.')
  return { asks: generate === false ? 'preparation' : 'request', lane, request: { ...request, stream: true } }
}

function prepared(as: Rendering, lane: string | null): Bytes {
  const told = (type: string, status: Status, sequence: number): Bytes => {
    const response = responseOf(as, { status, output: [], end: null, finish: null })
    return textFrame(toBytes(JSON.stringify({ type, response, sequence_number: sequence, ...laneOf(lane) })))
  }
  return told('response.created', 'in_progress', 0) + told('response.completed', 'completed', 1)
}

/** Its input, and what that went on from, come before the request's own. */
function joined(request: JsonRecord, id: JobId, before: JsonRecord): JsonRecord {
  if (request['previous_response_id'] !== responseId(id)) return request
  const { previous_response_id: _, ...rest } = request
  const previous = before['previous_response_id']
  const input = [...itemsOf(before['input']), ...itemsOf(request['input'])]
  return { ...rest, input, ...(previous !== undefined && { previous_response_id: previous }) }
}

const itemsOf = (input: unknown): readonly unknown[] =>
  Array.isArray(input) ? input : isText(input) ? [{ role: 'user', content: input }] : []

/** No model behind Sluice takes input while it answers. */
function notSteered({ input = null, previous_response_id: previous = null }: JsonRecord): Bytes {
  const { type, message } = new SluiceError('invalid_request', {
    message: 'Input is not added to a response that runs: send it as "input" of the next one.',
  }).wire
  return toBytes(
    JSON.stringify({
      type: 'response.steer.failed',
      error: { code: 'steering_not_supported', message, type },
      steer: { input, previous_response_id: previous },
      sequence_number: 0,
    }),
  )
}
