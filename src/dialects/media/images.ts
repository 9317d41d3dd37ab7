/** OpenAI's images, which come whole. The log refers to them; who asks gets them, or links. */
import { bad, type Check, checkMembers, isText } from '../../core/fields.ts'
import type { JsonRecord } from '../../core/json.ts'
import type { CanonicalRequest, Dialect, RequestForm } from '../../core/ports/dialect.ts'
import { errorJson } from '../../core/wire.ts'
import { CLIENT_QUERY, userCheck, userIn } from '../openai.ts'
import { wholeAnswer } from '../whole.ts'

/** OpenAI's. */
const MAX_IMAGES = 10
const CHECKS: ReadonlyMap<string, Check> = new Map([
  ['user', userCheck],
  ['safety_identifier', userCheck],
])

const generations: RequestForm = {
  path: '/v1/images/generations',
  kind: 'image',
  what: 'images',
  query: CLIENT_QUERY,
  read(value, body): CanonicalRequest {
    check(value)
    const shownAs = value['response_format'] === 'url' ? { response_format: 'url' } : undefined
    return { value, body, stream: undefined, user: userIn(value), shownAs }
  },
}

/** Throws invalid_request. */
function check(body: JsonRecord): void {
  const { prompt, n, stream, partial_images: partial, response_format: format } = body
  checkMembers(body, CHECKS)
  if (!isText(prompt) || prompt === '') throw bad('prompt', '"prompt" must be a text.')
  if (n !== undefined && n !== null && !(Number.isInteger(n) && (n as number) >= 1 && (n as number) <= MAX_IMAGES))
    throw bad('n', `"n" must be a whole number from 1 to ${MAX_IMAGES}.`)
  if (stream === true || (partial !== undefined && partial !== null && partial !== 0))
    throw bad('stream', 'Images come whole here: leave "stream" and "partial_images" out.')
  if (format !== undefined && format !== null && format !== 'url' && format !== 'b64_json')
    throw bad('response_format', '"response_format" must be "url" or "b64_json".')
}

export const images: Dialect = {
  name: 'images',
  requests: [generations],
  stream: null,
  whole: () => wholeAnswer(errorJson, { passesDocuments: true, push() {}, body: () => null }),
  error: errorJson,
}
