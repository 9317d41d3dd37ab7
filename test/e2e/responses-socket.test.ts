/** The Responses API over a WebSocket, by OpenAI's own client: nothing is changed but the base URL. */
import OpenAI from 'openai'
import type { Response, ResponsesClientEvent, ResponsesServerEvent } from 'openai/resources/responses/responses'
import { ResponsesWS } from 'openai/resources/responses/ws'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type Server, startServer } from './server.ts'

let server: Server
let openai: OpenAI
const open = new Set<ResponsesWS>()

beforeAll(async () => {
  server = await startServer(
    'models:\n  - { name: demo, provider: demo }\nhttp: { disconnect_grace_ms: 100 }\nwebsocket: { max_jobs: 4 }\n',
  )
  openai = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: server.key, maxRetries: 0 })
})
afterEach(() => {
  for (const socket of open) socket.close()
  open.clear()
})
afterAll(() => server?.stop())

const FAST = 'demo: tokens=12 delay=1 ttft=5'
type Create = Omit<ResponsesClientEvent.ResponseCreate, 'type'>
type Event = ResponsesServerEvent & { readonly stream_id?: string; readonly sequence_number: number }
interface Failure {
  readonly type: 'error'
  readonly status: number
  readonly code: string
  readonly error: { readonly code: string; readonly message: string; readonly param: string | null }
  readonly stream_id?: string
}

/** What came so far, and the first of it that is wanted and was not taken. */
function connect() {
  const socket = new ResponsesWS(openai)
  open.add(socket)
  const events: Event[] = []
  const errors: Failure[] = []
  let closed: number | null = null
  let wake = (): void => {}
  socket.on('event', (event) => {
    if (event.type === 'error') errors.push(event as never)
    else events.push(event as Event)
    wake()
  })
  socket.on('error', () => wake())
  socket.on('close', (code) => {
    closed = code
    wake()
  })
  async function until<T>(find: () => T | undefined | null | false): Promise<T> {
    const late = AbortSignal.timeout(30_000)
    for (;;) {
      const found = find()
      if (found) return found
      if (late.aborted)
        throw new Error(`It did not come: ${JSON.stringify([events.map(({ type }) => type), errors, closed])}`)
      await new Promise<void>((next) => {
        wake = next
        setTimeout(next, 200)
      })
    }
  }
  const create = (asked: Create): void => socket.send({ type: 'response.create', model: 'demo', ...asked })
  const finals = (): Response[] =>
    events.flatMap((event) =>
      ['response.completed', 'response.incomplete', 'response.failed'].includes(event.type)
        ? [(event as unknown as { response: Response }).response]
        : [],
    )
  const answer = async (n = 0): Promise<Response> => until(() => finals()[n])
  return { socket, events, errors, until, create, answer, finals, closed: () => until(() => closed) }
}

const textOf = (events: readonly Event[]): string =>
  events.map((event) => (event.type === 'response.output_text.delta' ? event.delta : '')).join('')
const said = ({ output }: Response): string =>
  output
    .map((item) => (item.type === 'message' ? item.content.map((part) => (part as any).text).join('') : ''))
    .join('')
const idIn = (events: readonly Event[]): string | undefined =>
  events.flatMap((event) => (event.type === 'response.created' ? [event.response.id] : []))[0]

/** What the model was sent. */
async function requestOf({ id }: Response): Promise<{ readonly messages: ReadonlyArray<Record<string, string>> }> {
  const path = `/v1/jobs/job_${id.slice('resp_'.length)}/request`
  return (await fetch(`${server.url}${path}`, { headers: { authorization: `Bearer ${server.key}` } })).json() as never
}

