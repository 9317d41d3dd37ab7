/** Conversations over HTTP: names that a path can't carry, and pages. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestApp, type TestApp } from './app.ts'

let app: TestApp
let session: string

beforeAll(async () => {
  app = await startTestApp()
  const { ticket } = (await call('POST', '/v1/tickets', { user: 'ann/b' })).body
  session = (await call('POST', '/v1/sessions', { ticket }, null)).body.token
})
afterAll(() => app?.stop())

async function call(method: string, path: string, body?: unknown, key: string | null = app.key): Promise<any> {
  const response = await fetch(`http://127.0.0.1:${app.port}${path}`, {
    method,
    headers: {
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, body: text === '' ? null : JSON.parse(text) }
}

async function say(conversation: string, content: string, key = app.key): Promise<string> {
  const messages = [{ role: 'user', content: `${content}\ndemo: tokens=1 delay=1 ttft=1` }]
  const { body } = await call('POST', '/v1/jobs', { conversation, request: { model: 'demo', messages } }, key)
  expect((await call('GET', `/v1/jobs/${body.id}/result?wait_ms=50000`, undefined, key)).status).toBe(200)
  return body.id
}

// Paths lose them: clients resolve dots and turn backslashes, proxies decode "%2F"
const NAMES = ['.', '..', '\\', 'a\\b', 'ann/c1', 'a%2Fb', 'events', 'truncate', ' ', '?&=#', 'é😀', 'c/events']

it.each(NAMES)('a conversation named %j is read, named, cut and deleted by the query', async (name) => {
  await say(name, 'one')
  await say(name, 'two')
  for (const member of ['id', 'conversation']) {
    const at = `/v1/conversations?${member}=${encodeURIComponent(name)}`
    expect((await call('GET', at)).body).toMatchObject({ id: name, name: null, turn_count: 2, has_more: false })
  }
  const at = `/v1/conversations?id=${encodeURIComponent(name)}`
  expect((await call('PATCH', at, { name: 'My chat', keep_turns: 1 })).status).toBe(204)
  const { body } = await call('GET', at)
  expect([body.name, body.turns.length, body.turns[0].messages[0].content.slice(0, 3)]).toEqual(['My chat', 1, 'one'])
  expect((await call('DELETE', at)).status).toBe(204)
  expect((await call('GET', at)).body.error.code).toBe('conversation_not_found')
})

it('news come by the query too', async () => {
  await say('a\\b', 'one')
  const stop = new AbortController()
  const response = await fetch(`http://127.0.0.1:${app.port}/v1/conversations?id=${encodeURIComponent('a\\b')}`, {
    headers: { authorization: `Bearer ${app.key}`, accept: 'text/event-stream' },
    signal: stop.signal,
  })
  const { value } = await response.body!.getReader().read()
  stop.abort()
  expect(Buffer.from(value!).toString()).toContain('"conversation":"a\\\\b"')
})

it('a session reaches its own names, and no others', async () => {
  await say('c/1', 'hers', session)
  await say('c/1', 'ours')
  await say('c/1', 'ours')
  const at = `/v1/conversations?id=${encodeURIComponent('c/1')}`
  expect((await call('GET', at, undefined, session)).body.turn_count).toBe(1)
  expect((await call('GET', at)).body.turn_count).toBe(2)
  const whole = encodeURIComponent('ann%2Fb/c/1')
  expect((await call('GET', `/v1/conversations?id=${whole}`)).body.turn_count).toBe(1)
  expect((await call('GET', `/v1/conversations?id=${whole}`, undefined, session)).status).toBe(404)
  expect((await call('GET', '/v1/conversations', undefined, session)).body.data.map((c: any) => c.id)).toEqual(['c/1'])
})

it('turns and lists come in pages', async () => {
  const jobs: string[] = []
  for (const text of ['1', '2', '3', '4', '5']) jobs.push(await say('long', text))
  await say('other', 'x')
  const pages = async (query: string): Promise<unknown[]> => {
    const found = []
    for (let after = ''; ; ) {
      const { body } = await call('GET', `/v1/conversations/long?limit=2${query}${after}`)
      found.push(body.turns.map((turn: any) => jobs.indexOf(turn.job) + 1))
      expect([body.turn_count, body.has_more]).toEqual([5, body.next !== null])
      if (body.next === null) return found
      after = `&after=${body.next}`
    }
  }
  // A page is in the conversation's order, from whichever end it comes
  expect(await pages('')).toEqual([[4, 5], [2, 3], [1]])
  expect(await pages('&order=oldest')).toEqual([[1, 2], [3, 4], [5]])
  const first = (await call('GET', '/v1/conversations?limit=1')).body
  expect([first.data[0].id, first.has_more]).toEqual(['other', true])
  const second = (await call('GET', `/v1/conversations?limit=1&after=${first.next}`)).body
  expect(second.data[0]).toMatchObject({ id: 'long', turns: 5 })
})

it('says what is wrong', async () => {
  const wrong = async (method: string, path: string, body?: unknown) =>
    (await call(method, path, body)).body.error.message
  expect(await wrong('PATCH', '/v1/conversations', { name: 'x' })).toBe('Name the conversation: "?id=".')
  expect(await wrong('DELETE', '/v1/conversations?id=')).toBe('"id" must not be empty.')
  expect(await wrong('GET', '/v1/conversations?id=x&id=y')).toBe('The query has two values for "id".')
  expect(await wrong('GET', '/v1/conversations/x?order=up')).toBe('"order" must be "newest" or "oldest".')
  expect(await wrong('GET', '/v1/conversations/x?after=7')).toContain('the id of a job')
  expect(await wrong('GET', '/v1/conversations?after=7')).toContain('pass the "next" of the page before')
  expect(await wrong('PATCH', '/v1/conversations/x', {})).toBe('Give "name", "keep_turns", or both.')
  expect(await wrong('GET', '/v1/conversations?id=x&conversation=y')).toContain('name two conversations')
  expect(await wrong('PATCH', '/v1/conversations/x', { nme: 'x' })).toContain('Did you mean "name"?')
  expect(await wrong('PATCH', '/v1/conversations/x', { name: 'x', keep: 1 })).toContain('"keep" is not a known member')
  expect(await wrong('PATCH', '/v1/conversations/x', { n: 1 })).toBe(
    '"n" is not a known member. There are name, keep_turns.',
  )
})

it('exists from its first submit on, and what is deleted while a job runs does not come back', async () => {
  const job = (content: string): Promise<any> =>
    call('POST', '/v1/jobs', {
      conversation: 'begun',
      request: { model: 'demo', messages: [{ role: 'user', content }] },
    })
  const running = (await job('SECRET demo: tokens=2000 delay=20 ttft=1')).body.id
  const waiting = (await job('demo: echo=1 tokens=3 delay=1 ttft=1')).body.id
  expect((await call('GET', '/v1/conversations/begun')).body).toMatchObject({ turn_count: 0, turns: [] })
  expect((await call('PATCH', '/v1/conversations/begun', { name: 'My chat' })).status).toBe(204)
  expect((await call('GET', '/v1/conversations/begun')).body.name).toBe('My chat')
  expect((await call('DELETE', '/v1/conversations/begun')).status).toBe(204)
  for (const id of [running, waiting]) expect((await call('GET', `/v1/jobs/${id}`)).status).toBe(404)
  expect((await call('GET', '/v1/conversations/begun')).status).toBe(404)
  const { id } = (await job('demo: echo=1 tokens=3 delay=1 ttft=1')).body
  await call('GET', `/v1/jobs/${id}/result?wait_ms=50000`)
  const { body } = await call('GET', '/v1/conversations/begun')
  expect([body.turn_count, body.turns[0].job, JSON.stringify(body).includes('SECRET')]).toEqual([1, id, false])
})
