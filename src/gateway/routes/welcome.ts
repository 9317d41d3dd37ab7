/** What is at `/`: a page for people, a few lines of JSON for programs. */
import { toBytes } from '../../core/record.ts'
import type { Models } from '../deps.ts'
import { bytes, json } from '../http/answer.ts'
import type { Call } from '../http/call.ts'
import type { Route } from '../http/route.ts'
import { PAGE_HEADERS, welcomePage } from './welcome/page.ts'

/** What may be shown in a page: a name, an address, a port. */
const HOST = /^(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?$/

export const welcomeRoutes = (models: Pick<Models, 'list'>): readonly Route[] => [
  {
    method: 'GET',
    path: '/',
    query: 'any',
    auth: 'none',
    run(call) {
      const vary = { vary: 'accept' }
      if (!/\btext\/html\b/i.test(call.header('accept') ?? ''))
        return json(200, { name: 'Sluice', api: '/v1', models: '/v1/models', health: '/readyz' }, vary)
      const model = models.list().some(({ id }) => id === 'demo') ? 'demo' : 'MODEL'
      const page = toBytes(welcomePage(originOf(call), model))
      return bytes(200, page, { ...vary, ...PAGE_HEADERS }, 'text/html; charset=utf-8')
    },
  },
]

/** As the browser reached us, as far as the headers tell. */
function originOf(call: Call): string {
  const host = call.header('host') ?? ''
  const isSecure = call.header('x-forwarded-proto') === 'https'
  return `${isSecure ? 'https' : 'http'}://${HOST.test(host) ? host : 'localhost:4100'}`
}
