/** What the client does when a server loses frames, refuses, says goodbye, or says nothing. */
import { afterEach, expect, it } from 'vitest'
import type { EvFrame, ServerFrame } from '../../src/core/frames.ts'
import { expectInTime } from '../../test/in-time.ts'
import { type ConnectOptions, connect, type Sluice, type SluiceError, type State } from '../src/index.ts'
import { type Script, type Scripted, scripted, welcome } from './scripted.ts'

let server: Scripted
let client: Sluice
let states: State[]
let errors: SluiceError[]
afterEach(() => {
  client?.close()
  server?.stop()
})

async function against(script: Script, options: Partial<ConnectOptions> = {}): Promise<void> {
  server = await scripted(script)
  states = []
  errors = []
  client = connect({
    url: server.url,
    transport: 'websocket',
    onState: (state) => states.push(state),
    onError: (error) => errors.push(error),
    ...(options.ticket ? {} : { key: 'k' }),
    ...options,
  })
}
const run = (seq: number, ...texts: string[]): EvFrame => ({
  t: 'ev',
  job: 'job_1',
  seq,
  cursor: `1-${seq + texts.length - 1}`,
  e: texts.map((content) => ({ chunk: { choices: [{ index: 0, delta: { content } }] } })),
})
const end = (seq: number): ServerFrame => ({ t: 'end', job: 'job_1', seq, cursor: `1-${seq}`, state: 'done' })
const attached = (head: number): ServerFrame => ({
  t: 'attached',
  job: 'job_1',
  state: 'leased',
  cursor: `1-${head}`,
  queue: null,
})
const accepted = (id: string): ServerFrame => ({
  t: 'accepted',
  id,
  job: 'job_1',
  cursor: '1-0',
  state: 'queued',
  joined: false,
  queue: null,
})
const until = async (met: () => boolean): Promise<void> => {
  for (let i = 0; i < 2_000 && !met(); i++) await new Promise((done) => setTimeout(done, 10))
  expect(met()).toBe(true)
}
const request = { request: { model: 'demo', messages: [] } }

it('a missing record is read again behind the cursor, and asked for once; also when the end has come', async () => {
  await against((frame, peer) => {
    if (frame.t === 'hello') peer.say(welcome)
    if (frame.t === 'submit') peer.say(accepted(frame.id), run(1, 'a', 'b'), run(4, 'd'), run(5, 'e'), end(6))
    if (frame.t === 'attach') peer.say(attached(6), run(3, 'c', 'd', 'e'), end(6))
  })
  expect((await client.submit(request).answer()).text).toBe('abcde')
  expect(server.heard[0].filter(({ t }) => t === 'attach')).toEqual([{ t: 'attach', job: 'job_1', cursor: '1-2' }])
})

it('an end behind a missing record does not end the job', async () => {
  await against((frame, peer) => {
    if (frame.t === 'hello') peer.say(welcome)
    if (frame.t === 'submit') peer.say(accepted(frame.id), run(1, 'a'), end(3))
    if (frame.t === 'attach') peer.say(attached(3), run(2, 'b'), end(3))
  })
  expect((await client.submit(request).answer()).text).toBe('ab')
})

it('a refusal that may be repeated is, after its time; under the same key', async () => {
  const cameAt: number[] = []
  await against((frame, peer) => {
    if (frame.t === 'hello') peer.say(welcome)
    if (frame.t !== 'submit') return
    cameAt.push(performance.now())
    if (cameAt.length < 3)
      peer.say({
        t: 'error',
        id: frame.id,
        error: { message: 'full', type: 'rate_limit_error', param: null, code: 'queue_full' },
        retryable: true,
        retry_after_ms: 80,
      })
    else peer.say(accepted(frame.id), run(1, 'a'), end(2))
  })
  expect((await client.submit(request).answer()).text).toBe('a')
  for (const i of [1, 2]) expect(cameAt[i] - cameAt[i - 1]).toBeGreaterThan(75)
  expect(new Set(server.heard[0].map((frame) => (frame.t === 'submit' ? frame.idempotency_key : 'hello'))).size).toBe(2)
  // Who wants to be refused at once is
  cameAt.length = 0
  await expect(client.submit({ ...request, policy: 'reject' }).answer()).rejects.toMatchObject({
    code: 'queue_full',
    retryable: true,
    retryAfterMs: 80,
  })
})

it('says goodbye: comes back in its slot, with its cursors, and keeps back what is new until then', async () => {
  let closedAt = 0
  await against((frame, peer, connection) => {
    if (frame.t === 'hello') peer.say(welcome)
    if (connection === 1 && frame.t === 'submit') {
      peer.say(accepted(frame.id), run(1, 'a'), {
        t: 'goaway',
        reason: 'draining',
        by_ms: 1_000,
        reconnect_ms: [700, 900],
      })
      setTimeout(() => {
        closedAt = performance.now()
        peer.close(1012, 'draining: The server is shutting down; retry.')
      }, 60)
    } else if (connection === 2 && frame.t === 'hello') peer.say(attached(1), run(2, 'b'), end(3))
  })
  const job = client.submit(request)
  await until(() => job.text === 'a')
  const late = client.submit(request)
  expect((await job.answer()).text).toBe('ab')
  expect(server.cameAt[1] - closedAt).toBeGreaterThan(690)
  expectInTime(server.cameAt[1] - closedAt, 1_200)
  await until(() => server.heard[1].length === 2)
  expect(server.heard[0].filter(({ t }) => t === 'submit').length).toBe(1)
  expect(server.heard[1]).toMatchObject([{ t: 'hello', jobs: [{ job: 'job_1', cursor: '1-1' }] }, { t: 'submit' }])
  late.detach()
  expect(errors[0]).toMatchObject({ code: 'draining', retryable: true })
})

