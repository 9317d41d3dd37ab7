/**
 * OpenAI's speech: a request is answered with the bytes of a sound. Its log tells how much of them is in which file;
 * the form of its stream tells that on, a line each, to a sink that sends the bytes themselves.
 */
import { bad, type Check, checkMembers, isText } from '../../core/fields.ts'
import { editObject, type JsonRecord } from '../../core/json.ts'
import { mediaOf } from '../../core/media.ts'
import type { CanonicalRequest, Dialect, RequestForm, StreamForm, WholeAnswer } from '../../core/ports/dialect.ts'
import { type Bytes, kindOf, parseEnd } from '../../core/record.ts'
import { errorJson } from '../../core/wire.ts'
import { CLIENT_QUERY, userCheck, userIn } from '../openai.ts'
import { failure, wholeAnswer } from '../whole.ts'
import { speechEvents } from './speech-events.ts'

const CHECKS: ReadonlyMap<string, Check> = new Map([
  ['user', userCheck],
  ['safety_identifier', userCheck],
])

const speak: RequestForm = {
  path: '/v1/audio/speech',
  kind: 'speech',
  what: 'speech',
  query: CLIENT_QUERY,
  read(value, bytes): CanonicalRequest {
    check(value)
    const asEvents = value['stream_format'] === 'sse'
    // The upstream sends the sound, whatever its readers are sent
    const body = value['stream_format'] === undefined ? bytes : editObject(bytes, { stream_format: null })
    const read = { value, body, stream: true, user: userIn(value), shownAs: undefined }
    return asEvents ? { ...read, form: speechEvents as StreamForm } : read
  },
}

/** Throws invalid_request. */
function check(body: JsonRecord): void {
  const { input, stream_format: format } = body
  checkMembers(body, CHECKS)
  if (!isText(input) || input === '') throw bad('input', '"input" must be a text.')
  if (format !== undefined && format !== null && format !== 'audio' && format !== 'sse')
    throw bad('stream_format', '"stream_format" must be "audio" or "sse".')
}

/** Bytes of a file can't be withdrawn: a reader that was shown some of another one is cut. */
const stream: StreamForm<null> = {
  name: 'speech',
  wire: { type: 'application/octet-stream', heartbeat: '', comment: '', endsWith: '\n', refers: 'bytes' },
  takesBack: false,
  begin: () => null,
  render({ records }) {
    let events: Bytes = ''
    let over = false
    for (const record of records) {
      if (mediaOf(record) !== null) events += `${record}\n`
      if (kindOf(record) !== 'end') continue
      events += parseEnd(record).state === 'done' ? 'done\n' : 'failed\n'
      over = true
    }
    return { events, state: null, over }
  },
  beginsAnywhere: true,
  gap: null,
  live: null,
  error: null,
  failure: (end) => failure(end, errorJson),
}

function whole(): WholeAnswer {
  let last: Bytes | null = null
  return wholeAnswer(errorJson, {
    passesDocuments: true,
    push(record) {
      if (kindOf(record) === 'reset') last = null
      else if (mediaOf(record) !== null) last = record
    },
    body: () => last,
  })
}

export const speech: Dialect = {
  name: 'speech',
  requests: [speak],
  stream: stream as StreamForm,
  whole,
  error: errorJson,
}
