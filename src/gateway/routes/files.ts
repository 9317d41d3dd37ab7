/** Files, as OpenAI publishes them: PROTOCOL.md section 13. */
import { SluiceError } from '../../core/errors.ts'
import { bad } from '../../core/fields.ts'
import { didYouMean } from '../../core/nearest.ts'
import { MAX_FILE_CHUNK_BYTES, type StoredFile } from '../../core/ports/files.ts'
import { canSeeFile, fileUserOf } from '../caller/files.ts'
import type { GatewayDeps } from '../deps.ts'
import { type Answer, type Answered, empty, type Headers, json } from '../http/answer.ts'
import { sendBytes } from '../http/byte-stream.ts'
import type { KeyCall } from '../http/call.ts'
import { Aborted } from '../http/exchange.ts'
import { keepBytes } from '../http/kept.ts'
import { boundaryOf, type FormPart, readForm, textOf } from '../http/multipart.ts'
import { rangeOf } from '../http/range.ts'
import type { Route } from '../http/route.ts'
import { headerOptions } from '../submit/job-options.ts'

const PURPOSES = ['batch', 'user_data', 'vision', 'assistants', 'fine-tune', 'evals']
/** Of a file that is on its way. */
const UPLOADING = 'uploading'
/** One whose upload a kill ended is gone after this. */
const UPLOAD_MS = 86_400_000
const FIELDS = ['file', 'purpose', 'expires_after[anchor]', 'expires_after[seconds]']
const MAX_NAME_CHARS = 512
const MAX_TYPE_CHARS = 128
/** Of a form, besides its file. */
const FORM_BYTES = 65_536
const MAX_LIST = 10_000
const [MIN_EXPIRY_S, MAX_EXPIRY_S] = [3_600, 2_592_000]
/** A page of ours may show them; all else is downloaded as bytes. */
const SHOWN = /^(?:audio\/[\w.+-]+|video\/[\w.+-]+|image\/(?:png|jpeg|webp|gif)|text\/plain|application\/jsonl?)\b/

