/** The providers that there are, held to the suite; then bugs, each of which it must catch. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { createProviders, loadAdapters } from '../../src/app/models.ts'
import { loadConfig } from '../../src/config/load.ts'
import { systemClock, Wheel } from '../../src/core/clock.ts'
import { systemIds } from '../../src/core/ids.ts'
import type { Provider, ProviderSink } from '../../src/core/ports/provider.ts'
import { startMock } from '../../src/mock/server.ts'
import { PROVIDERS } from '../../src/routing/providers/index.ts'
import { RawUpstream, response } from '../../src/routing/providers/testing/upstream.ts'
import { VENDORS } from '../../src/routing/providers/vendors/settings.ts'
import { startAnthropicMock } from '../providers/anthropic-mock.ts'
import { createEcho } from './echo.ts'
import { type OpenRig, PATIENT, type ProviderCase, providerCases, type Rig, runProviderCase } from './provider.ts'

const dir = mkdtempSync(join(tmpdir(), 'sluice-provider-'))
const file = join(dir, 'sluice.yaml')
afterAll(() => rmSync(dir, { recursive: true }))

/** As the server makes it: from the settings of a model. */
async function providerOf(model: Readonly<Record<string, unknown>>): Promise<Provider> {
  writeFileSync(file, JSON.stringify({ models: [{ name: 'm', ...model }] }))
  const { config } = loadConfig({ file, env: { KEY: 'a-key' } })
  const deps = { clock: systemClock, ids: systemIds(), wheel: new Wheel(systemClock), gatherMs: () => 0 }
  return createProviders(config, await loadAdapters(config), deps)[0].provider
}

const demo: OpenRig = async () => {
  const provider = await providerOf({ provider: 'demo', demo: { ttft_ms: 0, token_ms: 0 } })
  return { provider, model: 'demo', active: () => null, close: async () => provider.close() }
}

/** Against real servers on this machine. `path`: of the base URL. */
function overHttp(path: string, model: Readonly<Record<string, unknown>>): OpenRig {
  const open = async (): Promise<Rig> => {
    const mock = await startMock({ port: 0 })
    const provider = await providerOf({ ...model, base_url: `${mock.url}${path}` })
    return {
      provider,
      model: 'mock',
      active: () => mock.stats.active,
      async close() {
        provider.close()
        await mock.close()
      },
    }
  }
  const raw = async ({ url }: RawUpstream): Promise<Rig> => {
    const provider = await providerOf({ ...model, base_url: `${url}${path}` })
    return { provider, model: 'm', active: () => null, close: async () => provider.close() }
  }
  return Object.assign(open, { raw })
}

/** Through a package of the AI SDK. */
const anthropic: OpenRig = async () => {
  const mock = await startAnthropicMock()
  const key = { api_key: { env: 'KEY' } }
  const provider = await providerOf({ provider: 'anthropic', base_url: `${mock.url}/v1`, ...key })
  return {
    provider,
    model: 'mock',
    active: () => mock.active(),
    async close() {
      provider.close()
      await mock.close()
    },
  }
}

const AZURE_PATH = '/openai/deployments/gpt'
const AZURE = { provider: 'azure', api_key: { env: 'KEY' }, api_version: '2024-10-21' }
const RIGS: Readonly<Record<string, { readonly open: OpenRig; readonly gaps: Readonly<Record<string, string>> }>> = {
  demo: { open: demo, gaps: { documents: 'it only streams', upstream: 'it has none' } },
  openai: {
    open: overHttp('/v1', { provider: 'openai', api_key: { env: 'KEY' } }),
    gaps: { continues: "OpenAI's API can't" },
  },
  'openai-compatible': {
    open: overHttp('/v1', { provider: 'openai-compatible' }),
    gaps: { continues: 'the mock does not; provider.test.ts shows what is asked' },
  },
  azure: { open: overHttp(AZURE_PATH, AZURE), gaps: { continues: "Azure's API can't" } },
  // The one whose row differs most from OpenAI's
  mistral: {
    open: overHttp('/v1', { provider: 'mistral', api_key: { env: 'KEY' }, stream_usage: true }),
    gaps: { continues: 'the mock does not; vendors.test.ts shows what is asked' },
  },
  anthropic: {
    open: anthropic,
    gaps: {
      embeddings: 'it has none',
      upstream: 'its bytes are translated: test/providers',
      continues: 'its newer models refuse a beginning',
    },
  },
}
/** By the same adapter, with other packages, which need not be there: test/providers has what they say. */
const AS_ANTHROPIC = ['google', 'cohere', 'bedrock', 'vertex']
/** Rows of one table, by one adapter. */
const AS_MISTRAL = VENDORS.map(({ name }) => name).filter((name) => name !== 'mistral')

