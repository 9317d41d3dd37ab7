/** How logs and requests refer to bytes that are kept in files: images, and sounds (0085). */
import { bad } from './fields.ts'
import type { JobKind } from './job.ts'
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
/** A member of a request that names files of its tenant by their ids. */
export interface FileField {
  readonly name: string
  /** More than one: it may be a list. */
  readonly most: number
  readonly isOptional?: true
}
export const SOUND: FileField = { name: 'file', most: 1 }
/** Of edits and variations. */
export const IMAGE: FileField = { name: 'image', most: 16 }
export const MASK: FileField = { name: 'mask', most: 1, isOptional: true }

/** The member that tells what is asked for, where it is not what the kind is called after. */
export const TASK = 'task'
export const TASKS = ['translate', 'edit', 'variation'] as const
export type Task = (typeof TASKS)[number]

/** Files that a request names. */
export interface NamedFile {
  /** The member that names it; one of a list: with "[]". */
  readonly field: string
  readonly id: string
}

/** In their order. Of a request that was checked. */
export function filesNamed(kind: JobKind, request: JsonRecord): readonly NamedFile[] {
  const fields = kind === 'transcription' ? [SOUND] : kind === 'image' && TASK in request ? [IMAGE, MASK] : []
  return fields.flatMap(({ name }) => {
    const value = request[name]
    const isList = Array.isArray(value)
    const ids: readonly unknown[] = isList ? value : [value]
    return ids.flatMap((id) => (typeof id === 'string' ? [{ field: isList ? `${name}[]` : name, id }] : []))
  })
}

const FILE_ID = /^file-[\w-]{1,120}$/

/** Throws invalid_request. `what`: that the files must be. */
export function checkFiles(request: JsonRecord, { name, most, isOptional }: FileField, what: string): void {
  const value = request[name]
  if (isOptional === true && (value === undefined || value === null)) return
  const ids: readonly unknown[] = Array.isArray(value) && most > 1 ? value : [value]
  if (ids.length < 1 || ids.length > most) throw bad(name, `"${name}" may be a list of 1 to ${most} files.`)
  for (const id of ids)
    if (typeof id !== 'string' || !FILE_ID.test(id))
      throw bad(name, `"${name}" must be ${what}, in a multipart/form-data body, or the id of a file of yours.`)
}

const HEAD = '{"object":"media",'
/** A record of a log: so much of a sound is in its file. */
export const mediaRecord = ({ file, type, bytes }: MediaRef): Bytes =>
  toBytes(`${HEAD}${JSON.stringify({ file, type, bytes }).slice(1)}`)

/** Null: the record is none of those. */
export function mediaOf(record: Bytes): MediaRef | null {
  return record.startsWith(HEAD) ? refOf(JSON.parse(toText(record))) : null
}

const EVENT_HEAD = '{"object":"media.event",'
/** A record of a log: an event of images, with a reference where its bytes were. */
export const mediaEvent = (event: JsonRecord): Bytes => toBytes(`${EVENT_HEAD}${JSON.stringify({ event }).slice(1)}`)

/** Null: the record is none of those. */
export function mediaEventOf(record: Bytes): JsonRecord | null {
  if (!record.startsWith(EVENT_HEAD)) return null
  const { event } = JSON.parse(toText(record)) as JsonRecord
  return isRecord(event) ? event : null
}

/** In an event: where so many bytes of a file stand, in base64, between quotes. No JSON holds its first char. */
export const gapOf = (file: string, from: number, to: number): Bytes => `${GAP}${file} ${from} ${to}${GAP}`
export const GAP = '\u0000'

/** What stands for an image's bytes in a document; null: it is something else. */
export function refOf(value: unknown): MediaRef | null {
  if (!isRecord(value)) return null
  const { file, type, bytes } = value
  return typeof file === 'string' && typeof type === 'string' && typeof bytes === 'number'
    ? { file, type, bytes }
    : null
}

/** Member of a chunk's choice: what an event of a transcription has beside its text. */
export const TRANSCRIPT_EVENT = 'transcript'

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
