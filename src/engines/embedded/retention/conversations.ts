/**
 * How much conversations may keep, apart from jobs' results. A conversation above its limit loses its oldest turns, a
 * tenant above its limit the conversations that were idle longest. A sweep looks only at those that changed since the
 * last one; the first after a start looks at all, a few at a time.
 */
import type { StatementSync } from 'node:sqlite'
import type { Clock } from '../../../core/clock.ts'
import type { TenantId } from '../../../core/job.ts'
import type { ConversationLimitOptions } from '../../shared/conversation-limits.ts'
import type { ConversationStore } from '../conversations/conversations.ts'
import type { Age } from '../disk/age.ts'
import type { Store } from '../disk/store.ts'
import type { LiveJobs } from '../jobs/live-job.ts'

interface Row {
  readonly id: string
  readonly tenant: TenantId
  readonly turns: number
  readonly bytes: number
  readonly updatedAge: number
}

const ROWS_A_STEP = 200
/**
 * Conversations with a queued or running job are skipped; after this many of them the sweep waits for the next one.
 */
const RESTING_ROWS = 100

export class ConversationLimits {
  readonly #conversations: ConversationStore
  readonly #live: LiveJobs
  readonly #clock: Clock
  readonly #age: Age
  readonly #options: ConversationLimitOptions
  readonly #get: StatementSync
  readonly #page: StatementSync
  readonly #resting: StatementSync
  readonly #tenants: StatementSync
  readonly #tenantBytes: StatementSync
  /** By tenant: the conversations that grew since the last sweep. */
  #grown = new Map<TenantId, Set<string>>()
  #hasSeenAll = false

  constructor(
    store: Store,
    conversations: ConversationStore,
    live: LiveJobs,
    clock: Clock,
    age: Age,
    options: ConversationLimitOptions,
  ) {
    this.#conversations = conversations
    this.#live = live
    this.#clock = clock
    this.#age = age
    this.#options = options
    const row = 'SELECT id, tenant, turns, bytes, updated_age AS updatedAge FROM conversations'
    const { db } = store
    this.#get = db.prepare(`${row} WHERE tenant = ? AND id = ?`)
    this.#page = db.prepare(`${row} WHERE (tenant, id) > (?, ?) ORDER BY tenant, id LIMIT ${ROWS_A_STEP}`)
    this.#resting = db.prepare(`${row} WHERE tenant = ? ORDER BY last_ord, id LIMIT ${RESTING_ROWS}`)
    this.#tenants = db.prepare(`SELECT tenant FROM conversation_bytes WHERE tenant > ? ORDER BY tenant LIMIT 1`)
    this.#tenantBytes = db.prepare('SELECT bytes FROM conversation_bytes WHERE tenant = ?')
    conversations.onTurn = (tenant, id) => this.#note(tenant, id)
  }

  #note(tenant: TenantId, id: string): void {
    const ids = this.#grown.get(tenant)
    if (ids === undefined) this.#grown.set(tenant, new Set([id]))
    else ids.add(id)
  }

  /** Rejects when the store is down; the next sweep looks at what this one did not. */
  async sweep(isClosed: () => boolean): Promise<void> {
    if (!this.#hasSeenAll) {
      await this.#noteAll(isClosed)
      this.#hasSeenAll = !isClosed()
    }
    for (const [tenant, ids] of this.#grown) {
      for (const id of ids) {
        if (isClosed()) return
        await this.#trim(tenant, id)
        ids.delete(id)
      }
      await this.#trimTenant(tenant, isClosed)
      if (ids.size === 0) this.#grown.delete(tenant)
    }
    if (this.#options.maxAgeMs !== null) await this.#dropResting(this.#options.maxAgeMs, isClosed)
  }

  async #noteAll(isClosed: () => boolean): Promise<void> {
    for (let [tenant, id] = ['', '']; !isClosed(); ) {
      const rows = this.#page.all(tenant, id) as unknown as Row[]
      for (const row of rows) {
        if (row.turns > this.#options.turns || row.bytes > this.#options.bytes) this.#note(row.tenant, row.id)
        else if (!this.#grown.has(row.tenant)) this.#grown.set(row.tenant, new Set())
      }
      const last = rows.at(-1)
      if (rows.length < ROWS_A_STEP || last === undefined) return
      ;[tenant, id] = [last.tenant, last.id]
      await new Promise<void>((next) => this.#clock.soon(next))
    }
  }

  /** The newest turn stays, however large it is. */
  async #trim(tenant: TenantId, id: string): Promise<void> {
    for (;;) {
      const row = this.#get.get(tenant, id) as unknown as Row | undefined
      if (row === undefined) return
      const excess = { turns: row.turns - this.#options.turns, bytes: row.bytes - this.#options.bytes }
      if ((excess.turns <= 0 && excess.bytes <= 0) || row.turns <= 1) return
      if (!(await this.#conversations.dropOldest(tenant, id, { ...excess, atMost: row.turns - 1 }))) return
    }
  }

  async #trimTenant(tenant: TenantId, isClosed: () => boolean): Promise<void> {
    for (const row of this.#resting.all(tenant) as unknown as Row[]) {
      const { bytes } = (this.#tenantBytes.get(tenant) as { bytes: number } | undefined) ?? { bytes: 0 }
      const excess = bytes - this.#options.tenantBytes
      if (excess <= 0 || isClosed()) return
      if (!this.#isBusy(row)) await this.#conversations.delete(tenant, row.id)
    }
  }

  async #dropResting(maxAgeMs: number, isClosed: () => boolean): Promise<void> {
    for (let tenant = ''; !isClosed(); ) {
      const next = this.#tenants.get(tenant) as { tenant: string } | undefined
      if (next === undefined) return
      tenant = next.tenant
      for (const row of this.#resting.all(tenant) as unknown as Row[]) {
        if (this.#age.now() - row.updatedAge < maxAgeMs || isClosed()) break
        if (!this.#isBusy(row)) await this.#conversations.delete(tenant, row.id)
      }
      await new Promise<void>((next) => this.#clock.soon(next))
    }
  }

  /** Is a job of it queued or running? Its prompt needs the turns. */
  #isBusy({ tenant, id }: Row): boolean {
    for (const _ of this.#live.ofConversation(tenant, id)) return true
    return false
  }
}
