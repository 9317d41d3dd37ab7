/** Turns as Redis stores them: cut out of the request by the commit that ends the job (lua/conversations.lua). */
import type { JobState } from '../../../core/job.ts'
import { isTerminal } from '../../../core/job.ts'
import { NO_LIMITS, scanObject } from '../../../core/json.ts'
import type { Turn } from '../../../core/ports/conversations.ts'
import { leadingInstructionsEnd } from '../../shared/messages.ts'
import type { TurnRange } from '../protocol/facts.ts'

const OPEN_ARRAY = 0x5b

/** Absent: the request has none. */
export function turnRangeOf(body: Uint8Array): TurnRange | undefined {
  const messages = scanObject(body, NO_LIMITS).findLast(({ key }) => key === 'messages')
  if (messages === undefined || body[messages.valueStart] !== OPEN_ARRAY) return undefined
  const { valueStart, valueEnd } = messages
  return [valueStart, valueEnd, leadingInstructionsEnd(body.subarray(valueStart, valueEnd))]
}

const HEAD = /^([a-z]+) (\d{1,10}) \d{1,10}\n/

/** Null: damaged. */
export function readTurn(job: string, stored: Buffer): Turn | null {
  const match = HEAD.exec(stored.toString('latin1', 0, 64))
  if (match === null || !isTerminal(match[1] as JobState)) return null
  const [head, state, length] = match
  const from = head.length
  const to = from + Number(length)
  if (to > stored.length) return null
  return {
    job,
    state: state as JobState,
    messages: stored.toString('utf8', from, to),
    answer: to === stored.length ? null : stored.toString('utf8', to),
  }
}
