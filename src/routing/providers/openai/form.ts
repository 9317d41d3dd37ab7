/** A request with files as the form that upstreams expect: its fields, then its files, which nobody holds whole. */
import { isRecord, type JsonRecord } from '../../../core/json.ts'
import { TASK, type Task } from '../../../core/media.ts'
import type { Upload } from '../../../core/ports/provider.ts'

export interface Form {
  readonly type: string
  readonly length: number
  readonly chunks: AsyncIterable<Uint8Array>
}

const ROUTES: Readonly<Record<Task, string>> = {
  translate: '/audio/translations',
  edit: '/images/edits',
  variation: '/images/variations',
}
/** Where it is posted to. */
export const formRoute = (fields: JsonRecord): string => ROUTES[fields[TASK] as Task] ?? '/audio/transcriptions'

/** `boundary`: of random characters, so that no file can hold it. */
export function formOf(fields: JsonRecord, uploads: readonly Upload[], boundary: string): Form {
  const named = new Set(uploads.map(({ field }) => field.replace('[]', '')))
  const edge = `--sluice-${boundary}`
  let before = ''
  for (const [name, value] of Object.entries(fields)) {
    if (named.has(name) || name === TASK || value === null) continue
    const isList = Array.isArray(value)
    const head = `${edge}\r\ncontent-disposition: form-data; name="${quoted(isList ? `${name}[]` : name)}"`
    for (const each of isList ? (value as readonly unknown[]) : [value]) before += `${head}\r\n\r\n${textOf(each)}\r\n`
  }
  const parts = uploads.map((upload, i) => ({ upload, head: Buffer.from(headOf(upload, i === 0 ? before : '')) }))
  const tail = Buffer.from(`${edge}--\r\n`)
  return {
    type: `multipart/form-data; boundary=${edge.slice(2)}`,
    length: parts.reduce((sum, { upload, head }) => sum + head.length + upload.bytes + LINE.length, tail.length),
    chunks: chunksOf(parts, tail),
  }

  function headOf({ field, name, type }: Upload, fieldsBefore: string): string {
    const disposition = `form-data; name="${quoted(field)}"; filename="${quoted(name)}"`
    return `${fieldsBefore}${edge}\r\ncontent-disposition: ${disposition}\r\ncontent-type: ${type}\r\n\r\n`
  }
}

const LINE = Buffer.from('\r\n')

type Parts = ReadonlyArray<{ readonly upload: Upload; readonly head: Uint8Array }>

async function* chunksOf(parts: Parts, tail: Uint8Array): AsyncGenerator<Uint8Array> {
  for (const { upload, head } of parts) {
    yield head
    let bytes = 0
    for await (const chunk of upload.read()) {
      bytes += chunk.length
      yield chunk
    }
    // Its length was promised
    if (bytes !== upload.bytes) throw new Error('the file has another length')
    yield LINE
  }
  yield tail
}

const textOf = (value: unknown): string =>
  typeof value === 'string' ? value : isRecord(value) || Array.isArray(value) ? JSON.stringify(value) : String(value)

/** As browsers write it. */
const quoted = (name: string): string => name.replaceAll('"', '%22').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
