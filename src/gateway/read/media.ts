/** Answers that refer to files, as their readers get them: the bytes in their place, or links to them. */
import { SluiceError } from '../../core/errors.ts'
import { isMedia, type Job } from '../../core/job.ts'
import type { JsonRecord } from '../../core/json.ts'
import { filesNamed, MEDIA_PURPOSE, type MediaRef, mapImages, mediaOf, refOf } from '../../core/media.ts'
import type { Files, StoredFile } from '../../core/ports/files.ts'
import { toBytes, toText } from '../../core/record.ts'
import type { GatewayDeps } from '../deps.ts'
import { type Answer, type Answered, json } from '../http/answer.ts'
import { sendBytes } from '../http/byte-stream.ts'
import type { KeyCall } from '../http/call.ts'
import { rangeOf } from '../http/range.ts'

type MediaJob = Pick<Job, 'id' | 'tenant' | 'kind' | 'shownAs'>
type MediaReaderDeps = Pick<GatewayDeps, 'files' | 'onFault'>

/** Was it made by this job? A log could tell anything that its upstream has sent. */
export const isFileOf = (file: StoredFile | null, { id, tenant }: Pick<Job, 'id' | 'tenant'>): file is StoredFile =>
  file !== null && file.tenant === tenant && file.purpose === MEDIA_PURPOSE && file.job === id

/**
 * What a job made, and what was uploaded with it: a file that its client made itself, or another job, stays. Resolves
 * with what removes them, however often. To be called while the job is there: its request tells of the upload.
 */
export async function removalOf(
  { files, jobs }: Pick<GatewayDeps, 'files' | 'jobs'>,
  job: Job,
): Promise<() => Promise<void>> {
  if (!isMedia(job.kind)) return async () => {}
  const request = job.kind === 'speech' ? null : await jobs.request(job.id)
  const named = request === null ? [] : filesNamed(job.kind, JSON.parse(Buffer.from(request).toString()) as JsonRecord)
  return async () => {
    await files.removeMade(job)
    for (const { id } of named) {
      const file = await files.get(id)
      const isUpload = file?.tenant === job.tenant && file.purpose === MEDIA_PURPOSE && file.job === undefined
      if (isUpload) await files.remove(file.id)
    }
  }
}

/** Its content: the only one of a sound, or one of several images. */
export const contentOf = (job: string, index: number): string =>
  index === 0 ? `/v1/jobs/${job}/content` : `/v1/jobs/${job}/content?index=${index}`

/** What an answer's document refers to, in its order. */
export function refsOf(body: string): readonly MediaRef[] {
  const own = mediaOf(body)
  if (own !== null) return [own]
  const refs: MediaRef[] = []
  mapImages(JSON.parse(toText(body)) as JsonRecord, (value) => {
    const ref = refOf(value)
    if (ref !== null) refs.push(ref)
    return {}
  })
  return refs
}

/** A whole answer, as its client asked for it. */
export async function withMedia(
  deps: MediaReaderDeps,
  call: KeyCall,
  job: MediaJob,
  answered: Answered,
): Promise<Answered> {
  if (!isMedia(job.kind) || answered === null || answered instanceof SluiceError || answered.status !== 200)
    return answered
  if (job.kind === 'transcription' || answered.body === null) return answered
  const refs = refsOf(answered.body)
  if (refs.length === 0) return answered
  for (const { file } of refs) if (!isFileOf(await deps.files.get(file), job)) throw new SluiceError('file_not_found')
  const { headers } = answered
  if (job.kind === 'speech') {
    const [ref] = refs
    await send(deps, call, headers, ref.type, ref.bytes, deps.files.read(ref.file, 0, ref.bytes))
    return null
  }
  const document = JSON.parse(toText(answered.body)) as JsonRecord
  if (job.shownAs?.['response_format'] === 'url') return linked(call, job, document, answered)
  const pieces = piecesOf(document)
  const length = pieces.reduce(
    (sum, piece) => sum + (typeof piece === 'string' ? piece.length : encoded(piece.bytes)),
    0,
  )
  await send(deps, call, headers, answered.type, length, writtenOf(deps.files, pieces))
  return null
}

