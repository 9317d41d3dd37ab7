/** A request that comes as a form with files: they are kept, and the request, as JSON, has their ids. */
import { createHash, type Hash } from 'node:crypto'
import { SluiceError } from '../../core/errors.ts'
import { bad } from '../../core/fields.ts'
import { type FileField, MEDIA_PURPOSE } from '../../core/media.ts'
import { MAX_FILE_CHUNK_BYTES, type StoredFile } from '../../core/ports/files.ts'
import { fileUserOf } from '../caller/files.ts'
import type { GatewayDeps } from '../deps.ts'
import { type JsonBody, parseBody, readJson } from '../http/body.ts'
import type { KeyCall } from '../http/call.ts'
import { Aborted } from '../http/exchange.ts'
import { keepBytes } from '../http/kept.ts'
import { boundaryOf, type FormPart, readForm, textOf } from '../http/multipart.ts'

/** Of all fields. */
const MAX_FIELDS_BYTES = 256 * 1024
/** A form is more than its file. */
const MAX_FORM_BYTES = 512 * 1024
const MAX_NAME_CHARS = 255
const MEDIA_TYPE = /^[a-z]{1,16}\/[\w.+-]{1,80}$/i

export interface UploadBody extends Pick<JsonBody, 'bytes' | 'value' | 'members'> {
  readonly identity: Uint8Array
  /** It came with files, and names none that was there. */
  readonly hasFile: boolean
  /** Of all files that came; absent: none did. */
  readonly fileBytes?: number
  /** The files are needed no more: its request was refused. Never rejects. */
  discard(): Promise<void>
}

type UploadDeps = Pick<GatewayDeps, 'files' | 'mediaExpiresAtMs' | 'options'>
type Fields = Record<string, string | readonly string[]>

/** JSON is read as such: it names files that there are. Rejects as `readJson`, and with storage_full. */
export async function readUpload(
  deps: UploadDeps,
  call: KeyCall,
  expected: readonly FileField[],
): Promise<JsonBody | UploadBody> {
  const { files, options } = deps
  const { request, response } = call.exchange
  const { 'content-type': type, 'content-length': length, expect } = request.headers
  if (!/^\s*multipart\//i.test(type ?? '')) return readJson(call, options.maxBodyBytes, options)
  const boundary = boundaryOf(type)
  const most = options.maxUploadBytes + MAX_FORM_BYTES
  if (Number(length ?? 0) > most) throw tooLarge(options.maxUploadBytes)
  if (expect !== undefined) response.writeContinue()
  const askedMs = call.exchange.tookMs
  const holding = call.inflow?.open(call.caller)
  holding?.hold(MAX_FILE_CHUNK_BYTES)
  const fields = Object.create(null) as Fields
  const stored: StoredFile[] = []
  /** By their ids. */
  const digests = new Map<string, string>()
  const discard = async (): Promise<void> => {
    for (const { id } of stored) await files.remove(id).catch(() => {}) // it expires
  }
  const keep = async (part: FormPart, field: FileField): Promise<void> => {
    const begun = await files.create(newFile(deps, call, part))
    const place = stored.push(begun) - 1
    const digest = createHash('sha256')
    const tooMuch = (): SluiceError => tooLarge(options.maxUploadBytes)
    stored[place] = await keepBytes(files, begun, hashed(part.bytes, digest), options.maxUploadBytes, tooMuch)
    if (stored[place].bytes === 0) throw bad(field.name, `"${field.name}" is empty.`)
    if ((await files.seal(begun.id)) === null) throw new SluiceError('file_not_found')
    digests.set(begun.id, digest.digest('base64url'))
    add(fields, part.name, begun.id, field.most)
  }
  let names = false
  try {
    let left = MAX_FIELDS_BYTES
    // The connection is needed for the answer
    for await (const part of readForm(request.iterator({ destroyOnReturn: false }), boundary, most)) {
      left -= part.name.length
      const field = expected.find(({ name }) => name === keyOf(part.name))
      if (field !== undefined && part.fileName !== null) {
        await keep(part, field)
        continue
      }
      if (field !== undefined) names = true
      left -= await addField(fields, part, left)
    }
    for (const { name, isOptional } of expected)
      if (isOptional !== true && fields[name] === undefined) throw bad(name, `The form has no "${name}".`)
    call.check()
    const { bytes, value, members } = parseBody(Buffer.from(JSON.stringify(fields)), options)
    const byContent = (_name: string, each: unknown): unknown => digests.get(each as string) ?? each
    const identity = Buffer.from(JSON.stringify(fields, byContent))
    call.exchange.uploadMs = call.exchange.tookMs - askedMs
    return { bytes, value, members, identity, hasFile: stored.length > 0 && !names, ...sizeOf(stored), discard }
  } catch (error) {
    await discard()
    // The request itself broke off
    if (request.errored !== null || request.aborted) throw new Aborted()
    throw error
  } finally {
    holding?.hold(0)
  }
}

const newFile = ({ mediaExpiresAtMs, options }: UploadDeps, { caller }: KeyCall, { fileName, type }: FormPart) => ({
  tenant: caller.key.tenant,
  user: fileUserOf(caller),
  purpose: MEDIA_PURPOSE,
  name: fileName!.slice(0, MAX_NAME_CHARS) || 'file',
  type: type !== null && MEDIA_TYPE.test(type) ? type : 'application/octet-stream',
  expiresAtMs: mediaExpiresAtMs(caller.key.tenant, options.jobDeadlineMs),
})

/** `a[]` is one of a list. Returns how many bytes it had. */
async function addField(fields: Fields, part: FormPart, most: number): Promise<number> {
  // As SDKs write an object of a form
  const option = /^sluice(?:\[(\w{1,64})\].*)?$/s.exec(part.name)
  if (option !== null) throw bad('sluice', noOptions(option[1]))
  const value = await textOf(part, Math.max(0, most))
  add(fields, part.name, value, Infinity)
  return value.length
}

const sizeOf = (stored: readonly StoredFile[]): Pick<UploadBody, 'fileBytes'> =>
  stored.length === 0 ? {} : { fileBytes: stored.reduce((sum, { bytes }) => sum + bytes, 0) }

const isList = (name: string): boolean => name.endsWith('[]')
const keyOf = (name: string): string => (isList(name) ? name.slice(0, -2) : name)

/** `most`: of a list. */
function add(fields: Fields, name: string, value: string, most: number): void {
  const key = keyOf(name)
  const before = fields[key]
  if (before !== undefined && !(isList(name) && typeof before !== 'string')) throw bad(key, `"${key}" is there twice.`)
  const values = isList(name) ? [...((before as readonly string[] | undefined) ?? []), value] : value
  if (typeof values !== 'string' && values.length > most)
    throw bad(key, most === 1 ? `"${key}" is one file.` : `"${key}" may be up to ${most} files.`)
  fields[key] = values
}

function noOptions(name: string | undefined): string {
  const header = name === undefined ? 'such as "sluice-priority"' : `"sluice-${name.replaceAll('_', '-')}"`
  return `Options of a job can't be fields of a form: send them as headers, ${header}.`
}

async function* hashed(source: AsyncIterable<Uint8Array>, digest: Hash): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) {
    digest.update(chunk)
    yield chunk
  }
}

const tooLarge = (most: number): SluiceError =>
  new SluiceError('body_too_large', { message: `The file is larger than ${most} bytes (http.max_upload_bytes).` })
