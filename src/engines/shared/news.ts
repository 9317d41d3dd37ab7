/**
 * Who watches which conversation. Where nobody does, news costs one lookup. Watchers times changes may be a million:
 * each turn of the event loop notifies a limited number of watchers, and where changes come faster than that, the
 * conversation's state is sent again instead.
 */
import type { Clock } from '../../core/clock.ts'
import type { TenantId } from '../../core/job.ts'
import type { ConversationNews } from '../../core/ports/conversations.ts'

type Listener = (news: ConversationNews) => void

/** Watchers notified in one turn of the event loop. */
const TOLD_A_TURN = 64
/** Most changes that wait to be sent; beyond them the state is sent. */
const MAX_WAITING = 100

interface Topic {
  readonly tenant: TenantId
  readonly id: string
  /** With the number of changes there had been when it began: it is sent later ones. */
  readonly listeners: Map<Listener, number>
  /** Changes to be sent, the oldest first. */
  waiting: Array<{ readonly n: number; readonly news: ConversationNews }>
  changes: number
  telling: boolean
}

export class News {
  readonly #topics = new Map<string, Topic>()
  readonly #clock: Clock
  readonly #restate: (tenant: TenantId, conversation: string) => void
  #toldThisTurn = 0
  /** Continued in later turns of the event loop, one after the other. */
  readonly #busy: Generator<void>[] = []

  /** `restate`: tells its state, where there were more changes than are told. */
  constructor(clock: Clock, restate: (tenant: TenantId, conversation: string) => void) {
    this.#clock = clock
    this.#restate = restate
  }

  isWatched(tenant: TenantId, conversation: string | undefined): conversation is string {
    return conversation !== undefined && this.#topics.size > 0 && this.#topics.has(keyOf(tenant, conversation))
  }

  tell(tenant: TenantId, conversation: string | undefined, news: ConversationNews): void {
    if (this.isWatched(tenant, conversation)) this.#add(this.#topics.get(keyOf(tenant, conversation))!, news)
  }

  /** Notifies all watchers of a tenant's conversations. */
  tellAll(tenant: TenantId, news: ConversationNews): void {
    for (const topic of [...this.#topics.values()]) if (topic.tenant === tenant) this.#add(topic, news)
  }

  /** Returns a function that stops it. */
  add(tenant: TenantId, id: string, listener: Listener): () => void {
    const key = keyOf(tenant, id)
    const topic = this.#topics.get(key) ?? {
      tenant,
      id,
      listeners: new Map(),
      waiting: [],
      changes: 0,
      telling: false,
    }
    this.#topics.set(key, topic)
    const own: Listener = (news) => listener(news) // the same function may watch twice
    topic.listeners.set(own, topic.changes)
    return () => {
      topic.listeners.delete(own)
      if (topic.listeners.size === 0 && this.#topics.get(key) === topic) this.#topics.delete(key)
    }
  }

  #add(topic: Topic, news: ConversationNews): void {
    const n = ++topic.changes
    if (topic.waiting.length >= MAX_WAITING) {
      topic.waiting = []
      return this.#restate(topic.tenant, topic.id)
    }
    topic.waiting.push({ n, news })
    if (topic.telling) return
    topic.telling = true
    const telling = this.#tell(topic)
    while (this.#busy.length === 0 && this.#toldThisTurn < TOLD_A_TURN) if (telling.next().done === true) return
    this.#busy.push(telling)
    if (this.#busy.length === 1) void this.#tellBusy()
  }

  /** Never rejects. */
  async #tellBusy(): Promise<void> {
    while (this.#busy.length > 0) {
      await new Promise<void>((next) => this.#clock.soon(next))
      for (let n = 0; n < TOLD_A_TURN && this.#busy.length > 0; n++)
        if (this.#busy[0].next().done === true) this.#busy.shift()
    }
  }

  *#tell(topic: Topic): Generator<void> {
    try {
      for (let next = topic.waiting.shift(); next !== undefined; next = topic.waiting.shift()) {
        for (const [listener, since] of [...topic.listeners]) {
          if (since >= next.n || !topic.listeners.has(listener)) continue
          this.#count()
          try {
            listener(next.news)
          } catch {
            topic.listeners.delete(listener) // it must not harm the others
          }
          yield
        }
      }
    } finally {
      topic.telling = false
    }
  }

  #count(): void {
    if (this.#toldThisTurn++ === 0)
      this.#clock.soon(() => {
        this.#toldThisTurn = 0
      })
  }
}

/** A tenant's name has no line break. */
const keyOf = (tenant: TenantId, conversation: string): string => `${tenant}\n${conversation}`