const send = (
  { onFault }: MediaReaderDeps,
  { exchange }: KeyCall,
  headers: Answer['headers'],
  type: string,
  length: number,
  chunks: AsyncIterable<Uint8Array>,
): Promise<void> =>
  sendBytes(exchange, chunks, (error) => onFault(error, exchange.requestId), {
    ...headers,
    'content-type': type,
    'content-length': String(length),
  })

/** Read with the key that asked, for as long as the job is kept. */
function linked(call: KeyCall, job: MediaJob, document: JsonRecord, { status, headers }: Answer): Answer {
  const { request } = call.exchange
  const scheme = request.headers['x-forwarded-proto'] === 'https' || 'encrypted' in request.socket ? 'https' : 'http'
  const origin = request.headers.host === undefined ? '' : `${scheme}://${request.headers.host}`
  let index = 0
  const put = (): object => ({ b64_json: undefined, url: origin + contentOf(job.id, index++) })
  return json(status, mapImages(document, put), headers)
}

/** JSON, with gaps for images: each of them in base64. */
function piecesOf(document: JsonRecord): ReadonlyArray<string | MediaRef> {
  const refs: MediaRef[] = []
  // What a text of the upstream's can't hold: it would be escaped
  const gap = (i: number): string => `\u0000${i}\u0000`
  const put = (value: unknown): object => {
    const ref = refOf(value)
    if (ref === null) return {}
    refs.push(ref)
    return { b64_json: gap(refs.length - 1) }
  }
  const text = toBytes(JSON.stringify(mapImages(document, put)))
  const pieces: Array<string | MediaRef> = []
  let at = 0
  for (const [i, ref] of refs.entries()) {
    const escaped = JSON.stringify(gap(i)).slice(1, -1)
    const next = text.indexOf(`"b64_json":"${escaped}"`, at)
    if (next < 0) throw new SluiceError('internal')
    const from = next + '"b64_json":"'.length
    pieces.push(text.slice(at, from), ref)
    at = from + escaped.length
  }
  return [...pieces, text.slice(at)]
}

const encoded = (bytes: number): number => 4 * Math.ceil(bytes / 3)

async function* writtenOf(files: Files, pieces: ReadonlyArray<string | MediaRef>): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) {
    if (typeof piece === 'string') {
      yield Buffer.from(piece, 'latin1')
      continue
    }
    yield* base64Of(files, piece.file, 0, piece.bytes)
  }
}

/** Bytes of a file, as text. */
export async function* base64Of(files: Files, file: string, from: number, to: number): AsyncGenerator<Uint8Array> {
  let odd: Uint8Array = new Uint8Array()
  for await (const chunk of files.read(file, from, to)) {
    const all = odd.length === 0 ? Buffer.from(chunk) : Buffer.concat([odd, chunk])
    const whole = all.length - (all.length % 3)
    odd = all.subarray(whole)
    yield Buffer.from(all.toString('base64', 0, whole), 'latin1')
  }
  if (odd.length > 0) yield Buffer.from(Buffer.from(odd).toString('base64'), 'latin1')
}

/** A file's bytes, or those of them that the request names. */
export async function sendFile(
  deps: MediaReaderDeps,
  call: KeyCall,
  ref: MediaRef,
  more: Answer['headers'],
): Promise<Answered> {
  const range = rangeOf(call.header('range'), ref.bytes)
  const { exchange } = call
  const headers = { ...more, 'content-type': ref.type, 'accept-ranges': 'bytes' }
  const [start, end] = range ?? [0, ref.bytes]
  const part: Answer['headers'] = range === null ? {} : { 'content-range': `bytes ${start}-${end - 1}/${ref.bytes}` }
  await sendBytes(
    exchange,
    deps.files.read(ref.file, start, end),
    (error) => deps.onFault(error, exchange.requestId),
    { ...headers, ...part, 'content-length': String(end - start) },
    range === null ? 200 : 206,
  )
  return null
}
