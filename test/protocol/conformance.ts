/**
 * PROTOCOL.md as a suite: it knows an address, a key and a model, and nothing of who answers. Each case has an id, so
 * that another implementation can say which it passes.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { expectInTime } from '../in-time.ts'
import { type Logged, recordsOfFrames, recordsOfSse, seqOf, textOf } from './log.ts'
import { encode, NotUpgraded, type OpenOptions, openPeer, type Peer, type Said } from './peer.ts'

export interface Target {
  /** Where the server is: http://host:port. */
  readonly url: string
  readonly key: string
  /** A key of another tenant; without it W45 is left out. */
  readonly otherTenantKey?: string
  /** A key that may use 1,000 tokens at once, and requests enough; without it H18 and H19 are left out. */
  readonly limitedKey?: string
  readonly model: string
  /** A model that answers one job at a time; without it W80 and W81 are left out. */
  readonly narrowModel?: string
  /** A model for embeddings; without it W24 is left out. */
  readonly embeddingModel?: string
  /**
   * A prompt that makes the model answer with about so many tokens, at that pace. Absent: in the words of our demo
   * model.
   */
  readonly prompt?: (tokens: number, delayMs: number) => string
  /**
   * A prompt that makes the model answer with all messages it got. Absent: as above; null: it can't, and W70 looks at
   * the turns only.
   */
  readonly echo?: string | null
}

const demoPrompt = (tokens: number, delayMs: number): string =>
  `Tell me of rivers. demo: tokens=${tokens} delay=${delayMs} ttft=${delayMs}`
const DEMO_ECHO = 'What was said? demo: echo=1 delay=1 ttft=1'

/** Unlike any other of this or an earlier run. */
const fresh = (name: string): string => `${name}-${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 8)}`

/** The shape of an error frame, whatever it says. */
const errorOf = (code: string, more: object = {}): object =>
  expect.objectContaining({
    t: 'error',
    error: {
      message: expect.any(String),
      type: expect.any(String),
      param: expect.toSatisfy((p) => p === null || typeof p === 'string'),
      code,
    },
    ...more,
  })

const of =
  (t: string, job: string) =>
  (frame: Said): boolean =>
    frame.t === t && frame['job'] === job
const answerTo =
  (id: string) =>
  (frame: Said): boolean =>
    frame['id'] === id

