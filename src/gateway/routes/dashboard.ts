/** The dashboard's page, and how one signs in to it: PROTOCOL.md section 8. */
import { SluiceError } from '../../core/errors.ts'
import { checkNames } from '../../core/fields.ts'
import { ROLES } from '../caller/roles.ts'
import type { SignIn } from '../caller/sign-in.ts'
import { empty, json } from '../http/answer.ts'
import { readJson } from '../http/body.ts'
import type { PageFiles } from '../http/page-files.ts'
import type { Route } from '../http/route.ts'
import { oneOf } from './changes.ts'

const MAX_BODY_BYTES = 4_096
const LIMITS = { maxDepth: 4, maxKeys: 16, fixed: true }

/** Its pages, each at an address of its own; `index.html` finds out which. */
const PAGES = [
  '/',
  '/jobs',
  '/jobs/:id',
  '/runs',
  '/runs/:tenant/:id',
  '/tenants',
  '/tenants/:id',
  '/models',
  '/models/:id',
  '/playground',
  '/benchmarks',
  '/benchmarks/:id',
  '/changes',
]
/** Where a build puts what its page needs. */
const FILES = ['/assets/*file', '/icon.svg', '/favicon.ico']

export const pageRoutes = (files: PageFiles): readonly Route[] => [
  ...PAGES.map(
    (path): Route => ({
      method: 'GET',
      path,
      query: 'any',
      auth: 'none',
      run(call) {
        if (path !== '/' && !/\btext\/html\b/i.test(call.header('accept') ?? ''))
          throw new SluiceError('route_not_found', {
            message: `There is no such route: GET ${path}. A browser is shown the dashboard here.`,
          })
        return files.index(call)
      },
    }),
  ),
  ...FILES.map(
    (path): Route => ({
      method: 'GET',
      path,
      query: 'any',
      auth: 'none',
      run: (call) => files.file(call, path.replace('*file', call.params['file'] ?? '')),
    }),
  ),
]

export function signInRoutes(signIn: SignIn): readonly Route[] {
  return [
    {
      method: 'POST',
      path: '/admin/session/links',
      auth: 'operator',
      async run(call) {
        const { value } = await readJson(call, MAX_BODY_BYTES, LIMITS)
        checkNames(value, ['role'])
        const role = oneOf('role', value['role'] ?? 'admin', ROLES)
        const { code, expiresInMs } = await signIn.code(role)
        return json(201, { path: `/#code=${code}`, role, expires_in_ms: expiresInMs })
      },
    },
    {
      method: 'POST',
      path: '/admin/session',
      auth: 'ticket',
      async run(call) {
        const { value } = await readJson(call, MAX_BODY_BYTES, LIMITS)
        checkNames(value, ['code'])
        const { code } = value
        if (typeof code !== 'string' || code === '')
          throw new SluiceError('invalid_ticket', { param: 'code', message: 'Send {"code": …}, as the link has it.' })
        const { request } = call.exchange
        const { cookie, role } = await signIn.redeem(request, code)
        return json(201, { role }, { 'set-cookie': signIn.cookieOf(request, cookie) })
      },
    },
    {
      method: 'GET',
      path: '/admin/session',
      auth: 'operator',
      run: ({ exchange }) => json(200, { role: exchange.role }),
    },
    {
      method: 'DELETE',
      path: '/admin/session',
      auth: 'operator',
      async run({ exchange: { request } }) {
        await signIn.signOut(request)
        return empty(204, { 'set-cookie': signIn.cookieOf(request, null) })
      },
    },
  ]
}
