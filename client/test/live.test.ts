/** The client against a real server, through a network in which things happen. */
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { type Server, startServer } from '../../test/e2e/server.ts'
import { startTestApp } from '../../test/front/app.ts'
import { expectInTime } from '../../test/in-time.ts'
import { type ConnectOptions, connect, type Job, type JobRequest, type Sluice, type State } from '../src/index.ts'
import { Job as Reading } from '../src/job.ts'
import { createSession } from '../src/session.ts'
import { createSse } from '../src/sse.ts'
import { type Network, network } from './network.ts'

let server: Server
let net: Network
const clients: Sluice[] = []
beforeAll(async () => {
  server = await startServer(
    'models:\n  - { name: demo, provider: demo, context_tokens: 2_000_000 }\nlog: { level: silent }\n',
  )
})
afterAll(() => server?.stop())
afterEach(() => {
  vi.unstubAllGlobals()
  for (const client of clients.splice(0)) client.close()
  net?.close()
})

async function open(options: Partial<ConnectOptions> = {}): Promise<Sluice> {
  net = await network(server.url)
  const client = connect({ url: net.url, ...(options.ticket === undefined ? { key: server.key } : {}), ...options })
  clients.push(client)
  return client
}
const ask = (content: string, more: Partial<JobRequest> = {}): JobRequest => ({
  request: { model: 'demo', messages: [{ role: 'user', content }] },
  ...more,
})
const result = async (client: Sluice, job: Job): Promise<string> =>
  (
    (await client.http('GET', `/v1/jobs/${job.id}/result?wait_ms=5000`)) as {
      choices: Array<{ message: { content: string } }>
    }
  ).choices[0].message.content
const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms))

