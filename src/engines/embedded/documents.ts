/** Documents, a row each. What is read is committed; a change is its own condition, so of two writers one succeeds. */
import type { StatementSync } from 'node:sqlite'
import type { Clock } from '../../core/clock.ts'
import type { TenantId } from '../../core/job.ts'
import type { Document, DocumentKind, DocumentRange, Documents, NewDocument } from '../../core/ports/documents.ts'
import { DAMAGED_DOCUMENT, documentOf, limited, prepared, type StoredDocument } from '../shared/documents.ts'
import type { Store } from './disk/store.ts'

/** Removed in one commit: bodies may be large. */
const ROWS_A_STEP = 32
const STEP_PAUSE_MS = 10
const COLUMNS = 'kind, id, tenant, body AS text, due_at AS dueAtMs, expires_at AS expiresAtMs, version'
/** Above all ids. */
const LAST = '~'

export class DocumentStore implements Documents {
  readonly #store: Store
  readonly #clock: Clock
  readonly #get: StatementSync
  readonly #add: StatementSync
  readonly #replace: StatementSync
  readonly #remove: StatementSync
  readonly #list: StatementSync
  readonly #listOfTenant: StatementSync
  readonly #due: StatementSync
  readonly #waiting: StatementSync
  readonly #removeExpired: StatementSync
  readonly #removeTenant: StatementSync

  constructor(store: Store, clock: Clock) {
    this.#store = store
    this.#clock = clock
    const { db } = store
    const some = (where: string): StatementSync =>
      db.prepare(
        `DELETE FROM documents WHERE (kind, id) IN
          (SELECT kind, id FROM documents WHERE ${where} LIMIT ${ROWS_A_STEP})`,
      )
    this.#get = db.prepare(`SELECT ${COLUMNS} FROM documents WHERE kind = ? AND id = ?`)
    this.#add = db.prepare('INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, 1) ON CONFLICT DO NOTHING')
    this.#replace = db.prepare(
      `UPDATE documents SET tenant = ?3, body = ?4, due_at = ?5, expires_at = ?6, version = version + 1
        WHERE kind = ?1 AND id = ?2 AND version = ?7`,
    )
    this.#remove = db.prepare('DELETE FROM documents WHERE kind = ? AND id = ? AND version = ?')
    this.#list = db.prepare(`SELECT ${COLUMNS} FROM documents WHERE kind = ? AND id < ? ORDER BY id DESC LIMIT ?`)
    this.#listOfTenant = db.prepare(
      `SELECT ${COLUMNS} FROM documents WHERE tenant = ? AND kind = ? AND id < ? ORDER BY id DESC LIMIT ?`,
    )
    this.#due = db.prepare(
      `SELECT ${COLUMNS} FROM documents WHERE kind = ? AND due_at <= ? ORDER BY due_at, id LIMIT ?`,
    )
    this.#waiting = db.prepare('SELECT count(*) AS count FROM documents WHERE kind = ? AND due_at IS NOT NULL')
    this.#removeExpired = some('expires_at <= ?')
    this.#removeTenant = some('tenant = ?')
  }

  async get(kind: DocumentKind, id: string): Promise<Document | null> {
    return this.#read([this.#get.get(kind, id)])[0] ?? null
  }

  async put(document: NewDocument, version: number): Promise<Document | null> {
    const next = prepared(document, version)
    const { kind, id, tenant, text, dueAtMs, expiresAtMs } = next
    const values = [kind, id, tenant, text, dueAtMs, expiresAtMs] as const
    const isThere = await this.#change(false, text.length, () =>
      version === 0 ? this.#add.run(...values).changes : this.#replace.run(...values, version).changes,
    )
    return isThere ? documentOf(next) : null
  }

  /** It frees room: where there is none it is done later, and rejects all the same. */
  remove(kind: DocumentKind, id: string, version: number): Promise<boolean> {
    return this.#change(true, 0, () => this.#remove.run(kind, id, version).changes)
  }

  async list(kind: DocumentKind, { tenant, before = LAST, limit }: DocumentRange): Promise<readonly Document[]> {
    return this.#read(
      tenant === undefined
        ? this.#list.all(kind, before, limited(limit))
        : this.#listOfTenant.all(tenant, kind, before, limited(limit)),
    )
  }

  async due(kind: DocumentKind, limit: number): Promise<readonly Document[]> {
    return this.#read(this.#due.all(kind, Math.floor(this.#clock.wallMs()), limited(limit)))
  }

  async waiting(kind: DocumentKind): Promise<number> {
    return Number(this.#waiting.get(kind)!['count'])
  }

  /** Rejects when the store is down; the next sweep continues. */
  async sweep(isClosed: () => boolean): Promise<void> {
    while (!isClosed()) {
      const until = Math.floor(this.#clock.wallMs())
      if ((await this.#some(this.#removeExpired, until)) < ROWS_A_STEP) return
      await new Promise<void>((done) => this.#clock.after(STEP_PAUSE_MS, done))
    }
  }

  /** Committed when resolved. */
  async removeTenant(tenant: TenantId): Promise<void> {
    while ((await this.#some(this.#removeTenant, tenant)) > 0);
  }

  /** How many it removed. */
  async #some(statement: StatementSync, of: string | number): Promise<number> {
    let removed = 0
    await this.#store.run(() => {
      removed = Number(statement.run(of).changes)
    }, true)
    return removed
  }

  /** Was there what it changes? Power-safe when resolved. */
  async #change(keep: boolean, bytes: number, apply: () => number | bigint): Promise<boolean> {
    let changed: number | bigint = 0
    const stored = this.#store.run(() => {
      changed = apply()
    }, keep)
    await this.#store.whileUp(stored.then(() => this.#store.synced()))
    this.#store.wrote(bytes)
    return Number(changed) > 0
  }

  #read(rows: readonly unknown[]): readonly Document[] {
    return rows.flatMap((row) => {
      if (row === undefined) return []
      const document = documentOf(row as StoredDocument)
      if (document === null) this.#store.warn('row_damaged', DAMAGED_DOCUMENT)
      return document ?? []
    })
  }
}
