/**
 * The fault matrix: each thing that an upstream can do wrong, in front of each way of asking, once beside a deployment
 * that works and once alone. What the client gets, what was tried and what was charged is printed as a table. Where
 * another deployment could serve and no token was out, nobody sees the fault.
 */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  chunk,
  frame,
  HEAD,
  LAST,
  RawUpstream,
  response,
  sse,
  stream,
} from '../../src/routing/providers/testing/upstream.ts'
import { ADMIN_KEY, startTestApp, type TestApp } from './app.ts'

const WAYS = ['json', 'sse', 'job'] as const
type Way = (typeof WAYS)[number]

const OPENING = chunk('{"role":"assistant","content":""}')
const HALF = chunk('{"content":"Hel"}')
const STOP = chunk('{}', '"stop"')
const usage = (prompt: number, completion: number): string =>
  `"usage":{"prompt_tokens":${prompt},"completion_tokens":${completion},"total_tokens":${prompt + completion}}`
const document = (text: string, reported: string, finish = 'stop'): string =>
  `{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant",` +
  `"content":${JSON.stringify(text)}},"finish_reason":"${finish}"}],${reported}}`
const GOOD = document('Hello', usage(3, 2))
const whole = (text: string, reported: string): string =>
  stream(OPENING, chunk(`{"content":${JSON.stringify(text)}}`), STOP, `{"id":"c1","choices":[],${reported}}`, '[DONE]')
const html = (status: string): string =>
  `HTTP/1.1 ${status}\r\ncontent-type: text/html\r\ncontent-length: 22\r\n\r\n<html>sorry</html>    `
const error = (status: string, headers = ''): string => response(status, '{"error":{"message":"no"}}', headers)
const begun = (...payloads: string[]): string => HEAD + payloads.map((payload) => frame(sse([payload]))).join('')
const beginning = (text: string): string => response('200 OK', text).slice(0, -Math.ceil(text.length / 2))

interface Fault {
  readonly name: string
  /** What the upstream does with a call. */
  readonly does: (socket: Socket, streams: boolean) => void
  /** Its streams show text first; its documents never do. */
  readonly shows?: true
  /** Answers are passed on as they are: nothing is wrong with them for us. */
  readonly isAnswer?: true
  /** Nobody else is asked: it is the request's fault. */
  readonly isRefusal?: true
  /** Its time is up before anything else happens: short ones. */
  readonly isSlow?: true
  /** It did no work: nothing is charged. */
  readonly isFree?: true
  /** It asks for TLS, and resets the connection in the handshake. */
  readonly isTls?: true
  /** `error.code` where it is alone; null: it is an answer. */
  readonly alone: string | readonly string[] | null
}

const says =
  (streamed: string, plain = streamed) =>
  (socket: Socket, streams: boolean): void =>
    void socket.write(streams ? streamed : plain, 'latin1')
const saysAndCloses =
  (streamed: string, plain = streamed) =>
  (socket: Socket, streams: boolean): void =>
    void socket.end(streams ? streamed : plain, 'latin1')

/** As far as it came before its deadline. */
const LIMITED = ['provider_rate_limited', 'deadline_exceeded']