describe.each(['websocket', 'sse'] as const)('over %s', (transport) => {
  it('shows a job from its acceptance to its end', async () => {
    const client = await open({ transport })
    const job = client.submit(ask('Tell me. demo: tokens=20 delay=5 ttft=20'))
    expect(job.id).toBeNull()
    let text = ''
    const types = new Set<string>()
    for await (const event of job) {
      types.add(event.type)
      if (event.type === 'chunk') text += event.text
      if (event.type === 'end')
        expect(event).toMatchObject({ state: 'done', usage: { completion_tokens: 20 }, timing: { attempts: 1 } })
    }
    expect([...types]).toEqual(expect.arrayContaining(['attempt', 'chunk', 'end']))
    expect(await job.accepted).toMatchObject({ id: job.id, joined: false })
    expect([text, job.text]).toEqual([await result(client, job), text])
    const { ttftMs, message } = await job.answer()
    expect(message).toMatchObject({ role: 'assistant', content: text })
    expect(ttftMs).toBeGreaterThan(20)
    expectInTime(ttftMs!, 2_000)
  })

  it('is exact over cuts', async () => {
    const client = await open({ transport })
    const jobs = Array.from({ length: 10 }, (_, i) =>
      client.submit(ask(`Story ${i}. demo: tokens=120 delay=10 ttft=20`)),
    )
    const seen = jobs.map(async (job) => {
      let text = ''
      for await (const event of job) {
        if (event.type === 'chunk') text += event.text
        else if (event.type === 'reset' || event.type === 'gap') text = ''
      }
      return text
    })
    for (const ms of [30, 300, 300, 300]) {
      await pause(ms)
      net.cut()
    }
    const texts = await Promise.all(seen)
    for (const [i, job] of jobs.entries()) expect(texts[i]).toBe(await result(client, job))
  })

  it('goes on behind a cursor that was kept, in another client', async () => {
    const first = await open({ transport })
    const job = first.submit(ask('Tell me. demo: tokens=60 delay=10 ttft=20'))
    let text = ''
    for await (const event of job) {
      if (event.type === 'chunk') text += event.text
      if (text.length > 50) break
    }
    const { id, cursor } = job
    // What came after the break is not ours: the cursor stands behind all that was applied
    text = job.text
    first.close()
    const second = await open({ transport })
    const rest = second.attach(id!, { cursor })
    expect(text + (await rest.answer()).text).toBe(await result(second, rest))
    const whole = second.attach(id!)
    expect((await whole.answer()).text).toBe(await result(second, rest))
  })

  it('goes on right after any event, by its cursor', async () => {
    const client = await open({ transport })
    const job = client.submit(ask('Tell me. demo: tokens=40 delay=3 ttft=5'))
    const events: Array<{ readonly cursor: string; readonly text: string }> = []
    for await (const event of job)
      if ('cursor' in event) events.push({ cursor: event.cursor, text: event.type === 'chunk' ? event.text : '' })
    expect(new Set(events.map(({ cursor }) => cursor)).size).toBe(events.length)
    for (const at of [0, 1, 17, events.length - 2]) {
      const rest = client.attach(job.id!, { cursor: events[at].cursor })
      const text = events.slice(at + 1).map((event) => event.text)
      expect((await rest.answer()).text).toBe(text.join(''))
    }
  })

  it('cancels; the end tells', async () => {
    const client = await open({ transport })
    const job = client.submit(ask('Tell me. demo: tokens=2000 delay=10 ttft=20'))
    await job.accepted
    await pause(100)
    await job.cancel()
    await expect(job.answer()).rejects.toMatchObject({ code: 'job_canceled' })
    expect(job.text).toBe(
      await client
        .attach(job.id!)
        .answer()
        .catch(() => job.text),
    )
  })

  it('says what is wrong', async () => {
    const client = await open({ transport })
    await expect(client.submit({ request: { model: 'demo', messages: [] } }).accepted).rejects.toMatchObject({
      code: 'invalid_request',
      retryable: false,
    })
    await expect(
      client.submit({ request: { model: 'nope', messages: [{ role: 'user', content: 'x' }] } }).answer(),
    ).rejects.toMatchObject({ code: 'model_not_found' })
    await expect(client.attach('job_unknown').answer()).rejects.toMatchObject({ code: 'job_not_found' })
    expect(() => client.attach('job_unknown', { cursor: 'nonsense' })).toThrow('not a cursor')
    await expect(client.http('GET', '/v1/nothing')).rejects.toMatchObject({ code: 'route_not_found', status: 404 })
  })

  it('goes on over kill -9 of the server', async () => {
    const client = await open({ transport })
    const jobs = Array.from({ length: 5 }, (_, i) => client.submit(ask(`Story ${i}. demo: tokens=80 delay=20 ttft=20`)))
    await Promise.all(jobs.map((job) => job.accepted))
    await pause(400)
    await server.crash()
    const answers = await Promise.all(jobs.map((job) => job.answer()))
    for (const [i, job] of jobs.entries()) expect(answers[i].text).toBe(await result(client, job))
  })

  it('gets in by a ticket, and stays in by its token', async () => {
    let tickets = 0
    const client = await open({
      transport,
      async ticket() {
        tickets++
        const made = await fetch(`${server.url}/v1/tickets`, {
          method: 'POST',
          headers: { authorization: `Bearer ${server.key}`, 'content-type': 'application/json' },
          body: JSON.stringify({ user: 'ann' }),
        })
        return ((await made.json()) as { ticket: string }).ticket
      },
    })
    const conversation = `c-${transport}`
    const job = client.submit(ask('Tell me. demo: tokens=50 delay=10 ttft=20', { conversation }))
    // It has its token by then
    await expect.poll(() => job.text).not.toBe('')
    net.cut()
    await job.answer()
    net.cut()
    await client.submit(ask('And? demo: tokens=3 delay=1 ttft=1', { conversation })).answer()
    expect(await client.http('GET', `/v1/conversations/${conversation}`)).toMatchObject({
      id: conversation,
      turns: [{}, {}],
    })
    expect(tickets).toBe(1)
  })
})

