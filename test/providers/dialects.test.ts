/**
 * Each provider's own answers, as its documentation prints them: what the provider's adapter makes of them, and what
 * the `openai` SDK reads through a running Sluice. SLUICE_TEST_RECORD=1 writes what is expected anew.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { isStepCount, streamText, tool } from 'ai'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type App, startApp } from '../../src/app.ts'
import { loadConfig } from '../../src/config/load.ts'
import { isInstalled, PACKAGES } from '../../src/routing/providers/ai-sdk/settings.ts'
import { RawUpstream } from '../../src/routing/providers/testing/upstream.ts'
import { aiSdk, WEATHER } from '../sdk-clients.ts'
import { anthropic } from './dialects/anthropic.ts'
import { bedrock } from './dialects/bedrock.ts'
import { cohere } from './dialects/cohere.ts'
import type { Fixture } from './dialects/fixture.ts'
import { google } from './dialects/google.ts'
import { vendors } from './dialects/openai.ts'
import { vertex } from './dialects/vertex.ts'
import { ask, providerOf, SECRET, whole } from './rig.ts'

const isThere = ({ provider }: Fixture): boolean => {
  const wanted = (PACKAGES as Readonly<Record<string, (typeof PACKAGES)[keyof typeof PACKAGES]>>)[provider]
  return wanted === undefined || isInstalled(wanted)
}
const all = [...anthropic, ...bedrock, ...cohere, ...google, ...vertex, ...vendors]
const FIXTURES = all.filter(isThere).map((fixture) => [fixture.name, fixture] as const)
for (const { name } of all.filter((each) => !isThere(each)))
  test.skip(`${name} (its package is not installed)`, () => {})

const CLIENT_KEY = 'sk-test-of-the-dialects-0001'
const upstream = new RawUpstream()
beforeAll(() => upstream.listen())
afterAll(() => upstream.stop())

const responseOf = ({ status = 200, isDocument = false, body, headers = '', type, isBytes }: Fixture) =>
  whole(`${status} X`, type ?? (isDocument ? 'application/json' : 'text/event-stream'), body, headers, isBytes)
const says = (fixture: Fixture): void => upstream.says(responseOf(fixture))

const PATHS: Readonly<Record<string, string>> = {
  ...{ google: '/v1beta', bedrock: '', cohere: '/v2', vertex: '/v1/publishers/google' },
}
const settingsOf = (provider: string) => ({
  provider,
  base_url: `${upstream.url}${PATHS[provider] ?? '/v1'}`,
  api_key: { env: 'KEY' },
  ...(provider === 'bedrock' && { region: 'us-east-1' }),
})

/** What differs from run to run. */
const steady = (text: string): unknown => {
  const value = JSON.parse(text) as Record<string, unknown>
  if (typeof value['created'] === 'number') value['created'] = 0
  // Bedrock's answers have no ids
  if (String(value['id']).startsWith('chatcmpl_')) value['id'] = 'made'
  const { choices = [] } = value as { choices?: ReadonlyArray<{ delta?: WithCalls; message?: WithCalls }> }
  // Google's calls have no ids: the package makes them up
  for (const { delta, message } of choices)
    for (const call of (delta ?? message)?.tool_calls ?? [])
      if (/^[A-Za-z0-9]{16}$/.test(call.id ?? '')) call.id = 'made'
  return value
}

interface WithCalls {
  readonly tool_calls?: Array<{ id?: string }> | null
}

const expectedFile = (name: string): string => join(import.meta.dirname, 'expected', `${name}.json`)

function expectAs(name: string, seen: object): void {
  const file = expectedFile(name)
  if (process.env['SLUICE_TEST_RECORD'] === '1') writeFileSync(file, `${JSON.stringify(seen, null, 2)}\n`)
  expect(existsSync(file), `${file} is there`).toBe(true)
  expect(JSON.parse(JSON.stringify(seen))).toEqual(JSON.parse(readFileSync(file, 'utf8')))
}

