/** Two end users of one tenant, as sessions of one API key. */
import { type Answer, chat, request, send } from './wire.ts'

export interface User {
  readonly token: string
  ask(method: string, target: string, body?: object | string, headers?: Record<string, string>): Promise<Answer>
}

/** A session of `user`; null: one that sees all of the tenant's. */
export async function userOf(port: number, key: string, user: string | null, more: object = {}): Promise<User> {
  const ask =
    (credential: string): User['ask'] =>
    (method, target, body, headers = {}) =>
      send(
        port,
        request(
          method,
          target,
          { authorization: `Bearer ${credential}`, ...headers },
          typeof body === 'string' ? body : body === undefined ? '' : JSON.stringify(body),
        ),
      )
  const ticket = await ask(key)('POST', '/v1/tickets', { ...(user === null ? {} : { user }), ...more })
  const opened = await send(
    port,
    request('POST', '/v1/sessions', {}, JSON.stringify({ ticket: JSON.parse(ticket.body).ticket })),
  )
  const { token } = JSON.parse(opened.body) as { token: string }
  return { token, ask: ask(token) }
}

/** The very same bytes from everybody. */
export const HELLO = chat('Hello demo: tokens=30 delay=20 ttft=1')