describe.each(['websocket', 'sse'] as const)('a reader over %s', (transport) => {
  it('that does not pull holds little, over any number of cuts, and then reads all of it', async () => {
    const client = await open({ transport, window: 4_096 })
    const job = client.submit(ask('Tell me. demo: tokens=1500 delay=1 ttft=1'))
    const reader = job[Symbol.asyncIterator]()
    await reader.next()
    const other = client.submit(ask('Tell me. demo: tokens=10 delay=1 ttft=1'))
    // All is there to be read, and does not come
    await expect
      .poll(async () => ((await client.http('GET', `/v1/jobs/${job.id}`)) as { state: string }).state)
      .toBe('done')
    let held = -1
    for (; held !== job.text.length; await pause(300)) held = job.text.length
    for (let i = 0; i < 3; i++) {
      net.cut()
      await pause(600)
    }
    await other.answer()
    const whole = await result(client, job)
    // A window; over SSE also what came with the same read of the network
    expect(job.text.length).toBeLessThan(whole.length / 3)
    expect(job.text.length).toBe(held)
    for await (const _ of { [Symbol.asyncIterator]: () => reader });
    expect(job.text).toBe(whole)
  })

  it('whose acceptance was lost does not make two jobs', async () => {
    const client = await open({ transport })
    await client.submit(ask('demo: tokens=1 delay=1 ttft=1')).answer()
    const lane = `once-${transport}`
    const made = async (): Promise<number> => {
      const response = await fetch(`${server.url}/v1/jobs?lane=${lane}&limit=100`, {
        headers: { authorization: `Bearer ${server.key}` },
      })
      return ((await response.json()) as { data: unknown[] }).data.length
    }
    net.muffle()
    const jobs = Array.from({ length: 10 }, () =>
      client.submit(ask('Tell me. demo: tokens=2 delay=1 ttft=1', { lane })),
    )
    await expect.poll(made).toBe(10)
    expect(jobs.map((job) => job.id)).toEqual(jobs.map(() => null))
    net.cut()
    expect(new Set((await Promise.all(jobs.map((job) => job.accepted))).map(({ joined }) => joined))).toEqual(
      new Set([true]),
    )
    await Promise.all(jobs.map((job) => job.answer()))
    expect(await made()).toBe(10)
  })

  it('is one of several of the same job', async () => {
    const client = await open({ transport })
    const request = ask('Tell me. demo: tokens=60 delay=10 ttft=20', { idempotency_key: `same-${transport}` })
    const first = client.submit(request)
    const second = client.submit(request)
    const { id } = await first.accepted
    await pause(200)
    const third = client.attach(id)
    net.cut()
    const fourth = client.attach(id)
    const gone = client.attach(id)
    gone.detach()
    const texts = await Promise.all([first, second, third, fourth].map(async (job) => (await job.answer()).text))
    const whole = await result(client, first)
    expect(texts).toEqual([whole, whole, whole, whole])
    expect((await second.accepted).id).toBe(id)
  })

  it('that leaves before it was accepted has submitted all the same', async () => {
    const client = await open({ transport })
    const job = client.submit(ask('demo: tokens=3 delay=1 ttft=1', { lane: `left-${transport}` }))
    job.detach()
    const { id } = await job.accepted
    expect((await client.attach(id).answer()).text.length).toBeGreaterThan(0)
  })

  it('cancels over a cut', async () => {
    const client = await open({ transport: 'websocket' })
    const job = client.submit(ask('Tell me. demo: tokens=2000 delay=10 ttft=20'))
    await job.accepted
    net.cut()
    await job.cancel()
    await expect(job.answer()).rejects.toMatchObject({ code: 'job_canceled' })
  })
})