describe('the adapter', () => {
  test.each(FIXTURES)('%s', async (name, fixture) => {
    const { provider: kind, request, isDocument = false } = fixture
    const provider = await providerOf(settingsOf(kind))
    says(fixture)
    const { events, document, end } = await ask(provider, request, { stream: !isDocument })
    provider.close()
    const head = upstream.asked.at(-1)!.split('\r\n\r\n')[0]
    const how =
      end.kind === 'failed'
        ? { kind: end.kind, code: end.error.code, message: end.error.message, retry: end.retry }
        : { kind: end.kind }
    expectAs(name, {
      asked: { line: head.split('\r\n')[0], body: upstream.bodies.at(-1) },
      events: events.map(steady),
      ...(document !== null && { document: steady(document) }),
      end: how,
    })
    expect(JSON.stringify([events, document, how])).not.toContain(SECRET)
  })
})

describe('through Sluice', () => {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-dialects-'))
  let app: App
  const KINDS = [...new Set(FIXTURES.map(([, { provider }]) => provider))]

  beforeAll(async () => {
    const file = join(dir, 'sluice.yaml')
    const models = KINDS.map((provider) => ({
      ...{ name: `${provider}-model`, model: 'x', ...settingsOf(provider) },
    }))
    const queue = { max_attempts: 1 }
    writeFileSync(
      file,
      JSON.stringify({ port: 0, admin: { port: 0 }, data_dir: dir, durability: 'memory', queue, models }),
    )
    const { config } = loadConfig({ file, flags: {}, env: { KEY: SECRET } })
    const nothing = (): void => {}
    const log = { writes: () => false, debug: nothing, info: nothing, warn: nothing, error: nothing }
    app = await startApp(config, { log, configAgain: () => config, keyOnStart: CLIENT_KEY })
  })
  afterAll(async () => {
    await app.stop()
    rmSync(dir, { recursive: true })
  })

  const answered = FIXTURES.filter(([, { isLimit }]) => isLimit !== true)

  test.each(answered)('the openai SDK: %s', async (name, fixture) => {
    const openai = new OpenAI({ baseURL: `${app.publicUrl}/v1`, apiKey: CLIENT_KEY, maxRetries: 0 })
    const { end, events, document } = JSON.parse(readFileSync(expectedFile(name), 'utf8'))
    const request = { ...fixture.request, model: `${fixture.provider}-model` } as never
    says(fixture)
    const told = { text: '', calls: [] as unknown[], usage: null as unknown, reason: null as unknown }
    const read = async (): Promise<void> => {
      if (fixture.isDocument === true) {
        const { choices, usage } = await openai.chat.completions.create(request)
        told.text = choices[0].message.content ?? ''
        told.calls = choices[0].message.tool_calls ?? []
        told.reason = choices[0].finish_reason
        told.usage = usage
        return
      }
      const stream = openai.chat.completions.stream({
        ...(request as object),
        stream_options: { include_usage: true },
      } as never)
      const completion = await stream.finalChatCompletion()
      told.text = completion.choices[0].message.content ?? ''
      told.calls = completion.choices[0].message.tool_calls ?? []
      told.reason = completion.choices[0].finish_reason
      told.usage = completion.usage
    }
    if (end.kind === 'failed') return void (await expect(read()).rejects.toThrow())
    await read()
    const whole = { ...(document === undefined ? folded(events) : foldedDocument(document)), ...fixture.sdk }
    expect(told.text).toBe(whole.text)
    expect(told.reason).toBe(whole.reason)
    expect(told.calls.map((call) => (call as { function: { arguments: string } }).function.arguments)).toEqual(
      whole.calls,
    )
    expect(told.usage ?? null).toEqual(whole.usage)
  })

  test.each(answered)('the AI SDK: %s', async (name, fixture) => {
    const library = aiSdk(() => ({
      ...{ url: `${app.publicUrl}/v1`, key: CLIENT_KEY, model: `${fixture.provider}-model` },
    }))
    const { end, events, document } = JSON.parse(readFileSync(expectedFile(name), 'utf8'))
    const stream = fixture.isDocument !== true
    const asked = fixture.request as {
      readonly tools?: ReadonlyArray<{ readonly function: { readonly name: string } }>
    }
    const tools = asked.tools?.map((tool) => tool.function.name)
    says(fixture)
    if (end.kind === 'failed') {
      expect((await library.failure(stream)).message).not.toBe('')
      return
    }
    const told = await library.ask(stream, { ...(tools && { tools }) })
    const whole = document === undefined ? folded(events) : foldedDocument(document)
    expect(told).toMatchObject({
      ...{ text: whole.text, reasoning: whole.reasoning, reason: whole.reason },
      calls: whole.calls.map((text) => ({ input: JSON.parse(text) })),
    })
    const usage = fixture.sdk?.usage === null ? null : whole.usage
    const { prompt_tokens: input, completion_tokens: output } = (usage ?? {}) as Record<string, unknown>
    expect([told.usage[0], told.usage[2]]).toEqual([input, output])
  })

  test.each(['google', 'vertex'])('the AI SDK hands the signature of a call back: %s', async (provider) => {
    const byName = (name: string) => all.find((fixture) => fixture.name === `${provider}-${name}`)!
    upstream.says(...['tools', 'text'].map((name) => responseOf(byName(name))))
    const asked = byName('tools').request as { readonly tools: ReadonlyArray<{ readonly function: { name: string } }> }
    const sluice = createOpenAICompatible({ name: 'sluice', baseURL: `${app.publicUrl}/v1`, apiKey: CLIENT_KEY })
    const result = streamText({
      model: sluice(`${provider}-model`),
      prompt: 'Hello',
      tools: { [asked.tools[0].function.name]: tool({ ...WEATHER, execute: () => 'done' }) },
      stopWhen: isStepCount(2),
    })
    expect(await result.text).not.toBe('')
    const { contents } = upstream.bodies.at(-1) as { contents: ReadonlyArray<{ parts: readonly unknown[] }> }
    expect(contents[1].parts).toMatchObject([{ functionCall: {}, thoughtSignature: 'CiQBcsjafGvXtXs' }])
  })
})

