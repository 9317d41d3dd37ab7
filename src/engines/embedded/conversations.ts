/** The remembered side of lanes: one row a turn, written in the commit that ends its job. */
import type { StatementSync } from 'node:sqlite'
import type { Job, JobState, TenantId } from '../../core/job.ts'
import { scanObject } from '../../core/json.ts'
import type { ConversationInfo, Conversations, Turn } from '../../core/ports.ts'
import type { Store } from './store.ts'

const INFO = `SELECT c.id AS id, c.name AS name, c.created_at AS createdAtMs, c.updated_at AS updatedAtMs,
  (SELECT count(*) FROM turns t WHERE t.tenant = c.tenant AND t.conversation = c.id) AS turns FROM conversations c`
const NO_LIMITS = { maxDepth: Number.MAX_SAFE_INTEGER, maxKeys: Number.MAX_SAFE_INTEGER }

export class ConversationStore implements Conversations {
  readonly #store: Store
  readonly #touch: StatementSync
  readonly #insert: StatementSync
  readonly #remove: StatementSync
  readonly #get: StatementSync
  readonly #turns: StatementSync
  readonly #list: StatementSync
  readonly #rename: StatementSync
  readonly #firstCut: StatementSync
  readonly #truncate: StatementSync
  readonly #removeTurns: StatementSync
  readonly #delete: StatementSync

  constructor(store: Store) {
    const { db } = store
    this.#store = store
    this.#touch = db.prepare(
      'INSERT INTO conversations VALUES (?1, ?2, NULL, ?3, ?3) ON CONFLICT (tenant, id) DO UPDATE SET updated_at = excluded.updated_at',
    )
    this.#insert = db.prepare('INSERT OR REPLACE INTO turns VALUES (?, ?, ?, ?, ?, ?, ?)')
    this.#remove = db.prepare('DELETE FROM turns WHERE tenant = ? AND conversation = ? AND ord = ?')
    this.#get = db.prepare(`${INFO} WHERE c.tenant = ? AND c.id = ?`)
    this.#turns = db.prepare(
      'SELECT job, state, messages, answer FROM turns WHERE tenant = ? AND conversation = ? ORDER BY ord',
    )
    this.#list = db.prepare(
      `${INFO} WHERE c.tenant = ?1 AND substr(c.id, 1, length(?3)) = ?3 ORDER BY c.updated_at DESC, c.id LIMIT ?2`,
    )
    this.#rename = db.prepare('UPDATE conversations SET name = ?3 WHERE tenant = ?1 AND id = ?2')
    this.#firstCut = db.prepare(
      'SELECT ord FROM turns WHERE tenant = ? AND conversation = ? ORDER BY ord LIMIT 1 OFFSET ?',
    )
    this.#truncate = db.prepare('DELETE FROM turns WHERE tenant = ? AND conversation = ? AND ord >= ?')
    this.#removeTurns = db.prepare('DELETE FROM turns WHERE tenant = ? AND conversation = ?')
    this.#delete = db.prepare('DELETE FROM conversations WHERE tenant = ? AND id = ?')
  }

  /** Inside the commit that ends the job. */
  addTurn(job: Job, order: number, body: Uint8Array, state: JobState, answer: string | null, atMs: number): void {
    const conversation = job.options.conversation!
    this.#touch.run(job.tenant, conversation, Math.floor(atMs))
    this.#insert.run(job.tenant, conversation, order, job.id, state, messagesOf(body), answer)
  }

  /** Inside a commit. */
  removeTurn(tenant: TenantId, conversation: string, order: number): void {
    this.#remove.run(tenant, conversation, order)
  }

  async read(
    tenant: TenantId,
    id: string,
  ): Promise<{ readonly info: ConversationInfo; readonly turns: readonly Turn[] } | null> {
    const info = this.#get.get(tenant, id) as unknown as ConversationInfo | undefined
    return info === undefined
      ? null
      : { info: { ...info }, turns: (this.#turns.all(tenant, id) as unknown as Turn[]).map((turn) => ({ ...turn })) }
  }

  async list(tenant: TenantId, limit: number, prefix = ''): Promise<readonly ConversationInfo[]> {
    return (this.#list.all(tenant, limit, prefix) as unknown as ConversationInfo[]).map((info) => ({ ...info }))
  }

  rename(tenant: TenantId, id: string, name: string): Promise<boolean> {
    return this.#change(() => Number(this.#rename.run(tenant, id, name).changes) > 0)
  }

  truncate(tenant: TenantId, id: string, keepTurns: number): Promise<boolean> {
    return this.#change(() => {
      if (this.#get.get(tenant, id) === undefined) return false
      const cut = this.#firstCut.get(tenant, id, keepTurns) as { ord: number } | undefined
      if (cut !== undefined) this.#truncate.run(tenant, id, cut.ord)
      return true
    })
  }

  delete(tenant: TenantId, id: string): Promise<boolean> {
    return this.#change(() => {
      this.#removeTurns.run(tenant, id)
      return Number(this.#delete.run(tenant, id).changes) > 0
    })
  }

  /** Takes all of a tenant's out; committed when resolved. */
  removeTenant(tenant: TenantId): Promise<void> {
    return this.#store.run(() => {
      for (const table of ['turns', 'conversations'])
        this.#store.db.prepare(`DELETE FROM ${table} WHERE tenant = ?`).run(tenant)
    }, true)
  }

  async #change(change: () => boolean): Promise<boolean> {
    let changed = false
    await this.#store.run(() => {
      changed = change()
    }, false)
    await this.#store.synced()
    return changed
  }
}

/** The request's `messages` as they were sent, JSON. */
function messagesOf(body: Uint8Array): string {
  const member = scanObject(body, NO_LIMITS).findLast((m) => m.key === 'messages')
  return member === undefined
    ? '[]'
    : Buffer.from(body.buffer, body.byteOffset + member.valueStart, member.valueEnd - member.valueStart).toString(
        'utf8',
      )
}
