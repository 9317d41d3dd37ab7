/** Which scope of a key a route, or a frame, needs. */
import type { ClientFrame } from '../../core/frames.ts'
import type { Scope } from '../../core/ports/keys.ts'

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE'

/** Where the method does not tell. */
const OTHERS: Readonly<Record<string, Scope>> = {
  '/v1/tickets': 'tickets',
  '/v1/usage': 'usage',
  '/v1/conversations/:id/truncate': 'manage',
  // Where a tenant's news go, and what they are signed with
  '/v1/webhooks': 'manage',
  '/v1/webhooks/:id/rotate': 'manage',
  '/v1/webhooks/deliveries/:id/redeliver': 'manage',
}
/** POST: new work, or the end of one's own. */
const BY_METHOD: Readonly<Record<Method, Scope>> = {
  GET: 'read',
  POST: 'submit',
  PATCH: 'manage',
  DELETE: 'manage',
}

export const scopeOf = ({ method, path }: { readonly method: Method; readonly path: string }): Scope =>
  Object.hasOwn(OTHERS, path) ? OTHERS[path] : BY_METHOD[method]

/** Null: any key may send it. */
export const FRAME_SCOPES: Readonly<Record<ClientFrame['t'], Scope | null>> = {
  hello: null,
  submit: 'submit',
  attach: 'read',
  cancel: 'submit',
  detach: null,
  credit: null,
  report: null,
  watch: 'read',
  unwatch: null,
  ping: null,
}