const FAULTS: readonly Fault[] = [
  {
    name: '429, Retry-After: 1',
    does: says(error('429 Too Many', 'retry-after: 1\r\n')),
    isFree: true,
    alone: LIMITED,
  },
  { name: '429, no Retry-After', does: says(error('429 Too Many')), isFree: true, alone: LIMITED },
  { name: '429, Retry-After: 1e9', does: says(error('429 No', 'retry-after: 1e9\r\n')), isFree: true, alone: LIMITED },
  { name: '500', does: says(error('500 Oops')), isFree: true, alone: 'provider_error' },
  { name: '503, HTML', does: says(html('503 Unavailable')), isFree: true, alone: 'provider_error' },
  { name: '401', does: says(error('401 Unauthorized')), isFree: true, alone: 'provider_auth' },
  { name: '400', does: says(error('400 Bad Request')), isRefusal: true, isFree: true, alone: 'provider_rejected' },
  { name: '200, HTML', does: says(html('200 OK')), alone: 'provider_garbage' },
  {
    name: 'error in the answer, first',
    does: says(stream('{"error":{"message":"no","code":500}}'), response('200 OK', '{"error":{"message":"no"}}')),
    isFree: true,
    alone: 'provider_error',
  },
  {
    name: 'error in the answer, after text',
    does: says(begun(OPENING, HALF, '{"error":{"message":"no"}}'), response('200 OK', '{"error":{"message":"no"}}')),
    shows: true,
    alone: 'provider_error',
  },
  {
    name: 'refused by its filter',
    does: says(
      stream(OPENING, chunk('{"content":"Hello"}'), chunk('{}', '"content_filter"'), '[DONE]'),
      response('200 OK', document('Hello', usage(3, 2), 'content_filter')),
    ),
    isAnswer: true,
    alone: null,
  },
  { name: 'silence', isSlow: true, does: () => {}, alone: 'provider_timeout' },
  { name: 'silence after the head', isSlow: true, does: says(HEAD, HEAD), alone: 'provider_timeout' },
  {
    name: 'silence after text',
    isSlow: true,
    does: says(begun(OPENING, HALF), beginning(GOOD)),
    shows: true,
    alone: 'provider_timeout',
  },
  {
    name: 'a drip without end',
    isSlow: true,
    does: (socket, streams) => drip(socket, streams ? begun(OPENING) : beginning(GOOD).slice(0, 120), streams),
    shows: true,
    alone: 'provider_timeout',
  },
  { name: 'closed at once', does: (socket) => void socket.end(), isFree: true, alone: 'provider_unreachable' },
  {
    name: 'reset at once',
    does: (socket) => void socket.resetAndDestroy(),
    isFree: true,
    alone: 'provider_unreachable',
  },
  { name: 'reset in the TLS handshake', does: () => {}, isTls: true, isFree: true, alone: 'provider_unreachable' },
  {
    name: 'cut before text',
    does: saysAndCloses(begun(OPENING), beginning(GOOD)),
    alone: 'provider_cut',
  },
  {
    name: 'cut after text',
    does: saysAndCloses(begun(OPENING, HALF), beginning(GOOD)),
    shows: true,
    alone: 'provider_cut',
  },
  {
    name: '[DONE] without a reason',
    does: says(stream(OPENING, HALF, '[DONE]'), response('200 OK', '{"choices":[]}')),
    shows: true,
    alone: ['provider_cut', 'provider_garbage'],
  },
  {
    name: 'no JSON',
    does: says(stream('{"choices":[{"delta":{'), response('200 OK', '{"choices":[{"mess')),
    alone: 'provider_garbage',
  },
  { name: 'no HTTP', does: saysAndCloses('SSH-2.0-OpenSSH_9.2\r\n'), alone: 'provider_garbage' },
  {
    name: 'usage of nothing',
    does: says(whole('Hello', usage(0, 0)), response('200 OK', document('Hello', usage(0, 0)))),
    isAnswer: true,
    alone: null,
  },
  {
    name: 'usage of 1e12',
    does: says(whole('Hello', usage(1e12, 1e12)), response('200 OK', document('Hello', usage(1e12, 1e12)))),
    isAnswer: true,
    alone: null,
  },
]

/** A byte, or a chunk, each 50 ms: less than any time-out between two. */
function drip(socket: Socket, head: string, streams: boolean): void {
  socket.write(head, 'latin1')
  const next = setInterval(() => socket.write(streams ? frame(sse([HALF])) : ' ', 'latin1'), 50)
  socket.on('close', () => clearInterval(next))
}

const SLOW = FAULTS.length
/** Whole in the end. */
const SLOWLY: Pick<Fault, 'does'> = {
  does(socket) {
    socket.write(begun(OPENING, HALF), 'latin1')
    let left = 20
    const next = setInterval(() => {
      socket.write(left > 0 ? frame(sse([HALF])) : frame(sse([STOP, '[DONE]'])) + LAST, 'latin1')
      if (left-- === 0) clearInterval(next)
    }, 50)
    socket.on('close', () => clearInterval(next))
  },
}

let app: TestApp
const resets = createServer((socket) => socket.on('error', () => {}).on('data', () => socket.resetAndDestroy()))
const bad = new RawUpstream()
const good = new RawUpstream()
const rows: string[][] = []