it('asks for one ticket, however many jobs there are over server-sent events', async () => {
  let tickets = 0
  const client = await open({
    transport: 'sse',
    async ticket() {
      tickets++
      const made = await fetch(`${server.url}/v1/tickets`, {
        method: 'POST',
        headers: { authorization: `Bearer ${server.key}`, 'content-type': 'application/json' },
        body: '{}',
      })
      return ((await made.json()) as { ticket: string }).ticket
    },
  })
  await Promise.all(Array.from({ length: 20 }, () => client.submit(ask('demo: tokens=2 delay=1 ttft=1')).answer()))
  expect(tickets).toBe(1)
})

it('opens no more event streams than a browser lets it; the others wait their turn', async () => {
  net = await network(server.url)
  const session = createSession(net.url, server.key, undefined)
  let open = 0
  let most = 0
  const counted = {
    ...session,
    async open(method: string, path: string, ...rest: never[]) {
      if (method !== 'GET') return session.open(method, path, ...rest)
      most = Math.max(most, ++open)
      const response = await session.open(method, path, ...rest)
      // It is over before its reader hears of that
      const over = (): void => void open--
      return new Response(response.body!.pipeThrough(new TransformStream({ flush: over, cancel: over })), response)
    },
  }
  const sse = createSse({ session: counted, window: 262_144, streams: 2 }, { onState() {}, onError() {} })
  const jobs = Array.from(
    { length: 8 },
    (_, i) =>
      new Reading(
        { ...sse, fetch: () => Promise.reject(new Error('not asked')) },
        262_144,
        { ...ask(`Story ${i}. demo: tokens=20 delay=5 ttft=20`), idempotency_key: `turn-${i}` },
        null,
        null,
      ),
  )
  for (const job of jobs) sse.add(job)
  const texts = await Promise.all(jobs.map(async (job) => (await job.answer()).text))
  expect(texts.every((text) => text.length > 0)).toBe(true)
  expect(most).toBe(2)
  sse.close()
})

it('follows no more jobs at once than the server allows; the others wait their turn, also after a cut', async () => {
  const app = await startTestApp({}, { websocket: { max_jobs: 3 } })
  net = await network(`http://127.0.0.1:${app.port}`)
  const client = connect({ url: net.url, key: app.key, transport: 'websocket' })
  try {
    const jobs = Array.from({ length: 12 }, (_, i) => client.submit(ask(`Story ${i}. demo: tokens=30 delay=5 ttft=20`)))
    await Promise.all(jobs.map((job) => job.accepted))
    net.cut()
    for (const job of jobs) expect((await job.answer()).text).toBe(await result(client, job))
  } finally {
    client.close()
    await app.stop()
  }
})

it('comes back after the server was stopped and started again', async () => {
  const states: State[] = []
  const client = await open({ onState: (state) => states.push(state) })
  const jobs = Array.from({ length: 5 }, (_, i) => client.submit(ask(`Story ${i}. demo: tokens=100 delay=20 ttft=20`)))
  await Promise.all(jobs.map((job) => job.accepted))
  await pause(300)
  process.kill(server.pid, 'SIGTERM')
  for (let i = 0; i < 1_000 && isAlive(server.pid); i++) await pause(20)
  await server.crash() // it has ended; starts it on the same folder
  const next = client.submit(ask('And now? demo: tokens=3 delay=1 ttft=1'))
  for (const job of [...jobs, next]) expect((await job.answer()).text).toBe(await result(client, job))
  expect(states).toEqual(expect.arrayContaining(['waiting', 'open']))
})

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

it('submits fifty at once; nobody waits for another', async () => {
  const client = await open()
  const startedAt = performance.now()
  const jobs = Array.from({ length: 50 }, (_, i) =>
    client.submit(ask(`Contract ${i}. demo: tokens=30 delay=10 ttft=50`)),
  )
  const answers = await Promise.all(jobs.map((job) => job.answer()))
  expect(new Set(jobs.map((job) => job.id)).size).toBe(50)
  expect(answers.every(({ text }) => text.length > 0)).toBe(true)
  expectInTime(performance.now() - startedAt, 50 * 350 * 0.3)
})

