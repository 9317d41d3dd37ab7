/** Who may do what: made from the route tables themselves, so that no route can be forgotten (T1). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DIALECTS } from '../../src/dialects/index.ts'
import type { GatewayDeps } from '../../src/gateway/deps.ts'
import type { Route } from '../../src/gateway/http/route.ts'
import { Router } from '../../src/gateway/http/router.ts'
import { createWatching } from '../../src/gateway/read/watching.ts'
import { createRoutes, type RouteParts } from '../../src/gateway/routes/index.ts'
import { ADMIN_KEY, startTestApp, type TestApp } from './app.ts'
import { type Answer, request, send } from './wire.ts'

const deps = { dialects: DIALECTS, options: {} } as GatewayDeps
const socketAt = (path: string): Route => ({ method: 'GET', path, auth: 'ticket', run: () => null })
const sockets = ['/v1/ws', '/v1/responses'].map(socketAt)
const watching = createWatching(deps)
// The page's own files: dashboard.test.ts
const parts = { sockets, live: socketAt('/admin/live'), page: [] as readonly Route[], watching }
const tables = createRoutes(deps, parts as unknown as RouteParts)
const doors = [
  ...tables.public.map((route) => ({ door: 'public' as const, route })),
  ...tables.admin.map((route) => ({ door: 'admin' as const, route })),
]
const named = doors.map((d) => [`${d.route.method} ${d.route.path} (${d.door})`, d] as const)

let app: TestApp
let foreign: string
/** Token of a session of the same tenant, for another user. */
let otherUser: string
let jobId: string
let fileId: string
let batchId: string

beforeAll(async () => {
  app = await startTestApp({ bad_keys_per_minute: 1_000 })
  foreign = (await app.addKey('stranger')).key
  const { ticket } = JSON.parse((await ask('POST', '/v1/tickets', app.key, { user: 'somebody else' })).body) as {
    ticket: string
  }
  otherUser = (JSON.parse((await ask('POST', '/v1/sessions', null, { ticket })).body) as { token: string }).token
  const chat = { model: 'demo', messages: [{ role: 'user', content: 'demo: tokens=3 delay=1 ttft=1' }] }
  jobId = (
    JSON.parse(
      (await ask('POST', '/v1/jobs', app.key, { request: chat, conversation: 'ours', run: 'ours', lane: null })).body,
    ) as {
      id: string
    }
  ).id
  expect((await ask('GET', `/v1/jobs/${jobId}/result?wait_ms=50000`, app.key)).status).toBe(200)
  const form = new FormData()
  form.set('purpose', 'batch')
  form.set('file', new Blob(['{}']), 'ours.jsonl')
  const headers = { authorization: `Bearer ${app.key}` }
  const uploaded = await fetch(`http://127.0.0.1:${app.port}/v1/files`, { method: 'POST', headers, body: form })
  fileId = ((await uploaded.json()) as { id: string }).id
  const batch = { input_file_id: fileId, endpoint: '/v1/chat/completions', completion_window: '24h' }
  batchId = (JSON.parse((await ask('POST', '/v1/batches', app.key, batch)).body) as { id: string }).id
})
afterAll(() => app?.stop())

const ask = (method: string, path: string, key: string | null, body?: unknown, port = app.port): Promise<Answer> =>
  send(
    port,
    request(
      method,
      path,
      key === null ? {} : { authorization: `Bearer ${key}` },
      body === undefined ? '' : JSON.stringify(body),
    ),
  )

const missing = ({ path }: Route): string =>
  path.includes('/batches/')
    ? 'batch_not_found'
    : path.includes('/files/')
      ? 'file_not_found'
      : path.includes('/conversations/')
        ? 'conversation_not_found'
        : path.includes('/runs/')
          ? 'run_not_found'
          : 'job_not_found'

const path = ({ path }: Route): string =>
  path
    .replace('*id', 'demo')
    .replace(
      ':id',
      path.includes('/files/')
        ? fileId
        : path.includes('/batches/')
          ? batchId
          : path.includes('/jobs/')
            ? jobId
            : /[/](conversations|runs)[/]/.test(path)
              ? 'ours'
              : 'default',
    )

