/**
 * Files of both engines: what one is, a document tells; its bytes an engine keeps beside it (Blobs). The document's
 * length is the truth: what lies beyond it was never told to be written, and is not read.
 */
import { SluiceError } from '../../core/errors.ts'
import { agedId, agedPrefix, type Ids } from '../../core/ids.ts'
import type { TenantId } from '../../core/job.ts'
import type { JsonRecord } from '../../core/json.ts'
import type { Document, Documents, NewDocument } from '../../core/ports/documents.ts'
import {
  type FileCaps,
  type FileMaker,
  type FileRange,
  type Files,
  MAX_FILE_CHUNK_BYTES,
  type NewFile,
  type StoredFile,
} from '../../core/ports/files.ts'

/** An engine's place for bytes. */
export interface Blobs {
  /**
   * Puts the document in place of that `version`, and its bytes at `at`: both or neither. Null: another version is
   * there. Power-safe when resolved. Rejects with storage_full, storage_unavailable.
   */
  append(document: NewDocument, version: number, at: number, bytes: Uint8Array): Promise<Document | null>
  /** Fewer than asked for where some are missing. */
  read(id: string, start: number, end: number): Promise<Uint8Array>
  /** The document and its bytes. False: it was not there in that version. */
  remove(id: string, version: number): Promise<boolean>
}

export const FILE_CAPS: FileCaps = { bytes: 512 << 20, tenantBytes: 10 * 2 ** 30, tenantFiles: 10_000 }

const READ_BYTES = 262_144
/** Whoever changes a document while another does tries again. */
const MOST_TRIES = 20
const PAGE = 1_000
/** Of a job's files: mostly there is one. */
const MADE_PAGE = 16
/** What other processes wrote is counted after this. */
const RECOUNT_MS = 60_000
const REFUSE_AFTER_MS = 1_000
const COUNTED_TENANTS = 1_000

interface FilesDeps {
  readonly documents: Documents
  readonly blobs: Blobs
  readonly ids: Ids
  /** Of the store. */
  readonly wallMs: () => number
  readonly caps: FileCaps
}

interface Used {
  bytes: number
  files: number
  atMs: number
}

export class DocumentFiles implements Files {
  readonly #deps: FilesDeps
  readonly #used = new Map<TenantId, Used>()

  constructor(deps: FilesDeps) {
    this.#deps = deps
  }

  get caps(): FileCaps {
    return this.#deps.caps
  }

  async create({ tenant, user, purpose, name, type, expiresAtMs, job }: NewFile): Promise<StoredFile> {
    const { documents, ids, wallMs } = this.#deps
    const used = await this.#take(tenant, 1, 0)
    try {
      const createdAtMs = Math.floor(wallMs())
      const id = job === undefined ? agedId(ids, 'file-', createdAtMs) : ids.name(madeBy(job), MADE_BYTES)
      const file: StoredFile = {
        ...{ id, tenant, user, purpose, name, type, bytes: 0, sealed: false },
        ...{ createdAtMs, expiresAtMs: expiresAtMs === null ? null : Math.ceil(expiresAtMs) },
        ...(job !== undefined && { job: job.id }),
      }
      if ((await documents.put(documentOf(file), 0)) !== null) return file
      throw new SluiceError('internal', { message: 'Two files got the same id.' })
    } catch (error) {
      used.files--
      throw error
    }
  }

  async append(id: string, at: number, chunk: Uint8Array): Promise<StoredFile | null> {
    if (chunk.length === 0 || chunk.length > MAX_FILE_CHUNK_BYTES)
      throw new SluiceError('internal', { message: `A chunk of ${chunk.length} bytes can't be written.` })
    const { blobs, caps } = this.#deps
    const found = await this.#find(id)
    if (found === null) return null
    const { file, version } = found
    if (file.sealed || file.bytes !== at) return null
    if (at + chunk.length > caps.bytes)
      throw new SluiceError('storage_full', { message: `A file may have ${caps.bytes} bytes (files.max_bytes).` })
    const used = await this.#take(file.tenant, 0, chunk.length)
    let stored: Document | null = null
    try {
      stored = await blobs.append(documentOf({ ...file, bytes: at + chunk.length }), version, at, chunk)
    } finally {
      if (stored === null) used.bytes -= chunk.length
    }
    return stored === null ? null : fileOf(stored)
  }

