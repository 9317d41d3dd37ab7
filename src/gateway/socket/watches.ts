/** The conversations that one connection watches. A peer that does not read is told how they stand once it does. */
import { SluiceError } from '../../core/errors.ts'
import type { ServerFrame } from '../../core/frames.ts'
import type { ConversationNews } from '../../core/ports.ts'
import { type Caller, prefixOf } from '../caller.ts'
import type { GatewayDeps } from '../deps.ts'
import { newsView, standingView } from '../news.ts'

export interface Watcher {
  /** Nothing more should be written to it now. */
  readonly full: boolean
  send(frame: ServerFrame): void
}

export class Watches {
  readonly #deps: GatewayDeps
  readonly #caller: Caller
  readonly #watcher: Watcher
  /** By the name that the client uses; the value stops it. */
  readonly #stops = new Map<string, () => void>()
  /** News of these was left out: they begin again. */
  readonly #missed = new Set<string>()

  constructor(deps: GatewayDeps, caller: Caller, watcher: Watcher) {
    this.#deps = deps
    this.#caller = caller
    this.#watcher = watcher
  }

  /** Watching again tells again how it stands. Throws too_many_subscribers. */
  watch(name: string, id: string | undefined): void {
    const { maxJobs } = this.#deps.options.socket
    if (!this.#stops.has(name) && this.#stops.size >= maxJobs)
      throw new SluiceError('too_many_subscribers', {
        message: `One connection watches at most ${maxJobs} conversations (websocket.max_jobs): unwatch some.`,
      })
    this.unwatch(name)
    const stored = prefixOf(this.#caller) + name
    this.#stops.set(
      name,
      this.#deps.conversations.watch(this.#caller.key.tenant, stored, (news) => this.#tell(name, news, id)),
    )
  }

  unwatch(name: string): void {
    this.#stops.get(name)?.()
    this.#stops.delete(name)
    this.#missed.delete(name)
  }

  /** There is room again. */
  resume(): void {
    for (const name of this.#missed) {
      if (this.#watcher.full) return
      this.watch(name, undefined)
    }
  }

  close(): void {
    for (const stop of this.#stops.values()) stop()
    this.#stops.clear()
    this.#missed.clear()
  }

  #tell(conversation: string, news: ConversationNews, id: string | undefined): void {
    const { queue } = this.#deps
    if (news.type === 'standing') {
      const standing = standingView(news, queue, this.#caller)
      this.#watcher.send({ t: 'watching', ...(id === undefined ? {} : { id }), conversation, ...standing })
    } else if (this.#watcher.full) this.#missed.add(conversation)
    else if (!this.#missed.has(conversation)) {
      const e = newsView(news, queue, this.#caller)
      if (e !== null) this.#watcher.send({ t: 'news', conversation, e })
    }
  }
}