describe.each(named)('%s', (_name, { door, route }) => {
  const knock = (key: string | null): Promise<Answer> =>
    ask(
      route.method,
      path(route),
      key,
      route.method === 'GET' ? undefined : {},
      door === 'public' ? app.port : app.adminPort,
    )
  if (route.auth === 'none') {
    it('is open to all', async () => {
      expect((await knock(null)).status).toBe(200)
      expect((await knock('nonsense')).status).toBe(200)
    })
    return
  }
  if (route.auth === 'ticket') {
    it('lets nobody in who says nothing of who they are', async () => {
      for (const key of [null, 'nonsense', ADMIN_KEY])
        expect((await knock(key)).status).toBe(route.method === 'GET' ? 426 : 401)
    })
    return
  }
  it('wants a key', async () => {
    const got = await knock(null)
    expect([got.status, got.code]).toEqual([401, 'missing_api_key'])
  })
  it('knows a bad one', async () => {
    const got = await knock('sk-sluice-nonsense')
    expect([got.status, got.code]).toEqual([401, 'invalid_api_key'])
  })
  if (route.auth === 'operator') {
    it("refuses a tenant's key", async () => {
      const got = await knock(app.key)
      expect([got.status, got.code]).toEqual([403, 'forbidden'])
    })
    return
  }
  it('refuses the admin key', async () => {
    const got = await knock(ADMIN_KEY)
    expect([got.status, got.code]).toEqual([401, 'invalid_api_key'])
  })
  // A conversation that is not there can be watched: the protocol's suite tells what is seen of another's then
  const isOfPages = !route.path.startsWith('/v1/webhooks')
  if (!isOfPages)
    it('refuses sessions of pages', async () => {
      const got = await ask(route.method, path(route), otherUser, route.method === 'GET' ? undefined : {})
      expect([got.status, got.code], got.body).toEqual([403, 'forbidden'])
    })
  // test/front/webhooks.test.ts asks for those of others
  if (isOfPages && route.path.includes(':id') && route.path !== '/v1/conversations/:id/events') {
    it("does not show another tenant's", async () => {
      const key = missing(route)
      // Bodies in good form, so that nothing but ownership can refuse
      const body = route.method === 'GET' ? undefined : { name: 'mine now', keep_turns: 0 }
      const got = await ask(route.method, path(route), foreign, body)
      expect([got.status, got.code], got.body).toEqual([404, key])
    })
    it("does not show one user's to another's session", async () => {
      const key = missing(route)
      const got = await ask(
        route.method,
        path(route),
        otherUser,
        route.method === 'GET' ? undefined : { name: 'mine now', keep_turns: 0 },
      )
      expect([got.status, got.code], got.body).toEqual([404, key])
    })
  }
})

it("leaves what is ours as it was, after a stranger's tries", async () => {
  const conversation = JSON.parse((await ask('GET', '/v1/conversations/ours', app.key)).body) as {
    name: string | null
    turns: unknown[]
  }
  expect([conversation.name, conversation.turns.length]).toEqual([null, 1])
  expect((await ask('GET', `/v1/jobs/${jobId}`, app.key)).status).toBe(200)
})

it("lists no other tenant's jobs or conversations", async () => {
  for (const list of ['/v1/jobs', '/v1/conversations', '/v1/jobs?conversation=ours', `/v1/jobs?before=${jobId}`]) {
    const got = await ask('GET', list, foreign)
    expect((JSON.parse(got.body) as { data: unknown[] }).data, list).toEqual([])
  }
  expect(
    (JSON.parse((await ask('GET', '/v1/jobs', app.key)).body) as { data: Array<{ id: string }> }).data.map((j) => j.id),
  ).toContain(jobId)
})

it("keeps idempotency keys apart: another tenant's is not joined", async () => {
  const job = {
    request: { model: 'demo', messages: [{ role: 'user', content: 'demo: tokens=2 delay=1 ttft=1' }] },
    idempotency_key: 'shared',
  }
  const id = async (key: string): Promise<string> =>
    (JSON.parse((await ask('POST', '/v1/jobs', key, job)).body) as { id: string }).id
  const [ours, ourAgain, theirs] = [await id(app.key), await id(app.key), await id(foreign)]
  expect(ourAgain).toBe(ours)
  expect(theirs).not.toBe(ours)
})

it('takes no route that does not name who may', () => {
  const route = { method: 'GET', path: '/open', run: () => {} } as unknown as Route
  expect(() => new Router([route])).toThrow('GET /open does not name who may use it.')
  expect(() => new Router([{ ...route, auth: 'anybody' } as unknown as Route])).toThrow()
})

it('covers both doors', () => {
  expect(new Set(doors.map((d) => d.route.auth))).toEqual(new Set(['none', 'tenant', 'ticket', 'operator']))
  expect(tables.public.some((r) => r.auth === 'operator')).toBe(false)
  expect(tables.admin.some((r) => r.auth === 'tenant')).toBe(false)
  expect(doors.length).toBeGreaterThan(30)
})
