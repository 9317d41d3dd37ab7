/** What each vendor's row changes in a request; whose key goes where; an Ollama on this machine. */
import { createServer, type Server } from 'node:http'
import { afterEach, describe, expect, test } from 'vitest'
import { findModels } from '../../../config/found.ts'
import { loadConfig } from '../../../config/load.ts'
import { systemClock, Wheel } from '../../../core/clock.ts'
import { systemIds } from '../../../core/ids.ts'
import { RawUpstream, response } from '../testing/upstream.ts'
import { createAt } from './adapter.ts'
import { ollamaModels, ollamaUrl } from './local.ts'
import { VENDORS, type Vendor, vendors } from './settings.ts'

const ROWS: ReadonlyArray<readonly [string, Vendor]> = VENDORS.map((vendor) => [vendor.name, vendor])
const PAID = ROWS.filter(([, { keyVariable }]) => keyVariable !== null)

type Given = Readonly<Record<string, unknown>>
/** The one model of a configuration, as code sees it. */
const modelOf = (given: Given, env: Readonly<Record<string, string>> = {}) => {
  const flags = {}
  const found = [{ name: 'm', model: 'x', ...given }]
  const { config } = loadConfig({ env, flags, found })
  return config.models.at(-1) as unknown as {
    readonly apiKey: { reveal(): string } | null
    readonly baseUrl: string | null
  }
}

describe('whose key goes where', () => {
  test.each(PAID)('%s: the name of a model is enough, where the key is in the environment', (provider, vendor) => {
    const { apiKey, baseUrl } = modelOf({ provider }, { [vendor.keyVariable!]: 'its-key' })
    expect(apiKey?.reveal()).toBe('its-key')
    expect(baseUrl).toBeNull()
    expect(() => modelOf({ provider })).toThrow(`the environment variable ${vendor.keyVariable} is not set`)
    expect(() => modelOf({ provider, api_key: null })).toThrow(`is required by the provider ${provider}`)
  })

  test.each(PAID)('%s: another origin gets no key that is not named beside it', (provider, vendor) => {
    const env = { [vendor.keyVariable!]: 'its-key', OTHER: 'another' }
    const host = new URL(vendor.baseUrl).host
    for (const base_url of ['https://evil.example/v1', `http://${host}/v1`, `https://${host}:444/v1`])
      expect(modelOf({ provider, base_url }, env).apiKey).toBeNull()
    const base_url = 'https://proxy.example/v1'
    expect(modelOf({ provider, base_url, api_key: { env: 'OTHER' } }, env).apiKey?.reveal()).toBe('another')
    expect(modelOf({ provider, base_url: `https://${host}/other/v1` }, env).apiKey?.reveal()).toBe('its-key')
  })

  test('openai: the same', () => {
    const env = { OPENAI_API_KEY: 'its-key' }
    expect(modelOf({ provider: 'openai' }, env).apiKey?.reveal()).toBe('its-key')
    expect(modelOf({ provider: 'openai', base_url: 'https://evil.example/v1' }, env).apiKey).toBeNull()
  })

  test.each(ROWS.filter(([, { keyVariable }]) => keyVariable === null))('%s: needs no key', (provider) => {
    expect(modelOf({ provider }).apiKey).toBeNull()
  })

  test('without models, a key in the environment offers its own', () => {
    const env = { GROQ_API_KEY: 'a', MISTRAL_API_KEY: 'b' }
    const { models } = loadConfig({ env, flags: {} }).config
    const named = models.map(({ provider, name }) => `${provider}: ${name}`)
    expect(named).toContain('groq: groq/*')
    expect(named).toContain('mistral: mistral-embed*')
    expect(new Set(models.map(({ provider }) => provider))).toEqual(new Set(['demo', 'groq', 'mistral']))
  })
})

