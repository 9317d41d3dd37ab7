/**
 * A real model behind a real engine: 50 chats at once through Sluice to llama.cpp. Runs where SLUICE_TEST_LLAMA_PYTHON
 * names a Python with xllamacpp, and SLUICE_TEST_GGUF a model.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Server, startServer } from '../e2e/server.ts'
import { freePort } from '../free-port.ts'

const python = process.env['SLUICE_TEST_LLAMA_PYTHON'] ?? ''
const gguf = process.env['SLUICE_TEST_GGUF'] ?? ''
const CHATS = 50
const SLOTS = 8

describe.skipIf(!existsSync(python) || !existsSync(gguf))('llama.cpp', () => {
  let llama: ChildProcess
  let server: Server
  let openai: OpenAI
  let engine: string

  beforeAll(async () => {
    const port = await freePort()
    engine = `http://127.0.0.1:${port}`
    llama = spawn(python, [join(import.meta.dirname, 'serve.py'), gguf, String(port)], { stdio: 'ignore' })
    const ready = async (): Promise<boolean> =>
      fetch(`http://127.0.0.1:${port}/health`).then(
        (r) => r.ok,
        () => false,
      )
    for (let i = 0; i < 200 && !(await ready()); i++) await new Promise((done) => setTimeout(done, 50))
    server = await startServer(`models:
  - name: tiny
    provider: openai-compatible
    base_url: "http://127.0.0.1:${port}/v1"
    model: tiny-english
    limits: { concurrent: ${SLOTS} }
    context_tokens: 512
    completions: true
`)
    openai = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: server.key, maxRetries: 0 })
  })
  afterAll(async () => {
    await server?.stop()
    llama?.kill('SIGKILL')
  })

  const ask = (i: number) => ({
    model: 'tiny',
    max_tokens: 40,
    temperature: 0,
    seed: 7,
    messages: [{ role: 'user' as const, content: `Chapter ${i}. And the king said unto` }],
  })

  it(`answers ${CHATS} chats at once on ${SLOTS} slots, each stream whole`, async () => {
    const answers = await Promise.all(
      Array.from({ length: CHATS }, async (_, i) => {
        const stream = await openai.chat.completions.create({
          ...ask(i),
          stream: true,
          stream_options: { include_usage: true },
        })
        let text = ''
        let finish: string | null = null
        let tokens = 0
        for await (const chunk of stream) {
          text += chunk.choices[0]?.delta.content ?? ''
          finish = chunk.choices[0]?.finish_reason ?? finish
          tokens = chunk.usage?.completion_tokens ?? tokens
        }
        return { text, finish, tokens }
      }),
    )
    for (const answer of answers) {
      expect(answer.finish).toMatch(/stop|length/)
      expect(answer.tokens).toBeGreaterThan(0)
      expect(answer.text.length).toBeGreaterThan(0)
    }
  })

  it('gives the same answer in JSON as in a stream', async () => {
    const whole = await openai.chat.completions.create(ask(3))
    let text = ''
    for await (const chunk of await openai.chat.completions.create({ ...ask(3), stream: true }))
      text += chunk.choices[0]?.delta.content ?? ''
    expect(whole.choices[0].message.content).toBe(text)
    expect(whole.usage!.completion_tokens).toBeGreaterThan(0)
  })

  it('completes a text as the engine does: whole, as a stream, and from tokens', async () => {
    const completion = { model: 'tiny', prompt: 'And the king said unto', max_tokens: 12, temperature: 0, seed: 7 }
    const whole = await openai.completions.create(completion)
    let text = ''
    let tokens = 0
    const stream = { ...completion, stream: true as const, stream_options: { include_usage: true } }
    for await (const { choices, usage } of await openai.completions.create(stream)) {
      text += choices[0]?.text ?? ''
      tokens = usage?.completion_tokens ?? tokens
    }
    expect(text.length).toBeGreaterThan(0)
    expect(whole.choices[0].text).toBe(text)
    expect([whole.usage!.completion_tokens, whole.choices[0].finish_reason]).toEqual([tokens, 'length'])
    const own = await fetch(`${engine}/v1/completions`, { method: 'POST', body: JSON.stringify(completion) })
    expect(((await own.json()) as OpenAI.Completion).choices[0].text).toBe(text)
    const ofTokens = await openai.completions.create({ ...completion, prompt: [1, 2, 3, 4] })
    expect(ofTokens.usage!.prompt_tokens).toBeGreaterThan(2)
  })

  it("answers Anthropic's clients", async () => {
    const anthropic = new Anthropic({ baseURL: server.url, apiKey: server.key, maxRetries: 0 })
    const { messages, max_tokens } = ask(3)
    const request = { model: 'tiny', messages, max_tokens, temperature: 0 }
    const whole = await anthropic.messages.create(request)
    const streamed = await anthropic.messages.stream(request).finalMessage()
    expect(streamed.content).toEqual(whole.content)
    expect(whole.content).toMatchObject([{ type: 'text' }])
    expect(whole.usage.output_tokens).toBe(streamed.usage.output_tokens)
    expect(['end_turn', 'max_tokens']).toContain(whole.stop_reason)
  })
})
