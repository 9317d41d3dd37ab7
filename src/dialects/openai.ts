/** What the requests of OpenAI's API have in common. */
import { type Check, isText } from '../core/fields.ts'

const MAX_LABEL_CHARS = 512

/** The end user: kept with the job if it is a text. */
export const userCheck: Check = {
  ok: (v) => !isText(v) || v.length <= MAX_LABEL_CHARS,
  what: `a string of at most ${MAX_LABEL_CHARS} characters`,
}

/** Query parameters that its clients add on their own; they change nothing here. */
export const CLIENT_QUERY = ['api-version', 'beta', 'client_version']
