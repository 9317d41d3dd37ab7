/** What is to be embedded. */
import { bad, type Check, checkMembers, isText } from '../../core/fields.ts'
import type { JsonRecord } from '../../core/json.ts'
import type { CanonicalRequest, RequestForm } from '../../core/ports/dialect.ts'
import { CLIENT_QUERY, userCheck, userIn } from '../openai.ts'

/** As many vectors as the largest answer (http.max_answer_bytes) can hold. */
const MAX_INPUTS = 2_048
const CHECKS: ReadonlyMap<string, Check> = new Map([
  ['user', userCheck],
  ['safety_identifier', userCheck],
])

export const request: RequestForm = {
  path: '/v1/embeddings',
  kind: 'embedding',
  what: 'embeddings',
  query: CLIENT_QUERY,
  read(value, body): CanonicalRequest {
    check(value)
    return { value, body, stream: undefined, user: userIn(value), shownAs: undefined }
  },
}

/** Throws invalid_request. */
function check(body: JsonRecord): void {
  const { input } = body
  checkMembers(body, CHECKS)
  if (Array.isArray(input) && input.length > MAX_INPUTS && !input.every((token) => typeof token === 'number'))
    throw bad('input', `"input" has ${input.length} texts; the maximum is ${MAX_INPUTS}.`)
  if (!(isText(input) && input !== '') && !(Array.isArray(input) && input.length > 0))
    throw bad('input', '"input" must be a text, or a list of texts or tokens.')
}
