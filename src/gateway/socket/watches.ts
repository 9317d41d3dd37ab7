/** The conversations that one connection watches. A peer that does not read is sent their state once it does. */
import { SluiceError } from '../../core/errors.ts'
import type { ConversationNews } from '../../core/ports/conversations.ts'
import { type Bytes, toBytes } from '../../core/record.ts'
import { textFrame } from '../../core/text-frame.ts'
import { type Caller, prefixOf } from '../caller/caller.ts'
import type { GatewayDeps } from '../deps.ts'
import { newsMembers } from '../read/news.ts'

export interface Watcher {
  /** Nothing more should be written to the peer now. */
  readonly full: boolean
  /** A whole frame. */
  write(frame: Bytes): void
}

export class Watches {
  readonly #deps: GatewayDeps
  readonly #caller: Caller
  readonly #watcher: Watcher
  /** By the client's name for it; the value stops it. */
  readonly #stops = new Map<string, () => void>()
  /** Requested, and not given up since. */
  readonly #wanted = new Set<string>()
  /** Their state is still to be sent; with the id of the last request, to answer it. */
  readonly #asked = new Map<string, string | undefined>()
  #line: Promise<void> = Promise.resolve()
  /** The peer does not read: these start, or start again, once it does. */
  readonly #missed = new Map<string, string | undefined>()

  constructor(deps: GatewayDeps, caller: Caller, watcher: Watcher) {
    this.#deps = deps
    this.#caller = caller
    this.#watcher = watcher
  }

  /**
   * Watching again sends the state again, once for all requests before it was sent. Each is sent in its own turn of the
   * loop, since a conversation may have a hundred jobs. Throws too_many_watches.
   */
  watch(name: string, id: string | undefined): void {
    const { maxJobs } = this.#deps.options.socket
    if (!this.#wanted.has(name) && this.#wanted.size >= maxJobs)
      throw new SluiceError('too_many_watches', {
        message: `A connection can watch at most ${maxJobs} conversations (websocket.max_jobs): unwatch some first.`,
      })
    this.#wanted.add(name)
    const isAsked = this.#asked.has(name)
    this.#asked.set(name, id)
    if (isAsked) return
    this.#line = this.#line
      .then(() => new Promise<void>((turn) => this.#deps.clock.soon(turn)))
      .then(() => {
        const asker = this.#asked.get(name)
        if (!this.#asked.delete(name) || !this.#wanted.has(name)) return
        if (this.#watcher.full) this.#missed.set(name, asker)
        else this.#begin(name, asker)
      })
  }

  #begin(name: string, id: string | undefined): void {
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
    this.#asked.delete(name)
    this.#missed.delete(name)
    this.#stops.get(name)?.()
    this.#stops.delete(name)
  }

  /** There is room again. */
  resume(): void {
    for (const [name, id] of this.#missed) {
      if (this.#watcher.full) return
      this.#missed.delete(name)
      this.watch(name, id)
    }
  }

  close(): void {
    this.#wanted.clear()
    this.#asked.clear()
    for (const stop of this.#stops.values()) stop()
    this.#stops.clear()
    this.#missed.clear()
  }

  #tell(conversation: string, news: ConversationNews, id: string | undefined): void {
    if (this.#missed.has(conversation)) return
    if (this.#watcher.full) return void this.#missed.set(conversation, undefined)
    const members = newsMembers(news, conversation, this.#caller)
    if (members === null) return
    const head =
      news.type !== 'standing'
        ? '{"t":"news",'
        : id === undefined
          ? '{"t":"watching",'
          : toBytes(`{"t":"watching","id":${JSON.stringify(id)},`)
    this.#watcher.write(textFrame(`${head}${members}}`))
  }
}
