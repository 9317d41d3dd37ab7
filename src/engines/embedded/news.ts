/** Who watches which conversation. Where nobody does, news costs one look into a map. */
import type { TenantId } from '../../core/job.ts'
import type { ConversationNews } from '../../core/ports.ts'

type Listener = (news: ConversationNews) => void

export class News {
  readonly #watchers = new Map<string, Set<Listener>>()

  isWatched(tenant: TenantId, conversation: string | undefined): conversation is string {
    return conversation !== undefined && this.#watchers.size > 0 && this.#watchers.has(keyOf(tenant, conversation))
  }

  tell(tenant: TenantId, conversation: string | undefined, news: ConversationNews): void {
    if (!this.isWatched(tenant, conversation)) return
    for (const listener of [...this.#watchers.get(keyOf(tenant, conversation))!]) listener(news)
  }

  /** Tells all watchers of a tenant's conversations. */
  tellAll(tenant: TenantId, news: ConversationNews): void {
    const prefix = keyOf(tenant, '')
    for (const [key, listeners] of [...this.#watchers])
      if (key.startsWith(prefix)) for (const listener of [...listeners]) listener(news)
  }

  /** Returns its stop. */
  add(tenant: TenantId, conversation: string, listener: Listener): () => void {
    const key = keyOf(tenant, conversation)
    const listeners = this.#watchers.get(key) ?? new Set()
    this.#watchers.set(key, listeners)
    const own: Listener = (news) => listener(news) // the same function may watch twice
    listeners.add(own)
    return () => {
      listeners.delete(own)
      if (listeners.size === 0 && this.#watchers.get(key) === listeners) this.#watchers.delete(key)
    }
  }
}

/** A tenant's name has no line break. */
const keyOf = (tenant: TenantId, conversation: string): string => `${tenant}\n${conversation}`
