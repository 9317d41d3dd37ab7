/**
 * The ChatTransport against the AI SDK's own Chat, and its types. `ai` is loaded only where it is installed: it is a
 * dev dependency of this repository alone.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type Server, startServer } from '../../test/e2e/server.ts'
import { createChatTransport, type UiMessage } from '../src/ai-sdk.ts'
import { connect, type Sluice } from '../src/index.ts'
import { type Network, network } from './network.ts'

const ROOT = join(import.meta.dirname, '../..')
const AI = 'ai'
const isThere = existsSync(join(ROOT, 'node_modules', AI))

interface ChatState {
  status: string
  error: unknown
  messages: UiMessage[]
}
/** AbstractChat, as far as it is used here. */
interface Chat extends ChatState {
  sendMessage(message: { readonly text: string }): Promise<void>
  regenerate(): Promise<void>
  resumeStream(): Promise<void>
  stop(): Promise<void>
  addToolOutput(output: object): Promise<void>
}

describe.skipIf(!isThere)('useChat over Sluice (skipped without the "ai" package)', () => {
  let server: Server
  let net: Network
  let sluice: Sluice
  let ChatOver: new (options: object) => Chat
  let sendsTools: unknown

  beforeAll(async () => {
    server = await startServer('models:\n  - { name: demo, provider: demo }\nlog: { level: silent }\n')
    const ai = (await import(AI)) as {
      readonly AbstractChat: new (options: object) => object
      readonly lastAssistantMessageIsCompleteWithToolCalls: unknown
    }
    sendsTools = ai.lastAssistantMessageIsCompleteWithToolCalls
    // What React's useChat is made of, with a state that is plain
    ChatOver = class extends ai.AbstractChat {
      constructor(options: object) {
        const state = {
          status: 'ready',
          error: undefined,
          messages: [] as UiMessage[],
          pushMessage: (message: UiMessage) => void state.messages.push(message),
          popMessage: () => void state.messages.pop(),
          replaceMessage(i: number, message: UiMessage) {
            state.messages[i] = structuredClone(message)
          },
          snapshot: <T>(thing: T): T => structuredClone(thing),
        }
        super({ ...options, state })
      }
    } as never
  })
  afterAll(() => server?.stop())
  afterEach(() => {
    sluice?.close()
    net?.close()
  })

  async function chat(id: string, options: object = {}, request: object = {}): Promise<Chat> {
    net = await network(server.url)
    sluice = connect({ url: net.url, key: server.key })
    const transport = createChatTransport(sluice, { request: { model: 'demo', ...request } })
    return new ChatOver({ id, transport, ...options })
  }
  const textOf = ({ parts }: UiMessage): string => parts.map(({ text = '' }) => text).join('')
  interface StoredTurn {
    readonly job: string
    readonly state: string
    readonly messages: ReadonlyArray<{ readonly content: string }>
    readonly answer: { readonly content: string }
  }
  const turnsOf = async (id: string): Promise<readonly StoredTurn[]> =>
    ((await sluice.http('GET', `/v1/conversations/${id}`)) as { turns: StoredTurn[] }).turns
  const fresh = (): string => `chat-${Math.random().toString(36).slice(2)}`
  /** Its last answer has begun. */
  async function begun(it: Chat, messages: number): Promise<void> {
    for (let tries = 0; tries < 1_000; tries++) {
      if (it.messages.length === messages && textOf(it.messages[messages - 1]).length > 20) return
      await pause(10)
    }
    throw new Error(`no answer began: ${JSON.stringify(it.messages)}`)
  }
  const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms))

  it('tells an answer through cuts, and sends only what is new', async () => {
    const id = fresh()
    const it = await chat(id)
    const answered = it.sendMessage({ text: 'Tell me of rivers. demo: tokens=80 delay=10 ttft=10' })
    await begun(it, 2)
    net.cut()
    await answered
    await it.sendMessage({ text: 'Do you remember what I said?' })
    expect([it.status, it.error, it.messages.map(({ role }) => role)]).toEqual([
      'ready',
      undefined,
      ['user', 'assistant', 'user', 'assistant'],
    ])
    const turns = await turnsOf(id)
    expect(turns.map(({ messages }) => messages.length)).toEqual([1, 1])
    expect([textOf(it.messages[1]), textOf(it.messages[3])]).toEqual(turns.map(({ answer }) => answer.content))
    expect(textOf(it.messages[3])).toContain('Tell me of rivers')
  })

  it('goes on after a reload in mid-answer, once, and has nothing to go on with after that', async () => {
    const id = fresh()
    const before = await chat(id)
    void before.sendMessage({ text: 'Tell me of rivers. demo: tokens=400 delay=10 ttft=10' })
    await begun(before, 2)
    const messages = structuredClone(before.messages)
    sluice.close()
    const after = await chat(id, { messages })
    after.messages.push(...messages.slice(after.messages.length))
    await after.resumeStream()
    const [{ answer }] = await turnsOf(id)
    expect(after.messages.map(({ role }) => role)).toEqual(['user', 'assistant'])
    expect(textOf(after.messages[1])).toBe(answer.content)
    await after.resumeStream()
    expect(after.messages).toHaveLength(2)
  })

  it('is not stopped by a resume that takes the place of another, as where React mounts twice', async () => {
    const id = fresh()
    const before = await chat(id)
    void before.sendMessage({ text: 'Tell me of rivers. demo: tokens=100 delay=10 ttft=10' })
    await begun(before, 2)
    sluice.close()
    const after = await chat(id, { messages: before.messages.slice(0, 1) })
    await Promise.all([after.resumeStream(), after.resumeStream()])
    expect((await turnsOf(id)).map(({ state, answer }) => [state, answer.content])).toEqual([
      ['done', textOf(after.messages.at(-1)!)],
    ])
  })

  it('stops the job, regenerates in place of the last turn, and tells an error', async () => {
    const id = fresh()
    const it = await chat(id)
    await it.sendMessage({ text: 'One. demo: tokens=5 delay=1' })
    await it.sendMessage({ text: 'Two. demo: tokens=5 delay=1' })
    await it.regenerate()
    let turns = await turnsOf(id)
    expect(turns.map(({ messages }) => messages[0].content.slice(0, 3))).toEqual(['One', 'Two'])
    expect(it.messages[3].id).toBe(turns[1].job)
    const stopped = it.sendMessage({ text: 'Three. demo: tokens=5000 delay=10' })
    await begun(it, 6)
    await it.stop()
    await stopped
    for (let tries = 0; turns.length < 3 && tries < 1_000; tries++) {
      await pause(20)
      turns = await turnsOf(id)
    }
    expect(turns[2].state).toBe('canceled')
    await it.sendMessage({ text: 'Fail. demo: fail=400' })
    expect([it.status, String(it.error)]).toEqual(['error', expect.stringContaining('asked to fail')])
  })

  it('calls a tool, sends what it said, and answers', async () => {
    const id = fresh()
    const parameters = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }
    interface ToolCall {
      readonly toolName: string
      readonly toolCallId: string
    }
    const calls: ToolCall[] = []
    const it: Chat = await chat(
      id,
      {
        sendAutomaticallyWhen: sendsTools,
        onToolCall({ toolCall }: { readonly toolCall: ToolCall }) {
          calls.push(toolCall)
          void it.addToolOutput({ tool: toolCall.toolName, toolCallId: toolCall.toolCallId, output: 'sunny' })
        },
      },
      { tools: [{ type: 'function', function: { name: 'weather', parameters } }] },
    )
    await it.sendMessage({ text: 'What is the weather?' })
    for (let tries = 0; tries < 1_000 && !textOf(it.messages.at(-1)!).includes('sunny'); tries++) await pause(25)
    expect(calls).toMatchObject([{ toolName: 'weather', input: { city: expect.any(String) } }])
    expect(textOf(it.messages.at(-1)!)).toContain('sunny')
    const turns = await turnsOf(id)
    expect(turns).toHaveLength(2)
    expect(turns[1].messages).toEqual([{ role: 'tool', tool_call_id: calls[0].toolCallId, content: 'sunny' }])
  })

  it("has the types of the AI SDK's ChatTransport", () => {
    const folder = mkdtempSync(join(ROOT, 'client/test/.types-'))
    try {
      writeFileSync(
        join(folder, 'fits.ts'),
        `import type { ChatTransport, UIMessage } from 'ai'
import { createChatTransport } from '../../src/ai-sdk.ts'
import type { Sluice } from '../../src/index.ts'
declare const sluice: Sluice
export const fits: ChatTransport<UIMessage> = createChatTransport(sluice, { request: { model: 'demo' } })
`,
      )
      writeFileSync(
        join(folder, 'tsconfig.json'),
        '{ "extends": "../../../tsconfig.json", "compilerOptions": { "noEmit": true, "skipLibCheck": true, ' +
          '"lib": ["esnext", "dom", "dom.iterable"] }, "include": ["fits.ts"], "exclude": [] }',
      )
      const tsc = spawnSync(join(ROOT, 'node_modules/.bin/tsc'), ['-p', folder], { encoding: 'utf8' })
      expect([tsc.status, tsc.stdout]).toEqual([0, ''])
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