test('every provider that there is stands here', () => {
  expect([...Object.keys(RIGS), ...AS_MISTRAL, ...AS_ANTHROPIC].sort()).toEqual(
    PROVIDERS.map(({ name }) => name).sort(),
  )
})

/** One that reads no script: the words that it is to say are in the message. */
const echo: OpenRig = async () => {
  const provider = createEcho(systemClock)
  const request = (script: string): object => {
    const words = script.includes('-f20000') ? 10_000 : Number(/-n(\d+)/.exec(script)?.[1] ?? 1)
    return { messages: [{ role: 'user', content: Array(words).fill('word').join(' ') }] }
  }
  return { provider, model: '', request, active: () => null, close: async () => provider.close() }
}
const ECHO_GAPS = {
  documents: 'it only streams',
  embeddings: 'it has none',
  upstream: 'it has none',
  faults: 'it makes none, and waits for nobody',
  continues: 'it begins at the start',
}

for (const [name, { open, gaps }] of [...Object.entries(RIGS), ['echo', { open: echo, gaps: ECHO_GAPS }] as const])
  for (const one of providerCases) {
    const gap = (gaps as Readonly<Record<string, string>>)[one.needs ?? '']
    if (gap === undefined) test.concurrent(`${name}: ${one.name}`, () => runProviderCase(one, open))
    else test.skip(`${name}: ${one.name} (${gap})`, () => {})
  }

test.each([
  ['', RIGS['azure'].open],
  [", of the resource's address", overHttp('', { ...AZURE, model: 'gpt' })],
])('azure: its key in a header of its own, its version in the query of each call%s', async (_of, open) => {
  const upstream = new RawUpstream()
  await upstream.listen()
  const rig = await open.raw!(upstream)
  upstream.says(response('200 OK', '{}'))
  const end = Promise.withResolvers<void>()
  const call = { kind: 'chat', stream: false, requestId: 'r', timeouts: PATIENT, body: Buffer.from('{}') } as const
  rig.provider.start(call, { events() {}, document() {}, end: () => end.resolve() })
  await end.promise
  const [head] = upstream.asked[0].split('\r\n\r\n')
  expect(head).toMatch(/^POST \/openai\/deployments\/gpt\/chat\/completions\?api-version=2024-10-21 HTTP\/1\.1\r\n/)
  expect(head).toMatch(/\r\napi-key: a-key\r\n/)
  expect(head).not.toMatch(/\r\nauthorization:/i)
  await rig.close()
  await upstream.stop()
})

// ---------------------------------------------------------------- planted bugs

/** A provider with its sink, or the run it returns, bent. */
const bent =
  (open: OpenRig, bend: (provider: Provider) => Partial<Provider>): OpenRig =>
  async () => {
    const rig = await open()
    const provider = { ...rig.provider, ...bend(rig.provider) }
    return { ...rig, provider }
  }
const withSink = (open: OpenRig, bend: (sink: ProviderSink) => ProviderSink): OpenRig =>
  bent(open, (provider) => ({ start: (call, sink) => provider.start(call, bend(sink)) }))
const withRaw = (open: OpenRig, bend: (sink: ProviderSink) => ProviderSink): OpenRig =>
  Object.assign(withSink(open, bend), {
    raw: async (upstream: RawUpstream) => {
      const rig = await open.raw!(upstream)
      const { provider } = rig
      return { ...rig, provider: { ...provider, start: (call, sink) => provider.start(call, bend(sink)) } } as Rig
    },
  })