export function fileRoutes(deps: GatewayDeps): readonly Route[] {
  const { files } = deps

  async function own(call: KeyCall): Promise<StoredFile> {
    const file = await files.get(call.params['id'])
    if (file === null || !canSeeFile(call.caller, file) || file.purpose === UPLOADING)
      throw new SluiceError('file_not_found')
    return file
  }

  async function upload(call: KeyCall): Promise<Answer> {
    const { request, response } = call.exchange
    headerOptions(request.headers) // none of them is a file's, but a misspelt one is told
    const boundary = boundaryOf(request.headers['content-type'])
    const most = files.caps.bytes + FORM_BYTES
    if (Number(request.headers['content-length'] ?? 0) > most) throw tooLarge(files.caps.bytes)
    if (request.headers.expect !== undefined) response.writeContinue()
    const holding = call.inflow?.open(call.caller)
    holding?.hold(MAX_FILE_CHUNK_BYTES)
    let stored: StoredFile | null = null
    try {
      const fields = new Map<string, string>()
      for await (const part of readForm(request.iterator({ destroyOnReturn: false }), boundary, most)) {
        if (!FIELDS.includes(part.name)) throw bad(part.name.slice(0, 64), unknownField(part.name.slice(0, 64)))
        if (part.name !== 'file') fields.set(part.name, await textOf(part))
        else if (stored !== null) throw bad('file', 'There are two files: send one at a time.')
        else stored = await keep(call, part, (begun) => (stored = begun))
      }
      if (stored === null) throw bad('file', '"file" is missing: the file to be uploaded.')
      const purpose = fields.get('purpose')
      if (purpose === undefined || !PURPOSES.includes(purpose))
        throw bad('purpose', `"purpose" must be one of ${PURPOSES.join(', ')}.${didYouMean(purpose ?? '', PURPOSES)}`)
      const expiresAtMs = expiryOf(fields, stored.createdAtMs)
      call.check()
      const sealed = await files.seal(stored.id, { purpose, expiresAtMs })
      if (sealed === null) throw new SluiceError('file_not_found')
      return json(200, fileView(sealed))
    } catch (error) {
      if (stored !== null) await files.remove(stored.id).catch(() => {}) // it expires
      // The request itself broke off
      if (request.errored !== null || request.aborted) throw new Aborted()
      throw error
    } finally {
      holding?.hold(0)
    }
  }

  /** In chunks as large as they may be: each is synced. */
  async function keep(call: KeyCall, part: FormPart, begun: (file: StoredFile) => void): Promise<StoredFile> {
    const name = (part.fileName ?? 'file').slice(0, MAX_NAME_CHARS)
    const type = (part.type ?? 'application/octet-stream').slice(0, MAX_TYPE_CHARS)
    const expiresAtMs = deps.clock.wallMs() + UPLOAD_MS
    const { tenant } = call.caller.key
    const file = await files.create({
      tenant,
      user: fileUserOf(call.caller),
      purpose: UPLOADING,
      name,
      type,
      expiresAtMs,
    })
    begun(file)
    return keepBytes(files, file, part.bytes, files.caps.bytes, () => tooLarge(files.caps.bytes))
  }

  async function list(call: KeyCall): Promise<Answer> {
    const limit = call.integer('limit', 1, MAX_LIST) ?? MAX_LIST
    const [purpose, after, order = 'desc'] = ['purpose', 'after', 'order'].map((name) => call.parameter(name))
    if (order !== 'desc' && order !== 'asc') throw bad('order', '"order" must be "asc" or "desc".')
    const user = call.caller.session === null ? null : fileUserOf(call.caller)
    const range = {
      tenant: call.caller.key.tenant,
      ...(user !== null && { user }),
      ...(purpose !== undefined && { purpose }),
    }
    const isDown = order === 'desc'
    const all = isDown
      ? await files.list({ ...range, limit: limit + 1, ...(after !== undefined && { before: after }) })
      : (await files.list({ ...range, limit: files.caps.tenantFiles })).toReversed()
    const shown = all.filter((file) => file.purpose !== UPLOADING && (isDown || after === undefined || file.id > after))
    const page = shown.slice(0, limit)
    return json(200, {
      object: 'list',
      data: page.map(fileView),
      has_more: isDown ? all.length > limit : shown.length > limit,
      first_id: page[0]?.id ?? null,
      last_id: page.at(-1)?.id ?? null,
    })
  }

  async function content(call: KeyCall): Promise<Answered> {
    const file = await own(call)
    const range = rangeOf(call.header('range'), file.bytes)
    const [start, end] = range ?? [0, file.bytes]
    const headers: Headers = {
      'content-type': SHOWN.test(file.type) ? file.type.replace(/[^\x20-\x7e]/g, '') : 'application/octet-stream',
      'content-length': String(end - start),
      'content-disposition': `attachment; filename*=UTF-8''${encodeURIComponent(file.name.toWellFormed())}`,
      'x-content-type-options': 'nosniff',
      'accept-ranges': 'bytes',
      ...(range !== null && { 'content-range': `bytes ${start}-${end - 1}/${file.bytes}` }),
    }
    const status = range === null ? 200 : 206
    if (call.method === 'HEAD') return empty(status, headers)
    const failed = (error: unknown): void => deps.onFault(error, call.requestId)
    await sendBytes(call.exchange, files.read(file.id, start, end), failed, headers, status)
    return null
  }

  return [
    { method: 'POST', path: '/v1/files', auth: 'tenant', run: upload },
    { method: 'GET', path: '/v1/files', query: ['limit', 'after', 'order', 'purpose'], auth: 'tenant', run: list },
    { method: 'GET', path: '/v1/files/:id', auth: 'tenant', run: async (call) => json(200, fileView(await own(call))) },
    {
      method: 'DELETE',
      path: '/v1/files/:id',
      auth: 'tenant',
      async run(call) {
        const { id } = await own(call)
        if (!(await files.remove(id))) throw new SluiceError('file_not_found')
        return json(200, { id, object: 'file', deleted: true })
      },
    },
    { method: 'GET', path: '/v1/files/:id/content', auth: 'tenant', run: content },
  ]
}

const seconds = (ms: number): number => Math.floor(ms / 1_000)

export const fileView = ({ id, bytes, createdAtMs, expiresAtMs, name, purpose, sealed }: StoredFile): object => ({
  id,
  object: 'file',
  bytes,
  created_at: seconds(createdAtMs),
  expires_at: expiresAtMs === null ? null : seconds(expiresAtMs),
  filename: name,
  purpose,
  status: sealed ? 'processed' : 'uploaded',
  status_details: null,
})

const tooLarge = (bytes: number): SluiceError =>
  new SluiceError('body_too_large', { message: `A file may have at most ${bytes} bytes (files.max_bytes).` })

const unknownField = (name: string): string =>
  `"${name}" is not a field of this form; it takes ${FIELDS.join(', ')}.${didYouMean(name, FIELDS)}`

function expiryOf(fields: ReadonlyMap<string, string>, createdAtMs: number): number | null {
  const [anchor, text] = ['anchor', 'seconds'].map((name) => fields.get(`expires_after[${name}]`))
  if (anchor === undefined && text === undefined) return null
  if (anchor !== 'created_at') throw bad('expires_after[anchor]', '"expires_after[anchor]" must be "created_at".')
  const after = /^\d{1,9}$/.test(text ?? '') ? Number(text) : 0
  if (after < MIN_EXPIRY_S || after > MAX_EXPIRY_S)
    throw bad(
      'expires_after[seconds]',
      `"expires_after[seconds]" must be a whole number from ${MIN_EXPIRY_S} to ${MAX_EXPIRY_S}.`,
    )
  return createdAtMs + after * 1_000
}