it.each([
  [4403, 'origin_forbidden: not from here', 'origin_forbidden'],
  [1008, 'message_flood: too many', 'message_flood'],
  [4401, 'invalid_api_key: no such key', 'invalid_api_key'],
])('stops at %i', async (code, reason, name) => {
  await against((frame, peer) => frame.t === 'hello' && peer.close(code, reason))
  await expect(client.submit(request).answer()).rejects.toMatchObject({ code: name, retryable: false })
  expect([client.state, states.at(-1)]).toEqual(['closed', 'closed'])
  await expect(client.submit(request).accepted).rejects.toMatchObject({ code: name })
  expect(server.heard.length).toBe(1)
})

it('a token that is refused is followed by a new ticket; a ticket that is refused twice, by nothing', async () => {
  let tickets = 0
  await against(
    (frame, peer, connection) => {
      if (frame.t !== 'hello') return
      if (connection === 1) {
        peer.say(welcome, { t: 'token', token: 'T', expires_in_ms: 600_000 })
        setTimeout(() => peer.close(1011), 30)
      } else peer.close(4401, 'invalid_token: over')
    },
    { ticket: async () => `ticket ${++tickets}` },
  )
  await expect(client.submit(request).answer()).rejects.toMatchObject({ code: 'invalid_token' })
  expect(server.heard.map(([hello]) => hello.t === 'hello' && hello.auth)).toEqual([
    { ticket: 'ticket 1' },
    { token: 'T' },
    { ticket: 'ticket 2' },
  ])
})

it('a ticket() that fails is asked again; its error is told', async () => {
  let asked = 0
  await against((frame, peer) => (frame.t === 'hello' ? peer.say(welcome) : undefined), {
    async ticket() {
      if (++asked < 2) throw new Error('backend away')
      return 'ok'
    },
  })
  await until(() => client.state === 'open')
  expect(errors[0]).toMatchObject({ code: 'ticket_failed', message: 'ticket() failed: backend away' })
})

it('a connection that says nothing is asked, and then lost', async () => {
  await against((frame, peer, connection) => {
    if (frame.t === 'hello') peer.say({ ...welcome, heartbeat_ms: 200 } as ServerFrame)
    if (frame.t === 'ping') connection === 1 ? peer.freeze() : peer.say({ t: 'pong' })
  })
  await until(() => server.heard.length === 2)
  expect(server.heard[0].filter(({ t }) => t === 'ping').length).toBeGreaterThan(0)
  await until(() => server.heard[1].filter(({ t }) => t === 'ping').length >= 4)
  expect(server.heard.length).toBe(2)
})

it('a hello that is wrong is not said again', async () => {
  await against((_frame, peer) =>
    peer.say({
      t: 'error',
      error: { message: 'No.', type: 'invalid_request_error', param: null, code: 'invalid_request' },
      retryable: false,
    }),
  )
  await expect(client.submit(request).answer()).rejects.toMatchObject({ code: 'invalid_request' })
  expect(client.state).toBe('closed')
})

it('a cancel that got no answer is asked again', async () => {
  await against((frame, peer, connection) => {
    if (frame.t === 'hello') peer.say(welcome)
    if (frame.t === 'submit') peer.say(accepted(frame.id))
    if (frame.t !== 'cancel') return
    if (connection === 1) peer.close(1011)
    else peer.say({ t: 'ok', id: frame.id!, job: frame.job, state: 'canceling' })
  })
  const job = client.submit(request)
  await job.accepted
  await job.cancel()
  expect(server.heard.length).toBe(2)
})

it('a server that is away is asked ever more rarely', async () => {
  await against(() => {})
  client.close()
  server.stop()
  let asked = 0
  client = connect({ url: server.url, key: 'k', onError: () => void asked++ })
  await new Promise((done) => setTimeout(done, 4_000))
  expect(asked).toBeGreaterThan(1)
  expect(asked).toBeLessThan(12)
  expect(client.transport).toBe('websocket')
})

it('reconnect() does not wait for the next try', async () => {
  const { random } = Math
  Math.random = () => 0.999 // the longest pauses: 1, 2, 4 s …
  try {
    await against(() => {})
    client.close()
    server.stop()
    let asked = 0
    client = connect({ url: server.url, key: 'k', transport: 'websocket', onError: () => void asked++ })
    await until(() => asked === 2)
    client.reconnect()
    const from = performance.now()
    await until(() => asked === 3)
    expectInTime(performance.now() - from, 1_500) // it would have been 2 s
  } finally {
    Math.random = random
  }
})

it('a callback that throws stops nothing', async () => {
  const thrown: unknown[] = []
  const listeners = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  process.on('uncaughtException', (error) => thrown.push(error))
  try {
    await against(
      (frame, peer) => {
        if (frame.t === 'hello') peer.say(welcome)
        if (frame.t === 'submit') peer.say(accepted(frame.id), run(1, 'a'), end(2))
      },
      {
        onState(state) {
          if (state === 'open') throw new Error('of the application')
        },
      },
    )
    expect((await client.submit(request).answer()).text).toBe('a')
    expect(String(thrown[0])).toContain('of the application')
  } finally {
    process.removeAllListeners('uncaughtException')
    for (const listener of listeners) process.on('uncaughtException', listener)
  }
})
