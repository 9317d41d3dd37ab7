/**
 * Who watches which conversation, at this gateway. Its channel is heard on a connection of its own, and only while
 * somebody watches. A watcher is sent the state, then what is newer than it, by the numbers that news and states carry;
 * after a cut, and where changes come faster than they are told, the state again.
 */
import type { TenantId } from '../../../core/job.ts'
import type { ConversationNews } from '../../../core/ports/conversations.ts'
import { Table } from '../../../core/table.ts'
import { News } from '../../shared/news.ts'
import type { Ground } from '../bus/ground.ts'
import { type Connection, PING_MS } from '../client/connection.ts'
import { type Numbered, readNews, type Standing } from './standing.ts'

/** News that are held back until the state is there. */
const MAX_HELD = 100
const RETRY_MS = 500

type Listener = (news: ConversationNews) => void

interface Topic {
  readonly tenant: TenantId
  readonly id: string
  watchers: number
  /** Its channel is heard; made anew after a cut. */
  heard: Promise<unknown>
  /** Of those that wait for the state: what came meanwhile. */
  readonly waiting: Set<Held>
  /** All of them are sent the state again: what came meanwhile. */
  restating: Held | null
}

interface Held {
  news: Numbered[]
  /** Some were lost. */
  isShort: boolean
}

export class Watching {
  readonly #parts: Pick<Ground, 'names' | 'commands' | 'clock'>
  readonly #standing: (tenant: TenantId, id: string) => Promise<Standing>
  readonly #news: News
  /** By channel. */
  readonly #topics = new Table<string, Topic>()
  readonly #numbers = new WeakMap<ConversationNews, number>()
  #connection: Promise<Connection> | null = null
  #stopPings = (): void => {}
  #closed = false

