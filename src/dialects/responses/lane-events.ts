/** What only the WebSocket of the Responses API has: the lane of an event, and errors with their status. */
import type { WireError } from '../../core/errors.ts'
import { codeOf } from '../../core/errors.ts'
import type { JsonObject } from '../../core/fold.ts'

const PREVIOUS = 'previous_response_id'

export const laneOf = (lane: string | null): JsonObject => (lane === null ? {} : { stream_id: lane })

/**
 * An error's members: as in a stream of events, which clients' types have, and as an answer over HTTP would have them,
 * which clients retry by. `headers`: of that answer.
 */
export function laneError(wire: WireError, status: number, headers: Readonly<Record<string, string>>): JsonObject {
  const { message, type, param = null } = wire
  const code = param === PREVIOUS && status === 400 ? 'previous_response_not_found' : codeOf(wire)
  return { status, code, message, param, error: { type, code, message, param }, headers: { ...headers } }
}
