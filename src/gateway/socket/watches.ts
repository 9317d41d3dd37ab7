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
  /** Asked for, and not given up since. */
  readonly #wanted = new Set<string>()
  #line: Promise<void> = Promise.resolve()
  /** News of these was left out: they begin again. */
  readonly #missed = new Set<string>()

  constructor(deps: GatewayDeps, caller: Caller, watcher: Watcher) {
    this.#deps = deps
    this.#caller = caller
    this.#watcher = watcher
  }

  /**
   * Watching again tells again how it stands. Each is told in a turn of the loop of its own, since a conversation may
   * have a hundred jobs to tell of. Rejects with too_many_subscribers.
   */
  watch(name: string, id: string | undefined): Promise<void> {
    this.#wanted.add(name)
    const told = this.#line
      .then(() => new Promise<void>((turn) => this.#deps.clock.soon(turn)))
      .then(() => {
        if (this.#wanted.has(name)) this.#begin(name, id)
      })
    this.#line = told.catch(() => {})
    return told
  }

  #begin(name: string, id: string | undefined): void {
    const { maxJobs } = this.#deps.options.socket
    if (!this.#stops.has(name) && this.#stops.size >= maxJobs) {
      this.#wanted.delete(name)
      throw new SluiceError('too_many_subscribers', {
        message: `A connection watches at most ${maxJobs} conversations (websocket.max_jobs): unwatch some.`,
      })
    }
    this.#stops.get(name)?.()
    this.#missed.delete(name)
    const stored = prefixOf(this.#caller) + name
    this.#stops.set(
      name,
      this.#deps.conversations.watch(this.#caller.key.tenant, stored, (news) => this.#tell(name, news, id)),
    )
  }

  unwatch(name: string): void {
    this.#wanted.delete(name)
    this.#missed.delete(name)
    this.#stops.get(name)?.()
    this.#stops.delete(name)
  }

  /** There is room again. */
  resume(): void {
    for (const name of this.#missed) {
      if (this.#watcher.full) return
      this.#missed.delete(name)
      this.watch(name, undefined).catch(() => {}) // it is watched already: there is room for it
    }
  }

  close(): void {
    this.#wanted.clear()
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
