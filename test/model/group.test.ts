/**
 * Two real engines as one group: conversations stay where their beginning is cached, by llama.cpp's own count; what an
 * engine tells of its load is read, and what others send there taken into account; one that is killed in the middle of
 * its answers loses none, and is known to be gone and to be back. Runs where SLUICE_TEST_LLAMA_PYTHON names a Python
 * with xllamacpp, and SLUICE_TEST_GGUF a model.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Server, startServer } from '../e2e/server.ts'
import { freePort } from '../free-port.ts'

const python = process.env['SLUICE_TEST_LLAMA_PYTHON'] ?? ''
const gguf = process.env['SLUICE_TEST_GGUF'] ?? ''
const CHATS = 6
const TURNS = 4

describe.skipIf(!existsSync(python) || !existsSync(gguf))('two llama.cpp servers', () => {
  let engines: ChildProcess[] = []
  let ports: readonly number[] = []
  let server: Server

  beforeAll(async () => {
    ports = [await freePort(), await freePort()]
    engines = ports.map(startEngine)
    const isReady = (port: number): Promise<boolean> =>
      fetch(`http://127.0.0.1:${port}/health`).then(
        ({ ok }) => ok,
        () => false,
      )
    for (const port of ports)
      for (let i = 0; i < 600 && !(await isReady(port)); i++) await new Promise((done) => setTimeout(done, 50))
    const group = (name: string, policy: string) =>
      ports.map((port, i) => ({
        name,
        deployment: `${name}-${i}`,
        policy,
        provider: 'llamacpp',
        base_url: `http://127.0.0.1:${port}/v1`,
        model: 'tiny-english',
        limits: { concurrent: 8 },
        context_tokens: 512,
        health: { interval_ms: 500 },
      }))
    const models = [...group('cached', 'least-wait'), ...group('spread', 'round-robin')]
    server = await startServer(JSON.stringify({ models, queue: { retry_base_ms: 10 } }))
  })
  afterAll(async () => {
    await server?.stop()
    for (const engine of engines) engine.kill('SIGKILL')
  })

  const startEngine = (port: number): ChildProcess =>
    spawn(python, [join(import.meta.dirname, 'serve.py'), gguf, String(port)], { stdio: 'ignore' })

  const deployment = async (name: string): Promise<any> => {
    const headers = { authorization: `Bearer ${server.adminKey}` }
    const { data } = (await (await fetch(`${server.adminUrl}/admin/deployments`, { headers })).json()) as any
    return data.find((one: { readonly deployment: string }) => one.deployment === name)
  }
  const PATIENCE = { timeout: 60_000, interval: 50 }

  const http = async (path: string, body?: object): Promise<any> => {
    const response = await fetch(`${server.url}${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { authorization: `Bearer ${server.key}`, 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(60_000),
    })
    return response.json()
  }

  /** Chats of some turns, each with all that was said before; what of their prompts came from a cache. */
  async function shareCached(model: string): Promise<number> {
    let [cached, prompt] = [0, 0]
    const chat = async (i: number): Promise<void> => {
      const said = `In the ${model} book of ${i}, chapter ${i}, the king of the ${i}th land said unto his people: `
      const messages = [{ role: 'user', content: said.repeat(3) }]
      for (let turn = 0; turn < TURNS; turn++) {
        const answer = await http('/v1/chat/completions', { model, messages, max_tokens: 12, temperature: 0 })
        const { usage, choices } = answer
        if (turn > 0) cached += usage.prompt_tokens_details?.cached_tokens ?? 0
        if (turn > 0) prompt += usage.prompt_tokens
        messages.push(choices[0].message, { role: 'user', content: 'And what did the people say?' })
      }
    }
    // One by one: what is measured is where they go, not how busy the machine is
    for (let i = 0; i < CHATS; i++) await chat(i)
    return cached / prompt
  }

  it('keep what they have read of a conversation', async () => {
    const [spread, cached] = [await shareCached('spread'), await shareCached('cached')]
    console.log(
      `of prompts after the first turn, cached: ${spread.toFixed(2)} spread, ${cached.toFixed(2)} kept together`,
    )
    expect(cached).toBeGreaterThan(spread + 0.1)
  })

  it('tell their load, and what others send to one of them keeps calls from it', async () => {
    await expect
      .poll(async () => (await deployment('cached-0')).check, PATIENCE)
      .toMatchObject({ ok: true, running: 0 })
    const stop = new AbortController()
    const prompt = { prompt: 'In the beginning', n_predict: 400, ignore_eos: true }
    // Each is short, as the model is small: one after the other
    const foreign = Array.from({ length: 6 }, async () => {
      while (!stop.signal.aborted)
        await fetch(`http://127.0.0.1:${ports[0]}/completion`, {
          ...{ method: 'POST', body: JSON.stringify(prompt), signal: stop.signal },
          headers: { 'content-type': 'application/json' },
        }).then(
          (response) => response.text().catch(() => {}),
          () => {},
        )
    })
    try {
      await expect.poll(async () => (await deployment('cached-0')).check.running, PATIENCE).toBeGreaterThan(2)
      const beside = await deployment('cached-0')
      console.log(`llama.cpp: ${JSON.stringify(beside.check)}, of ours ${beside.active}`)
      expect(beside.active).toBe(0)
      const where = async (): Promise<string> => {
        const headers = { authorization: `Bearer ${server.adminKey}`, 'content-type': 'application/json' }
        const body = JSON.stringify({ model: 'cached', prompt_tokens: 20 })
        const asked = await fetch(`${server.adminUrl}/admin/route/explain`, { method: 'POST', headers, body })
        return ((await asked.json()) as { deployment: string }).deployment
      }
      await expect.poll(where, PATIENCE).toBe('cached-1')
    } finally {
      stop.abort()
      await Promise.all(foreign)
    }
    await expect.poll(async () => (await deployment('cached-0')).check.running, PATIENCE).toBe(0)
  })

  it('lose nothing when one of them is killed in the middle of its answers', async () => {
    const request = (i: number) => ({
      model: 'cached',
      max_tokens: 450,
      temperature: 0.7,
      seed: i,
      ignore_eos: true,
      messages: [{ role: 'user', content: `Chapter ${i}. And the king said unto` }],
    })
    const made = await Promise.all(
      Array.from({ length: 24 }, async (_, i) => (await http('/v1/jobs', { request: request(i) })).id as string),
    )
    const stateOf = (id: string): Promise<any> => http(`/v1/jobs/${id}`)
    const running = async (): Promise<number> => (await deployment('cached-0')).active
    await expect.poll(running, { timeout: 20_000 }).toBeGreaterThan(0)
    engines[0].kill('SIGKILL')
    for (const id of made) {
      const { state, error, usage } = await http(`/v1/jobs/${id}?wait_ms=60000`)
      expect([id, state, error]).toEqual([id, 'done', null])
      expect(usage.completion_tokens).toBeGreaterThan(0)
      // The text is that of one answer: a reset takes back what was shown
      const result = await http(`/v1/jobs/${id}/result`)
      expect(result.choices[0].finish_reason).toMatch(/stop|length/)
    }
    const attempts = await Promise.all(made.map(async (id) => (await stateOf(id)).attempts as number))
    expect(Math.max(...attempts), 'one was cut').toBeGreaterThan(1)
    await expect.poll(async () => (await deployment('cached-0')).check, PATIENCE).toMatchObject({ down: true })
    engines.push(startEngine(ports[0]))
    await expect
      .poll(async () => (await deployment('cached-0')).check, PATIENCE)
      .toMatchObject({ ok: true, down: false })
  })
})
