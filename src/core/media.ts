/** How logs and requests refer to bytes that are kept in files: images, and sounds (0085). */
import { isRecord, type JsonRecord } from './json.ts'
import { type Bytes, toBytes, toText } from './record.ts'

/** Of these bytes of a file, so far: more may come until its job has ended. */
export interface MediaRef {
  readonly file: string
  /** Media type. */
  readonly type: string
  readonly bytes: number
}

/** Purpose of files that jobs made, or read. */
export const MEDIA_PURPOSE = 'media'
/** Members of a transcription's request: the file's id, and what is asked for, where it is no transcription. */
export const SOUND = 'file'
export const TASK = 'task'
export const TRANSLATE = 'translate'

const HEAD = '{"object":"media",'
/** A record of a log: so much of a sound is in its file. */
export const mediaRecord = ({ file, type, bytes }: MediaRef): Bytes =>
  toBytes(`${HEAD}${JSON.stringify({ file, type, bytes }).slice(1)}`)

/** Null: the record is none of those. */
export function mediaOf(record: Bytes): MediaRef | null {
  return record.startsWith(HEAD) ? refOf(JSON.parse(toText(record))) : null
}

/** What stands for an image's bytes in a document; null: it is something else. */
export function refOf(value: unknown): MediaRef | null {
  if (!isRecord(value)) return null
  const { file, type, bytes } = value
  return typeof file === 'string' && typeof type === 'string' && typeof bytes === 'number'
    ? { file, type, bytes }
    : null
}

/** That an answer may have: no pages, whatever its upstream says. */
export const TEXT_TYPES = /^(?:text\/(?:plain|vtt)|application\/(?:x-)?subrip)(?:; ?charset=[\w-]{1,16})?$/i

/** A whole answer that is no JSON: subtitles, or bare text. */
export const textDocument = (type: string, text: string): Bytes =>
  toBytes(JSON.stringify({ object: 'media.text', type, text }))

/** Null: the document is the answer as it is. */
export function textOf(document: Bytes): { readonly type: string; readonly text: Bytes } | null {
  if (!document.startsWith('{"object":"media.text",')) return null
  const { type, text } = JSON.parse(toText(document)) as JsonRecord
  return typeof type === 'string' && TEXT_TYPES.test(type) ? { type, text: toBytes(String(text)) } : null
}

/** A document's images: `data[i].b64_json`. The document is changed by `put`: what it returns stands there. */
export function mapImages(document: JsonRecord, put: (value: unknown, i: number) => unknown): JsonRecord {
  const { data } = document
  if (!Array.isArray(data)) return document
  const mapped = data.map((item, i) =>
    isRecord(item) && item['b64_json'] !== undefined ? { ...item, ...(put(item['b64_json'], i) as object) } : item,
  )
  return { ...document, data: mapped }
}

const SAFE_TYPE = /^(?:audio|image)\/[\w.+-]{1,64}(?: ?; ?[\w-]{1,32}=[\w.-]{1,32})?$/
/** What an upstream calls its bytes, as far as browsers may be told; null: it is no such type. */
export const mediaType = (type: string | undefined): string | null =>
  type !== undefined && SAFE_TYPE.test(type) ? type.toLowerCase() : null

/** By their first bytes, of which at least 12 are needed. */
export function imageType(head: Uint8Array): string {
  const at = (i: number, text: string): boolean =>
    Buffer.from(head.subarray(i, i + text.length)).toString('latin1') === text
  if (at(1, 'PNG')) return 'image/png'
  if (head[0] === 0xff && head[1] === 0xd8) return 'image/jpeg'
  if (at(0, 'RIFF') && at(8, 'WEBP')) return 'image/webp'
  return 'application/octet-stream'
}
