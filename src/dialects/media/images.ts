/** OpenAI's images, whole or as events. The log refers to them; who asks gets them, or links. */
import { bad, type Check, checkMembers, isText } from '../../core/fields.ts'
import { editObject, type JsonRecord } from '../../core/json.ts'
import { checkFiles, type FileField, IMAGE, MASK, mediaEventOf, TASK, type Task } from '../../core/media.ts'
import type { CanonicalRequest, Dialect, RequestForm, StreamForm } from '../../core/ports/dialect.ts'
import { kindOf, toBytes } from '../../core/record.ts'
import { errorJson } from '../../core/wire.ts'
import { CLIENT_QUERY, userCheck, userIn } from '../openai.ts'
import { wholeAnswer } from '../whole.ts'
import { documentOf, imageEvents, isCompleted } from './image-events.ts'

/** OpenAI's. */
const MAX_IMAGES = 10
const CHECKS: ReadonlyMap<string, Check> = new Map([
  ['user', userCheck],
  ['safety_identifier', userCheck],
])

const form = (path: string, what: string, task?: Extract<Task, 'edit' | 'variation'>): RequestForm => ({
  path,
  kind: 'image',
  what,
  query: CLIENT_QUERY,
  ...(task !== undefined && { uploads: task === 'edit' ? [IMAGE, MASK] : [ONE_IMAGE] }),
  read(value, bytes): CanonicalRequest {
    check(value, task)
    const body = task === undefined ? bytes : editObject(bytes, { [TASK]: JSON.stringify(task) })
    const stream = isAsked(value['stream'])
    const asEvents = stream && task === 'edit' ? { task } : undefined
    const shownAs = value['response_format'] === 'url' ? { response_format: 'url' } : asEvents
    return { value, body, stream, user: userIn(value), shownAs }
  },
})
const ONE_IMAGE: FileField = { ...IMAGE, most: 1 }

/** Throws invalid_request. */
function check(body: JsonRecord, task?: Task): void {
  const { [TASK]: named, prompt, stream, partial_images: partial, response_format: format } = body
  checkMembers(body, CHECKS)
  if (named !== undefined)
    throw bad(TASK, `"${TASK}" can't be set: post to /v1/images/edits or /v1/images/variations for these.`)
  if (task !== 'variation' && (!isText(prompt) || prompt === '')) throw bad('prompt', '"prompt" must be a text.')
  if (task !== undefined) checkFiles(body, task === 'edit' ? IMAGE : ONE_IMAGE, 'an image')
  if (task === 'edit') checkFiles(body, MASK, 'an image')
  // A form has texts
  const n = task === undefined ? body['n'] : numberOf(body['n'])
  if (n !== undefined && n !== null && !(Number.isInteger(n) && (n as number) >= 1 && (n as number) <= MAX_IMAGES))
    throw bad('n', `"n" must be a whole number from 1 to ${MAX_IMAGES}.`)
  if (isAsked(partial) && !isAsked(stream)) throw bad('partial_images', '"partial_images" come with "stream": true.')
  if (isAsked(stream) && format === 'url') throw bad('response_format', 'Events have no links: leave "url" out.')
  if (format !== undefined && format !== null && format !== 'url' && format !== 'b64_json')
    throw bad('response_format', '"response_format" must be "url" or "b64_json".')
}

const numberOf = (value: unknown): unknown => (typeof value === 'string' && /^\d{1,9}$/.test(value) ? +value : value)
const isAsked = (value: unknown): boolean => !NOT_ASKED.has(value)
const NOT_ASKED: ReadonlySet<unknown> = new Set([undefined, null, false, 0, 'false', '0'])

export const images: Dialect = {
  name: 'images',
  requests: [
    form('/v1/images/generations', 'images'),
    form('/v1/images/edits', 'edits of images', 'edit'),
    form('/v1/images/variations', 'variations of images', 'variation'),
  ],
  stream: imageEvents as StreamForm,
  whole() {
    const completed: JsonRecord[] = []
    return wholeAnswer(errorJson, {
      passesDocuments: true,
      // It came as events
      push(record) {
        const event = mediaEventOf(record)
        if (kindOf(record) === 'reset') completed.length = 0
        else if (event !== null && isCompleted(event)) completed.push(event)
      },
      body: () => (completed.length === 0 ? null : toBytes(JSON.stringify(documentOf(completed)))),
    })
  },
  error: errorJson,
}