describe('the openai SDK', () => {
  it('is answered with the events of a stream', async () => {
    const { create, events, answer } = connect()
    create({ instructions: 'Be kind.', input: FAST })
    const response = await answer()
    expect(events.map(({ sequence_number: n }) => n)).toEqual(events.map((_, i) => i))
    expect(events.slice(0, 4).map(({ type }) => type)).toEqual([
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
    ])
    expect(textOf(events)).toBe(said(response))
    expect(textOf(events).length).toBeGreaterThan(20)
    expect(events.some((event) => 'stream_id' in event)).toBe(false)
    const { output_text: _, ...stored } = await openai.responses.retrieve(response.id)
    expect(stored).toEqual(response)
  })

  it('runs what it asks for in order, and lanes side by side', async () => {
    const { create, events, until, finals } = connect()
    create({ stream_id: 'slow', input: 'demo: tokens=40 delay=25 ttft=5' })
    create({ stream_id: 'slow', input: FAST })
    create({ stream_id: 'quick', input: FAST })
    await until(() => finals().length === 3)
    const lanes = Map.groupBy(events, (event) => event.stream_id)
    expect([...lanes.keys()].sort()).toEqual(['quick', 'slow'])
    const types = lanes.get('slow')!.map(({ type }) => type)
    expect(types.lastIndexOf('response.created')).toBe(types.indexOf('response.completed') + 1)
    // The quick one did not wait for the slow one
    const [first] = events.filter(({ type }) => type === 'response.completed')
    expect(first.stream_id).toBe('quick')
  })

  it('goes on from a response, also from one that is not to be kept, on its own connection', async () => {
    const one = connect()
    one.create({ input: FAST, store: false })
    const first = await one.answer()
    one.create({ input: FAST, store: false, previous_response_id: first.id })
    const second = await one.answer(1)
    expect(second.status).toBe('completed')
    const sent = await requestOf(second)
    expect(sent.messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'user'])
    const other = connect()
    other.create({ input: FAST, previous_response_id: first.id, stream_id: 'a' })
    const failure = await other.until(() => other.errors[0])
    expect(failure).toMatchObject({ status: 400, stream_id: 'a', error: { param: 'previous_response_id' } })
    expect(failure.error.code).toBe('previous_response_not_found')
    expect(failure.code).toBe('previous_response_not_found')
  })

  it('goes on from what was prepared without an answer', async () => {
    const { create, errors, until, answer } = connect()
    create({ input: FAST, generate: false, instructions: 'Be kind.' })
    const prepared = await answer()
    expect(prepared).toMatchObject({ status: 'completed', output: [], instructions: 'Be kind.' })
    create({ input: [{ role: 'user', content: 'And this.' }], generate: false, previous_response_id: prepared.id })
    const more = await answer(1)
    create({ input: [], previous_response_id: more.id })
    const response = await answer(2)
    expect(response.status).toBe('completed')
    const sent = await requestOf(response)
    expect(sent.messages.map(({ content }) => content)).toEqual([FAST, 'And this.'])
    create({ input: FAST, generate: false, model: 'none' })
    expect((await until(() => errors[0])).code).toBe('model_not_found')
  })

  it('loses nothing with its socket: GET is the rest', async () => {
    const { socket, create, events, until } = connect()
    create({ input: 'demo: tokens=60 delay=15 ttft=5' })
    await until(() => textOf(events).length > 40)
    socket.socket.close()
    const seen = [...events]
    const id = idIn(seen)!
    const asked = { stream: true, starting_after: seen.at(-1)!.sequence_number } as const
    const rest: Event[] = []
    for await (const event of await openai.responses.retrieve(id, asked)) rest.push(event as Event)
    expect([...seen, ...rest].map(({ sequence_number: n }) => n)).toEqual([...seen, ...rest].map((_, i) => i))
    expect(rest.at(-1)!.type).toBe('response.completed')
    expect(textOf([...seen, ...rest])).toBe(said((rest.at(-1) as any).response))
  })

  it('loses nothing where the server is killed in mid-answer', async () => {
    const { create, events, until, closed } = connect()
    create({ input: 'demo: tokens=120 delay=20 ttft=5' })
    await until(() => textOf(events).length > 40)
    await server.crash()
    await closed()
    const id = idIn(events)!
    const asked = { stream: true, starting_after: events.at(-1)!.sequence_number } as const
    const rest: Event[] = []
    for await (const event of await openai.responses.retrieve(id, asked)) rest.push(event as Event)
    expect([...events, ...rest].map(({ sequence_number: n }) => n)).toEqual([...events, ...rest].map((_, i) => i))
    const last = (rest.at(-1) as unknown as { response: Response }).response
    expect(last.status).toBe('completed')
    expect(textOf([...events, ...rest])).toBe(said(last))
  })

  it('is told what is wrong, and goes on', async () => {
    const { socket, create, errors, until, answer } = connect()
    const refused = async (event: object): Promise<Failure> => {
      const n = errors.length
      socket.sendRaw(JSON.stringify(event))
      return until(() => errors[n])
    }
    const create1 = { type: 'response.create', model: 'demo', input: FAST }
    expect((await refused({ type: 'response.crate' })).error.message).toContain('response.create')
    expect((await refused({ type: 'response.cancel' })).error.message).toContain('/cancel')
    expect((await refused({ ...create1, stream_id: 'x'.repeat(200) })).error.param).toBe('stream_id')
    expect((await refused({ ...create1, stream_id: 7 })).error.param).toBe('stream_id')
    expect((await refused({ ...create1, stream: false })).error.param).toBe('stream')
    expect((await refused({ ...create1, background: true })).error.param).toBe('background')
    const noModel = await refused({ ...create1, model: 'none', stream_id: 'b' })
    expect(noModel).toMatchObject({ status: 404, stream_id: 'b', code: noModel.error.code })
    expect((await refused({ ...create1, input: undefined })).error.param).toBe('input')
    create({ input: FAST })
    expect((await answer()).status).toBe('completed')
    const failed = await refused({ ...create1, input: 'demo: fail=400', stream_id: 'c' })
    expect(failed).toMatchObject({ status: 400, stream_id: 'c', code: failed.error.code })
  })

  it('is refused what no response takes, with the input that it sent', async () => {
    const { socket, events, until } = connect()
    const input = [{ type: 'message' as const, role: 'user' as const, content: 'Shorter.' }]
    socket.send({ type: 'response.steer', previous_response_id: 'resp_x', input })
    const [failed] = await until(() => events.length > 0 && events)
    expect(failed).toMatchObject({
      type: 'response.steer.failed',
      error: { code: 'steering_not_supported', type: 'invalid_request_error' },
      steer: { input, previous_response_id: 'resp_x' },
    })
  })

  it('has as many responses open as a connection may have', async () => {
    const { create, errors, until, finals } = connect()
    for (let i = 0; i < 6; i++)
      create({ input: 'demo: tokens=8 delay=20 ttft=5', stream_id: i % 2 === 0 ? 'a' : `b${i}` })
    await until(() => errors.length === 2)
    expect(errors.map(({ error }) => error.code)).toEqual(['too_many_jobs', 'too_many_jobs'])
    await until(() => finals().length === 4)
    create({ input: FAST })
    await until(() => finals().length === 5)
  })

  it('is told to upgrade where it does not', async () => {
    const answer = await fetch(`${server.url}/v1/responses`, { headers: { authorization: `Bearer ${server.key}` } })
    expect(answer.status).toBe(426)
  })
})
