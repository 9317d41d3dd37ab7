/** The remembered side of lanes: one row a turn, written in the commit that ends its job. */
import type { StatementSync } from 'node:sqlite'
import type { Job, JobId, JobState, TenantId } from '../../core/job.ts'
import { scanObject } from '../../core/json.ts'
import type { ConversationInfo, ConversationNews, Conversations, Turn } from '../../core/ports.ts'
import type { LiveJobs } from './live-job.ts'
import { News } from './news.ts'
import type { Store } from './store.ts'

const INFO = `SELECT c.id AS id, c.name AS name, c.created_at AS createdAtMs, c.updated_at AS updatedAtMs,
  (SELECT count(*) FROM turns t WHERE t.tenant = c.tenant AND t.conversation = c.id) AS turns FROM conversations c`
/** Jobs that a watcher is told of at once. */
const MAX_STANDING_JOBS = 100
const NO_LIMITS = { maxDepth: Number.MAX_SAFE_INTEGER, maxKeys: Number.MAX_SAFE_INTEGER }

export class ConversationStore implements Conversations {
  readonly news = new News()
  readonly #store: Store
  readonly #live: LiveJobs
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
  readonly #lastTurn: StatementSync
  readonly #isStored: StatementSync

  constructor(store: Store, live: LiveJobs) {
    const { db } = store
    this.#store = store
    this.#live = live
    this.#lastTurn = db.prepare('SELECT job FROM turns WHERE tenant = ? AND conversation = ? ORDER BY ord DESC LIMIT 1')
    this.#isStored = db.prepare('SELECT 1 FROM jobs WHERE ord = ?')
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

  watch(tenant: TenantId, id: string, listener: (news: ConversationNews) => void): () => void {
    const jobs: Job[] = []
    let more = false
    for (const live of this.#live.ofConversation(tenant, id)) {
      if (this.#isStored.get(live.log.order) === undefined) continue // not committed yet: it is told when it is
      if (jobs.length === MAX_STANDING_JOBS) {
        more = true
        break
      }
      jobs.push(this.#live.show(live))
    }
    const info = this.#get.get(tenant, id) as unknown as ConversationInfo | undefined
    const last = this.#lastTurn.get(tenant, id) as { readonly job: JobId } | undefined
    listener({
      type: 'standing',
      info: info === undefined ? null : { ...info },
      lastTurn: last?.job ?? null,
      jobs,
      more,
    })
    return this.news.add(tenant, id, listener)
  }

  async rename(tenant: TenantId, id: string, name: string): Promise<boolean> {
    const done = await this.#change(() => Number(this.#rename.run(tenant, id, name).changes) > 0)
    if (done) this.news.tell(tenant, id, { type: 'renamed', name })
    return done
  }

  async truncate(tenant: TenantId, id: string, keepTurns: number): Promise<boolean> {
    const done = await this.#change(() => {
      if (this.#get.get(tenant, id) === undefined) return false
      const cut = this.#firstCut.get(tenant, id, keepTurns) as { ord: number } | undefined
      if (cut !== undefined) this.#truncate.run(tenant, id, cut.ord)
      return true
    })
    if (done) this.news.tell(tenant, id, { type: 'truncated' })
    return done
  }

  async delete(tenant: TenantId, id: string): Promise<boolean> {
    const done = await this.#change(() => {
      this.#removeTurns.run(tenant, id)
      return Number(this.#delete.run(tenant, id).changes) > 0
    })
    if (done) this.news.tell(tenant, id, { type: 'deleted' })
    return done
  }

  /** Takes all of a tenant's out; committed when resolved. */
  async removeTenant(tenant: TenantId): Promise<void> {
    await this.#store.run(() => {
      for (const table of ['turns', 'conversations'])
        this.#store.db.prepare(`DELETE FROM ${table} WHERE tenant = ?`).run(tenant)
    }, true)
    this.news.tellAll(tenant, { type: 'deleted' })
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
