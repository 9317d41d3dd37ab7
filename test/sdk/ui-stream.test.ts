/** A job's events as the AI SDK's own transport for HTTP reads them, and its schema of them. */
import { DefaultChatTransport, readUIMessageStream, type UIMessage } from 'ai'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestApp, type TestApp } from '../front/app.ts'

let app: TestApp
beforeAll(async () => {
  app = await startTestApp()
})
afterAll(() => app?.stop())

const authorization = (): { authorization: string } => ({ authorization: `Bearer ${app.key}` })
const urlOf = (path: string): string => `http://127.0.0.1:${app.port}${path}`

async function submit(request: object): Promise<string> {
  const response = await fetch(urlOf('/v1/jobs'), {
    method: 'POST',
    headers: { ...authorization(), 'content-type': 'application/json' },
    body: JSON.stringify({ request: { model: 'demo', ...request } }),
  })
  expect(response.status).toBe(202)
  return ((await response.json()) as { id: string }).id
}
const say = (content: string): object => ({ messages: [{ role: 'user', content }] })

/** What is shown at the end. */
async function shown(job: string): Promise<UIMessage> {
  const transport = new DefaultChatTransport({
    headers: authorization(),
    prepareReconnectToStreamRequest: ({ id }) => ({ api: urlOf(`/v1/jobs/${id}/events?dialect=ui`) }),
  })
  const stream = await transport.reconnectToStream({ chatId: job })
  let last: UIMessage | undefined
  const failed: unknown[] = []
  for await (const message of readUIMessageStream({ stream: stream!, onError: (error) => failed.push(error) }))
    last = message
  expect(failed).toEqual([])
  return last!
}

async function resultOf(job: string): Promise<{ content: string; tool_calls?: ReadonlyArray<{ id: string }> }> {
  const response = await fetch(urlOf(`/v1/jobs/${job}/result?wait_ms=20000`), { headers: authorization() })
  return ((await response.json()) as { choices: [{ message: { content: string } }] }).choices[0].message
}

it('reads text: while it is told, and again when it has ended', async () => {
  const job = await submit(say('Tell me of rivers. demo: tokens=60 delay=5'))
  for (const time of ['live', 'later']) {
    const { id, parts } = await shown(job)
    expect([time, id, parts]).toMatchObject([
      time,
      job,
      [{ type: 'step-start' }, { type: 'text', state: 'done', text: (await resultOf(job)).content }],
    ])
  }
})

it('reads a tool call, in a stream that says what it is', async () => {
  const parameters = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }
  const tools = [{ type: 'function', function: { name: 'weather', parameters } }]
  const job = await submit({ ...say('What is the weather?'), tools })
  const call = (await shown(job)).parts.find(({ type }) => type === 'dynamic-tool')
  expect(call).toMatchObject({
    toolName: 'weather',
    toolCallId: (await resultOf(job)).tool_calls![0].id,
    state: 'input-available',
    input: { city: expect.any(String) },
  })
  const { headers, body } = await fetch(urlOf(`/v1/jobs/${job}/events?dialect=ui`), { headers: authorization() })
  await body?.cancel()
  expect([headers.get('x-vercel-ai-ui-message-stream'), headers.get('content-type')]).toEqual([
    'v1',
    'text/event-stream; charset=utf-8',
  ])
})

it("tells a failure that comes first by its status, as the AI SDK's transport expects", async () => {
  const job = await submit(say('demo: fail=400'))
  await expect(shown(job)).rejects.toThrow('asked to fail')
})