  async seal(id: string, facts: Parameters<Files['seal']>[1] = {}): Promise<StoredFile | null> {
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const found = await this.#find(id)
      if (found === null || found.file.sealed) return found?.file ?? null
      const sealed = await this.#deps.documents.put(
        documentOf({ ...found.file, ...facts, sealed: true }),
        found.version,
      )
      if (sealed !== null) return fileOf(sealed)
    }
    throw contended()
  }

  async get(id: string): Promise<StoredFile | null> {
    return (await this.#find(id))?.file ?? null
  }

  async *read(id: string, start: number, end: number): AsyncGenerator<Uint8Array> {
    const file = await this.get(id)
    if (file === null) throw new SluiceError('file_not_found')
    const to = Math.min(end, file.bytes)
    for (let from = Math.max(0, start); from < to; ) {
      const until = Math.min(to, from + READ_BYTES)
      const bytes = await this.#deps.blobs.read(id, from, until)
      // It may have gone while it was read
      if (bytes.length < until - from)
        throw new SluiceError((await this.get(id)) === null ? 'file_not_found' : 'file_damaged')
      yield bytes
      from = until
    }
  }

  async list({ tenant, user, purpose, before, limit }: FileRange): Promise<readonly StoredFile[]> {
    const found: StoredFile[] = []
    for await (const { file } of this.#of(tenant, before)) {
      const isAsked = (user === undefined || file.user === user) && (purpose === undefined || file.purpose === purpose)
      if (isAsked && !this.#isOver(file)) found.push(file)
      if (found.length >= limit) break
    }
    return found
  }

  async remove(id: string): Promise<boolean> {
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const found = await this.#find(id)
      if (found === null) return false
      this.#used.delete(found.file.tenant)
      if (await this.#deps.blobs.remove(id, found.version)) return true
    }
    throw contended()
  }

  async removeMade(job: FileMaker): Promise<void> {
    const prefix = madeBy(job)
    for await (const { file } of this.#of(job.tenant, `${prefix}_~`, MADE_PAGE)) {
      if (!file.id.startsWith(`${prefix}_`)) return
      await this.remove(file.id)
    }
  }

  /** Resolves when nothing of it is left. */
  async removeTenant(tenant: TenantId): Promise<void> {
    for (let left = true; left; ) {
      left = false
      for await (const { file, version } of this.#of(tenant)) {
        left = true
        await this.#deps.blobs.remove(file.id, version)
      }
    }
    this.#used.delete(tenant)
  }

  #isOver({ expiresAtMs }: StoredFile): boolean {
    return expiresAtMs !== null && expiresAtMs <= this.#deps.wallMs()
  }

  async #find(id: string): Promise<Found | null> {
    const document = await this.#deps.documents.get('file', id)
    if (document === null) return null
    const file = fileOf(document)
    return this.#isOver(file) ? null : { file, version: document.version }
  }

  /** Newest first. */
  async *#of(tenant: TenantId, before?: string, limit = PAGE): AsyncGenerator<Found> {
    for (let from = before; ; ) {
      const range = { tenant, limit, ...(from !== undefined && { before: from }) }
      const page = await this.#deps.documents.list('file', range)
      for (const document of page) yield { file: fileOf(document), version: document.version }
      if (page.length < limit) return
      from = page.at(-1)!.id
    }
  }

  /** Counts what is to be written with what there is; whoever does not write it gives it back. Throws storage_full. */
  async #take(tenant: TenantId, files: number, bytes: number): Promise<Used> {
    const { caps } = this.#deps
    const wouldFit = (used: Used): boolean =>
      used.files + files <= caps.tenantFiles && used.bytes + bytes <= caps.tenantBytes
    let used = await this.#count(tenant, RECOUNT_MS)
    if (!wouldFit(used)) used = await this.#count(tenant, REFUSE_AFTER_MS)
    if (!wouldFit(used))
      throw new SluiceError('storage_full', {
        message:
          `The files of this tenant take all that they may: ${caps.tenantBytes} bytes in ${caps.tenantFiles} files ` +
          '(files.max_tenant_bytes, files.max_tenant_files). Delete some.',
      })
    used.files += files
    used.bytes += bytes
    return used
  }

  async #count(tenant: TenantId, olderMs: number): Promise<Used> {
    const { wallMs } = this.#deps
    const known = this.#used.get(tenant)
    const now = wallMs()
    if (known !== undefined && Math.abs(now - known.atMs) < olderMs) return known
    const used: Used = { bytes: 0, files: 0, atMs: now }
    for await (const { file } of this.#of(tenant)) {
      used.files++
      used.bytes += file.bytes
    }
    if (this.#used.size >= COUNTED_TENANTS) this.#used.clear()
    this.#used.set(tenant, used)
    return used
  }
}

interface Found {
  readonly file: StoredFile
  readonly version: number
}

/** What ids of a job's files begin with, up to a "_"; no other file's does. */
const madeBy = ({ id, acceptedAtMs }: FileMaker): string =>
  `${agedPrefix('file-', acceptedAtMs)}${id.slice('job_'.length)}`
const MADE_BYTES = 8

const contended = (): SluiceError =>
  new SluiceError('storage_unavailable', { message: 'The file is being changed: retry.', retryAfterMs: 1_000 })

const documentOf = ({ id, tenant, expiresAtMs, ...file }: StoredFile): NewDocument => ({
  ...{ kind: 'file', id, tenant, dueAtMs: null, expiresAtMs },
  body: file satisfies Omit<StoredFile, 'id' | 'tenant' | 'expiresAtMs'> as unknown as JsonRecord,
})

const fileOf = ({ id, tenant, expiresAtMs, body }: Document): StoredFile => ({
  ...(body as unknown as Omit<StoredFile, 'id' | 'tenant' | 'expiresAtMs'>),
  ...{ id, tenant, expiresAtMs },
})