export function describeProtocol(reach: () => Promise<Target> | Target): void {
  let target: Target
  const peers = new Set<Peer>()

  beforeAll(async () => {
    target = await reach()
  })
  afterEach(() => {
    for (const peer of peers) peer.drop()
    peers.clear()
  })

  // ---------------------------------------------------------------- what the cases are made of

  async function open(options: OpenOptions = {}): Promise<Peer> {
    const peer = await openPeer(target.url, options)
    peers.add(peer)
    return peer
  }
  const bearer = (key: string): Record<string, string> => ({ authorization: `Bearer ${key}` })

  /** A connection that has said hello, and was welcomed. */
  async function greeted(hello: object = {}, key = target.key): Promise<Peer> {
    const peer = await open()
    peer.say({ t: 'hello', auth: { key }, ...hello })
    await peer.next('welcome')
    return peer
  }
  async function greetedByToken(token: string): Promise<Peer> {
    const peer = await open()
    peer.say({ t: 'hello', auth: { token } })
    await peer.next('welcome')
    return peer
  }

  interface Reply {
    readonly status: number
    readonly body: any
    readonly text: string
  }
  async function call(
    method: string,
    path: string,
    body?: object,
    key = target.key,
    headers: Record<string, string> = {},
  ): Promise<Reply> {
    const response = await fetch(target.url + path, {
      method,
      headers: {
        ...(key === '' ? {} : bearer(key)),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    let parsed: unknown = null
    if (response.headers.get('content-type')?.startsWith('application/json')) parsed = JSON.parse(text)
    return { status: response.status, body: parsed, text }
  }

  const chat = (content: string, more: object = {}): object => ({
    model: target.model,
    messages: [{ role: 'user', content }],
    ...more,
  })
  const prompt = (tokens: number, delayMs: number): string => (target.prompt ?? demoPrompt)(tokens, delayMs)
  const job = (tokens: number, delayMs: number, options: object = {}): object => ({
    request: chat(prompt(tokens, delayMs)),
    ...options,
  })

  async function submit(peer: Peer, what: object): Promise<Said> {
    const id = fresh('s')
    peer.say({ t: 'submit', id, ...what })
    const answer = await peer.next(answerTo(id))
    expect(answer, JSON.stringify(answer)).toMatchObject({ t: 'accepted', id })
    return answer
  }
  /** A job that is done. */
  async function doneJob(tokens = 30, options: object = {}, key = target.key): Promise<string> {
    const { body } = await call('POST', '/v1/jobs', job(tokens, 1, options), key)
    await ended(body.id, key)
    return body.id
  }
  async function ended(id: string, key = target.key): Promise<any> {
    const { body } = await call('GET', `/v1/jobs/${id}?wait_ms=15000`, undefined, key)
    expect(['done', 'failed', 'canceled', 'expired']).toContain(body.state)
    return body
  }
  /** The log as GET /events tells it, to its end. */
  const logOf = async (id: string, key = target.key): Promise<Logged[]> =>
    recordsOfSse((await call('GET', `/v1/jobs/${id}/events`, undefined, key)).text)

  async function ticket(body: object = {}): Promise<{ ticket: string; expires_in_ms: number }> {
    const made = await call('POST', '/v1/tickets', body)
    expect(made.status, made.text).toBe(201)
    return made.body
  }
  async function tokenOf(body: object = {}): Promise<string> {
    const made = await call('POST', '/v1/sessions', { ticket: (await ticket(body)).ticket }, '')
    expect(made.status, made.text).toBe(201)
    return made.body.token
  }

  async function refusedUpgrade(options: OpenOptions, status: number, code: string): Promise<NotUpgraded> {
    const refusal = await open(options).then(
      () => null,
      (error: unknown) => error,
    )
    expect(refusal).toBeInstanceOf(NotUpgraded)
    const answer = refusal as NotUpgraded
    expect([answer.status, JSON.parse(answer.body).error.code]).toEqual([status, code])
    return answer
  }
  /** Refused in the first frame: an error frame, and a close that says the same. */
  async function refusedEntry(peer: Peer, code: string, close: number): Promise<void> {
    const closed = await peer.closed()
    expect(peer.heard).toEqual([errorOf(code)])
    expect(closed).toEqual({ code: close, reason: expect.stringContaining(code) })
  }
  /** The connection goes on, and said nothing that was not asked for. */
  async function isQuiet(peer: Peer, but: readonly object[] = []): Promise<void> {
    expect(await peer.settled()).toEqual(but)
  }
  /** The connection goes on, and refused nothing. */
  async function isWell(peer: Peer): Promise<void> {
    const frames = await peer.settled()
    expect(frames.filter((frame) => frame.t === 'error')).toEqual([])
  }

  // ---------------------------------------------------------------- the cases

  describe('opening', () => {
    it('W1 the upgrade names the subprotocol and no extension', async () => {
      const peer = await open({ headers: { 'sec-websocket-extensions': 'permessage-deflate; client_max_window_bits' } })
      expect(peer.headers).toMatchObject({
        upgrade: expect.stringMatching(/^websocket$/i),
        'sec-websocket-protocol': 'sluice.v1',
      })
      expect(peer.headers).not.toHaveProperty('sec-websocket-extensions')
    })

    it('W2 the subprotocol is chosen among those offered', async () => {
      const peer = await open({ headers: { 'sec-websocket-protocol': 'graphql-ws, sluice.v1, sluice.v9' } })
      expect(peer.headers['sec-websocket-protocol']).toBe('sluice.v1')
    })

    it('W3 what is no upgrade of ours is told so by HTTP', async () => {
      await refusedUpgrade({ headers: { 'sec-websocket-protocol': null } }, 400, 'invalid_request')
      await refusedUpgrade({ headers: { 'sec-websocket-protocol': 'sluice.v9' } }, 400, 'invalid_request')
      const { headers } = await refusedUpgrade({ headers: { 'sec-websocket-version': '12' } }, 426, 'upgrade_required')
      expect(headers['sec-websocket-version']).toBe('13')
      expect(await call('GET', '/v1/ws')).toMatchObject({ status: 426, body: { error: { code: 'upgrade_required' } } })
    })

    it('W4 authorization at the upgrade: hello may be left out', async () => {
      const peer = await open({ headers: bearer(target.key) })
      const { job: id } = await submit(peer, job(5, 1))
      await peer.until(of('end', id))
      await isQuiet(peer)
    })

    it('W5 authorization at the upgrade, and a hello without auth', async () => {
      const peer = await open({ headers: bearer(target.key) })
      peer.say({ t: 'hello', client: { name: 'conformance', version: '1.0.0' }, window: 65_536 })
      await peer.next('welcome')
      await isQuiet(peer)
    })

    it('W6 hello with a key; the welcome says what holds here', async () => {
      const peer = await open()
      peer.say({ t: 'hello', auth: { key: target.key } })
      expect(await peer.next('welcome')).toMatchObject({
        conn: expect.stringMatching(/./),
        heartbeat_ms: expect.any(Number),
        max_message_bytes: expect.any(Number),
        max_jobs: expect.any(Number),
        max_messages_per_second: expect.any(Number),
      })
      await isQuiet(peer)
    })

    it('W7 hello with a ticket: the welcome brings a token for the next connection, and for HTTP', async () => {
      const peer = await open()
      peer.say({ t: 'hello', auth: { ticket: (await ticket()).ticket } })
      const [welcome, token] = await peer.until('token')
      expect([welcome.t, token.t]).toEqual(['welcome', 'token'])
      expect(token).toEqual({ t: 'token', token: expect.any(String), expires_in_ms: expect.any(Number) })
      const next = await open()
      next.say({ t: 'hello', auth: { token: token['token'] } })
      expect((await next.until('token')).map((frame) => frame.t)).toEqual(['welcome', 'token'])
      expect((await call('GET', '/v1/models', undefined, token['token'])).status).toBe(200)
      const upgraded = await open({ headers: bearer(token['token']) })
      await isQuiet(upgraded)
    })

    it('W8 a ticket is good once', async () => {
      const { ticket: once } = await ticket()
      const first = await open()
      first.say({ t: 'hello', auth: { ticket: once } })
      await first.next('welcome')
      const second = await open()
      second.say({ t: 'hello', auth: { ticket: once } })
      await refusedEntry(second, 'invalid_ticket', 4401)
      expect(await call('POST', '/v1/sessions', { ticket: once }, '')).toMatchObject({
        status: 401,
        body: { error: { code: 'invalid_ticket' } },
      })
      await isQuiet(first, [expect.objectContaining({ t: 'token' })])
    })

    it('W9 a ticket is good for a short time', async () => {
      const { ticket: late, expires_in_ms: goodForMs } = await ticket()
      expect(goodForMs).toBeLessThanOrEqual(30_000)
      await sleep(goodForMs + 100)
      const peer = await open()
      peer.say({ t: 'hello', auth: { ticket: late } })
      await refusedEntry(peer, 'invalid_ticket', 4401)
    })

    it('W10 POST /v1/sessions makes a token of a ticket, and a new one of a token', async () => {
      const token = await tokenOf()
      const renewed = await call('POST', '/v1/sessions', undefined, token)
      expect(renewed).toMatchObject({
        status: 201,
        body: { token: expect.any(String), expires_in_ms: expect.any(Number) },
      })
      expect((await call('GET', '/v1/models', undefined, renewed.body.token)).status).toBe(200)
      expect(await call('POST', '/v1/tickets', {}, token)).toMatchObject({
        status: 403,
        body: { error: { code: 'forbidden' } },
      })
    })

    it('W11 a wrong credential: 401 at the upgrade, 4401 in hello', async () => {
      await refusedUpgrade({ headers: bearer('sk-sluice-wrong') }, 401, 'invalid_api_key')
      for (const [auth, code] of [
        [{ key: 'sk-sluice-wrong' }, 'invalid_api_key'],
        [{ ticket: 'sluice-ticket-wrong' }, 'invalid_ticket'],
        [{ token: 'sluice-token-wrong.wrong' }, 'invalid_token'],
      ] as const) {
        const peer = await open()
        peer.say({ t: 'hello', auth })
        await refusedEntry(peer, code, 4401)
      }
    })

    it('W12 nothing is done for who has not said hello', async () => {
      const peer = await open()
      const name = fresh('lane')
      peer.say({ t: 'submit', id: 'early', ...job(2, 1, { lane: name }) })
      const closed = await peer.closed()
      expect(peer.heard).toEqual([errorOf('missing_api_key', { id: 'early' })])
      expect(closed.code).toBe(4401)
      expect((await call('GET', `/v1/jobs?lane=${name}`)).body.data).toEqual([])
    })

    it('W13 a hello that says nobody is refused', async () => {
      const peer = await open()
      peer.say({ t: 'hello' })
      await refusedEntry(peer, 'missing_api_key', 4401)
    })

    it('W14 no hello within 5 s: 4408', async () => {
      const at = performance.now()
      const peer = await open()
      expect((await peer.closed(9_000)).code).toBe(4408)
      expectInTime(performance.now() - at, 8_000)
    })

    it('W15 a page of another origin is refused, one of our own is not', async () => {
      await refusedUpgrade({ headers: { origin: 'https://elsewhere.example' } }, 403, 'origin_forbidden')
      await refusedUpgrade({ headers: { origin: 'null' } }, 403, 'origin_forbidden')
      const peer = await open({ headers: { origin: new URL(target.url).origin } })
      peer.say({ t: 'hello', auth: { key: target.key } })
      await peer.next('welcome')
    })

    it('W16 a ticket of an origin is good from there only', async () => {
      const { ticket: elsewhere } = await ticket({ origin: 'https://elsewhere.example' })
      const peer = await open({ headers: { origin: new URL(target.url).origin } })
      peer.say({ t: 'hello', auth: { ticket: elsewhere } })
      await refusedEntry(peer, 'origin_forbidden', 4403)
      const { ticket: stolen } = await ticket({ origin: new URL(target.url).origin })
      const program = await open()
      program.say({ t: 'hello', auth: { ticket: stolen } })
      await refusedEntry(program, 'origin_forbidden', 4403)
      const here = await ticket({ origin: new URL(target.url).origin })
      const page = await open({ headers: { origin: new URL(target.url).origin } })
      page.say({ t: 'hello', auth: { ticket: here.ticket } })
      await page.next('welcome')
    })

    it('W17 a session ends when it was said to', async () => {
      const token = await tokenOf({ session_ms: 1_000 })
      await sleep(1_200)
      expect(await call('GET', '/v1/models', undefined, token)).toMatchObject({
        status: 401,
        body: { error: { code: 'invalid_token' } },
      })
      const peer = await open()
      peer.say({ t: 'hello', auth: { token } })
      await refusedEntry(peer, 'invalid_token', 4401)
    })
  })

  describe('jobs', () => {
    it('W20 submit: accepted, its events without a gap, one end', async () => {
      const peer = await greeted()
      peer.say({ t: 'submit', id: 'one', ...job(40, 2) })
      const frames = await peer.until('end')
      const [accepted, ...rest] = frames
      expect(accepted).toEqual({
        t: 'accepted',
        id: 'one',
        job: expect.stringMatching(/^job_/),
        cursor: expect.stringMatching(/^[1-9]\d*-0$/),
        state: expect.any(String),
        joined: false,
        queue: expect.toSatisfy((q) => q === null || typeof q.position === 'number'),
      })
      const id = accepted['job'] as string
      expect(
        rest
          .filter((frame) => frame.t !== 'queue')
          .map((frame) => [frame.t === 'ev' || frame.t === 'end', frame['job']]),
      ).toEqual(rest.filter((frame) => frame.t !== 'queue').map(() => [true, id]))
      const records = recordsOfFrames(rest, id)
      expect(records[0].cursor.split('-')[0]).toBe(accepted['cursor'].split('-')[0])
      expect(records.length).toBeGreaterThan(40)
      expect(records[0]).toMatchObject({
        kind: 'attempt',
        data: { n: 1, mode: 'first', deployment: expect.any(String) },
      })
      expect(records.at(-1)).toMatchObject({
        kind: 'end',
        data: {
          state: 'done',
          usage: {
            prompt_tokens: expect.any(Number),
            completion_tokens: expect.any(Number),
            total_tokens: expect.any(Number),
            estimated: expect.any(Boolean),
          },
          timing: {
            queued_ms: expect.any(Number),
            ttft_ms: expect.any(Number),
            tpot_ms: expect.any(Number),
            total_ms: expect.any(Number),
          },
        },
      })
      await isQuiet(peer)
    })

    it('W21 the events are those of GET /events, and the text that of GET /result', async () => {
      const peer = await greeted()
      const { job: id } = await submit(peer, {
        request: chat(`Ein Fluß, 一条河, 🌊. ${prompt(40, 1)}`, { stream_options: { include_usage: true } }),
      })
      const records = recordsOfFrames(await peer.until(of('end', id)), id)
      expect(records).toEqual(await logOf(id))
      const result = await call('GET', `/v1/jobs/${id}/result`)
      expect(textOf(records)).toBe(result.body.choices[0].message.content)
      expect(textOf(records)).not.toBe('')
    })

    it('W22 follow: false is accepted and not followed', async () => {
      const peer = await greeted()
      const { job: id } = await submit(peer, { ...job(5, 1), follow: false })
      await ended(id)
      await sleep(100)
      await isQuiet(peer)
    })

    it('W23 the options are those of POST /v1/jobs', async () => {
      const peer = await greeted()
      const lane = fresh('lane')
      const { job: id } = await submit(peer, { ...job(3, 1), lane, priority: 'high', metadata: { who: 'me' } })
      expect((await call('GET', `/v1/jobs/${id}`)).body).toMatchObject({
        id,
        lane,
        priority: 'high',
        metadata: { who: 'me' },
        model: target.model,
      })
      expect((await call('GET', `/v1/jobs/${id}/request`)).body).toEqual(chat(prompt(3, 1)))
    })

    it('W24 an embedding', async (context) => {
      if (target.embeddingModel === undefined) return context.skip('the target names no embedding model')
      const peer = await greeted()
      const { job: id } = await submit(peer, {
        request: { model: target.embeddingModel, input: 'rivers' },
        endpoint: '/v1/embeddings',
      })
      const records = recordsOfFrames(await peer.until(of('end', id)), id)
      const answer = records.find((record) => record.kind === 'chunk')
      expect((answer!.data as any).data[0].embedding.length).toBeGreaterThan(0)
      expect(records).toEqual(await logOf(id))
    })

    it('W25 many jobs at once on one connection, each whole', async () => {
      const peer = await greeted()
      const accepted = await Promise.all(Array.from({ length: 25 }, (_, i) => submit(peer, job(10 + i, 2))))
      const ids = accepted.map((frame) => frame['job'] as string)
      expect(new Set(ids).size).toBe(25)
      await Promise.all(ids.map((id) => peer.next(of('end', id))))
      for (const id of ids) expect(recordsOfFrames(peer.heard, id)).toEqual(await logOf(id))
    })

    it('W26 a frame in several fragments is one frame', async () => {
      const peer = await greeted()
      const text = Buffer.from(JSON.stringify({ t: 'submit', id: 'parts', ...job(3, 1) }))
      peer.write(encode(text.subarray(0, 10), { fin: false }))
      peer.write(encode(text.subarray(10, 40), { opcode: 0, fin: false }))
      peer.write(encode(text.subarray(40), { opcode: 0 }))
      expect(await peer.next(answerTo('parts'))).toMatchObject({ t: 'accepted' })
    })

    it('W27 a job that fails ends with its error', async () => {
      const peer = await greeted()
      const lane = fresh('lane')
      const { job: first } = await submit(peer, job(200, 20, { lane }))
      await peer.next(of('ev', first))
      const { job: id } = await submit(peer, { ...job(3, 1), lane, deadline_ms: 100 })
      const records = recordsOfFrames(await peer.until(of('end', id)), id)
      expect(records.at(-1)!.data).toMatchObject({
        state: 'expired',
        error: { message: expect.any(String), type: expect.any(String), code: 'deadline_exceeded' },
      })
      peer.say({ t: 'cancel', job: first })
      expect(records).toEqual(await logOf(id))
    })
  })

  describe('refusals', () => {
    const refusals: ReadonlyArray<readonly [string, string, () => object, string, object]> = [
      [
        'W30',
        'an unknown type, with the nearest name',
        () => ({ t: 'submti' }),
        'invalid_request',
        { param: 't', says: 'submit' },
      ],
      ['W31', 'no type', () => ({ id: 'x' }), 'invalid_request', { param: 't' }],
      [
        'W32',
        'an unknown member, with the nearest name',
        () => ({ t: 'attach', jbo: 'job_1', job: 'job_1' }),
        'invalid_request',
        { param: 'jbo', says: 'job' },
      ],
      [
        'W33',
        'an unknown option, with the nearest name',
        () => ({ t: 'submit', id: 'x', ...job(1, 1), lnae: 'a' }),
        'invalid_request',
        { param: 'lnae', says: 'lane', id: 'x' },
      ],
      [
        'W34',
        'an unknown model',
        () => ({
          t: 'submit',
          id: 'x',
          request: { model: 'no-such-model', messages: [{ role: 'user', content: 'x' }] },
        }),
        'model_not_found',
        { id: 'x' },
      ],
      ['W35', 'a submit without an id', () => ({ t: 'submit', ...job(1, 1) }), 'invalid_request', { param: 'id' }],
      [
        'W36',
        'a submit without a request',
        () => ({ t: 'submit', id: 'x' }),
        'invalid_request',
        { param: 'request', id: 'x' },
      ],
      [
        'W37',
        'a request without messages',
        () => ({ t: 'submit', id: 'x', request: { model: target.model } }),
        'invalid_request',
        { id: 'x' },
      ],
      [
        'W38',
        'a option of the wrong kind',
        () => ({ t: 'submit', id: 'x', ...job(1, 1), priority: 'urgent' }),
        'invalid_request',
        { param: 'priority', id: 'x' },
      ],
      [
        'W39',
        'credit for nothing',
        () => ({ t: 'credit', job: 'job_1', bytes: -1 }),
        'invalid_request',
        { param: 'bytes', job: 'job_1' },
      ],
    ]
    it.each(refusals)('%s %s: an error frame, and the connection goes on', async (_id, _what, frame, code, about) => {
      const { param, says, id, job: named } = about as { param?: string; says?: string; id?: string; job?: string }
      const peer = await greeted()
      peer.say(frame())
      const [told] = await peer.until('error')
      expect(told).toEqual(
        errorOf(code, {
          retryable: false,
          ...(id === undefined ? {} : { id }),
          ...(named === undefined ? {} : { job: named }),
        }),
      )
      if (param !== undefined) expect(told['error'].param).toBe(param)
      if (says !== undefined) expect(told['error'].message).toContain(`"${says}"`)
      await isQuiet(peer)
      const { job: next } = await submit(peer, job(2, 1))
      await peer.next(of('end', next))
    })
  })

  describe('attaching', () => {
    it('W40 from the start, to a job that ended', async () => {
      const id = await doneJob()
      const peer = await greeted()
      peer.say({ t: 'attach', id: 'a', job: id })
      const frames = await peer.until(of('end', id))
      const log = await logOf(id)
      expect(frames[0]).toEqual({
        t: 'attached',
        id: 'a',
        job: id,
        state: 'done',
        cursor: log.at(-1)!.cursor,
        queue: null,
      })
      expect(recordsOfFrames(frames, id)).toEqual(log)
      await isQuiet(peer)
    })

    it('W41 behind each cursor of a job that ended', async () => {
      const id = await doneJob(12)
      const log = await logOf(id)
      const peer = await greeted()
      const [epoch] = log[0].cursor.split('-')
      for (let seq = 0; seq < log.length - 1; seq++) {
        peer.say({ t: 'attach', id: `a${seq}`, job: id, cursor: `${epoch}-${seq}` })
        expect(recordsOfFrames(await peer.until(of('end', id)), id, seq)).toEqual(log.slice(seq))
      }
      await isQuiet(peer)
    })

    it('W42 at the end record: attached, and nothing more', async () => {
      const id = await doneJob(5)
      const { cursor } = (await logOf(id)).at(-1)!
      const peer = await greeted()
      peer.say({ t: 'attach', id: 'a', job: id, cursor })
      expect(await peer.next('attached')).toEqual({
        t: 'attached',
        id: 'a',
        job: id,
        state: 'done',
        cursor,
        queue: null,
      })
      await sleep(150)
      await isQuiet(peer)
    })

    it('W43 to a job that runs: what there is, live, then what comes', async () => {
      const writer = await greeted()
      const { job: id } = await submit(writer, job(80, 10))
      await writer.next((frame) => frame.t === 'ev' && frame['seq'] > 15)
      const peer = await greeted()
      peer.say({ t: 'attach', job: id })
      const frames = await peer.until(of('end', id))
      expect(frames[0]).toMatchObject({ t: 'attached', job: id, state: 'leased' })
      expect(frames[0]).not.toHaveProperty('id')
      expect(seqOf(frames[0]['cursor'])).toBeGreaterThan(10)
      const live = frames.findIndex((frame) => frame.t === 'live')
      expect(frames.filter((frame) => frame.t === 'live')).toHaveLength(1)
      expect(seqOf(frames[live]['cursor'])).toBe(recordsOfFrames(frames.slice(0, live), id).length)
      expect(seqOf(frames[live]['cursor'])).toBeGreaterThanOrEqual(seqOf(frames[0]['cursor']))
      expect(recordsOfFrames(frames, id)).toEqual(await logOf(id))
    })

    it.each([
      ['one ahead', (epoch: number, head: number) => `${epoch}-${head + 1}`],
      ['far ahead', (epoch: number) => `${epoch}-999999`],
    ])('W44 a cursor ahead of the log (%s) is refused, and the job not followed', async (_what, cursorOf) => {
      const id = await doneJob(5)
      const { cursor: head } = (await logOf(id)).at(-1)!
      const peer = await greeted()
      const cursor = cursorOf(Number(head.split('-')[0]), seqOf(head))
      peer.say({ t: 'attach', id: 'a', job: id, cursor })
      await sleep(100)
      await isQuiet(peer, [errorOf('cursor_ahead', { id: 'a', job: id, retryable: false })])
    })

    it.each([
      ['to come', 1],
      ['of another copy of the data', 123_456_789_012],
    ])('W76 a cursor of an epoch %s is told by a gap, and everything follows', async (_what, later) => {
      const id = await doneJob(5)
      const records = await logOf(id)
      const peer = await greeted()
      const cursor = `${Number(records[0].cursor.split('-')[0]) + later}-2`
      peer.say({ t: 'attach', id: 'a', job: id, cursor })
      const frames = await peer.until((frame) => frame.t === 'end')
      expect(frames).toContainEqual({ t: 'gap', job: id, reason: 'epoch_changed' })
      expect(recordsOfFrames(frames, id)).toEqual(records)
    })

    it('W57 what is no cursor is refused', async () => {
      const id = await doneJob(5)
      const peer = await greeted()
      for (const cursor of [
        'garbage',
        '',
        '1-',
        '-1',
        '1-1-1',
        '1-1e3',
        '1-1 ',
        '\u0661-\u0661',
        `1-${'9'.repeat(40)}`,
      ]) {
        peer.say({ t: 'attach', id: 'a', job: id, cursor })
        expect(await peer.next('error'), `at "${cursor}"`).toEqual(
          errorOf('cursor_invalid', { id: 'a', job: id, retryable: false }),
        )
      }
      await isQuiet(peer)
    })

    it('W58 a job that never was', async () => {
      const peer = await greeted()
      peer.say({ t: 'attach', id: 'a', job: 'job_00000000000000000000000000' })
      expect(await peer.next(answerTo('a'))).toEqual(
        errorOf('job_not_found', { job: 'job_00000000000000000000000000', retryable: false }),
      )
      await isQuiet(peer)
    })

    it("W45 another tenant's job is not there", async (context) => {
      if (target.otherTenantKey === undefined) return context.skip("the target names no other tenant's key")
      const id = await doneJob(3)
      const peer = await greeted({}, target.otherTenantKey)
      for (const t of ['attach', 'cancel']) {
        peer.say({ t, id: t, job: id })
        expect(await peer.next(answerTo(t))).toEqual(errorOf('job_not_found', { job: id }))
      }
      const other = await greeted({ jobs: [{ job: id }] }, target.otherTenantKey)
      expect(await other.next('error')).toEqual(errorOf('job_not_found', { job: id }))
      await isQuiet(other)
    })

    it('W46 again with a cursor: anew from there', async () => {
      const peer = await greeted()
      const { job: id, cursor } = await submit(peer, job(60, 10))
      await peer.next((frame) => frame.t === 'ev' && frame['seq'] > 10)
      peer.say({ t: 'attach', id: 'again', job: id, cursor })
      await peer.until(answerTo('again'))
      expect(recordsOfFrames(await peer.until(of('end', id)), id)).toEqual(await logOf(id))
      await isWell(peer)
    })

    it('W47 again without a cursor: nothing changes', async () => {
      const peer = await greeted()
      const { job: id } = await submit(peer, job(60, 10))
      await peer.next((frame) => frame.t === 'ev' && frame['seq'] > 10)
      peer.say({ t: 'attach', id: 'again', job: id })
      expect(await peer.next(answerTo('again'))).toMatchObject({ t: 'attached', job: id, state: 'leased' })
      await peer.next(of('end', id))
      expect(recordsOfFrames(peer.heard, id)).toEqual(await logOf(id))
    })

    it('W48 two connections follow one job, and have the same', async () => {
      const [one, two] = await Promise.all([greeted(), greeted()])
      const { job: id } = await submit(one, job(50, 5))
      two.say({ t: 'attach', job: id })
      await Promise.all([one.next(of('end', id)), two.next(of('end', id))])
      const log = await logOf(id)
      for (const peer of [one, two]) expect(recordsOfFrames(peer.heard, id)).toEqual(log)
    })

    it('W49 after a cut, hello brings all jobs on in the first round trip', async () => {
      const before = await greeted()
      const accepted = await Promise.all(Array.from({ length: 12 }, (_, i) => submit(before, job(40 + i, 10))))
      const ids = accepted.map((frame) => frame['job'] as string)
      await before.next((frame) => frame.t === 'ev' && frame['seq'] > 12)
      before.drop()
      const jobs = ids.map((id) => ({
        job: id,
        cursor: before.heard.findLast((frame) => frame.t === 'ev' && frame['job'] === id)?.['cursor'] ?? '1-0',
      }))
      const after = await greeted({ jobs })
      await Promise.all(ids.map((id) => after.next(of('end', id), 15_000)))
      for (const { job: id, cursor } of jobs) {
        const attached = after.heard.filter(of('attached', id))
        expect(attached).toHaveLength(1)
        expect(attached[0]).not.toHaveProperty('id')
        const got = [...recordsOfFrames(before.heard, id), ...recordsOfFrames(after.heard, id, seqOf(cursor))]
        expect(got).toEqual(await logOf(id))
      }
    })

    it('W50 hello with a job that is not there welcomes all the same', async () => {
      const id = await doneJob(3)
      const peer = await open()
      peer.say({ t: 'hello', auth: { key: target.key }, jobs: [{ job: 'job_none' }, { job: id }] })
      await peer.next(of('end', id))
      expect(peer.heard[0].t).toBe('welcome')
      expect(peer.heard.filter((frame) => frame.t === 'error')).toEqual([errorOf('job_not_found', { job: 'job_none' })])
      expect(recordsOfFrames(peer.heard, id)).toEqual(await logOf(id))
    })
  })

  describe('leaving and canceling', () => {
    it('W51 detach: no more events, and the job goes on', async () => {
      const peer = await greeted()
      const { job: id } = await submit(peer, job(60, 10))
      await peer.next(of('ev', id))
      peer.say({ t: 'detach', id: 'd', job: id })
      expect(await peer.next(answerTo('d'))).toEqual({ t: 'ok', id: 'd', job: id })
      const heard = peer.heard.length
      expect((await ended(id)).state).toBe('done')
      await sleep(50)
      expect(peer.heard.slice(heard)).toEqual([])
      const { cursor } = peer.heard.findLast(of('ev', id))!
      peer.say({ t: 'attach', job: id, cursor })
      await peer.next(of('end', id))
      expect(recordsOfFrames(peer.heard, id)).toEqual(await logOf(id))
    })

    it('W52 a job goes on when its connection is cut', async () => {
      const peer = await greeted()
      const { job: id } = await submit(peer, job(30, 10))
      await peer.next(of('ev', id))
      peer.drop()
      expect((await ended(id)).state).toBe('done')
    })

    it('W53 cancel of a job that has not begun', async () => {
      const peer = await greeted()
      const { job: id } = await submit(peer, job(5, 1, { delay_ms: 60_000 }))
      peer.say({ t: 'cancel', id: 'c', job: id })
      expect(await peer.next(answerTo('c'))).toEqual({ t: 'ok', id: 'c', job: id, state: 'canceled' })
      await peer.next(of('end', id))
      const records = recordsOfFrames(peer.heard, id)
      expect(records.at(-1)!.data).toMatchObject({ state: 'canceled' })
      expect(records).toEqual(await logOf(id))
      await isWell(peer)
    })

    it('W54 cancel of a job that runs', async () => {
      const peer = await greeted()
      const { job: id } = await submit(peer, job(400, 50))
      await peer.next((frame) => frame.t === 'ev' && frame['seq'] > 3)
      peer.say({ t: 'cancel', id: 'c', job: id })
      expect(await peer.next(answerTo('c'))).toMatchObject({
        t: 'ok',
        job: id,
        state: expect.stringMatching(/^cancel(ing|ed)$/),
      })
      expect(await peer.next(of('end', id))).toMatchObject({ state: 'canceled' })
      expect(recordsOfFrames(peer.heard, id)).toEqual(await logOf(id))
    })

    it('W55 cancel of a job that ended, and of one that never was', async () => {
      const id = await doneJob(3)
      const peer = await greeted()
      peer.say({ t: 'cancel', id: 'c', job: id })
      expect(await peer.next(answerTo('c'))).toEqual({ t: 'ok', id: 'c', job: id, state: 'ended' })
      peer.say({ t: 'cancel', id: 'n', job: 'job_none' })
      expect(await peer.next(answerTo('n'))).toEqual(errorOf('job_not_found', { job: 'job_none' }))
    })

    it('W56 detach and cancel without an id say nothing', async () => {
      const peer = await greeted()
      const { job: id } = await submit(peer, job(400, 50))
      peer.say({ t: 'detach', job: id })
      peer.say({ t: 'cancel', job: id })
      expect((await ended(id)).state).toBe('canceled')
      await peer.settled()
      expect(peer.heard.filter((frame) => frame.t === 'ok' || frame.t === 'error')).toEqual([])
    })
  })

  describe('idempotency', () => {
    const post = async (path: string, body: string, more: Record<string, string> = {}): Promise<unknown[]> => {
      const headers = { authorization: `Bearer ${target.key}`, 'content-type': 'application/json', ...more }
      const response = await fetch(target.url + path, { method: 'POST', headers, body })
      return [response.status, ((await response.json()) as { id?: string }).id]
    }

    it('W60 a submit again, by either door, is the same job', async () => {
      const body = job(20, 2, { idempotency_key: fresh('key') })
      const peer = await greeted()
      const first = await submit(peer, body)
      expect(first['joined']).toBe(false)
      await peer.next(of('end', first['job']))
      const posted = await call('POST', '/v1/jobs', body)
      expect([posted.status, posted.body.id]).toEqual([200, first['job']])
      const other = await greeted()
      const again = await submit(other, body)
      expect(again).toMatchObject({ job: first['job'], joined: true, state: 'done' })
      await other.next(of('end', first['job']))
      expect(recordsOfFrames(other.heard, first['job'])).toEqual(recordsOfFrames(peer.heard, first['job']))
    })

    it('W61 a POST again, by a submit, is the same job', async () => {
      const body = job(20, 2, { idempotency_key: fresh('key') })
      const posted = await call('POST', '/v1/jobs', body)
      expect(posted.status).toBe(202)
      const peer = await greeted()
      expect(await submit(peer, body)).toMatchObject({ job: posted.body.id, joined: true })
      await peer.next(of('end', posted.body.id))
      expect(recordsOfFrames(peer.heard, posted.body.id)).toEqual(await logOf(posted.body.id))
    })

    it('W62 another body under the same key is refused', async () => {
      const idempotency_key = fresh('key')
      const peer = await greeted()
      await submit(peer, job(3, 1, { idempotency_key }))
      peer.say({ t: 'submit', id: 'other', ...job(4, 1, { idempotency_key }) })
      expect(await peer.next(answerTo('other'))).toEqual(errorOf('idempotency_conflict', { retryable: false }))
      expect(await call('POST', '/v1/jobs', job(4, 1, { idempotency_key }))).toMatchObject({
        status: 422,
        body: { error: { code: 'idempotency_conflict' } },
      })
    })

    it('W64 white space, the spelling of texts and the place of options do not make another body', async () => {
      const idempotency_key = fresh('key')
      const conversation = fresh('talk')
      const request = chat(prompt(3, 1), { stream: true, user: 'zoë' })
      const body = { idempotency_key, conversation, delay_ms: 1, request }
      const peer = await greeted()
      const first = await submit(peer, body)
      const spaced = JSON.stringify(body, null, 2).replace('zoë', '\\u007ao\\u00eb')
      expect(await post('/v1/jobs', spaced)).toEqual([200, first['job']])
      const options = {
        'idempotency-key': idempotency_key,
        'sluice-conversation': conversation,
        'sluice-delay-ms': '1',
      }
      expect(await post('/v1/jobs', JSON.stringify({ request }), options)).toEqual([200, first['job']])
      const later = { ...options, prefer: 'respond-async' }
      expect(await post('/v1/chat/completions', JSON.stringify(request), later)).toEqual([202, first['job']])
      expect(await post('/v1/jobs', JSON.stringify({ ...body, delay_ms: 2 }))).toEqual([422, undefined])
    })

    it('W63 the members of the frame are none of the body', async () => {
      const body = job(3, 1, { idempotency_key: fresh('key') })
      const peer = await greeted()
      peer.say({ ...body, follow: false, id: 'behind', t: 'submit' })
      const first = await peer.next(answerTo('behind'))
      peer.say({ t: 'submit', id: 'before', follow: true, ...body })
      expect(await peer.next(answerTo('before'))).toMatchObject({ t: 'accepted', job: first['job'], joined: true })
    })
  })

  describe('conversations', () => {
    it('W70 two submits at once are answered in order, the second knowing the first', async () => {
      const conversation = fresh('talk')
      const peer = await greeted()
      const echo = target.echo === undefined ? DEMO_ECHO : target.echo
      peer.say({ t: 'submit', id: 'one', ...job(20, 2, { conversation }) })
      peer.say({ t: 'submit', id: 'two', conversation, request: chat(echo ?? prompt(20, 2)) })
      const ids = [(await peer.next(answerTo('one')))['job'], (await peer.next(answerTo('two')))['job']] as string[]
      await Promise.all(ids.map((id) => peer.next(of('end', id))))
      const answers = ids.map((id) => textOf(recordsOfFrames(peer.heard, id)))
      if (echo !== null)
        expect(JSON.parse(answers[1]).map((message: any) => message.role + message.content.slice(0, 40))).toEqual([
          `user${prompt(20, 2).slice(0, 40)}`,
          `assistant${answers[0].slice(0, 40)}`,
          `user${echo.slice(0, 40)}`,
        ])
      const { body } = await call('GET', `/v1/conversations/${conversation}`)
      expect(body.turns.map((turn: any) => [turn.job, turn.answer.content ?? turn.answer])).toEqual(
        ids.map((id, i) => [id, answers[i]]),
      )
    })
  })

  describe('queue', () => {
    it('W80 a job that waits is told its place, as it changes', async (context) => {
      const { narrowModel: model } = target
      if (model === undefined) return context.skip('the target names no model of one slot')
      const peer = await greeted()
      // Places change faster than they may be told
      const narrow = { request: { model, messages: [{ role: 'user', content: prompt(20, 20) }] } }
      const accepted: Said[] = []
      for (let i = 0; i < 8; i++) accepted.push(await submit(peer, narrow))
      const last = accepted[7]
      expect(last).toMatchObject({
        state: expect.stringMatching(/queued|waiting/),
        queue: { position: expect.any(Number), tokens_ahead: expect.any(Number) },
      })
      expect(last['queue'].position).toBeGreaterThanOrEqual(2)
      const at = performance.now()
      await peer.next(of('end', last['job']))
      const told = peer.heard.filter(of('queue', last['job']))
      expect(told.length).toBeGreaterThanOrEqual(1)
      expect(told.length).toBeLessThanOrEqual((performance.now() - at) / 1_000 + 1)
      for (const frame of told)
        expect(frame).toEqual({
          t: 'queue',
          job: last['job'],
          position: expect.any(Number),
          tokens_ahead: expect.any(Number),
          eta_ms: expect.toSatisfy((eta) => eta === null || typeof eta === 'number'),
        })
      const positions = [last['queue'].position, ...told.map((frame) => frame['position'])]
      expect(positions).toEqual(positions.toSorted((a, b) => b - a))
      expect(new Set(positions).size).toBe(positions.length)
      expect(peer.heard.findLastIndex(of('queue', last['job']))).toBeLessThan(
        peer.heard.findIndex(of('ev', last['job'])),
      )
    })

    it('W81 attached says the place too', async (context) => {
      const { narrowModel: model } = target
      if (model === undefined) return context.skip('the target names no model of one slot')
      const peer = await greeted()
      const narrow = { request: { model, messages: [{ role: 'user', content: prompt(30, 20) }] }, follow: false }
      const ids = [await submit(peer, narrow), await submit(peer, narrow), await submit(peer, narrow)].map(
        (frame) => frame['job'],
      )
      peer.say({ t: 'attach', id: 'a', job: ids[2] })
      expect(await peer.next(answerTo('a'))).toMatchObject({
        t: 'attached',
        queue: { position: expect.any(Number), tokens_ahead: expect.any(Number) },
      })
      await peer.next(of('end', ids[2]))
    })
  })

  describe('credit', () => {
    const WINDOW = 4_096
    /** Payload bytes of the job's ev frames from the `from`th frame on. */
    const sizesOf = (peer: Peer, id: string, from = 0): number[] =>
      peer.sizes.filter((_, i) => i >= from && of('ev', id)(peer.heard[i]))
    const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)
    /** Used up, and exceeded by no more than the last frame. A server may count the frames' heads too. */
    function expectUsedUp(sizes: readonly number[], window: number): void {
      expect(sum(sizes.slice(0, -1))).toBeLessThan(window)
      expect(sum(sizes) + 14 * sizes.length).toBeGreaterThanOrEqual(window)
    }

    it('W90 events stop when the window is used up, go on with credit, and are all there in the end', async () => {
      const peer = await greeted({ window: WINDOW })
      const { job: id } = await submit(peer, job(300, 2))
      await ended(id)
      await sleep(200)
      await peer.settled()
      expectUsedUp(sizesOf(peer, id), WINDOW)

      // Another job on the same connection does not wait for it
      const { job: other } = await submit(peer, job(4, 1))
      await peer.next(of('end', other))
      expect(recordsOfFrames(peer.heard, other)).toEqual(await logOf(other))

      const from = peer.heard.length
      // What was exceeded before is made up for: under load that may be a large frame
      const sizes = sizesOf(peer, id)
      const bytes = sum(sizes) + 14 * sizes.length - WINDOW + 3_000
      peer.say({ t: 'credit', job: id, bytes })
      await peer.next(of('ev', id))
      await sleep(200)
      await peer.settled()
      expectUsedUp(sizesOf(peer, id), WINDOW + bytes)
      expect(sizesOf(peer, id, from).length).toBeGreaterThan(0)

      const more = peer.heard.length
      peer.say({ t: 'credit', job: id, bytes: 10_000_000 })
      await peer.next(of('end', id))
      const log = await logOf(id)
      expect(recordsOfFrames(peer.heard, id)).toEqual(log)
      expect(sizesOf(peer, id, more).length, 'what lacks comes in few large frames').toBeLessThan(log.length / 10)
      await isWell(peer)
    })

    it('W91 credit as it is consumed, from the first to the last', async () => {
      const peer = await greeted({ window: WINDOW })
      const { job: id } = await submit(peer, job(300, 1))
      for (let taken = 0; ; ) {
        const frame = await peer.next((said) => (said.t === 'ev' || said.t === 'end') && said['job'] === id)
        if (frame.t === 'end') break
        const sizes = sizesOf(peer, id)
        peer.say({ t: 'credit', job: id, bytes: sizes[taken++] + 14 })
      }
      expect(recordsOfFrames(peer.heard, id)).toEqual(await logOf(id))
    })

    it('W92 an attach has a window of its own', async () => {
      const id = await doneJob(300)
      const peer = await greeted({ window: WINDOW })
      peer.say({ t: 'attach', job: id })
      await peer.next(of('ev', id))
      await sleep(200)
      await peer.settled()
      expectUsedUp(sizesOf(peer, id), WINDOW)
      peer.say({ t: 'credit', job: id, bytes: 10_000_000 })
      await peer.next(of('end', id))
      expect(recordsOfFrames(peer.heard, id)).toEqual(await logOf(id))
    })

    it('W93 without a window no credit is needed', async () => {
      const id = await doneJob(300)
      const peer = await greeted()
      peer.say({ t: 'attach', job: id })
      await peer.next(of('end', id))
      expect(recordsOfFrames(peer.heard, id)).toEqual(await logOf(id))
    })
  })

  describe('small talk', () => {
    it('W95 ping: pong', async () => {
      const peer = await greeted()
      peer.say({ t: 'ping' })
      expect(await peer.next('pong')).toEqual({ t: 'pong' })
    })

    it('W96 a report of a followed job is taken, of any other passed over', async () => {
      const peer = await greeted()
      const { job: id } = await submit(peer, job(20, 10))
      await peer.next(of('ev', id))
      peer.say({ t: 'report', job: id, ttft_ms: 123.5 })
      peer.say({ t: 'report', job: 'job_none', ttft_ms: 1 })
      await peer.next(of('end', id))
      expect(peer.heard.filter((frame) => frame.t === 'error')).toEqual([])
      peer.say({ t: 'report', job: id, ttft_ms: -1 })
      expect(await peer.next('error')).toEqual(errorOf('invalid_request', { job: id }))
    })

    it('W97 a goodbye is answered with the same', async () => {
      const peer = await greeted()
      expect((await peer.close(1000)).code).toBe(1000)
    })
  })

  describe('sessions with a user', () => {
    interface Page {
      readonly token: string
      readonly peer: Peer
    }
    async function page(user: string): Promise<Page> {
      const token = await tokenOf({ user })
      return { token, peer: await greetedByToken(token) }
    }

    it("W100 another user's jobs are not there, by either door", async () => {
      const [ann, bob] = [await page(fresh('ann')), await page(fresh('bob'))]
      const { job: id } = await submit(ann.peer, job(5, 1))
      await ann.peer.next(of('end', id))
      for (const t of ['attach', 'cancel']) {
        bob.peer.say({ t, id: t, job: id })
        expect(await bob.peer.next(answerTo(t))).toEqual(errorOf('job_not_found', { job: id }))
      }
      for (const path of ['', '/events', '/result', '/request'])
        expect((await call('GET', `/v1/jobs/${id}${path}`, undefined, bob.token)).status).toBe(404)
      expect((await call('POST', `/v1/jobs/${id}/cancel`, undefined, bob.token)).status).toBe(404)
      expect((await call('DELETE', `/v1/jobs/${id}`, undefined, bob.token)).status).toBe(404)
      expect((await call('GET', '/v1/jobs', undefined, bob.token)).body.data).toEqual([])
      expect((await call('GET', '/v1/jobs', undefined, ann.token)).body.data.map((j: any) => j.id)).toEqual([id])
      expect(await logOf(id, ann.token)).toEqual(recordsOfFrames(ann.peer.heard, id))
      // The key sees all
      expect((await call('GET', `/v1/jobs/${id}`)).body.id).toBe(id)
    })

    it('W101 its conversations are its own, and <user>/… to the key', async () => {
      // A "/" of the user's own must not lead into another's names
      const [annUser, bobUser] = [fresh('ann/x'), fresh('bob')]
      const [ann, bob] = [await page(annUser), await page(bobUser)]
      for (const { peer } of [ann, bob]) {
        const { job: id } = await submit(peer, job(5, 1, { conversation: 'c1' }))
        await peer.next(of('end', id))
      }
      for (const [{ token }, user] of [
        [ann, annUser],
        [bob, bobUser],
      ] as const) {
        expect((await call('GET', '/v1/conversations', undefined, token)).body.data.map((c: any) => c.id)).toEqual([
          'c1',
        ])
        const own = (await call('GET', '/v1/conversations/c1', undefined, token)).body
        expect(own.turns).toHaveLength(1)
        const whole = `${encodeURIComponent(user)}/c1`
        const seen = await call('GET', `/v1/conversations/${encodeURIComponent(whole)}`)
        expect([seen.status, seen.body.id, seen.body.turns]).toEqual([200, whole, own.turns])
      }
    })

    it('W102 its lanes are its own', async () => {
      const [ann, bob] = [await page(fresh('ann')), await page(fresh('bob'))]
      const { job: slow } = await submit(ann.peer, job(400, 50, { lane: 'l1' }))
      await ann.peer.next(of('ev', slow))
      const { job: quick } = await submit(bob.peer, job(3, 1, { lane: 'l1' }))
      await bob.peer.next(of('end', quick))
      expect((await call('GET', `/v1/jobs/${quick}`, undefined, bob.token)).body.lane).toBe('l1')
      expect((await call('GET', '/v1/jobs?lane=l1', undefined, bob.token)).body.data.map((j: any) => j.id)).toEqual([
        quick,
      ])
      ann.peer.say({ t: 'cancel', job: slow })
      await ann.peer.next(of('end', slow))
    })

    it('W103 its idempotency keys are its own, over both doors', async () => {
      const [ann, bob] = [await page(fresh('ann')), await page(fresh('bob'))]
      const body = job(3, 1, { idempotency_key: 'k1' })
      const first = await submit(ann.peer, body)
      const second = await submit(bob.peer, body)
      expect([first['joined'], second['joined']]).toEqual([false, false])
      expect(second['job']).not.toBe(first['job'])
      expect((await call('POST', '/v1/jobs', body, ann.token)).body.id).toBe(first['job'])
      expect((await call('POST', '/v1/jobs', body, bob.token)).body.id).toBe(second['job'])
    })

    it('W105 the same bytes of two users are two jobs, also as an SDK repeats them', async () => {
      const users = [await tokenOf({ user: fresh('ann') }), await tokenOf({ user: fresh('bob') })]
      const post = async (token: string, retries: number): Promise<string> => {
        const { status, body } = await call('POST', '/v1/chat/completions', chat(prompt(200, 20)), token, {
          prefer: 'respond-async',
          'x-stainless-retry-count': String(retries),
        })
        expect(status).toBe(202)
        return body.id
      }
      const ann = await post(users[0], 0)
      expect(await post(users[0], 1)).toBe(ann)
      const bob = await post(users[1], 1)
      expect(bob).not.toBe(ann)
      for (const [id, token] of [
        [ann, users[0]],
        [bob, users[1]],
      ] as const)
        expect((await call('POST', `/v1/jobs/${id}/cancel`, undefined, token)).status).toBe(202)
    })

    it('W106 it names no other user to the provider', async () => {
      const user = fresh('ann')
      const { peer, token } = await page(user)
      for (const names of [{ user: 'bob' }, { user, safety_identifier: 'bob' }, { metadata: { user_id: 'bob' } }]) {
        const request = chat(prompt(1, 1), names)
        for (const [path, body] of [
          ['/v1/chat/completions', request],
          ['/v1/jobs', { request }],
        ] as const)
          expect(await call('POST', path, body, token)).toMatchObject({
            status: 403,
            body: { error: { code: 'forbidden' } },
          })
        peer.say({ t: 'submit', id: 'n', request })
        expect(await peer.next(answerTo('n'))).toMatchObject({ t: 'error', error: { code: 'forbidden' } })
      }
    })

    it('W104 a session without a user sees what the key sees', async () => {
      const id = await doneJob(3)
      const peer = await greetedByToken(await tokenOf())
      peer.say({ t: 'attach', job: id })
      await peer.next(of('end', id))
    })
  })

  describe('watching a conversation', () => {
    const of =
      (conversation: string, change?: string) =>
      (frame: Said): boolean =>
        frame['conversation'] === conversation &&
        (change === undefined ? frame.t === 'watching' : frame.t === 'news' && change in frame['e'])
    async function watch(peer: Peer, conversation: string): Promise<Said> {
      peer.say({ t: 'watch', id: 'w', conversation })
      return peer.next((frame) => frame['id'] === 'w')
    }
    const rename = (name: string, to: string, key = target.key): Promise<Reply> =>
      call('PATCH', `/v1/conversations/${name}`, { name: to }, key)

    it('W110 one that does not exist yet stands empty; every job of it is told, whoever submitted it', async () => {
      const [c, peer, other] = [fresh('c'), await greeted(), await greeted()]
      expect(await watch(peer, c)).toEqual({
        t: 'watching',
        id: 'w',
        conversation: c,
        name: null,
        turns: 0,
        last_turn: null,
        jobs: [],
        more: false,
      })
      const socket = await submit(other, job(3, 1, { conversation: c, follow: false, metadata: { from: 'socket' } }))
      const told = await peer.next(of(c, 'submitted'))
      expect(told['e'].submitted).toMatchObject({ id: socket['job'], object: 'job', metadata: { from: 'socket' } })
      const ended = await peer.next(of(c, 'ended'))
      expect(ended['e'].ended).toMatchObject({ id: socket['job'], state: 'done', error: null })
      const http = (await call('POST', '/v1/jobs', job(3, 1, { conversation: c }))).body.id
      expect((await peer.next(of(c, 'submitted')))['e'].submitted.id).toBe(http)
      expect((await peer.next(of(c, 'ended')))['e'].ended.id).toBe(http)
      const plain = await call('POST', '/v1/chat/completions', chat(prompt(3, 1)), target.key, {
        'sluice-conversation': c,
      })
      expect(plain.status, plain.text).toBe(200)
      const { submitted } = (await peer.next(of(c, 'submitted')))['e']
      expect((await peer.next(of(c, 'ended')))['e'].ended.id).toBe(submitted.id)
      // What the turns say is what was told
      const { turns } = (await call('GET', `/v1/conversations/${c}`)).body
      expect(turns.map((turn: any) => turn.job)).toEqual([socket['job'], http, submitted.id])
    })

    it('W111 its own submits are told as well, and a job that ends badly with its error', async () => {
      const [c, peer] = [fresh('c'), await greeted()]
      await watch(peer, c)
      const { job: id } = await submit(peer, job(400, 20, { conversation: c }))
      expect((await peer.next(of(c, 'submitted')))['e'].submitted.id).toBe(id)
      await peer.next((frame) => frame.t === 'ev' && frame['job'] === id)
      peer.say({ t: 'cancel', job: id })
      expect((await peer.next(of(c, 'ended')))['e'].ended).toMatchObject({
        id,
        state: 'canceled',
        error: { code: 'job_canceled' },
        queue: null,
      })
    })

    it('W112 after a cut, watching again tells the last turn and what has not ended, in order', async () => {
      const [c, before] = [fresh('c'), await greeted()]
      await watch(before, c)
      const { job: first } = await submit(before, job(5, 1, { conversation: c }))
      await before.next(of(c, 'ended'))
      before.drop()
      // While nobody is there: one comes and goes, one runs, one waits
      const post = async (tokens: number, delayMs: number): Promise<string> =>
        (await call('POST', '/v1/jobs', job(tokens, delayMs, { conversation: c }))).body.id
      const gone = await post(3, 1)
      await ended(gone)
      const [running, waiting] = [await post(400, 20), await post(3, 1)]
      const after = await greeted()
      const standing = await watch(after, c)
      expect(standing).toMatchObject({ turns: 2, last_turn: gone, more: false })
      expect(standing['jobs'].map((j: any) => j.id)).toEqual([running, waiting])
      expect((await call('GET', `/v1/conversations/${c}`)).body.turns.map((t: any) => t.job)).toEqual([first, gone])
      for (const id of [running, waiting]) await call('POST', `/v1/jobs/${id}/cancel`)
      await after.next((frame) => of(c, 'ended')(frame) && frame['e'].ended.id === waiting)
    })

    it('W113 a new name, a truncation, an erased turn and a deletion are told', async () => {
      const [c, peer] = [fresh('c'), await greeted()]
      const ids = [await doneJob(3, { conversation: c }), await doneJob(3, { conversation: c })]
      expect(await watch(peer, c)).toMatchObject({ turns: 2, last_turn: ids[1], jobs: [] })
      await rename(c, 'Rivers')
      expect((await peer.next(of(c, 'renamed')))['e']).toEqual({ renamed: { name: 'Rivers' } })
      await call('DELETE', `/v1/jobs/${ids[1]}`)
      expect((await peer.next(of(c, 'erased')))['e']).toEqual({ erased: { job: ids[1] } })
      await call('POST', `/v1/conversations/${c}/truncate`, { keep_turns: 0 })
      expect((await peer.next(of(c, 'truncated')))['e']).toEqual({ truncated: {} })
      expect(await watch(peer, c)).toMatchObject({ name: 'Rivers', turns: 0, last_turn: null })
      await call('DELETE', `/v1/conversations/${c}`)
      expect((await peer.next(of(c, 'deleted')))['e']).toEqual({ deleted: {} })
      // It may go on
      const { job: id } = await submit(peer, job(3, 1, { conversation: c }))
      expect((await peer.next(of(c, 'submitted')))['e'].submitted.id).toBe(id)
    })

    it('W114 unwatch ends it; other conversations are told as before', async () => {
      const [c, d, peer] = [fresh('c'), fresh('d'), await greeted()]
      await watch(peer, c)
      await watch(peer, d)
      peer.say({ t: 'unwatch', id: 'u', conversation: c })
      expect(await peer.next((frame) => frame['id'] === 'u')).toEqual({ t: 'ok', id: 'u', conversation: c })
      await doneJob(3, { conversation: c })
      await doneJob(3, { conversation: d })
      await peer.next(of(d, 'ended'))
      expect(peer.heard.filter((frame) => frame.t === 'news' && frame['conversation'] === c)).toEqual([])
    })

    it("W115 users of one tenant, and tenants, never see each other's", async () => {
      const [annUser, bobUser] = [fresh('ann'), fresh('bob')]
      const [annToken, bobToken] = [await tokenOf({ user: annUser }), await tokenOf({ user: bobUser })]
      const [ann, bob, key] = [await greetedByToken(annToken), await greetedByToken(bobToken), await greeted()]
      const c = fresh('c')
      const whole = `${encodeURIComponent(annUser)}/${c}`
      for (const peer of [ann, bob]) expect(await watch(peer, c)).toMatchObject({ turns: 0 })
      // Not by the whole name, either
      await watch(bob, whole)
      await watch(key, whole)
      const { job: id } = await submit(ann, job(3, 1, { conversation: c }))
      expect((await ann.next(of(c, 'submitted')))['e'].submitted).toMatchObject({ id, conversation: c })
      await ann.next(of(c, 'ended'))
      await rename(c, 'mine', annToken)
      await ann.next(of(c, 'renamed'))
      // The key sees all
      expect((await key.next(of(whole, 'submitted')))['e'].submitted.id).toBe(id)
      await bob.settled()
      expect(bob.heard.filter((frame) => frame.t === 'news')).toEqual([])
      expect(await watch(bob, c)).toMatchObject({ name: null, turns: 0, last_turn: null, jobs: [] })
      if (target.otherTenantKey === undefined) return
      const stranger = await greeted({}, target.otherTenantKey)
      expect(await watch(stranger, whole)).toMatchObject({ name: null, turns: 0, last_turn: null, jobs: [] })
      await submit(ann, job(3, 1, { conversation: c }))
      await ann.next(of(c, 'ended'))
      await stranger.settled()
      expect(stranger.heard.filter((frame) => frame.t === 'news')).toEqual([])
    })

    it('W116 a name that no job could have is refused', async () => {
      const peer = await greeted()
      for (const conversation of ['', 'x'.repeat(257), 'a\nb', 7, null]) {
        peer.say({ t: 'watch', id: 'bad', conversation })
        expect(await peer.next(answerTo('bad')), JSON.stringify(conversation)).toEqual(errorOf('invalid_request'))
      }
      peer.say({ t: 'watch', id: 'odd', conversation: 'c', after: 1 })
      expect(await peer.next(answerTo('odd'))).toEqual(errorOf('invalid_request'))
      await isQuiet(peer)
    })

    it('W117 over SSE the same is told: first how it stands, then the news', async () => {
      const c = fresh('c')
      const first = await doneJob(3, { conversation: c })
      const leave = new AbortController()
      const response = await fetch(`${target.url}/v1/conversations/${c}/events`, {
        headers: { ...bearer(target.key), accept: 'text/event-stream' },
        signal: leave.signal,
      })
      expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/event-stream; charset=utf-8'])
      let text = ''
      const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
      const events = async (n: number): Promise<Array<readonly [string, any]>> => {
        for (;;) {
          const blocks = text.split('\n\n').slice(0, -1)
          if (blocks.length >= n)
            return blocks.map((block) => [
              /^event: (.*)$/m.exec(block)?.[1] ?? '',
              JSON.parse(/^data: (.*)$/m.exec(block)![1]),
            ])
          const { value, done } = await reader.read()
          if (done) throw new Error(`the stream ended after ${text}`)
          text += value
        }
      }
      const [[name, standing]] = await events(1)
      expect([name, standing]).toEqual([
        'watching',
        { conversation: c, name: null, turns: 1, last_turn: first, jobs: [], more: false },
      ])
      const second = await doneJob(3, { conversation: c })
      const [, submitted, end] = await events(3)
      expect([submitted[0], submitted[1].conversation, submitted[1].e.submitted.id]).toEqual(['news', c, second])
      expect(end[1].e.ended).toMatchObject({ id: second, state: 'done' })
      leave.abort()
      const foreign = await tokenOf({ user: fresh('bob') })
      const hers = new AbortController()
      const other = await fetch(`${target.url}/v1/conversations/${c}/events`, {
        headers: bearer(foreign),
        signal: hers.signal,
      })
      const { value } = await other.body!.pipeThrough(new TextDecoderStream()).getReader().read()
      expect(value).toContain('"turns":0,"last_turn":null,"jobs":[]')
      hers.abort()
    })
  })
}