describe('a request', () => {
  const upstream = new RawUpstream()
  afterEach(() => upstream.stop())

  async function askedOf(vendor: Vendor, body: object, prefix?: string): Promise<Record<string, unknown>> {
    await upstream.listen()
    upstream.says(response('500 Error', ''))
    const { settings } = vendors.find((each) => each.vendor === vendor)!
    const { config } = loadConfig({
      env: { KEY: 'a-key' },
      flags: {},
      found: [{ name: 'm', provider: settings.name, base_url: `${upstream.url}/v1`, api_key: { env: 'KEY' } }],
    })
    const deps = { clock: systemClock, ids: systemIds(), wheel: new Wheel(systemClock), gatherMs: () => 0 }
    const rest = { proxy: null, noProxy: [], maxAnswerBytes: 1e6, readFile: () => '' }
    const provider = createAt(vendor)('test', config.models.at(-1) as never, { ...deps, ...rest })
    const end = Promise.withResolvers<void>()
    const timeouts = { ttftMs: 5_000, interTokenMs: 5_000, totalMs: 5_000 }
    const call = {
      kind: 'chat',
      stream: true,
      requestId: 'r',
      timeouts,
      body: Buffer.from(JSON.stringify(body)),
    } as const
    provider.start({ ...call, prefix }, { events() {}, document() {}, end: () => end.resolve() })
    await end.promise
    provider.close()
    return upstream.bodies.at(-1)!
  }

  const BODY = { model: 'm', messages: [{ role: 'user', content: 'Hi' }], max_completion_tokens: 7 }

  test.each(ROWS)('%s: usage is asked for, and the tokens limited, in its own words', async (_, vendor) => {
    const asked = await askedOf(vendor, BODY)
    const limit = vendor.isMaxTokens ? { max_tokens: 7 } : { max_completion_tokens: 7 }
    const usage = vendor.streamUsage ? { stream_options: { include_usage: true } } : {}
    expect(asked).toEqual({ model: 'm', messages: BODY.messages, stream: true, ...limit, ...usage })
  })

  const row = (name: string): Vendor => VENDORS.find((vendor) => vendor.name === name)!

  test('both limits given: the one that it knows stays', async () => {
    const { max_tokens, max_completion_tokens } = await askedOf(row('mistral'), { ...BODY, max_tokens: 3 })
    expect({ max_tokens, max_completion_tokens }).toEqual({ max_tokens: 3 })
  })

  test.each([
    ['groq', 'groq/llama', 'llama'],
    ['groq', 'groq/groq/compound', 'groq/compound'],
    ['groq', 'llama', 'llama'],
    ['groq', 'groq/', 'groq/'],
    ['openrouter', 'openrouter/openai/gpt-4.1', 'openai/gpt-4.1'],
    ['mistral', 'mistral/x', 'mistral/x'],
  ])('%s: %s is %s there', async (name, model, sent) => {
    expect((await askedOf(row(name), { ...BODY, model }))['model']).toBe(sent)
  })

  test.each([
    ['mistral', { role: 'assistant', content: 'So ', prefix: true }, {}],
    ['vllm', { role: 'assistant', content: 'So ' }, { continue_final_message: true, add_generation_prompt: false }],
  ])('%s: prolongs a beginning', async (name, last, flags) => {
    const asked = await askedOf(row(name), BODY, 'So ')
    expect(asked['messages']).toEqual([...BODY.messages, last])
    expect(asked).toMatchObject(flags)
  })
})

describe('an Ollama on this machine', () => {
  let server: Server | null = null
  afterEach(async () => {
    server?.closeAllConnections()
    await new Promise((done) => (server === null ? done(null) : server.close(done)))
    server = null
  })

  async function at(answer: (end: (status: number, text: string) => void, write: (text: string) => void) => void) {
    server = createServer((_, response) =>
      answer(
        (status, text) => void response.writeHead(status).end(text),
        (text) => void response.write(text),
      ),
    )
    await new Promise<void>((done) => server!.listen(0, '127.0.0.1', done))
    return `127.0.0.1:${(server.address() as { port: number }).port}`
  }

  test('its models are there, those of ":latest" by the short name too', async () => {
    const OLLAMA_HOST = await at((end) => end(200, '{"models":[{"name":"llama3.2:latest"},{"name":"qwen3:8b"},{}]}'))
    const found = await findModels({ OLLAMA_HOST })
    const base = { base_url: `http://${OLLAMA_HOST}/v1`, provider: 'ollama' }
    expect(found).toEqual(['llama3.2:latest', 'qwen3:8b', 'llama3.2'].map((name) => ({ name, ...base })))
    const { config } = loadConfig({ env: {}, flags: {}, found })
    expect(config.models.map(({ name }) => name)).toEqual(['demo', 'llama3.2:latest', 'qwen3:8b', 'llama3.2'])
  })

  test.each([
    ['nothing but silence', () => {}],
    ['a drip', (_: unknown, write: (text: string) => void) => write('{')],
    ['no JSON', (end: (status: number, text: string) => void) => end(200, '<html>')],
    ['other JSON', (end: (status: number, text: string) => void) => end(200, '{"models":7}')],
    ['null', (end: (status: number, text: string) => void) => end(200, 'null')],
    ['an error', (end: (status: number, text: string) => void) => end(500, '{"models":[{"name":"a"}]}')],
    ['names that are none', (end: (status: number, text: string) => void) => end(200, '{"models":[{"name":"a b"}]}')],
  ])('%s is no Ollama, and holds nobody up', async (_, answer) => {
    expect(await ollamaModels(`http://${await at(answer)}`, 200)).toEqual([])
  })

  test('more than a list of models can be is let go at once', async () => {
    const host = await at((_, write) => write('{"models":['.padEnd(2_000_000)))
    expect(await ollamaModels(`http://${host}`, 3_600_000)).toEqual([])
  })

  test('nobody there', async () => {
    expect(await findModels({ OLLAMA_HOST: '127.0.0.1:1' })).toEqual([])
    expect(await findModels({ OLLAMA_HOST: 'https://secure.example' })).toEqual([])
  })

  test.each([
    [null, 'http://127.0.0.1:11434'],
    ['0.0.0.0', 'http://127.0.0.1:11434'],
    ['0.0.0.0:9', 'http://127.0.0.1:9'],
    ['gpu:7000', 'http://gpu:7000'],
    ['http://gpu:7000/', 'http://gpu:7000'],
    ['[::]:9', 'http://[::1]:9'],
    ['https://gpu', null],
    ['user:password@gpu', null],
    ['::', null],
  ])('OLLAMA_HOST=%s is %s', (host, url) => {
    expect(ollamaUrl(host)).toBe(url)
  })
})