  constructor(
    parts: Pick<Ground, 'names' | 'commands' | 'clock'>,
    standing: (tenant: TenantId, id: string) => Promise<Standing>,
  ) {
    this.#parts = parts
    this.#standing = standing
    this.#news = new News(parts.clock, (tenant, id) => {
      const topic = this.#topics.get(parts.names.conversationNews(tenant, id))
      if (topic !== undefined) void this.#restate(topic)
    })
  }

  watch(tenant: TenantId, id: string, listener: Listener): () => void {
    const channel = this.#parts.names.conversationNews(tenant, id)
    const topic = this.#topics.get(channel) ?? this.#listen(channel, tenant, id)
    topic.watchers++
    let stopped = false
    let stop = (): void => {}
    void this.#begin(topic, listener, () => stopped).then((added) => {
      if (stopped) added()
      else stop = added
    })
    return () => {
      if (stopped) return
      stopped = true
      stop()
      if (--topic.watchers === 0) this.#forget(channel, topic)
    }
  }

  close(): void {
    this.#closed = true
    this.#stopPings()
    this.#connection?.then(
      (connection) => connection.close(),
      () => {},
    )
  }

  // ------------------------------------------------------------ the channel

  #listen(channel: string, tenant: TenantId, id: string): Topic {
    const topic: Topic = {
      tenant,
      id,
      watchers: 0,
      heard: Promise.resolve(),
      waiting: new Set(),
      restating: null,
    }
    this.#topics.set(channel, topic)
    topic.heard = this.#hear(channel)
    topic.heard.catch(() => {}) // whoever needs it waits for it, and tries again
    return topic
  }

  #forget(channel: string, topic: Topic): void {
    if (this.#topics.get(channel) !== topic) return
    this.#topics.delete(channel)
    const unsubscribe = async (): Promise<void> => {
      const { client, sharded } = await this.#connected()
      // It may be watched again by now
      if (this.#topics.get(channel) === undefined)
        await (sharded ? client.sunsubscribe(channel) : client.unsubscribe(channel))
    }
    unsubscribe().catch(() => {}) // nobody hears it
  }

  async #hear(channel: string): Promise<void> {
    const { client, sharded } = await this.#connected()
    await (sharded ? client.ssubscribe(channel) : client.subscribe(channel))
  }

  #connected(): Promise<Connection> {
    this.#connection ??= this.#connect().catch((error: unknown) => {
      this.#connection = null
      throw error
    })
    return this.#connection
  }

  async #connect(): Promise<Connection> {
    const connection = this.#parts.commands.another()
    connection.client.on(connection.sharded ? 'smessage' : 'message', (channel: string, message: string) => {
      const topic = this.#topics.get(channel)
      const numbered = topic === undefined ? null : readNews(message)
      if (topic !== undefined && numbered !== null) this.#told(topic, numbered)
    })
    await connection.open()
    if (this.#closed) connection.close()
    else this.#stopPings = this.#parts.clock.every(PING_MS, () => connection.ping())
    connection.onTurn((back) => back && this.#hearAgain())
    return connection
  }

  /** What was told meanwhile is lost. */
  #hearAgain(): void {
    for (const [channel, topic] of this.#topics.entries()) {
      topic.heard = this.#hear(channel)
      topic.heard.catch(() => {})
      for (const held of topic.waiting) held.isShort = true
      void this.#restate(topic)
    }
  }

  // ------------------------------------------------------------ news

  #told(topic: Topic, numbered: Numbered): void {
    for (const held of topic.waiting) hold(held, numbered)
    if (topic.restating !== null) hold(topic.restating, numbered)
    else this.#tell(topic, numbered)
  }

  #tell({ tenant, id }: Topic, { n, news }: Numbered): void {
    this.#numbers.set(news, n)
    this.#news.tell(tenant, id, news)
  }

  /** Sends one the state; resolves when it is sent what is newer, with the function that ends it. */
  async #begin(topic: Topic, listener: Listener, isStopped: () => boolean): Promise<() => void> {
    const held: Held = { news: [], isShort: false }
    topic.waiting.add(held)
    const standing = await this.#read(topic, held, isStopped)
    topic.waiting.delete(held)
    if (standing === null) return () => {}
    let seen = standing.n
    const hear = (news: ConversationNews): void => {
      const n = this.#numbers.get(news) ?? seen
      if (news.type !== 'standing' && n <= seen) return
      seen = n
      listener(news)
    }
    try {
      listener(standing.news)
      for (const { n, news } of held.news) {
        if (isStopped()) break
        this.#numbers.set(news, n)
        hear(news)
      }
    } catch {
      return () => {} // it must not harm the others
    }
    return isStopped() ? () => {} : this.#news.add(topic.tenant, topic.id, hear)
  }

  /** Sends all of them the state again. */
  async #restate(topic: Topic): Promise<void> {
    if (topic.restating !== null) {
      topic.restating.isShort = true
      return
    }
    const held: Held = { news: [], isShort: false }
    topic.restating = held
    const standing = await this.#read(topic, held, () => topic.watchers === 0)
    topic.restating = null
    if (standing === null) return
    this.#tell(topic, standing)
    for (const numbered of held.news) this.#tell(topic, numbered)
  }

  /** The state, once it is known and not too much is newer than it; null: nobody wants it any more. */
  async #read(topic: Topic, held: Held, isStopped: () => boolean): Promise<Standing | null> {
    for (;;) {
      if (isStopped() || this.#closed) return null
      held.news = []
      held.isShort = false
      try {
        await topic.heard
        const standing = await this.#standing(topic.tenant, topic.id)
        if (isStopped() || this.#closed) return null
        if (!held.isShort) return standing
      } catch {
        await new Promise<void>((next) => this.#parts.clock.after(RETRY_MS, next))
        topic.heard = this.#hear(this.#parts.names.conversationNews(topic.tenant, topic.id))
        topic.heard.catch(() => {})
      }
    }
  }
}

function hold(held: Held, numbered: Numbered): void {
  if (held.news.length < MAX_HELD) held.news.push(numbered)
  else held.isShort = true
}
