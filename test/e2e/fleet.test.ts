/** Two gateways and two workers on one Redis: what a client was given by one holds at the other. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePort } from '../free-port.ts'
import { type Logged, recordsOfFrames, recordsOfSse, textOf } from '../protocol/log.ts'
import { openPeer, type Peer } from '../protocol/peer.ts'
import { NO_REDIS } from '../redis/server.ts'
import { ADMIN_KEY, call, type Fleet, KEY, startFleet } from './fleet.ts'
import { killAll, lines, removeFolders } from './serve.ts'

interface Job {
  readonly id: string
  readonly state: string
}

describe.skipIf(NO_REDIS)('Redis: a fleet of processes', () => {
  let fleet: Fleet
  let a: string
  let b: string
  beforeAll(async () => {
    fleet = await startFleet('gateway', 'gateway', 'worker', 'worker')
    ;[a, b] = fleet.gateways
  })
  afterAll(async () => {
    await fleet?.stop()
    killAll()
    removeFolders()
  })

  const json = async <T>(response: Response | Promise<Response>): Promise<T> => (await response).json() as Promise<T>
  const chat = (prompt: string) => ({ model: 'demo', messages: [{ role: 'user', content: prompt }] })
  async function submit(url: string, prompt: string, more: object = {}, key = KEY): Promise<Job> {
    const response = await call(url, '/v1/jobs', { key, body: { request: chat(prompt), ...more } })
    expect(response.status).toBe(202)
    return json(response)
  }
  const ended = (url: string, { id }: Pick<Job, 'id'>, key = KEY): Promise<Job> =>
    json(call(url, `/v1/jobs/${id}?wait_ms=20000`, { key }))
  const records = async (url: string, id: string, key = KEY): Promise<readonly Logged[]> =>
    recordsOfSse(await (await call(url, `/v1/jobs/${id}/events`, { key })).text())

  async function greeted(url: string, hello: object = {}): Promise<Peer> {
    const peer = await openPeer(url)
    peer.say({ t: 'hello', auth: { key: KEY }, ...hello })
    await peer.next('welcome')
    return peer
  }

  it('a worker has its probes and no door for clients, a gateway runs nothing', async () => {
    for (const { role, url, adminUrl } of fleet.processes) {
      expect(url === null).toBe(role === 'worker')
      for (const probe of ['/livez', '/readyz']) expect((await fetch(adminUrl + probe)).status).toBe(200)
      const stats = await json<Record<string, unknown>>(call(adminUrl, '/admin/stats', { key: ADMIN_KEY }))
      expect('running' in stats).toBe(role === 'worker')
    }
    const ids = [await submit(a, 'Hi. demo: tokens=3'), await submit(b, 'Hi. demo: tokens=3')]
    for (const job of ids) expect(await ended(b, job)).toMatchObject({ state: 'done' })
  })

  it('a job that one took is followed, and canceled, at the other', async () => {
    const job = await submit(a, 'Hi. demo: tokens=40 delay=5')
    const [atA, atB] = await Promise.all([records(a, job.id), records(b, job.id)])
    expect(atB).toEqual(atA)
    expect(textOf(atB).length).toBeGreaterThan(40)
    const long = await submit(a, 'Hi. demo: tokens=2000 delay=20')
    const followed = records(a, long.id)
    expect((await call(b, `/v1/jobs/${long.id}/cancel`, { body: {} })).status).toBe(202)
    expect((await followed).at(-1)).toMatchObject({ kind: 'end', data: { state: 'canceled' } })
  })

  it('a stream that was cut at one goes on at the other, record by record', async () => {
    const job = await submit(a, 'Hi. demo: tokens=120 delay=10')
    const first = new AbortController()
    const headers = { authorization: `Bearer ${KEY}` }
    const begun = await fetch(`${a}/v1/jobs/${job.id}/events`, { headers, signal: first.signal })
    let seen = ''
    for await (const part of begun.body!.pipeThrough(new TextDecoderStream())) {
      seen += part
      if (seen.split('\n\n').length > 20) break
    }
    first.abort()
    const before = recordsOfSse(seen.slice(0, seen.lastIndexOf('\n\n')))
    const after = { ...headers, 'last-event-id': before.at(-1)!.cursor }
    const rest = recordsOfSse(await (await fetch(`${b}/v1/jobs/${job.id}/events`, { headers: after })).text())
    expect([...before, ...rest]).toEqual(await records(a, job.id))
  })

  it('a WebSocket that was cut at one goes on at the other, record by record', async () => {
    const peer = await greeted(a)
    peer.say({ t: 'submit', id: '1', request: { ...chat('Hi. demo: tokens=120 delay=10'), stream: true } })
    const { job } = await peer.next('accepted')
    for (let n = 0; n < 5; n++) await peer.next('ev')
    peer.drop()
    const last = peer.heard.findLast(({ t }) => t === 'ev')!
    const other = await greeted(b, { jobs: [{ job, cursor: last['cursor'] }] })
    await other.next('end')
    const before = recordsOfFrames(peer.heard, job as string)
    const rest = recordsOfFrames(other.heard, job as string, before.length)
    expect([...before, ...rest]).toEqual(await records(b, job as string))
    await other.close()
  })

  it('a conversation goes on at the other, and each hears what is said at either', async () => {
    const watching = await greeted(b)
    await ended(a, await submit(a, 'My name is Ada. demo: tokens=3', { conversation: 'c1' }))
    watching.say({ t: 'watch', id: '1', conversation: 'c1' })
    await watching.next('watching')
    const second = await submit(b, 'Who am I? demo: echo=1', { conversation: 'c1' })
    await ended(a, second)
    await watching.next(({ t, e }) => t === 'news' && e.ended?.id === second.id)
    expect(await (await call(a, `/v1/jobs/${second.id}/result`)).text()).toContain('My name is Ada')
    const { turns } = await json<{ turns: unknown[] }>(call(a, '/v1/conversations/c1'))
    expect(turns).toHaveLength(2)
    await watching.close()
  })

  it('a key that is made or revoked at one is in force at both, for what is open too', async () => {
    const [first, second] = fleet.processes.filter(({ role }) => role === 'gateway').map(({ adminUrl }) => adminUrl)
    const make = () => json<{ id: string; key: string }>(call(first, '/admin/keys', { key: ADMIN_KEY, body: {} }))
    const made = await make()
    const job = await submit(b, 'Hi. demo: tokens=2000 delay=20', {}, made.key)
    for (let i = 0; i < 10; i++) {
      const peer = await openPeer(b, { headers: { authorization: `Bearer ${(await make()).key}` } })
      peer.say({ t: 'hello' })
      await peer.next('welcome')
      peer.close()
    }
    const cut = records(b, job.id, made.key)
    const revoked = await call(second, `/admin/keys/${made.id}`, { key: ADMIN_KEY, method: 'DELETE' })
    expect(revoked.status).toBe(204)
    for (const url of [a, b])
      await expect.poll(async () => (await call(url, '/v1/models', { key: made.key })).status).toBe(401)
    await cut
  })

  it('a ticket and a session token of one are taken by the other', async () => {
    const { ticket } = await json<{ ticket: string }>(call(a, '/v1/tickets', { body: { user: 'u1' } }))
    const response = await fetch(`${b}/v1/sessions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ticket }),
    })
    expect(response.status).toBe(201)
    const { token } = await json<{ token: string }>(response)
    for (const url of [a, b]) expect((await call(url, '/v1/models', { key: token })).status).toBe(200)
    const again = await fetch(`${a}/v1/sessions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ticket }),
    })
    expect(again.status).toBe(401)
  })

  it('a gateway that starts listens when it can answer: a balancer takes an open port for ready', async () => {
    const port = await freePort()
    const answers: string[] = []
    let isReady = false
    const asking = (async () => {
      while (!isReady)
        await fetch(`http://127.0.0.1:${port}/v1/models`, { headers: { authorization: `Bearer ${KEY}` } })
          .then(async (response) => answers.push(`${response.status} ${await response.text()}`))
          .catch(() => {}) // refused: the balancer tries another gateway
    })()
    const { url, adminUrl } = await fleet.add('gateway', { args: ['--port', String(port)] })
    isReady = true
    await asking
    expect(answers.filter((answer) => !answer.startsWith('200 '))).toEqual([])
    expect(url).toBe(`http://127.0.0.1:${port}`)
    expect((await fetch(`${adminUrl}/readyz`)).status).toBe(200)
  })

  it('nothing went wrong in any of them', () => {
    for (const { err } of fleet.processes)
      expect(lines(err()).filter(({ level }) => level === 'error' || level === 'fatal')).toEqual([])
  })
})
