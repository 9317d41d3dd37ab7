/** OpenAI's transcriptions, and translations, of sounds. They come whole: as JSON, as bare text, or as subtitles. */
import { bad, type Check, checkMembers } from '../../core/fields.ts'
import { editObject, type JsonRecord } from '../../core/json.ts'
import { checkFiles, SOUND, TASK, type Task, textOf } from '../../core/media.ts'
import type { CanonicalRequest, Dialect, RequestForm, WholeAnswer } from '../../core/ports/dialect.ts'
import { errorJson } from '../../core/wire.ts'
import { CLIENT_QUERY, userCheck, userIn } from '../openai.ts'
import { wholeAnswer } from '../whole.ts'

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
    return { value, body, stream: undefined, user: userIn(value), shownAs: undefined }
  },
})

/** Throws invalid_request. */
function check(body: JsonRecord): void {
  checkMembers(body, CHECKS)
  const { [TASK]: task, stream } = body
  checkFiles(body, SOUND, 'a sound')
  if (task !== undefined) throw bad(TASK, `"${TASK}" can't be set: post to /v1/audio/translations for a translation.`)
  if (stream === true || stream === 'true') throw bad('stream', 'Transcriptions come whole here: leave "stream" out.')
}

function whole(): WholeAnswer {
  const answer = wholeAnswer(errorJson, { passesDocuments: true, push() {}, body: () => null })
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
  stream: null,
  whole,
  error: errorJson,
}