beforeAll(async () => {
  await bad.listen()
  await good.listen()
  const pick = (request: string): Pick<Fault, 'does'> => FAULTS[Number(/ \/f(\d+)\//.exec(request)![1])] ?? SLOWLY
  const streams = (request: string): boolean => /"stream":\s*true/.test(request)
  bad.answer = (socket, request) => pick(request).does(socket, streams(request))
  good.answer = (socket, request) =>
    void socket.write(streams(request) ? whole('Hello', usage(3, 2)) : response('200 OK', GOOD), 'latin1')
  const short = { ttft_ms: 400, inter_token_ms: 400, total_ms: 1_500 }
  const long = { ttft_ms: 20_000, inter_token_ms: 20_000, total_ms: 20_000 }
  resets.listen(0, '127.0.0.1')
  await once(resets, 'listening')
  const tls = `https://127.0.0.1:${(resets.address() as AddressInfo).port}`
  const at = (name: string, kind: string, url: string, i: number, order = 0) => ({
    name: `${name}${i}`,
    deployment: `${name}${i}-${kind}`,
    provider: 'openai-compatible',
    base_url: `${url}/f${i}/v1`,
    timeouts: kind === 'bad' && FAULTS[i]?.isSlow === true ? short : long,
    order,
  })
  const models = FAULTS.flatMap(({ isTls }, i) => {
    const url = isTls === true ? tls : bad.url
    return [at('pair', 'bad', url, i), at('pair', 'good', good.url, i, 1), at('alone', 'bad', url, i)]
  })
  const minSpeed = { min_speed: { tokens_per_second: 1_000, over_ms: 300 } }
  const others = [
    { ...at('slow', 'bad', bad.url, SLOW), name: 'slow', ...minSpeed },
    { ...at('slow', 'good', good.url, SLOW, 1), name: 'slow', ...minSpeed },
    { ...at('slow-alone', 'bad', bad.url, SLOW), name: 'slow-alone', ...minSpeed },
    { ...at('fast', 'bad', good.url, SLOW), name: 'fast', ...minSpeed },
    { ...at('fast', 'good', bad.url, SLOW, 1), name: 'fast', ...minSpeed },
  ]
  models.push(...others)
  app = await startTestApp({}, { models, queue: { max_attempts: 3, retry_base_ms: 5, retry_cap_ms: 10 } })
})
afterAll(async () => {
  await app?.stop()
  resets.close()
  await bad.stop()
  await good.stop()
  const head = ['fault', 'asked for', 'beside another: client', 'tried', 'charged', 'alone: client', 'tried', 'charged']
  const at = (row: readonly string[]): number => FAULTS.findIndex(({ name }) => name === row[0])
  rows.sort((a, b) => at(a) - at(b))
  const widths = head.map((_, i) => Math.max(...[head, ...rows].map((row) => row[i].length)))
  console.log([head, ...rows].map((row) => row.map((cell, i) => cell.padEnd(widths[i])).join('  ')).join('\n'))
})

const http = (path: string, key: string, body?: object): Promise<Response> =>
  fetch(`http://127.0.0.1:${app.port}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(30_000),
  })

interface Seen {
  /** The whole text, or null. */
  readonly text: string | null
  readonly code: string | null
  readonly reset: boolean
}

const dataOf = (text: string): string[] => [...text.matchAll(/^data: (.*)$/gm)].map((match) => match[1])
const textOf = (chunks: readonly string[]): string =>
  chunks
    .filter((data) => data.startsWith('{'))
    .map((data) => JSON.parse(data).choices?.[0]?.delta?.content ?? '')
    .join('')

/** Asks one way, and says what its client ends up with. */
async function ask(way: Way, model: string, key: string, deadline_ms: number): Promise<Seen> {
  const options = { deadline_ms }
  const asked = { model, messages: [{ role: 'user', content: 'hello' }] }
  if (way === 'json') {
    const answer = (await (await http('/v1/chat/completions', key, { ...asked, sluice: options })).json()) as any
    const { message } = answer.choices?.[0] ?? {}
    return {
      text: message?.content ?? null,
      code: answer.error?.sluice_code ?? answer.error?.code ?? null,
      reset: false,
    }
  }
  if (way === 'sse') {
    const body = { ...asked, stream: true, sluice: options }
    const all = await (await http('/v1/chat/completions', key, body)).text()
    const datas = all.startsWith('{') ? [all] : dataOf(all)
    const failed = datas.find((data) => data.includes('"error"'))
    const { error: told } = failed === undefined ? { error: null } : JSON.parse(failed)
    const isDone = datas.at(-1) === '[DONE]'
    return { text: isDone ? textOf(datas) : null, code: told?.sluice_code ?? told?.code ?? null, reset: false }
  }
  const accepted = (await (await http('/v1/jobs', key, { request: asked, ...options })).json()) as any
  if (accepted.error) return { text: null, code: accepted.error.sluice_code ?? accepted.error.code, reset: false }
  const { id } = accepted
  const events = await (await http(`/v1/jobs/${id}/events`, key)).text()
  const job = (await (await http(`/v1/jobs/${id}?wait_ms=50000`, key)).json()) as any
  const reset = events.includes('event: reset')
  const since = reset ? events.slice(events.lastIndexOf('event: reset')) : events
  const text = job.state === 'done' ? textOf(dataOf(since)) : null
  return { text, code: job.error?.sluice_code ?? job.error?.code ?? null, reset }
}

async function charged(tenant: string): Promise<{ readonly prompt: number; readonly completion: number }> {
  const answer = await fetch(`http://127.0.0.1:${app.adminPort}/admin/usage?tenant=${tenant}`, {
    headers: { authorization: `Bearer ${ADMIN_KEY}` },
  })
  const { data } = (await answer.json()) as { data: ReadonlyArray<Record<string, number>> }
  const sum = (name: string): number => data.reduce((all, row) => all + (row[name] ?? 0), 0)
  return { prompt: sum('prompt_tokens'), completion: sum('completion_tokens') }
}

