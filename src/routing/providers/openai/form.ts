/** A transcription's request as the form that upstreams expect: its fields, then its file, which nobody holds whole. */
import { isRecord, type JsonRecord } from '../../../core/json.ts'
import { SOUND, TASK, TRANSLATE } from '../../../core/media.ts'
import type { Upload } from '../../../core/ports/provider.ts'

export interface Form {
  readonly type: string
  readonly length: number
  readonly chunks: AsyncIterable<Uint8Array>
}

/** Where it is posted to. */
export const soundRoute = (fields: JsonRecord): string =>
  fields[TASK] === TRANSLATE ? '/audio/translations' : '/audio/transcriptions'

/** `boundary`: of random characters, so that no sound can hold it. */
export function formOf(fields: JsonRecord, upload: Upload, boundary: string): Form {
  const edge = `--sluice-${boundary}`
  let before = ''
  for (const [name, value] of Object.entries(fields)) {
    if (name === SOUND || name === TASK || value === null) continue
    const isList = Array.isArray(value)
    const head = `${edge}\r\ncontent-disposition: form-data; name="${quoted(isList ? `${name}[]` : name)}"`
    for (const each of isList ? (value as readonly unknown[]) : [value]) before += `${head}\r\n\r\n${textOf(each)}\r\n`
  }
  before +=
    `${edge}\r\ncontent-disposition: form-data; name="${SOUND}"; filename="${quoted(upload.name)}"\r\n` +
    `content-type: ${upload.type}\r\n\r\n`
  const head = Buffer.from(before, 'utf8')
  const tail = Buffer.from(`\r\n${edge}--\r\n`)
  return {
    type: `multipart/form-data; boundary=${edge.slice(2)}`,
    length: head.length + upload.bytes + tail.length,
    chunks: chunksOf(head, upload, tail),
  }
}

async function* chunksOf(head: Uint8Array, upload: Upload, tail: Uint8Array): AsyncGenerator<Uint8Array> {
  yield head
  let bytes = 0
  for await (const chunk of upload.read()) {
    bytes += chunk.length
    yield chunk
  }
  // Its length was promised
  if (bytes !== upload.bytes) throw new Error('the file has another length')
  yield tail
}

const textOf = (value: unknown): string =>
  typeof value === 'string' ? value : isRecord(value) || Array.isArray(value) ? JSON.stringify(value) : String(value)

/** As browsers write it. */
const quoted = (name: string): string => name.replaceAll('"', '%22').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
