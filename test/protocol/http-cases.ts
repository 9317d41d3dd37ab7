/** PROTOCOL.md sections 2, 3 and 5 as cases of the suite: where an answer continues, and whether to retry. */
import { beforeAll, describe, expect, it } from 'vitest'
import type { Target } from './conformance.ts'

/** One `data:` of chat SSE, under its cursor. */
interface Event {
  readonly id: string
  readonly data: string
}

/** Chat SSE: blocks of `id` and `data`, and comments. A block that was cut off is none. */
function eventsOf(text: string): Event[] {
  return text
    .split('\n\n')
    .slice(0, -1)
    .map((block) => block.replace(/^(?::.*\n)+/, ''))
    .filter((block) => block !== '')
    .map((block) => {
      const [, id, data] = /^id: (.+)\ndata: ([\s\S]*)$/.exec(block) ?? []
      expect(data, `a block of chat SSE: ${block}`).toBeDefined()
      return { id, data }
    })
}

export function describeHttp(reach: () => Promise<Target> | Target): void {
  let target: Target
  beforeAll(async () => {
    target = await reach()
  })

  const prompt = (tokens: number, delayMs: number): string =>
    target.prompt?.(tokens, delayMs) ?? `Tell me of rivers. demo: tokens=${tokens} delay=${delayMs} ttft=${delayMs}`
  const headers = (more: Record<string, string> = {}): Record<string, string> => ({
    authorization: `Bearer ${target.key}`,
    ...more,
  })
  const post = (path: string, body: object, more: Record<string, string> = {}): Promise<Response> =>
    fetch(target.url + path, {
      method: 'POST',
      headers: headers({ 'content-type': 'application/json', ...more }),
      body: JSON.stringify(body),
    })
  const get = (path: string, more: Record<string, string> = {}): Promise<Response> =>
    fetch(target.url + path, { headers: headers(more) })
  const chat = (content: string, more: object = {}): object => ({
    model: target.model,
    messages: [{ role: 'user', content }],
    ...more,
  })

  /** Reads until it has `count` events, and breaks off. */
  async function some(response: Response, count: number): Promise<Event[]> {
    let text = ''
    const decoder = new TextDecoder()
    const reader = response.body!.getReader()
    for (;;) {
      const { value, done } = await reader.read()
      if (done) return eventsOf(text)
      text += decoder.decode(value, { stream: true })
      const events = eventsOf(text)
      if (events.length < count) continue
      await reader.cancel()
      return events.slice(0, count)
    }
  }
  const verdict = (response: Response): readonly unknown[] =>
    ['x-should-retry', 'retry-after', 'retry-after-ms'].map((name) => response.headers.get(name))
  const NEVER = ['false', null, null]

  describe('tracing', () => {
    const trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'

    it('a traceparent is echoed, by an answer and by an error', async () => {
      for (const [body, status] of [
        [chat(prompt(3, 0)), 200],
        [{ model: target.model, messages: 'none' }, 400],
      ] as const) {
        const response = await post('/v1/chat/completions', body, { traceparent: trace })
        expect([response.status, response.headers.get('traceparent')]).toEqual([status, trace])
        await response.body?.cancel()
      }
    })

    it('one that is malformed is ignored, in a header and as a member', async () => {
      const response = await post('/v1/chat/completions', chat(prompt(3, 0)), { traceparent: trace.toUpperCase() })
      expect([response.status, response.headers.get('traceparent')]).toEqual([200, null])
      const job = await post('/v1/jobs', { request: chat(prompt(3, 0)), traceparent: 'none' })
      expect(job.status).toBe(202)
    })
  })

  describe('server-timing', () => {
    it('is on an answer and on an error, and in the last event of a stream', async () => {
      for (const body of [chat(prompt(3, 0)), { model: target.model, messages: 'none' }]) {
        const response = await post('/v1/chat/completions', body)
        expect(response.headers.get('server-timing')).toMatch(/(^|, )total;dur=[\d.]+$/)
        await response.body?.cancel()
      }
      const stream = await post('/v1/chat/completions', chat(prompt(3, 0), { stream: true }))
      expect(await stream.text()).toMatch(/\n: server-timing .*upstream;dur=[\d.]+.*\nid: .*\ndata: \[DONE\]\n\n$/)
    })
  })

  describe('where an answer goes on', () => {
    it.each([false, true])(
      'H1 location of a chat stream: GET it with Last-Event-ID and nothing else (usage asked: %s)',
      async (usage) => {
        const body = chat(prompt(60, 10), {
          stream: true,
          ...(usage ? { stream_options: { include_usage: true } } : {}),
        })
        const first = await post('/v1/chat/completions', body)
        const location = first.headers.get('location')!
        expect(location).toMatch(/^\/v1\/jobs\/[^/]+\/events\?dialect=chat$/)
        const got = await some(first, 5)
        for (const many of [7, 9, Infinity]) {
          const more = await get(location, { 'last-event-id': got.at(-1)!.id })
          expect([more.status, more.headers.get('location')]).toEqual([200, location])
          got.push(...(many === Infinity ? eventsOf(await more.text()) : await some(more, many)))
        }
        const whole = eventsOf(await (await get(location)).text())
        expect(got).toEqual(whole)
        expect(got.at(-1)!.data).toBe('[DONE]')
        expect(got.filter(({ data }) => data.includes('"choices":[]')).length).toBe(usage ? 1 : 0)
        expect((await get(location, { 'last-event-id': got.at(-1)!.id })).status).toBe(204)
      },
    )

    it('H2 location of a JSON answer gives the same bytes again', async () => {
      const first = await post('/v1/chat/completions', chat(prompt(5, 1)))
      const again = await get(first.headers.get('location')!)
      expect([again.status, await again.text()]).toEqual([200, await first.text()])
    })

    it('H14 the events of a job spell its JSON answer, whether it was asked to stream or not', async () => {
      for (const stream of [true, false, undefined]) {
        const request = chat(prompt(5, 1), stream === undefined ? {} : { stream })
        const { id } = (await (await post('/v1/jobs', { request })).json()) as { id: string }
        const result = (await (await get(`/v1/jobs/${id}/result?wait_ms=15000`)).json()) as {
          choices: Array<{ message: { content: string }; finish_reason: string }>
        }
        const events = await (await get(`/v1/jobs/${id}/events?dialect=chat`)).text()
        const chunks = eventsOf(events).map(({ data }) => data)
        expect(chunks.pop()).toBe('[DONE]')
        let content = ''
        let reason: string | null = null
        for (const chunk of chunks) {
          const { object, choices } = JSON.parse(chunk) as {
            object: string
            choices: Array<{ delta: { content?: string | null }; finish_reason: string | null }>
          }
          expect(object).toBe('chat.completion.chunk')
          content += choices[0]?.delta.content ?? ''
          reason = choices[0]?.finish_reason ?? reason
        }
        expect([content, reason]).toEqual([result.choices[0].message.content, result.choices[0].finish_reason])
      }
    })

    it('H3 location of a job names its native events; of one asked for as a stream, its chunks', async () => {
      const { id } = (await (await post('/v1/jobs', { request: chat(prompt(3, 1)) })).json()) as { id: string }
      for (const [response, dialect] of [
        [await post('/v1/jobs', { request: chat(prompt(3, 1)) }), 'native'],
        [await post('/v1/chat/completions', chat(prompt(3, 1)), { prefer: 'respond-async' }), 'native'],
        [await post('/v1/chat/completions', chat(prompt(3, 1), { stream: true }), { prefer: 'respond-async' }), 'chat'],
      ] as const) {
        expect(response.status).toBe(202)
        const text = await (await get(response.headers.get('location')!)).text()
        expect(text.includes('event: end')).toBe(dialect === 'native')
        expect(text.includes('data: [DONE]')).toBe(dialect === 'chat')
      }
      expect((await get(`/v1/jobs/${id}?wait_ms=15000`)).status).toBe(200)
    })

    it.each(['application/json', '*/*', 'text/event-stream'])(
      'H4 events are sent to who accepts %s',
      async (accept) => {
        const { events } = (await (await post('/v1/jobs', { request: chat(prompt(3, 1)) })).json()) as {
          events: string
        }
        for (const path of [events, `${events}?dialect=chat`, `/v1${events}`]) {
          const response = await get(path, { accept })
          expect([response.status, response.headers.get('content-type')]).toEqual([
            200,
            expect.stringContaining('text/event-stream'),
          ])
          await response.text()
        }
      },
    )

    it('H5 chat events resume after any cursor, and say what cannot be resumed', async () => {
      const first = await post('/v1/chat/completions', chat(prompt(8, 1), { stream: true }))
      const location = first.headers.get('location')!
      const all = eventsOf(await first.text())
      for (const [i, { id }] of all.slice(0, -1).entries()) {
        expect(eventsOf(await (await get(location, { 'last-event-id': id })).text())).toEqual(all.slice(i + 1))
        expect(eventsOf(await (await get(`${location}&after=${id}`)).text())).toEqual(all.slice(i + 1))
      }
      for (const [cursor, status, code] of [
        ['x', 400, 'cursor_invalid'],
        ['1-9999', 400, 'cursor_ahead'],
      ] as const) {
        const response = await get(location, { 'last-event-id': cursor })
        const { error } = (await response.json()) as { error: { code: string } }
        expect([response.status, error.code, ...verdict(response)]).toEqual([status, code, ...NEVER])
      }
    })
  })

  describe('whether to ask again', () => {
    it('H6 never, for what is wrong with the request', async () => {
      for (const response of [
        await post('/v1/chat/completions', { model: target.model }),
        await post('/v1/chat/completions', chat('x', { model: 'no-such-model' })),
        await get('/v1/jobs/job_00000000000000000000000000'),
        await get('/v1/nothing'),
        await get('/v1/jobs?foo=1'),
        await fetch(`${target.url}/v1/models`),
        await fetch(`${target.url}/v1/models`, { headers: { authorization: 'Bearer sk-sluice-wrong' } }),
      ]) {
        expect(response.status).toBeGreaterThanOrEqual(400)
        expect(verdict(response), await response.text()).toEqual(NEVER)
      }
    })

    it.for([false, true])('H7 never, for a job whose attempts are used up (stream: %s)', async (stream, context) => {
      if (target.prompt !== undefined) return context.skip('only the demo model fails on request')
      const response = await post('/v1/chat/completions', chat('demo: fail=500 delay=1 ttft=1', { stream }))
      expect(response.status).toBeGreaterThanOrEqual(500)
      expect(verdict(response), await response.text()).toEqual(NEVER)
    })

    it('H15 nor for what two parsers may read as two requests', async () => {
      const twice = JSON.stringify(chat('hello')).replace('{', '{"model":"another",')
      const path = '/v1/chat/completions'
      const raw = { 'content-type': 'application/json' }
      const answers = [
        await fetch(target.url + path, { method: 'POST', headers: headers(raw), body: twice }),
        await post(path, chat('hello', { Model: 'another' })),
      ]
      for (const [i, param] of ['model', 'Model'].entries()) {
        expect([answers[i].status, answers[i].headers.get('x-should-retry')]).toEqual([400, 'false'])
        expect(await answers[i].json()).toMatchObject({ error: { code: 'invalid_request', param } })
      }
    })

    it('H20 nor for a user that is none, or two of them', async () => {
      const path = '/v1/chat/completions'
      for (const [user, header, param] of [
        [7, undefined, 'user'],
        [['a'], undefined, 'user'],
        ['a', 'b', 'sluice-user'],
      ] as const) {
        const answer = await post(path, chat('hello', { user }), header === undefined ? {} : { 'sluice-user': header })
        expect([answer.status, answer.headers.get('x-should-retry')]).toEqual([400, 'false'])
        expect(await answer.json()).toMatchObject({ error: { code: 'invalid_request', param } })
      }
    })

    it('H8 at a given time, where there was no time for it', async (context) => {
      if (target.prompt !== undefined) return context.skip('only the demo model fails on request')
      const response = await post(
        '/v1/chat/completions',
        chat('demo: fail=429 retry_after=1', {
          sluice: { deadline_ms: 100 },
        }),
      )
      expect([429, 504]).toContain(response.status)
      const [again, seconds, ms] = verdict(response)
      expect([again, Number(seconds) > 0, Number(seconds) === Math.ceil(Number(ms) / 1_000)]).toEqual([
        'true',
        true,
        true,
      ])
    })
  })

  describe('limits', () => {
    const limited = (): Record<string, string> => ({ authorization: `Bearer ${target.limitedKey}` })
    /** The parameters of its items, by their names. */
    const items = (field: string | null): ReadonlyMap<string, string> =>
      new Map((field ?? '').split(', ').map((item) => [item.slice(0, item.indexOf(';')), item] as const))

    it.for([false, true])('H18 an answer tells what is left (stream: %s)', async (stream, context) => {
      if (target.limitedKey === undefined) return context.skip('no key with limits')
      const path = '/v1/chat/completions'
      const response = await post(path, chat(prompt(2, 1), { stream, max_tokens: 5 }), limited())
      await response.body?.cancel()
      expect(response.status).toBe(200)
      const left = (what: string): string | null => response.headers.get(`x-ratelimit-${what}`)
      for (const unit of ['requests', 'tokens']) {
        const [limit, remaining] = [Number(left(`limit-${unit}`)), Number(left(`remaining-${unit}`))]
        expect([limit > 0, remaining >= 0, remaining < limit]).toEqual([true, true, true])
        expect(left(`reset-${unit}`)).toMatch(/^(?:\d+h)?(?:\d+m)?(?:\d+ms|\d+(?:\.\d{1,3})?s)$/)
      }
      expect(left('limit-tokens')).toBe('1000')
      const policies = items(response.headers.get('ratelimit-policy'))
      const limits = items(response.headers.get('ratelimit'))
      expect([...limits.keys()]).toEqual([...policies.keys()])
      for (const item of policies.values())
        expect(item).toMatch(/^"[\w-]+";q=\d{1,15}(?:;qu="[\w-]+")?(?:;w=[1-9]\d*)?$/)
      for (const item of limits.values()) expect(item).toMatch(/^"[\w-]+";r=\d{1,15}(?:;t=\d+)?$/)
    })

    it('H19 what can never fit is refused for good, by name', async (context) => {
      if (target.limitedKey === undefined) return context.skip('no key with limits')
      const large = chat('A long story of rivers. '.repeat(2_000))
      const response = await post('/v1/chat/completions', large, limited())
      expect([response.status, verdict(response)]).toEqual([429, NEVER])
      const { error } = (await response.json()) as { error: Record<string, any> }
      expect(error).toMatchObject({
        type: 'tokens',
        code: 'rate_limit_exceeded',
        sluice_code: 'request_exceeds_limit',
        limit: { unit: 'tokens', limit: 1_000, reset_ms: null },
      })
      expect(error['message']).toMatch(/^Request too large for .*: Limit 1000, Requested \d+\./)
      const job = await post('/v1/jobs', { jobs: [{ request: large }] }, limited())
      expect(await job.json()).toMatchObject({ data: [{ error: { sluice_code: 'request_exceeds_limit' } }] })
    })
  })

  describe('who asks', () => {
    it.each(['x-api-key', 'api-key'])('H9 the key in %s is as good; two that differ are none', async (name) => {
      expect((await fetch(`${target.url}/v1/models`, { headers: { [name]: target.key } })).status).toBe(200)
      expect((await get('/v1/models', { [name]: `${target.key}x` })).status).toBe(400)
    })

    it('H10 a path as SDKs make it of a base URL', async () => {
      for (const path of ['/models', '/v1/v1/models', '/v1/models/']) expect((await get(path)).status, path).toBe(200)
    })
  })
  describe('conversations', () => {
    let names = 0
    const fresh = (name: string): string => `${name}-${Date.now().toString(36)}-${names++}`
    const json = async (path: string): Promise<any> => (await get(path)).json()
    async function turn(conversation: string): Promise<string> {
      const made = await post('/v1/jobs', { conversation, request: chat(prompt(1, 1)) })
      const { id } = (await made.json()) as { id: string }
      expect((await get(`/v1/jobs/${id}/result?wait_ms=20000`)).status).toBe(200)
      return id
    }

    it.for(['.', '..', 'a\\b', 'a/b', 'a%2Fb'])('H11 the query names what a path cannot carry: %s', async (name) => {
      const query = `?id=${encodeURIComponent(name)}`
      await fetch(`${target.url}/v1/conversations${query}`, { method: 'DELETE', headers: headers() })
      const id = await turn(name)
      expect(await json(`/v1/conversations${query}`)).toMatchObject({ id: name, turns: [{ job: id }] })
      expect(await json(`/v1/conversations?conversation=${encodeURIComponent(name)}`)).toMatchObject({ id: name })
      const change = await fetch(`${target.url}/v1/conversations${query}`, {
        method: 'PATCH',
        headers: headers({ 'content-type': 'application/json' }),
        body: JSON.stringify({ name: 'Rivers', keep_turns: 0 }),
      })
      expect(change.status).toBe(204)
      expect(await json(`/v1/conversations${query}`)).toMatchObject({ name: 'Rivers', turn_count: 0, turns: [] })
      const gone = await fetch(`${target.url}/v1/conversations${query}`, { method: 'DELETE', headers: headers() })
      expect([gone.status, (await get(`/v1/conversations${query}`)).status]).toEqual([204, 404])
    })

    it('H12 turns come in pages from either end, each page in order', async () => {
      const name = fresh('pages')
      const jobs: string[] = []
      for (let i = 0; i < 3; i++) jobs.push(await turn(name))
      const page = async (query: string): Promise<[string[], string | null]> => {
        const { turns, next, has_more: more } = await json(`/v1/conversations/${name}${query}`)
        expect(more).toBe(next !== null)
        return [turns.map(({ job }: { job: string }) => job), next]
      }
      expect(await page('')).toEqual([jobs, null])
      const [newest, older] = await page('?limit=2')
      expect(newest).toEqual(jobs.slice(1))
      expect(await page(`?limit=2&after=${older}`)).toEqual([jobs.slice(0, 1), null])
      const [oldest, newer] = await page('?limit=2&order=oldest')
      expect(oldest).toEqual(jobs.slice(0, 2))
      expect(await page(`?limit=2&order=oldest&after=${newer}`)).toEqual([jobs.slice(2), null])
      expect((await get(`/v1/conversations/${name}?after=x`)).status).toBe(400)
    })

    it('H13 the list comes in pages, the newest message first', async () => {
      const made = [fresh('a'), fresh('b'), fresh('c')]
      for (const name of [made[0], made[1], made[2], made[0]]) await turn(name)
      const seen: string[] = []
      for (let after = ''; seen.length < 3; ) {
        const { data, next } = await json(`/v1/conversations?limit=2${after}`)
        seen.push(...data.map(({ id }: { id: string }) => id))
        if (next === null) break
        after = `&after=${encodeURIComponent(next)}`
      }
      expect(seen.filter((id) => made.includes(id))).toEqual([made[0], made[2], made[1]])
      expect((await get('/v1/conversations?after=x')).status).toBe(400)
    })
  })

  describe('a request that is weighed', () => {
    const answer = async (path: string, body: object): Promise<any> => {
      const response = await post(path, body)
      expect(response.status).toBe(200)
      return response.json()
    }

    it('H16 has as many tokens as its parts', async () => {
      const short = await answer('/v1/tokenize', { model: target.model, text: 'rivers' })
      expect(short).toEqual({
        object: 'tokens',
        model: target.model,
        tokens: expect.any(Number),
        exact: expect.any(Boolean),
      })
      const long = await answer('/v1/tokenize', { model: target.model, text: 'rivers and '.repeat(50) })
      expect(long.tokens).toBeGreaterThan(10 * short.tokens)
      const both = { model: target.model, messages: [{ role: 'user', content: 'rivers' }] }
      expect((await answer('/v1/tokenize', both)).tokens).toBeGreaterThan(short.tokens)
      expect((await post('/v1/tokenize', { model: target.model, text: 'a', input: 'b' })).status).toBe(400)
    })

    it('H17 has a cost, or the reason why none is known', async () => {
      const told = await answer('/v1/estimate', chat('rivers', { max_tokens: 7, n: 2 }))
      expect(told).toMatchObject({ object: 'estimate', model: target.model, max_output_tokens: 14 })
      expect(told.input_tokens).toBeGreaterThan(0)
      if (told.cost === null) expect(told.cost_unknown).toEqual(expect.any(String))
      else {
        const { input, output_max: output, nano_dollars: nano, currency, price_version: version } = told.cost
        expect([currency, typeof version]).toEqual(['usd', 'string'])
        expect([Math.round(input * 1e9), Math.round(output * 1e9)]).toEqual([nano.input, nano.output_max])
      }
      expect(await answer('/v1/estimate', { request: chat('rivers') })).toMatchObject({ max_output_tokens: null })
      expect((await post('/v1/estimate', chat('rivers', { model: 'no-such-model' }))).status).toBe(404)
    })
  })
}