it('what is too large for a message goes by the other door', async () => {
  const client = await open()
  const job = client.submit(ask(`${'long '.repeat(120_000)} demo: tokens=5 delay=1 ttft=1`))
  expect((await job.answer()).text).toBe(await result(client, job))
  expect(client.transport).toBe('websocket')
})

it('falls back to server-sent events where WebSockets do not get through', async () => {
  const states: State[] = []
  const client = await open({ onState: (state) => states.push(state) })
  net.blockUpgrades()
  const job = client.submit(ask('Tell me. demo: tokens=20 delay=5 ttft=20'))
  expect((await job.answer()).text.length).toBeGreaterThan(0)
  expect(client.transport).toBe('sse')
  expect(states.at(-1)).toBe('open')
})

it.each([
  ['is none, as in Node 20', undefined],
  [
    'may be none, as in a page of https: that calls http:',
    class {
      constructor() {
        throw new Error('SecurityError')
      }
    },
  ],
])('reads server-sent events where there %s WebSocket', async (_what, webSocket) => {
  vi.stubGlobal('WebSocket', webSocket)
  const states: State[] = []
  const client = await open({ onState: (state) => states.push(state) })
  const job = client.submit(ask('Tell me. demo: tokens=5 delay=1 ttft=1'))
  expect((await job.answer()).text).toBe(await result(client, job))
  expect([client.transport, states.at(-1), states.includes('waiting')]).toEqual(['sse', 'open', false])
  // Who wants nothing else learns why there is none
  const error = expect.objectContaining({ code: 'unsupported_runtime', retryable: false })
  if (webSocket === undefined) expect(() => connect({ url: net.url, key: 'k', transport: 'websocket' })).toThrow(error)
  else {
    const strict = await open({ transport: 'websocket' })
    await expect(strict.submit(ask('Tell me.')).answer()).rejects.toEqual(error)
    expect(strict.state).toBe('closed')
  }
})

it('a consumer that takes its time holds up nobody but itself', async () => {
  const client = await open({ window: 4_096 })
  const slow = client.submit(ask('Tell me. demo: tokens=400 delay=1 ttft=1'))
  const fast = client.submit(ask('Tell me. demo: tokens=400 delay=1 ttft=1'))
  const reader = slow[Symbol.asyncIterator]()
  await reader.next()
  const { text } = await fast.answer()
  const held = slow.text.length
  await pause(300)
  expect(held).toBeLessThan(text.length / 2)
  expect(slow.text.length).toBe(held)
  for await (const _ of { [Symbol.asyncIterator]: () => reader }) await pause(0)
  expect(slow.text).toBe(await result(client, slow))
})

it('a key is used as it was meant: without the line end of its file; a base URL without its /v1', async () => {
  const client = await open({ key: `${server.key}\n` })
  expect((await client.submit(ask('Hello. demo: tokens=2')).answer()).text).not.toBe('')
  const sse = connect({ url: `${net.url}/v1/`, key: `${server.key}\n`, transport: 'sse' })
  clients.push(sse)
  expect((await sse.submit(ask('Hello. demo: tokens=2')).answer()).text).not.toBe('')
})

it('a key that is not valid stops it, with the reason', async () => {
  const states: State[] = []
  const client = await open({ key: 'sk-sluice-nope', onState: (state) => states.push(state) })
  await expect(client.submit(ask('x')).answer()).rejects.toMatchObject({ code: 'invalid_api_key' })
  expect(states.at(-1)).toBe('closed')
  await expect(client.submit(ask('x')).answer()).rejects.toMatchObject({ code: 'invalid_api_key' })
})

it('close lets go; the job goes on', async () => {
  const client = await open()
  const job = client.submit(ask('Tell me. demo: tokens=200 delay=10 ttft=10'))
  const { id } = await job.accepted
  client.close()
  await expect(job.answer()).rejects.toMatchObject({ code: 'closed' })
  expect(client.state).toBe('closed')
  const again = await open()
  expect((await again.attach(id).answer()).text.length).toBeGreaterThan(0)
})
