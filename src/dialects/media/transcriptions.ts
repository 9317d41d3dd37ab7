/** OpenAI's transcriptions, and translations, of sounds: JSON, bare text or subtitles that come whole, or events. */
import { LogFold } from '../../core/answer.ts'
import { bad, type Check, checkMembers } from '../../core/fields.ts'
import { isObject } from '../../core/fold.ts'
import { editObject, type JsonRecord } from '../../core/json.ts'
import { checkFiles, SOUND, TASK, type Task, textOf } from '../../core/media.ts'
import type { CanonicalRequest, Dialect, RequestForm, WholeAnswer } from '../../core/ports/dialect.ts'
import { toBytes } from '../../core/record.ts'
import { errorJson } from '../../core/wire.ts'
import { CLIENT_QUERY, userCheck, userIn } from '../openai.ts'
import { wholeAnswer } from '../whole.ts'
import { inItsWords, stream } from './transcript-events.ts'

const CHECKS: ReadonlyMap<string, Check> = new Map([
  ['user', userCheck],
  ['safety_identifier', userCheck],
])

const form = (path: string, what: string, task?: Task): RequestForm => ({
  path,
  kind: 'transcription',
  what,
  query: CLIENT_QUERY,
  uploads: [SOUND],
  read(value, bytes): CanonicalRequest {
    check(value)
    const body = task === undefined ? bytes : editObject(bytes, { [TASK]: JSON.stringify(task) })
    return { value, body, stream: isAsked(value['stream']), user: userIn(value), shownAs: undefined }
  },
})

/** Throws invalid_request. */
function check(body: JsonRecord): void {
  checkMembers(body, CHECKS)
  const { [TASK]: task, stream } = body
  checkFiles(body, SOUND, 'a sound')
  if (task !== undefined) throw bad(TASK, `"${TASK}" can't be set: post to /v1/audio/translations for a translation.`)
  const { response_format: format } = body
  if (isAsked(stream) && typeof format === 'string' && !EVENT_FORMATS.has(format))
    throw bad('response_format', `Events have no "${format}": leave "response_format" out, or "stream".`)
}

/** A form has texts. */
const isAsked = (stream: unknown): boolean => stream === true || stream === 'true'
const EVENT_FORMATS: ReadonlySet<string> = new Set(['json', 'text', 'diarized_json'])

function whole(): WholeAnswer {
  const fold = new LogFold()
  const answer = wholeAnswer(errorJson, {
    passesDocuments: true,
    push: (record) => fold.push(record),
    // It came as events
    body() {
      const { choices, usage } = fold.answer()
      const text = choices[0]?.message['content'] ?? ''
      return choices.length === 0
        ? null
        : toBytes(JSON.stringify({ text, ...(isObject(usage) && { usage: inItsWords(usage) }) }))
    },
  })
  return {
    take: (records) => answer.take(records),
    reply() {
      const reply = answer.reply()
      const text = reply.status === 200 ? textOf(reply.body) : null
      return text === null ? reply : { ...reply, body: text.text, type: text.type }
    },
  }
}

export const transcriptions: Dialect = {
  name: 'transcriptions',
  requests: [
    form('/v1/audio/transcriptions', 'transcriptions'),
    form('/v1/audio/translations', 'translations of sounds', 'translate'),
  ],
  stream,
  whole,
  error: errorJson,
}