const calls = (upstream: RawUpstream, i: number): number =>
  upstream.asked.filter((request) => request.includes(` /f${i}/`)).length

describe('a stream that is slower than min_speed', () => {
  it.concurrent.each(['sse', 'job'] as const)('is left for another, unseen, asked for as %s', async (way) => {
    const { key } = await app.addKey(`slow-${way}`)
    expect(await ask(way, 'slow', key, 60_000)).toEqual({ text: 'Hello', code: null, reset: false })
    expect((await charged(`slow-${way}`)).completion).toBeGreaterThan(2)
  })

  it('is as slow as it is where it is alone, and one that is fast enough is not kept waiting', async () => {
    const { key } = await app.addKey('slow-alone')
    expect((await ask('sse', 'slow-alone', key, 60_000)).text).toMatch(/^Hel/)
    expect((await ask('sse', 'fast', key, 60_000)).text).toBe('Hello')
  })
})

it.concurrent.each(FAULTS.map((fault, i) => [fault.name, fault, i] as const))(
  '%s',
  async (_name, fault, i) => {
    // One way after the other, since calls of a fault are counted
    for (const way of WAYS) {
      const seen: Array<Seen & { bad: number; good: number; prompt: number; completion: number }> = []
      for (const where of ['pair', 'alone']) {
        const tenant = `${where}-${way}-${i}`
        const { key } = await app.addKey(tenant)
        const before = [calls(bad, i), calls(good, i)]
        const got = await ask(way, `${where}${i}`, key, where === 'alone' && fault.alone === LIMITED ? 700 : 60_000)
        const tried = { bad: calls(bad, i) - before[0], good: calls(good, i) - before[1] }
        seen.push({ ...got, ...tried, ...(await charged(tenant)) })
      }
      const told = ({ text, code, reset }: Seen): string => `${text ?? code}${reset ? ', after a reset' : ''}`
      rows.push([
        fault.name,
        way,
        ...seen.flatMap((one) => [
          told(one),
          `${one.bad} there, ${one.good} elsewhere`,
          `${one.prompt} + ${one.completion}`,
        ]),
      ])
      const [pair, alone] = seen
      const isShown = fault.shows === true && way !== 'json'
      if (fault.alone === null) {
        expect([alone.text, alone.code, pair.text, pair.good]).toEqual(['Hello', null, 'Hello', 0])
        // What can't be true is not believed
        for (const { prompt, completion } of seen) {
          expect([3, 8]).toContain(prompt)
          expect([1, 2]).toContain(completion)
        }
        continue
      }
      expect([fault.alone].flat(), way).toContain(alone.code)
      expect([alone.text, alone.good]).toEqual([null, 0])
      expect(alone.bad).toBeLessThanOrEqual(3)
      // Where another could serve and no token was out, nobody sees the fault. Of a job, what was shown is taken back
      if (fault.isRefusal === true || (isShown && way === 'sse'))
        expect([pair.text, pair.code, pair.bad, pair.good]).toEqual([null, alone.code, 1, 0])
      else {
        expect([pair.text, pair.code, pair.good, pair.reset]).toEqual(['Hello', null, 1, isShown])
        // One that asked for patience is left alone meanwhile
        if (fault.alone === LIMITED) expect(pair.bad).toBeLessThanOrEqual(1)
        else expect(pair.bad).toBe(fault.isTls === true ? 0 : 1)
      }
      // Its own usage for the answer; for what broke off the prompt that it had, and what was shown
      for (const { prompt, completion, bad: asked, good: answered } of seen) {
        expect(prompt).toBe(
          3 * answered + (fault.isFree === true || (way === 'json' && FREE_AS_JSON.has(fault.name)) ? 0 : 8 * asked),
        )
        expect(completion).toBeGreaterThanOrEqual(2 * answered + (isShown && !FREE_AS_JSON.has(fault.name) ? asked : 0))
        expect(completion).toBeLessThanOrEqual(2 * answered + (isShown ? MOST_SHOWN : 0))
      }
    }
  },
  120_000,
)

/** Tokens of a drip, until its time is up. */
const MOST_SHOWN = 80
/** Its documents are nothing but an error. */
const FREE_AS_JSON: ReadonlySet<string> = new Set(['error in the answer, after text'])
