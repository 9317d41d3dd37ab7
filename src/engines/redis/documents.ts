/** Documents, of which all processes of the fleet see the same: scripts compare and change them (lua/documents.lua). */
import type { TenantId } from '../../core/job.ts'
import {
  DOCUMENT_KINDS,
  type Document,
  type DocumentKind,
  type DocumentRange,
  type Documents,
  type NewDocument,
} from '../../core/ports/documents.ts'
import { DAMAGED_DOCUMENT, documentOf, limited, prepared } from '../shared/documents.ts'
import type { Ground } from './bus/ground.ts'
import { FULL, storageError } from './client/errors.ts'
import { documentArgs, readDocument } from './protocol/documents.ts'

/** Redis does nothing else while a script runs: bytes that one reads, documents that one removes. */
const BYTES_AT_ONCE = 1 << 20
const REMOVED_AT_ONCE = 100

type Parts = Pick<Ground, 'scripts' | 'commands' | 'names' | 'room' | 'emit'> & {
  readonly time: Pick<Ground['time'], 'nowMs'>
}
type Texts = readonly [isAll: number, ...idsAndTexts: string[]]

export class RedisDocuments implements Documents {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  async get(kind: DocumentKind, id: string): Promise<Document | null> {
    const { commands, names } = this.#parts
    const text = await commands.client.hget(names.documents(kind), id).catch(refused)
    return text === null ? null : (this.#read(kind, [id, text])[0] ?? null)
  }

  async put(document: NewDocument, version: number): Promise<Document | null> {
    const next = prepared(document, version)
    // What is there may change as long as Redis takes it
    if (version === 0 && this.#parts.room.isFull) throw FULL
    return (await this.#run('documents-put', documentArgs(next, version))) === 1 ? documentOf(next) : null
  }

  async remove(kind: DocumentKind, id: string, version: number): Promise<boolean> {
    return (await this.#run('documents-remove', [kind, id, version])) === 1
  }

  async list(kind: DocumentKind, { tenant, before = '', limit }: DocumentRange): Promise<readonly Document[]> {
    const found: Document[] = []
    for (let left = limited(limit), from = before; left > 0; ) {
      const args = [kind, from, left, BYTES_AT_ONCE, ...(tenant === undefined ? [] : [tenant])]
      const [isAll, ...texts] = (await this.#run('documents-list', args)) as Texts
      found.push(...this.#read(kind, texts))
      if (isAll === 1) break
      left -= texts.length / 2
      from = texts.at(-2)!
    }
    return found
  }

  /** Fewer than are due where they are large. */
  async due(kind: DocumentKind, limit: number): Promise<readonly Document[]> {
    const args = [kind, Math.floor(this.#parts.time.nowMs()), limited(limit), BYTES_AT_ONCE]
    const [, ...texts] = (await this.#run('documents-due', args)) as Texts
    return this.#read(kind, texts)
  }

  waiting(kind: DocumentKind): Promise<number> {
    const { commands, names } = this.#parts
    return commands.client.zcard(`${names.documents(kind)}:due`).catch(refused)
  }

  /** Resolves when nothing of it is left. */
  async removeTenant(tenant: TenantId): Promise<void> {
    for (const kind of DOCUMENT_KINDS)
      while (Number(await this.#run('documents-erase', [kind, tenant, REMOVED_AT_ONCE])) > 0);
  }

  #read(kind: DocumentKind, texts: readonly string[]): readonly Document[] {
    const found: Document[] = []
    for (let i = 0; i < texts.length; i += 2) {
      const stored = readDocument(kind, texts[i], texts[i + 1])
      const document = stored === null ? null : documentOf(stored)
      if (document !== null) found.push(document)
      else this.#parts.emit({ type: 'store-warned', code: 'row_damaged', detail: DAMAGED_DOCUMENT })
    }
    return found
  }

  #run(script: string, args: readonly (string | number)[]): Promise<unknown> {
    return this.#parts.scripts.run(script, args).catch(refused)
  }
}

const refused = (error: unknown): never => {
  throw storageError(error)
}
