/** The connection against TanStack AI's own ChatClient, with answers that are withdrawn, called, thought and failed. */
import { ChatClient } from '@tanstack/ai-client'
import { describe, expect, it } from 'vitest'
import type { Job, JobEvent, Sluice } from '../src/index.ts'
import { createChatConnection } from '../src/tanstack-ai.ts'

const chunk = (delta: object, finish: string | null = null): JobEvent =>
  ({
    type: 'chunk',
    chunk: { choices: [{ index: 0, delta, finish_reason: finish }] },
    text: '',
    cursor: '',
  }) as JobEvent
const text = (content: string): JobEvent => chunk({ content })
const call = (args: string): JobEvent =>
  chunk({ tool_calls: [{ index: 0, id: 'c1', function: { name: 'weather', arguments: args } }] })
const end = (state: string, message?: string): JobEvent =>
  ({ type: 'end', state, error: message ? { code: 'x', message } : null, cut: null }) as unknown as JobEvent

interface Submitted {
  readonly request: { readonly messages: object[]; readonly tools?: object[] }
  readonly conversation: string
}

/** Jobs job_1, job_2, … with these events, in a server that knows nothing else. */
function scripted(...jobs: ReadonlyArray<readonly JobEvent[]>) {
  const submitted: Submitted[] = []
  const calls: string[] = []
  const job = (id: string, events: readonly JobEvent[]): Job =>
    ({
      id,
      accepted: Promise.resolve({ id }),
      detach() {},
      cancel: async () => void calls.push(`cancel ${id}`),
      async *[Symbol.asyncIterator]() {
        yield* events
        // One that has not ended
        if (events.at(-1)?.type !== 'end') await new Promise(() => {})
      },
    }) as unknown as Job
  const sluice = {
    submit: (request: Submitted) => job(`job_${submitted.push(request)}`, jobs[submitted.length - 1]),
    attach: (id: string) => job(id, []),
    async http(method: string, path: string, body?: object) {
      calls.push(`${method} ${path}${body ? ` ${JSON.stringify(body)}` : ''}`)
      const turns = submitted.map((_, i) => ({ job: `job_${i + 1}` }))
      return { turn_count: turns.length, turns, next: null }
    },
  } as unknown as Sluice
  const faults: Error[] = []
  const connection = createChatConnection(sluice, { request: { model: 'demo' } })
  const client = new ChatClient({ connection, threadId: 'chat', onError: (error) => void faults.push(error) })
  const shown = (): unknown[] => client.getMessages().map(({ role, parts }) => [role, ...parts.map(brief)])
  return { submitted, calls, client, shown, faults }
}
function brief(part: { readonly type: string }): unknown {
  const { type, content, name, input } = part as never as Record<string, string>
  return type === 'tool-call' ? { name, input } : { [type]: content }
}

describe("TanStack AI's ChatClient over Sluice", () => {
  it('shows what counts of an answer that was withdrawn, and of one that was thought about', async () => {
    const reset = { type: 'reset' } as unknown as JobEvent
    const { client, shown, submitted } = scripted(
      [chunk({ reasoning_content: 'Hm. ' }), text('Half an'), reset, text('The '), text('whole.'), end('done')],
      [chunk({ reasoning_content: 'Well' }), chunk({ reasoning_content: '…' }), text('Second.'), end('done')],
    )
    await client.sendMessage('One')
    await client.sendMessage('Two')
    expect(shown()).toEqual([
      ['user', { text: 'One' }],
      ['assistant', { text: 'The whole.' }],
      ['user', { text: 'Two' }],
      ['assistant', { thinking: 'Well…' }, { text: 'Second.' }],
    ])
    expect(submitted.map(({ request, conversation }) => [conversation, request.messages])).toEqual([
      ['chat', [{ role: 'user', content: 'One' }]],
      ['chat', [{ role: 'user', content: 'Two' }]],
    ])
  })

  it('calls tools when the answer has ended well, and sends what they said', async () => {
    const called: unknown[] = []
    const { client, shown, submitted } = scripted(
      [text('I look.'), call('{"city":'), call('"Ulm"}'), chunk({}, 'tool_calls'), end('done')],
      [text('Rain.'), end('done')],
    )
    client.updateOptions({
      tools: [
        {
          __toolSide: 'client',
          name: 'weather',
          description: '',
          execute: async (input: unknown) => ({ sky: 'grey', seen: called.push(input) }),
        },
      ] as never,
    })
    await client.sendMessage('Weather?')
    await expect.poll(() => submitted.length).toBe(2)
    await expect.poll(() => client.getStatus()).toBe('ready')
    expect(called).toEqual([{ city: 'Ulm' }])
    expect(submitted[0].request.tools).toMatchObject([{ type: 'function', function: { name: 'weather' } }])
    expect(submitted[1].request.messages).toEqual([
      { role: 'tool', tool_call_id: 'c1', content: '{"sky":"grey","seen":1}' },
    ])
    expect(shown().at(-1)).toEqual(['assistant', { text: 'Rain.' }])
  })

  it('calls no tool of an answer that failed, and tells why it did', async () => {
    const { client, faults, submitted } = scripted([call('{}'), end('failed', 'The provider is gone.')])
    let called = 0
    client.updateOptions({
      tools: [{ __toolSide: 'client', name: 'weather', description: '', execute: () => called++ }] as never,
    })
    await client.sendMessage('Weather?')
    expect(faults.map(({ message }) => message)).toEqual(['The provider is gone.'])
    expect([called, submitted.length, client.getStatus()]).toEqual([0, 1, 'error'])
  })

  it('asks again in place of the last turn', async () => {
    const { client, calls, shown } = scripted([text('One.'), end('done')], [text('Other.'), end('done')])
    await client.sendMessage('Say')
    await client.reload()
    expect(calls.slice(-1)).toEqual(['PATCH /v1/conversations?id=chat {"keep_turns":0}'])
    expect(shown()).toEqual([
      ['user', { text: 'Say' }],
      ['assistant', { text: 'Other.' }],
    ])
  })

  it('lets an answer go on that is no longer read, and ends it where another message takes its place', async () => {
    const { client, calls, submitted } = scripted([text('On and on')], [text('Other.'), end('done')])
    void client.sendMessage('Say')
    await expect.poll(() => client.getMessages().at(-1)?.role).toBe('assistant')
    client.stop()
    expect([client.getStatus(), calls]).toEqual(['ready', []])
    await client.sendMessage('Else')
    expect([calls, submitted.length]).toEqual([['cancel job_1'], 2])
  })

  it('sends pictures and files as the chat dialect has them', async () => {
    const { client, submitted } = scripted([text('Seen.'), end('done')])
    await client.sendMessage({
      content: [
        { type: 'text', content: 'What is it?' },
        { type: 'image', source: { type: 'data', value: 'QUJD', mimeType: 'image/png' } },
        { type: 'document', source: { type: 'url', value: 'https://example.com/a.pdf', mimeType: 'application/pdf' } },
      ],
    })
    expect(submitted[0].request.messages).toEqual([
      {
        role: 'user',
        content: [
          { type: 'text', text: 'What is it?' },
          { type: 'image_url', image_url: { url: 'data:image/png;base64,QUJD' } },
          { type: 'file', file: { filename: 'file', file_data: 'https://example.com/a.pdf' } },
        ],
      },
    ])
  })
})