interface Folded {
  readonly text: string
  readonly reasoning: string
  readonly calls: readonly string[]
  readonly reason: unknown
  readonly usage: unknown
}

interface Thinking {
  readonly reasoning_content?: string
  readonly reasoning?: string
}

interface AnyChunk {
  readonly choices: ReadonlyArray<{
    readonly delta: Thinking & { readonly content?: unknown; readonly tool_calls?: ReadonlyArray<Call> | null }
    readonly finish_reason: unknown
  }>
  readonly usage?: unknown
  readonly x_groq?: { readonly usage?: unknown }
}
interface Call {
  readonly index: number
  readonly function?: { readonly arguments?: string }
}

/** By hand, so that it shares nothing with what is tested. */
function folded(events: readonly AnyChunk[]): Folded {
  const calls: string[] = []
  let [text, reasoning, reason, usage]: [string, string, unknown, unknown] = ['', '', null, null]
  for (const { choices, usage: reported, x_groq } of events) {
    for (const { delta, finish_reason } of choices) {
      if (typeof delta.content === 'string') text += delta.content
      // Mistral's way
      if (Array.isArray(delta.content))
        reasoning += delta.content
          .flatMap(({ thinking }) => thinking.map(({ text }: { text: string }) => text))
          .join('')
      reasoning += delta.reasoning_content ?? delta.reasoning ?? ''
      for (const call of delta.tool_calls ?? [])
        calls[call.index] = (calls[call.index] ?? '') + (call.function?.arguments ?? '')
      reason = finish_reason ?? reason
    }
    usage = reported ?? x_groq?.usage ?? usage
  }
  return { text, reasoning, calls, reason, usage }
}

function foldedDocument(document: {
  readonly choices: ReadonlyArray<{
    readonly message: Thinking & { readonly content: string | null; readonly tool_calls?: readonly Call[] }
    readonly finish_reason: string
  }>
  readonly usage?: unknown
}): Folded {
  const [{ message, finish_reason }] = document.choices
  const calls = (message.tool_calls ?? []).map((call) => call.function?.arguments ?? '')
  const reasoning = message.reasoning_content ?? message.reasoning ?? ''
  return { text: message.content ?? '', reasoning, calls, reason: finish_reason, usage: document.usage ?? null }
}
