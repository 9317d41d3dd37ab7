/** Tenants and keys as the operator sets them: in force at once, told, kept; and kill switches. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openPeer } from '../protocol/peer.ts'
import { ADMIN_KEY, startTestApp, type TestApp } from './app.ts'
import { userOf } from './two-users.ts'

interface Made {
  readonly id: string
  readonly key: string
}
type Body = Record<string, any>

const HEADERS = (key: string) => ({ authorization: `Bearer ${key}`, 'content-type': 'application/json' })

describe('tenants and keys', () => {
  let app: TestApp
  beforeEach(async () => {
    app = await startTestApp()
  })
  afterEach(() => app.stop())

  const publicUrl = (path: string): string => `http://127.0.0.1:${app.port}${path}`
  async function admin(method: string, path: string, body?: object): Promise<{ status: number; body: Body }> {
    const response = await fetch(`http://127.0.0.1:${app.adminPort}${path}`, {
      method,
      headers: HEADERS(ADMIN_KEY),
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    return { status: response.status, body: text === '' ? {} : JSON.parse(text) }
  }
  async function call(key: string, path: string, body?: object, method = body ? 'POST' : 'GET') {
    const response = await fetch(publicUrl(path), {
      method,
      headers: HEADERS(key),
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    return {
      status: response.status,
      headers: response.headers,
      body: (text.startsWith('{') ? JSON.parse(text) : {}) as Body,
    }
  }
  const chat = (text = 'Hi. demo: tokens=3', model = 'demo', more: object = {}) => ({
    model,
    messages: [{ role: 'user', content: text }],
    ...more,
  })
  const ask = (key: string, model = 'demo') => call(key, '/v1/chat/completions', chat(undefined, model))
  const make = (more: object = {}): Promise<Made> => app.addKey('acme', more)
  const submit = async (key: string, text: string, model = 'demo'): Promise<string> => {
    const { status, body } = await call(key, '/v1/jobs', { request: chat(text, model) })
    expect(status).toBe(202)
    return body['id']
  }
  /** A job that its provider refuses. */
  const failing = async (key: string, model = 'demo'): Promise<string> => {
    const id = await submit(key, 'Hi. demo: fail=400', model)
    await expect.poll(() => state(id)).toBe('failed')
    return id
  }
  const state = async (id: string): Promise<string> =>
    ((await admin('GET', '/admin/jobs')).body['data'] as Body[]).find((job) => job['id'] === id)!['state']

  // ---------------------------------------------------------------- keys

  it('a key is used for its scopes alone, over HTTP and WebSocket', async () => {
    const reader = await make({ scopes: ['read'] })
    const writer = await make({ scopes: ['submit'] })
    expect((await call(reader.key, '/v1/models')).status).toBe(200)
    const refused = await ask(reader.key)
    expect([refused.status, refused.body['error'].code]).toEqual([403, 'forbidden'])
    expect(refused.body['error'].message).toContain('"submit"')
    const id = await submit(writer.key, 'Hi. demo: tokens=3')
    expect((await call(writer.key, `/v1/jobs/${id}`)).status).toBe(403)
    expect((await call(reader.key, `/v1/jobs/${id}`)).status).toBe(200)
    for (const path of ['/v1/tickets', '/v1/tokenize']) expect((await call(reader.key, path, {})).status).toBe(403)
    expect((await call(reader.key, `/v1/jobs/${id}`, undefined, 'DELETE')).status).toBe(403)
    const peer = await openPeer(publicUrl(''))
    peer.say({ t: 'hello', auth: { key: reader.key } })
    await peer.next('welcome')
    peer.say({ t: 'submit', id: 's1', request: chat() })
    expect((await peer.next('error'))['error'].code).toBe('forbidden')
    peer.say({ t: 'attach', id: 'a1', job: id })
    expect((await peer.next('attached'))['job']).toBe(id)
    const other = await openPeer(publicUrl(''))
    other.say({ t: 'hello', auth: { key: writer.key }, jobs: [{ job: id }] })
    await other.next('welcome')
    expect((await other.next('error'))['error'].code).toBe('forbidden')
    const bad = await admin('POST', '/admin/keys', { scopes: ['read', 'all'] })
    expect([bad.status, bad.body['error'].param]).toEqual([400, 'scopes'])
  })

  it('a key without `read` is told so where it goes on from what another has asked, not from its own', async () => {
    const [own, other] = [await make({ scopes: ['submit'] }), await make()]
    const input = 'Hi. demo: tokens=3'
    const respond = (key: string, more: object = {}) => call(key, '/v1/responses', { model: 'demo', input, ...more })
    const [mine, theirs] = [await respond(own.key), await respond(other.key)].map(({ body }) => body['id'])
    const refused = await respond(own.key, { previous_response_id: theirs })
    expect([refused.status, refused.body['error'].code]).toEqual([403, 'forbidden'])
    expect(refused.body['error'].message).toContain('lacks the scope "read"')
    expect((await respond(own.key, { previous_response_id: mine })).status).toBe(200)
    expect((await respond(other.key, { previous_response_id: mine })).status).toBe(200)
  })

  it('scopes of an open connection are those that its key has now', async () => {
    const { id, key } = await make()
    const job = await submit(key, 'Hi. demo: tokens=3')
    const peer = await openPeer(publicUrl(''))
    peer.say({ t: 'hello', auth: { key } })
    await peer.next('welcome')
    await admin('PATCH', `/admin/keys/${id}`, { scopes: ['read'] })
    peer.say({ t: 'submit', id: 's1', request: chat() })
    expect((await peer.next('error'))['error'].code).toBe('forbidden')
    peer.say({ t: 'attach', id: 'a1', job })
    await peer.next('attached')
    await admin('PATCH', `/admin/keys/${id}`, { scopes: ['submit'] })
    peer.say({ t: 'attach', id: 'a2', job })
    expect((await peer.next('error'))['error'].code).toBe('forbidden')
    peer.say({ t: 'watch', id: 'w1', conversation: 'c' })
    expect((await peer.next('error'))['error'].code).toBe('forbidden')
    peer.say({ t: 'submit', id: 's2', request: chat(), follow: false })
    await peer.next('accepted')
  })

  it('a key without `manage` cancels and redrives what it has submitted itself, and nothing else', async () => {
    const [own, other] = [await make({ scopes: ['submit'] }), await make()]
    const [mine, theirs] = [
      await submit(own.key, 'demo: tokens=2000 delay=20'),
      await submit(other.key, 'demo: tokens=2000 delay=20'),
    ]
    const refused = await call(own.key, `/v1/jobs/${theirs}/cancel`, {})
    expect([refused.status, refused.body['error'].code]).toEqual([403, 'forbidden'])
    expect(refused.body['error'].message).toContain('"manage"')
    const peer = await openPeer(publicUrl(''))
    peer.say({ t: 'hello', auth: { key: own.key } })
    await peer.next('welcome')
    peer.say({ t: 'cancel', id: 'c1', job: theirs })
    expect((await peer.next('error'))['error'].code).toBe('forbidden')
    expect(await state(theirs)).not.toBe('canceled')
    expect((await call(own.key, `/v1/jobs/${mine}/cancel`, {})).status).toBe(202)
    const [failed, foreign] = [await failing(own.key), await failing(other.key)]
    expect((await call(own.key, `/v1/jobs/${foreign}/redrive`, {})).status).toBe(403)
    expect((await call(own.key, `/v1/jobs/${failed}/redrive`, {})).status).toBe(202)
    await admin('PATCH', `/admin/keys/${own.id}`, { scopes: ['submit', 'manage'] })
    expect((await call(own.key, `/v1/jobs/${foreign}/redrive`, {})).status).toBe(202)
    peer.say({ t: 'cancel', id: 'c2', job: theirs })
    expect((await peer.next('ok'))['id']).toBe('c2')
    await expect.poll(() => state(theirs)).toBe('canceled')
    // A user's session sees that user's jobs alone: they are its own, whichever key they came with
    const pages = await make({ scopes: ['submit', 'tickets'] })
    const [ann, bob] = [await userOf(app.port, pages.key, 'ann'), await userOf(app.port, pages.key, 'bob')]
    const { body } = await call(other.key, '/v1/jobs', { request: { ...chat('x'), user: 'ann' }, delay_ms: 60_000 })
    expect((await bob.ask('POST', `/v1/jobs/${body['id']}/cancel`, {})).status).toBe(404)
    expect((await ann.ask('POST', `/v1/jobs/${body['id']}/cancel`, {})).status).toBe(202)
    const nobody = await userOf(app.port, pages.key, null)
    expect((await nobody.ask('POST', `/v1/jobs/${body['id']}/cancel`, {})).status).toBe(403)
  })

  it('a job that is redriven is judged, and counted, as that of who asks', async () => {
    const [asked, narrow, off, clear] = [await make(), await make({ models: ['demo'] }), await make(), await make()]
    const id = await failing(asked.key, 'talks')
    const again = async (key: string) => {
      const { status, body } = await call(key, `/v1/jobs/${id}/redrive`, {})
      return [status, body['error']?.code]
    }
    expect(await again(narrow.key)).toEqual([403, 'model_not_allowed'])
    await admin('POST', '/admin/disable', { key: off.id })
    expect(await again(off.key)).toEqual([403, 'access_disabled'])
    // It is their own key that matters, whatever became of the one that asked first
    await admin('POST', '/admin/disable', { key: asked.id })
    const { status, body } = await call(clear.key, `/v1/jobs/${id}/redrive`, {})
    expect(status).toBe(202)
    await expect.poll(() => state(body['id'])).toBe('failed')
    const keyOf = async (job: string): Promise<string> =>
      ((await admin('GET', '/admin/jobs')).body['data'] as Body[]).find((each) => each['id'] === job)!['key']
    expect(await keyOf(body['id'])).toBe(clear.id)
    const used = async (key: string): Promise<Body> => (await admin('GET', `/admin/usage?key=${key}`)).body['total']
    expect([(await used(clear.id))['attempts'], (await used(asked.id))['attempts']]).toEqual([1, 1])
    // An operator's is judged as its own key's, also where that is revoked
    const byOperator = () => admin('POST', `/admin/jobs/${id}/redrive`, {})
    expect((await byOperator()).body['error'].code).toBe('access_disabled')
    await admin('POST', '/admin/enable', { key: asked.id })
    await admin('DELETE', `/admin/keys/${asked.id}`)
    const made = await byOperator()
    expect([made.status, made.body['key']]).toEqual([202, asked.id])
  })

  it('a key, and a tenant, may use the models that are listed, and see no others', async () => {
    const { id, key } = await make({ models: ['ta*'] })
    const models = async () => ((await call(key, '/v1/models')).body['data'] as Body[]).map((model) => model['id'])
    expect(await models()).toEqual(['talks'])
    expect((await ask(key, 'talks')).status).toBe(200)
    const refused = await ask(key)
    expect([refused.status, refused.body['error'].code]).toEqual([403, 'model_not_allowed'])
    expect(refused.body['error'].message).toContain('GET /v1/models')
    expect((await call(key, '/v1/models/demo')).status).toBe(403)
    expect((await call(key, '/v1/estimate', chat())).status).toBe(403)
    expect((await admin('PATCH', `/admin/keys/${id}`, { models: null })).body['models']).toBeNull()
    expect(await models()).toEqual(['demo', 'talks'])
    expect((await admin('PATCH', '/admin/tenants/acme', { models: ['demo'] })).status).toBe(200)
    expect(await models()).toEqual(['demo'])
    expect((await ask(key, 'talks')).body['error'].message).toContain('tenant "acme"')
    expect((await ask(app.key, 'talks')).status).toBe(200)
  })

  it('a misspelled name is told of no model that its key may not use', async () => {
    const { key } = await make({ models: ['ta*'] })
    for (const path of ['/v1/chat/completions', '/v1/estimate', '/v1/tokenize']) {
      const body = path === '/v1/tokenize' ? { model: 'demoo', text: 'a' } : chat('Hi', 'demoo')
      const [theirs, all] = [await call(key, path, body), await call(app.key, path, body)]
      expect([theirs.status, theirs.body['error'].code]).toEqual([404, 'model_not_found'])
      expect(theirs.body['error'].message).not.toContain('"demo"')
      expect(all.body['error'].message).toContain('Did you mean "demo"')
    }
  })

  it('a model that is disabled is no business of a key that may not use it', async () => {
    const { key } = await make({ models: ['demo'] })
    await admin('POST', '/admin/disable', { model: 'talks', reason: 'a secret launch' })
    const { status, body } = await ask(key, 'talks')
    expect([status, body['error'].code]).toEqual([403, 'model_not_allowed'])
    expect(body['error'].message).not.toContain('launch')
  })

  it('a rotated key is the same key: both secrets work until the overlap ends, and count as one', async () => {
    const { id, key } = await make({ limits: { requests_per_minute: 2 } })
    expect((await ask(key)).status).toBe(200)
    const { status, body } = await admin('POST', `/admin/keys/${id}/rotate`, { overlap_ms: 3_600_000 })
    expect([status, body['id']]).toEqual([201, id])
    expect(body['key']).not.toBe(key)
    expect((await ask(body['key'])).status).toBe(200)
    for (const secret of [key, body['key']]) expect((await ask(secret)).status).toBe(429)
    const listed = ((await admin('GET', '/admin/keys')).body['data'] as Body[]).filter((each) => each['id'] === id)
    expect(listed.map((each) => [each['replaced_at'] !== null, each['expires_at'] !== null])).toEqual([
      [true, true],
      [false, false],
    ])
    // What is open with a secret that has ended is cut; without an overlap it ends at once
    const peer = await openPeer(publicUrl(''))
    peer.say({ t: 'hello', auth: { key } })
    await peer.next('welcome')
    const again = await admin('POST', `/admin/keys/${id}/rotate`, {})
    for (const secret of [key, body['key']]) expect((await call(secret, '/v1/models')).status).toBe(401)
    expect((await call(again.body['key'], '/v1/models')).status).toBe(200)
    expect((await peer.closed()).code).toBe(4401)
    expect((await admin('DELETE', `/admin/keys/${id}`)).status).toBe(204)
    expect((await call(again.body['key'], '/v1/models')).status).toBe(401)
    expect((await admin('POST', `/admin/keys/${id}/rotate`, {})).status).toBe(400)
  })

  it('a change of a rotated key reaches the secret before it, too', async () => {
    const { id, key } = await make()
    const { body } = await admin('POST', `/admin/keys/${id}/rotate`, { overlap_ms: 3_600_000 })
    await admin('PATCH', `/admin/keys/${id}`, { scopes: ['read', 'usage'] })
    for (const secret of [key, body['key']])
      expect([(await ask(secret)).status, (await call(secret, '/v1/models')).status]).toEqual([403, 200])
    await admin('PATCH', `/admin/keys/${id}`, { expires_in_ms: 1 })
    for (const secret of [key, body['key']])
      for (const path of ['/v1/models', '/v1/jobs', '/v1/usage'])
        await expect.poll(async () => (await call(secret, path)).status).toBe(401)
  })

  it('a key changes while it is used: its limits, its name, its end', async () => {
    const { id, key } = await make({ limits: { requests_per_minute: 1 } })
    expect([(await ask(key)).status, (await ask(key)).status]).toEqual([200, 429])
    await admin('PATCH', `/admin/keys/${id}`, { limits: { requests_per_minute: 100 }, name: 'faster' })
    expect((await ask(key)).status).toBe(200)
    await admin('PATCH', `/admin/keys/${id}`, { limits: null })
    expect((await ask(key)).headers.get('x-ratelimit-limit-requests')).toBeNull()
    expect((await admin('PATCH', `/admin/keys/${id}`, { expires_in_ms: 1 })).body['name']).toBe('faster')
    await expect.poll(async () => (await call(key, '/v1/models')).status).toBe(401)
    await admin('PATCH', `/admin/keys/${id}`, { expires_in_ms: null })
    expect((await call(key, '/v1/models')).status).toBe(200)
    // Kept as it is read
    const kept = await admin('PATCH', `/admin/keys/${id}`, { limits: { tokens_per_minute: '60', concurrent: null } })
    expect(kept.body['limits']).toEqual({ tokens_per_minute: 60 })
    for (const [body, param] of [
      [{ limits: { requests_per_minut: 1 } }, 'limits'],
      [{ limits: { burst: 0 } }, 'limits.burst'],
      [{ models: ['a b'] }, 'models'],
      [{ colour: 1 }, 'colour'],
      [{}, 'name'],
    ] as const) {
      const { status, body: answer } = await admin('PATCH', `/admin/keys/${id}`, body)
      expect([status, answer['error'].param]).toEqual([400, param])
    }
    expect((await admin('PATCH', '/admin/keys/key_none', { name: 'x' })).body['error'].code).toBe('key_not_found')
  })

  it('a revocation ends what is open, and by choice what runs and what waits', async () => {
    const [gone, cut] = [await make(), await make()]
    const running = await submit(gone.key, 'demo: tokens=400 delay=20')
    const stopped = await submit(cut.key, 'demo: tokens=2000 delay=20')
    for (const id of [running, stopped]) await expect.poll(() => state(id)).toBe('leased')
    const events = fetch(publicUrl(`/v1/jobs/${stopped}/events`), { headers: HEADERS(cut.key) })
      .then((r) => r.text())
      .catch(() => '')
    expect((await admin('DELETE', `/admin/keys/${gone.id}`)).status).toBe(204)
    expect((await admin('DELETE', `/admin/keys/${cut.id}?running=cut&queued=cancel`)).status).toBe(204)
    await events
    await expect.poll(() => state(stopped)).toBe('canceled')
    expect(await state(running)).toBe('leased')
    expect((await admin('DELETE', `/admin/keys/${cut.id}?running=hard`)).status).toBe(400)
  })

  it('what limits a key, and its switch, hold its jobs when it is revoked', async () => {
    const [{ id, key }, other] = [await make({ limits: { concurrent: 1 } }), await make()]
    const running = await submit(key, 'demo: tokens=2000 delay=20')
    await expect.poll(() => state(running)).toBe('leased')
    const waiting: string[] = []
    for (let i = 0; i < 3; i++) waiting.push(await submit(key, 'demo: tokens=40 delay=20'))
    const states = () => Promise.all(waiting.map(state))
    await admin('POST', '/admin/disable', { key: id })
    expect((await admin('DELETE', `/admin/keys/${id}`)).status).toBe(204)
    expect((await admin('GET', '/admin/disable')).body['data']).toMatchObject([{ key: id }])
    await admin('POST', `/admin/jobs/${running}/cancel`, {})
    await expect.poll(() => state(running)).toBe('canceled')
    // There is room for others
    expect((await ask(other.key)).status).toBe(200)
    for (const each of await states()) expect(each).not.toMatch(/leased|done/)
    await admin('POST', '/admin/enable', { key: id })
    const most = { leased: 0 }
    await expect
      .poll(async () => {
        const now = await states()
        most.leased = Math.max(most.leased, now.filter((each) => each === 'leased').length)
        return now.join()
      })
      .toBe('done,done,done')
    expect(most.leased).toBeLessThanOrEqual(1)
  })

  it('a revocation that cuts what runs starts nothing until it is done, and cuts nothing else', async () => {
    const { id, key } = await make()
    await admin('PATCH', '/admin/tenants/acme', { limits: { concurrent: 1 } })
    const running = await submit(key, 'demo: tokens=2000 delay=20')
    await expect.poll(() => state(running)).toBe('leased')
    const waiting: string[] = []
    for (let i = 0; i < 3; i++) waiting.push(await submit(key, 'demo: tokens=3'))
    expect((await admin('DELETE', `/admin/keys/${id}?running=cut`)).status).toBe(204)
    await expect.poll(() => state(running)).toBe('canceled')
    for (const job of waiting) await expect.poll(() => state(job)).toBe('done')
    // All: none of those in line is tried
    const all = await make()
    const first = await submit(all.key, 'demo: tokens=2000 delay=20')
    await expect.poll(() => state(first)).toBe('leased')
    const { body } = await call(all.key, '/v1/jobs', { jobs: Array(250).fill({ request: chat('demo: tokens=3') }) })
    expect((await admin('DELETE', `/admin/keys/${all.id}?running=cut&queued=cancel`)).status).toBe(204)
    expect(body['data']).toHaveLength(250)
    const left = (await admin('GET', '/admin/jobs?state=queued,waiting,leased,done&limit=1000')).body['data'] as Body[]
    expect(left.filter((job) => job['key'] === all.id)).toEqual([])
    const used = (await admin('GET', `/admin/usage?key=${all.id}`)).body['total']
    expect(used['attempts']).toBe(1)
    expect((await admin('GET', '/admin/disable')).body['data']).toEqual([])
  })

  // ---------------------------------------------------------------- tenants

  it('limits of a tenant are in force at once, and gone at once', async () => {
    const [{ key }, other] = [await make(), await make()]
    const { body } = await admin('PATCH', '/admin/tenants/acme', { limits: { requests_per_minute: 2 }, label: 'ACME' })
    expect(body).toMatchObject({
      label: 'ACME',
      limits: { requests_per_minute: 2 },
      limits_source: 'api',
      source: 'api',
    })
    expect([(await ask(key)).status, (await ask(other.key)).status, (await ask(key)).status]).toEqual([200, 200, 429])
    expect((await ask(app.key)).status).toBe(200)
    await admin('PATCH', '/admin/tenants/acme', { limits: { requests_per_minute: 2, each_key: { concurrent: 0 } } })
    const waiting = await call(key, '/v1/jobs', { request: chat() })
    await admin('PATCH', '/admin/tenants/acme', { limits: null })
    expect((await ask(key)).status).toBe(200)
    if (waiting.status === 202) await expect.poll(() => state(waiting.body['id'])).toBe('done')
  })

  it('a budget that is set lets nothing in that nobody can price, as one of the file does', async () => {
    const { key } = await make()
    const at = { base_url: 'http://127.0.0.1:9/v1', api_key: { env: 'SLUICE_ADMIN_KEY' } }
    await app.reload({ models: [{ name: 'mystery', provider: 'openai', model: 'no-such-model', ...at }] })
    await admin('PATCH', '/admin/tenants/acme', { limits: { dollars_per_day: 1 } })
    expect((await ask(key, 'mystery')).body['error'].code).toBe('model_unpriced')
    await admin('PATCH', '/admin/tenants/acme', { limits: null })
    expect((await ask(key, 'mystery')).body['error'].code).toBe('provider_unreachable')
  })

  it("limits are told with where they come from: each tenant's, those of the API, of the file", async () => {
    await make()
    const limits = { each_tenant: { requests_per_minute: 30, each_user: { concurrent: 1 } } }
    await app.reload({ limits, tenants: [{ name: 'free' }, { name: 'own', limits: { concurrent: 7 } }] })
    const shown = async (id: string): Promise<unknown[]> => {
      const { body } = await admin('GET', `/admin/tenants/${id}`)
      return [body['limits_source'], body['limits']?.requests_per_minute, body['limits']?.concurrent]
    }
    expect(await shown('acme')).toEqual(['each_tenant', 30, undefined])
    expect(await shown('free')).toEqual(['each_tenant', 30, undefined])
    expect(await shown('own')).toEqual(['config', undefined, 7])
    const { body } = await admin('PATCH', '/admin/tenants/acme', { limits: { requests_per_minute: 9 } })
    expect(body).toMatchObject({
      limits_source: 'api',
      before: { limits_source: 'each_tenant', limits: { requests_per_minute: 30 } },
    })
    expect(await shown('acme')).toEqual(['api', 9, undefined])
    expect((await admin('PATCH', '/admin/tenants/acme', { label: 'A' })).body).not.toHaveProperty('before')
    await admin('PATCH', '/admin/tenants/acme', { limits: null })
    expect(await shown('acme')).toEqual(['each_tenant', 30, undefined])
    await app.reload({ limits: {} })
    expect(await shown('acme')).toEqual([null, undefined, undefined])
  })

  it('models are listed with who serves them, at what price, within which limits, and their switch', async () => {
    await app.reload({
      models: [
        { name: 'demo', provider: 'demo', limits: { concurrent: 3 } },
        {
          name: 'big-*',
          provider: 'openai-compatible',
          base_url: 'http://127.0.0.1:9/v1',
          price: { input: 3, output: 15 },
        },
      ],
      limits: { models: [{ name: 'big*', tokens_per_minute: 1000 }] },
    })
    await admin('POST', '/admin/disable', { model: 'demo' })
    const { body } = await admin('GET', '/admin/models')
    expect(body['data']).toMatchObject([
      {
        id: 'demo',
        object: 'model',
        deployments: [{ provider: 'demo', upstream_model: null, concurrent: 3 }],
        limits: null,
        price: { dollars_per_million_input_tokens: 0, dollars_per_million_output_tokens: 0 },
        disabled: { running: 'finish' },
      },
      {
        id: 'big-*',
        deployments: [{ provider: 'openai-compatible', concurrent: null }],
        limits: { tokens_per_minute: 1000 },
        price: {
          source: 'settings',
          dollars_per_million_input_tokens: 3,
          dollars_per_million_output_tokens: 15,
          dollars_per_request: 0,
        },
        disabled: null,
      },
    ])
    expect(body['data'][1].limits).not.toHaveProperty('name')
    expect((await call(app.key, '/admin/models')).status).toBe(404)
  })

  it('what the file says of a tenant can be changed there alone', async () => {
    const tenants = [
      { name: 'acme', limits: { requests_per_minute: 1, each_user: { concurrent: 2 } } },
      { name: 'free' },
    ]
    const { key } = await make()
    await admin('PATCH', '/admin/tenants/acme', { limits: { requests_per_minute: 50 } })
    await app.reload({ tenants })
    expect([(await ask(key)).status, (await ask(key)).status]).toEqual([200, 429])
    const { status, body } = await admin('PATCH', '/admin/tenants/acme', { limits: { requests_per_minute: 9 } })
    expect([status, body['error'].code]).toEqual([409, 'managed_by_config'])
    expect(body['error'].message).toContain('tenants, name: acme')
    expect((await admin('PATCH', '/admin/tenants/acme', { label: 'A' })).status).toBe(200)
    const listed = (await admin('GET', '/admin/tenants')).body['data'] as Body[]
    expect(listed.map((tenant) => [tenant['id'], tenant['source'], tenant['limits_source']])).toEqual([
      ['acme', 'config', 'config'],
      ['default', 'key', null],
      ['free', 'config', null],
    ])
    expect(listed[0]['limits']).toMatchObject({ requests_per_minute: 1, each_user: { concurrent: 2 } })
    expect((await admin('PATCH', '/admin/tenants/free', { limits: { requests_per_minute: 9 } })).status).toBe(200)
    expect((await admin('GET', '/admin/tenants/nobody')).body['error'].code).toBe('tenant_not_found')
  })

  // ---------------------------------------------------------------- switches

  for (const what of ['tenant', 'key', 'model'] as const)
    it(`a ${what} is disabled: nothing new is taken, what waits stays, what runs ends; then enabled`, async () => {
      const { id, key } = await make()
      const selected = { [what]: { tenant: 'acme', key: id, model: 'talks' }[what] }
      await admin('PATCH', '/admin/tenants/acme', { limits: { concurrent: 1 } })
      const running = await submit(key, 'demo: tokens=40 delay=20', 'talks')
      await expect.poll(() => state(running)).toBe('leased')
      const waiting = await submit(key, 'Hi. demo: tokens=3', 'talks')
      const off = await admin('POST', '/admin/disable', { ...selected, reason: 'unpaid' })
      expect(off.body).toMatchObject({ ...selected, disabled: { running: 'finish', queued: 'keep', reason: 'unpaid' } })
      await admin('PATCH', '/admin/tenants/acme', { limits: null })
      const refused = await ask(key, 'talks')
      expect([refused.status, refused.body['error'].code]).toEqual(
        what === 'model' ? [503, 'model_disabled'] : [403, 'access_disabled'],
      )
      expect(refused.body['error'].message).toContain('unpaid')
      expect((await call(key, '/v1/jobs', { request: chat('Hi', 'talks') })).body['error'].code).toBe(
        refused.body['error'].code,
      )
      expect((await ask(app.key, 'demo')).status).toBe(200)
      await expect.poll(() => state(running)).toBe('done')
      // Idempotent; and another choice
      await admin('POST', '/admin/disable', selected)
      expect(await state(waiting)).not.toMatch(/leased|done|canceled/)
      expect((await admin('GET', '/admin/disable')).body['data']).toMatchObject([
        { ...selected, disabled: { reason: '' } },
      ])
      expect((await admin('POST', '/admin/enable', selected)).body['disabled']).toBeNull()
      expect((await admin('POST', '/admin/enable', selected)).status).toBe(200)
      await expect.poll(() => state(waiting)).toBe('done')
      expect((await ask(key, 'talks')).status).toBe(200)
      expect((await admin('GET', '/admin/disable')).body['data']).toEqual([])
    })

  for (const what of ['tenant', 'key', 'model'] as const)
    it(`a ${what} is disabled with all that runs and waits: both are canceled, nobody else's`, async () => {
      const { id, key } = await make()
      const selected = { [what]: { tenant: 'acme', key: id, model: 'talks' }[what] }
      const others = await submit(app.key, 'demo: tokens=40 delay=20')
      const held = await call(key, '/v1/jobs', { request: chat('x', 'talks'), delay_ms: 3_600_000 })
      const running = await submit(key, 'demo: tokens=2000 delay=20', 'talks')
      await expect.poll(() => state(running)).toBe('leased')
      const off = await admin('POST', '/admin/disable', { ...selected, running: 'cut', queued: 'cancel' })
      expect(off.body['canceled']).toEqual({ running: 1, queued: 1 })
      await expect.poll(() => state(running)).toBe('canceled')
      expect(await state(held.body['id'])).toBe('canceled')
      await expect.poll(() => state(others)).toBe('done')
    })

  it('a switch needs one name, that is known', async () => {
    for (const body of [
      {},
      { tenant: 'a', key: 'b' },
      { lane: 'x' },
      { tenant: 'acme', running: 'kill' },
      { model: '' },
    ])
      expect((await admin('POST', '/admin/disable', body)).status).toBe(400)
    for (const verb of ['disable', 'enable']) {
      const refused = async (body: object) => {
        const answer = await admin('POST', `/admin/${verb}`, body)
        return [answer.status, answer.body['error'].code, answer.body['error'].message]
      }
      expect((await refused({ key: 'key_none' })).slice(0, 2)).toEqual([404, 'key_not_found'])
      expect((await refused({ tenant: 'acmee' })).slice(0, 2)).toEqual([404, 'tenant_not_found'])
      expect(await refused({ model: 'talk' })).toEqual([
        404,
        'model_not_found',
        expect.stringContaining('Did you mean "talks"'),
      ])
      expect((await refused({ model: 'tak*' })).slice(0, 2)).toEqual([404, 'model_not_found'])
      for (const model of ['t*s', '**']) expect((await refused({ model }))[0]).toBe(400)
    }
    expect((await admin('GET', '/admin/disable')).body['data']).toEqual([])
    // A tenant that is set up before it has a key; a model that the file does not have any more
    await admin('PATCH', '/admin/tenants/early', { label: 'soon' })
    expect((await admin('POST', '/admin/disable', { tenant: 'early' })).status).toBe(200)
    expect((await admin('POST', '/admin/disable', { model: 'talks' })).status).toBe(200)
    await app.reload({ models: [{ name: 'demo', provider: 'demo' }] })
    expect((await admin('POST', '/admin/enable', { model: 'talks' })).status).toBe(200)
  })

  it('models are disabled by the beginning of their names: those of the file, and those that it names so', async () => {
    const { key } = await make()
    const demo = { provider: 'demo' }
    await app.reload({
      models: [
        { name: 'demo', ...demo },
        { name: 'talks', ...demo },
        { name: 'free-*', ...demo },
      ],
      limits: {
        models: [
          { name: 'free-b', concurrent: 5 },
          { name: 'free-*', concurrent: 1 },
        ],
      },
    })
    const running = await submit(key, 'demo: tokens=2000 delay=20', 'free-a')
    await expect.poll(() => state(running)).toBe('leased')
    const waiting = [await submit(key, 'Hi. demo: tokens=3', 'free-a'), await submit(key, 'Hi', 'talks')]
    await expect.poll(() => state(waiting[1])).toBe('done')
    const off = await admin('POST', '/admin/disable', { model: 'free-*', running: 'cut' })
    expect(off.body).toMatchObject({ model: 'free-*', canceled: { running: 1, queued: 0 } })
    await expect.poll(() => state(running)).toBe('canceled')
    for (const model of ['free-a', 'free-b', 'free-']) {
      const { status, body } = await ask(key, model)
      expect([status, body['error'].code]).toEqual([503, 'model_disabled'])
    }
    expect((await ask(key, 'talks')).status).toBe(200)
    expect(await state(waiting[0])).not.toMatch(/leased|done/)
    // Its own switch, and that of a longer beginning, hold where a shorter one does not
    await admin('POST', '/admin/enable', { model: 'free-*' })
    await expect.poll(() => state(waiting[0])).toBe('done')
    expect((await ask(key, 'free-a')).status).toBe(200)
    const delayed = await call(key, '/v1/jobs', { request: chat('x', 'free-b'), delay_ms: 3_600_000 })
    await admin('POST', '/admin/disable', { model: 'f*', queued: 'cancel' })
    expect(await state(delayed.body['id'])).toBe('canceled')
    expect((await ask(key, 'free-b')).status).toBe(503)
    await admin('POST', '/admin/disable', { model: '*' })
    for (const model of ['demo', 'talks', 'free-a']) expect((await ask(key, model)).status).toBe(503)
  })

  // ---------------------------------------------------------------- audit

  it('what operators do to the queue, and a reload, are kept too', async () => {
    const { key } = await make()
    const selector = { tenant: 'acme', model: 'talks' }
    await admin('POST', '/admin/pause', selector)
    await admin('POST', '/admin/pause', selector)
    await submit(key, 'Hi', 'talks')
    expect((await admin('POST', '/admin/purge', selector)).body).toEqual({ purged: 1 })
    await admin('POST', '/admin/resume', selector)
    await app.reload({})
    const { body } = await admin('GET', '/admin/audit?limit=5')
    const target = 'tenant acme, model talks'
    expect((body['data'] as Body[]).reverse()).toMatchObject([
      { action: 'queue-paused', target, tenant: 'acme', before: { paused: false }, after: { paused: true } },
      { action: 'queue-paused', target, before: {}, after: {} },
      { action: 'queue-purged', target, after: { purged: 1 } },
      { action: 'queue-resumed', target, before: { paused: true }, after: { paused: false } },
      { action: 'config-reloaded', target: 'configuration', tenant: null, after: { models: ['demo', 'talks'] } },
    ])
  })

  it('what operators do to jobs is kept, whosever they are', async () => {
    const { key } = await make()
    const [failed, runs] = [await failing(key), await submit(key, 'Hi. demo: tokens=5000 delay=20')]
    expect((await admin('POST', `/admin/jobs/${failed}/redrive`)).status).toBe(202)
    expect((await admin('POST', `/admin/jobs/${runs}/cancel`)).status).toBe(202)
    expect((await admin('POST', '/admin/jobs/job_x/cancel')).status).toBe(404)
    const { body } = await admin('GET', '/admin/audit?limit=2')
    expect(body['data']).toMatchObject([
      { action: 'job-canceled', target: `job ${runs}`, tenant: 'acme', before: { state: expect.any(String) } },
      { action: 'job-redriven', target: `job ${failed}`, tenant: 'acme', before: { state: 'failed' } },
    ])
  })

  it('a pause needs names that are known, and tells those that are near', async () => {
    await make()
    for (const [selector, code, near] of [
      [{ tenant: 'acne' }, 'tenant_not_found', 'acme'],
      [{ model: 'demmo' }, 'model_not_found', 'demo'],
      [{ tenant: 'acme', model: 'nothing-like-it' }, 'model_not_found', 'GET /v1/models'],
    ] as const) {
      const { body } = await admin('POST', '/admin/pause', selector)
      expect(body['error']).toMatchObject({ code, message: expect.stringContaining(near) })
    }
    expect((await admin('GET', '/admin/pause')).body['data']).toEqual([])
    // Lanes are their clients' own
    expect((await admin('POST', '/admin/pause', { tenant: 'acme', lane: 'any', model: 'talks' })).status).toBe(200)
    await app.reload({ models: [{ name: 'demo', provider: 'demo' }] })
    // What is paused can be resumed, though its model is gone
    const resumed = await admin('POST', '/admin/resume', { tenant: 'acme', lane: 'any', model: 'talks' })
    expect([resumed.status, resumed.body['data']]).toEqual([200, []])
    expect((await admin('POST', '/admin/resume', { tenant: 'acne' })).status).toBe(404)
  })

  it('how a tenant stands with its limits is told, used and held, with its keys that are near', async () => {
    const { id, key } = await make({ limits: { requests_per_minute: 1 } })
    await admin('PATCH', '/admin/tenants/acme', { limits: { concurrent: 4, dollars_per_month: 5 } })
    const held = await submit(key, 'Hi. demo: tokens=400 delay=20')
    await expect.poll(() => state(held)).toBe('leased')
    const { status, body } = await admin('GET', '/admin/tenants/acme/standing')
    expect(status).toBe(200)
    expect(body).toMatchObject({ object: 'standing', tenant: 'acme', more: 0, partial: false })
    expect(body['data']).toContainEqual({
      ...{ level: 'tenant', name: 'acme', unit: 'running', limit: 4 },
      ...{ used: 1, held: 0, remaining: 3, reset_ms: 0 },
    })
    expect(body['data']).toContainEqual(
      expect.objectContaining({ unit: 'nano_dollars', window: 'month', limit: 5e9, used: 0, remaining: 5e9 }),
    )
    expect(body['near']).toEqual([
      expect.objectContaining({ level: 'key', name: id, unit: 'requests', limit: 1, used: 0, held: 1 }),
    ])
    const { body: listed } = await admin('GET', '/admin/tenants?recent=true')
    expect((listed['data'] as Body[]).find((one) => one['id'] === 'acme')).toMatchObject({
      weight: 1,
      use: { level: 'tenant', unit: 'running', limit: 4, used: 1 },
      refused: 0,
    })
    expect((await ask(key)).status).toBe(429)
    const { body: again } = await admin('GET', '/admin/tenants?recent=true')
    expect((again['data'] as Body[]).find((one) => one['id'] === 'acme')).toMatchObject({ refused: 1 })
    expect((await admin('GET', '/admin/tenants')).body['data'][0]).not.toHaveProperty('use')
    const unknown = await admin('GET', '/admin/tenants/acne/standing')
    expect([unknown.status, unknown.body['error']['message']]).toEqual([404, expect.stringContaining('acme')])
  })

  it('a key tells when it was last used, to the minute', async () => {
    const [used, idle] = [await make(), await make()]
    await ask(used.key)
    const { body } = await admin('GET', '/admin/keys')
    const lastOf = ({ id }: Made): number | null =>
      (body['data'] as Body[]).find((one) => one['id'] === id)!['last_used_at']
    expect(lastOf(idle)).toBeNull()
    const at = lastOf(used)!
    expect(at % 60).toBe(0)
    expect(Date.now() / 1_000 - at).toBeLessThan(120)
  })

  it('what a tenant was refused is told by code and limit, with whose the last one was', async () => {
    const { id, key } = await make({ limits: { requests_per_minute: 1 } })
    for (let i = 0; i < 4; i++) await ask(key)
    const other = await make()
    for (const text of ['one', 'another'])
      await call(other.key, '/v1/jobs', { request: chat(text), idempotency_key: 'the same' })
    const { status, body } = await admin('GET', '/admin/tenants/acme/refusals')
    expect([status, body['object']]).toEqual([200, 'list'])
    const told = body['data'] as Body[]
    expect(told).toHaveLength(2)
    expect(told[0]).toMatchObject({
      ...{ code: 'rate_limit_exceeded', status: 429, limit: { level: 'key', unit: 'requests' } },
      ...{ last_hour: 3, last_day: 3, last_key: id },
    })
    expect(told[1]).toMatchObject({ code: 'idempotency_conflict', limit: null, last_hour: 1, last_key: other.id })
    expect(told[0]['last_at_ms']).toBeGreaterThan(body['since_ms'])
    expect((await admin('GET', '/admin/tenants/acne/refusals')).status).toBe(404)
  })

  it('changes are kept and told, with what differs, and with no secret', async () => {
    const { id, key } = await make({ name: 'first' })
    await admin('PATCH', `/admin/keys/${id}`, { name: 'second' })
    const rotated = await admin('POST', `/admin/keys/${id}/rotate`, {})
    await admin('PATCH', '/admin/tenants/acme', { label: 'ACME' })
    await admin('POST', '/admin/disable', { model: 'talks' })
    await admin('DELETE', `/admin/keys/${id}`)
    const { body } = await admin('GET', '/admin/audit?limit=6')
    const entries = body['data'] as Body[]
    expect(entries.map((entry) => [entry['action'], entry['target']])).toEqual([
      ['key-revoked', `key ${id}`],
      ['model-disabled', 'model talks'],
      ['tenant-changed', 'tenant acme'],
      ['key-rotated', `key ${id}`],
      ['key-changed', `key ${id}`],
      ['key-created', `key ${id}`],
    ])
    expect([entries[4]['before'], entries[4]['after']]).toEqual([{ name: 'first' }, { name: 'second' }])
    expect(entries[1]['before']).toEqual({ disabled: null })
    expect(entries[0]['from']).toContain('127.0.0.1')
    const told = app.log.filter((line) => line.includes('admin changed'))
    expect(told.length).toBe(6)
    const all = [JSON.stringify(body), ...app.log].join('\n')
    for (const secret of [key, rotated.body['key'], ADMIN_KEY]) expect(all).not.toContain(secret)
  })
})
