/** A conversation's news as server-sent events, where WebSockets are blocked: PROTOCOL.md section 5. */
import type { ConversationNews } from '../../core/ports/conversations.ts'
import { SSE } from '../../core/ports/dialect.ts'
import { prefixOf } from '../caller/caller.ts'
import type { GatewayDeps } from '../deps.ts'
import type { KeyCall } from '../http/call.ts'
import { streamHeaders } from '../http/event-stream.ts'
import { newsMembers } from './news.ts'

/** Silence after which a comment is sent. */
export const HEARTBEAT_MS = 15_000
const HEADERS = streamHeaders(SSE)

export interface Watching {
  /** Streams the news of a conversation, by the caller's name for it. */
  stream(call: KeyCall, conversation: string): null
  /** The server stops: all streams end; their readers come back. */
  endAll(): void
}

export function createWatching({ conversations, clock, options }: GatewayDeps): Watching {
  const open = new Set<() => void>()

  function stream(call: KeyCall, conversation: string): null {
    const { caller, exchange } = call
    const { response } = exchange
    response.writeHead(200, exchange.headers(HEADERS))
    if (call.method === 'HEAD') {
      response.end()
      return null
    }
    const listen = (news: ConversationNews): void => {
      const members = newsMembers(news, conversation, caller)
      if (members === null) return
      const event = news.type === 'standing' ? 'watching' : 'news'
      response.write(`event: ${event}\ndata: {${members}}\n\n`, 'latin1')
      // A peer that does not read is cut off; when it returns it gets the current state
      if (response.writableLength > options.maxReaderBufferBytes) end()
    }
    const stopBeats = clock.every(HEARTBEAT_MS, () => void response.write(': hb\n'))
    let unwatch = (): void => {}
    const end = (): void => {
      if (!open.delete(end)) return
      stopBeats()
      unwatch()
      response.end()
    }
    open.add(end)
    exchange.onClose(end)
    unwatch = conversations.watch(caller.key.tenant, prefixOf(caller) + conversation, listen)
    if (!open.has(end)) unwatch()
    return null
  }

  return {
    stream,
    endAll() {
      for (const end of [...open]) end()
    },
  }
}
