/** A conversation's news as server-sent events, where WebSockets are blocked: PROTOCOL.md section 5. */
import type { ConversationNews } from '../core/ports.ts'
import { toBytes } from '../core/record.ts'
import type { Auth } from './auth.ts'
import type { KeyCall } from './call.ts'
import { prefixOf } from './caller.ts'
import type { GatewayDeps } from './deps.ts'
import { newsView, standingView } from './news.ts'
import type { Route } from './route.ts'

/** How often it is checked whether the caller is still let in. */
const CHECK_EVERY_MS = 5_000
/** Checks from one comment on a silent stream to the next. */
const CHECKS_A_HEARTBEAT = 3
const HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
}

export interface WatchRoutes {
  readonly routes: readonly Route[]
  /** The server stops: all streams end; their readers come back. */
  endAll(): void
}

export function watchRoutes({ conversations, queue, clock, options }: GatewayDeps, auth: Auth): WatchRoutes {
  const open = new Set<() => void>()

  function stream(call: KeyCall): void {
    const { response, caller } = call
    const conversation = call.params['id']
    response.writeHead(200, call.headers(HEADERS))
    if (call.request.method === 'HEAD') return void response.end()
    const tell = (event: string, value: object): void => {
      response.write(toBytes(`event: ${event}\ndata: ${JSON.stringify(value)}\n\n`), 'latin1')
      // Whoever does not read comes back, and is told then how it stands
      if (response.writableLength > options.maxReaderBufferBytes) end()
    }
    const listen = (news: ConversationNews): void => {
      if (news.type === 'standing') return tell('watching', { conversation, ...standingView(news, queue, caller) })
      const e = newsView(news, queue, caller)
      if (e !== null) tell('news', { conversation, e })
    }
    let checks = 0
    const stopChecks = clock.every(CHECK_EVERY_MS, () => {
      if (!auth.isStillValid(caller)) end()
      else if (++checks % CHECKS_A_HEARTBEAT === 0) response.write(': hb\n')
    })
    let unwatch = (): void => {}
    const end = (): void => {
      if (!open.delete(end)) return
      stopChecks()
      unwatch()
      response.end()
    }
    open.add(end)
    response.once('close', end)
    unwatch = conversations.watch(caller.key.tenant, prefixOf(caller) + conversation, listen)
    if (!open.has(end)) unwatch()
  }

  return {
    routes: [{ method: 'GET', path: '/v1/conversations/:id/events', auth: 'tenant', run: stream }],
    endAll() {
      for (const end of [...open]) end()
    },
  }
}