const { open: http } = RIGS['openai']
const BUGS: Readonly<Record<string, { readonly open: OpenRig; readonly caughtBy: string }>> = {
  'two ends': {
    open: withSink(demo, (sink) => ({
      ...pass(sink),
      end(end) {
        sink.end(end)
        sink.end(end)
      },
    })),
    caughtBy: 'a stream:',
  },
  'events after the end': {
    open: withSink(demo, (sink) => ({
      ...pass(sink),
      end(end) {
        sink.end(end)
        setTimeout(() => sink.events(['{}']), 10)
      },
    })),
    caughtBy: 'a stream:',
  },
  'told before start has returned': {
    open: bent(demo, (provider) => ({
      start(call, sink) {
        sink.events(['{"choices":[]}'])
        return provider.start(call, sink)
      },
    })),
    caughtBy: 'a stream:',
  },
  'a token lost': {
    open: withSink(http, (sink) => {
      let seen = 0
      return { ...pass(sink), events: (all) => sink.events(all.filter(() => ++seen !== 1_000)) }
    }),
    caughtBy: 'many tokens',
  },
  'a cut told as a good end': {
    open: withSink(http, (sink) => ({
      ...pass(sink),
      end: (end) => sink.end(end.kind === 'failed' ? { kind: 'done' } : end),
    })),
    caughtBy: 'a cut',
  },
  'bytes made anew': {
    open: withRaw(http, (sink) => ({
      ...pass(sink),
      events: (all) => sink.events(all.map((text) => JSON.stringify(JSON.parse(text)))),
    })),
    caughtBy: "the upstream's bytes",
  },
  'limits dropped': {
    open: withRaw(http, (sink) => ({
      ...pass(sink),
      end: ({ ...end }) => sink.end({ ...end, limits: undefined } as never),
    })),
    caughtBy: "an upstream's rate limits",
  },
  'abort that waits for the next read': {
    open: bent(http, (provider) => ({
      start(call, sink) {
        const run = provider.start(call, sink)
        return { ...runOf(run), abort: () => void setTimeout(() => run.abort(), 30) }
      },
    })),
    caughtBy: 'abort stops it within the turn',
  },
  'abort without an end': {
    open: withSink(http, (sink) => ({ ...pass(sink), end: (end) => end.kind !== 'aborted' && sink.end(end) })),
    caughtBy: 'a call can be aborted while it is paused',
  },
  'abort that leaves the upstream talking': {
    open: bent(http, (provider) => ({
      start(call, sink) {
        let over = false
        const run = provider.start(call, {
          events: (all) => over || sink.events(all),
          document: (document, usage) => over || sink.document(document, usage),
          end: (end) => over || sink.end(end),
        })
        return {
          ...runOf(run),
          abort() {
            if (over) return
            over = true
            queueMicrotask(() => sink.end({ kind: 'aborted' }))
          },
        }
      },
    })),
    caughtBy: 'abort stops it within the turn',
  },
  'pause ignored': {
    open: bent(http, (provider) => ({
      start: (call, sink) => ({ ...runOf(provider.start(call, sink)), pause() {}, resume() {} }),
    })),
    caughtBy: 'pause stops the reading',
  },
  'a pause counted as silence': {
    open: bent(demo, (provider) => ({
      start(call, sink) {
        const run = provider.start(call, sink)
        let timer: NodeJS.Timeout
        const error = () => sink.end({ kind: 'failed', retry: true, error: new Error('silent') as never })
        return {
          ...runOf(run),
          pause() {
            run.pause()
            timer = setTimeout(error, call.timeouts.interTokenMs)
          },
          resume() {
            clearTimeout(timer)
            run.resume()
          },
        }
      },
    })),
    caughtBy: 'a pause that is longer',
  },
  'everything worth a retry': {
    open: withSink(http, (sink) => ({
      ...pass(sink),
      end: (end) => sink.end(end.kind === 'failed' ? { ...end, retry: true } : end),
    })),
    caughtBy: 'a status is told',
  },
  'throws at a bad body': {
    open: bent(demo, (provider) => ({
      start(call, sink) {
        JSON.parse(Buffer.from(call.body).toString())
        return provider.start(call, sink)
      },
    })),
    caughtBy: 'start never throws',
  },
  'the beginning told again': {
    open: bent(demo, (provider) => ({
      start: (call, sink) => {
        const { prefix: _, ...whole } = call
        return provider.start(whole, sink)
      },
    })),
    caughtBy: 'prolongs a given beginning',
  },
  'close that forgets who runs': {
    open: bent(http, () => ({ close() {} })),
    caughtBy: 'close ends what runs',
  },
}

const pass = (sink: ProviderSink): ProviderSink => ({
  events: (all) => sink.events(all),
  document: (document, usage) => sink.document(document, usage),
  end: (end) => sink.end(end),
})
const runOf = (run: ReturnType<Provider['start']>) => ({
  sentMono: run.sentMono,
  abort: () => run.abort(),
  pause: () => run.pause(),
  resume: () => run.resume(),
})

for (const [bug, { open, caughtBy }] of Object.entries(BUGS))
  test.concurrent(`planted: ${bug}`, async () => {
    const [one, ...others] = providerCases.filter(({ name }) => name.startsWith(caughtBy)) as ProviderCase[]
    expect(others).toEqual([])
    const rigs: Rig[] = []
    const remember = async (rig: Promise<Rig>): Promise<Rig> => {
      rigs.push(await rig)
      return rig
    }
    const opened = Object.assign(() => remember(open()), {
      ...(open.raw && { raw: (upstream: RawUpstream) => remember(open.raw!(upstream)) }),
    })
    await expect(within(8_000, runProviderCase(one, opened))).rejects.toThrow()
    await Promise.all(rigs.map((rig) => rig.close()))
  })

/** A call that never ends is caught too. */
function within<T>(ms: number, step: Promise<T>): Promise<T> {
  return new Promise((done, fail) => {
    const timer = setTimeout(() => fail(new Error(`no end within ${ms} ms`)), ms)
    step.then(done, fail).finally(() => clearTimeout(timer))
  })
}
