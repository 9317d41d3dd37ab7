/** What of the API the admin listener answers: that of a page with a session, as the dashboard's playground is. */
import type { IncomingMessage, Server } from 'node:http'
import { hasCredential } from '../caller/auth.ts'
import { TOKEN_PREFIX } from '../caller/sessions.ts'
import type { Handlers } from '../http/listener.ts'

type Sockets = NonNullable<Handlers['sockets']>

const BEARER = `bearer ${TOKEN_PREFIX}`

/** A call of the API by a session's token, or one that opens a session by its ticket. Keys are for the public port. */
export function isOfPage({ url = '', headers }: IncomingMessage): boolean {
  if (!url.startsWith('/v1/')) return false
  const { authorization = '' } = headers
  return authorization.slice(0, BEARER.length).toLowerCase() === BEARER || isSessions(url, authorization)
}

const isSessions = (url: string, authorization: string): boolean => url === '/v1/sessions' && authorization === ''

/** A page names itself by its session's token, or in its first frame. */
const isPageSocket = (request: IncomingMessage): boolean => !hasCredential(request) || isOfPage(request)

/** The dashboard's WebSocket, and the API's. */
export const bothOf = (own: Sockets, api: Sockets): Sockets => ({
  shouldUpgrade: (request) => own.shouldUpgrade(request) || (isPageSocket(request) && api.shouldUpgrade(request)),
  listenOn(server: Server) {
    own.listenOn(server)
    api.listenOn(server)
  },
})
