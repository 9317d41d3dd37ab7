/** What the requests of OpenAI's API have in common. */
import { type Check, isText } from '../core/fields.ts'
import type { JsonRecord } from '../core/json.ts'

const MAX_LABEL_CHARS = 512

/** The end user. A number in its place would be nobody: without limits, and sharing answers with others. */
export const userCheck: Check = {
  ok: (v) => v === null || v === undefined || (isText(v) && v.length <= MAX_LABEL_CHARS),
  what: `a string of at most ${MAX_LABEL_CHARS} characters`,
}

/** Its newer name first. An empty one names nobody. Both are checked. */
export const userIn = ({ safety_identifier: identifier, user }: JsonRecord): unknown => identifier || user || undefined

/** Query parameters that its clients add on their own; they change nothing here. */
export const CLIENT_QUERY = ['api-version', 'beta', 'client_version']
