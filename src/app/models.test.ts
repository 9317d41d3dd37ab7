import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { systemClock, Wheel } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import { systemIds } from '../core/ids.ts'
import type { Provider } from '../core/ports/provider.ts'
import { type Adapters, createProviders, loadAdapters, type NamedProvider, toRoutes } from './models.ts'

const dir = mkdtempSync(join(tmpdir(), 'sluice-models-'))
afterAll(() => rmSync(dir, { recursive: true }))
const deps = { clock: systemClock, ids: systemIds(), wheel: new Wheel(systemClock), gatherMs: () => 0 }

function configOf(models: readonly object[], more: object = {}, key = 'a-key'): Config {
  const file = join(dir, 'sluice.yaml')
  writeFileSync(file, JSON.stringify({ models, ...more }))
  return loadConfig({ file, env: { KEY: key, PATH: 'a-path' } }).config
}
const open = async (config: Config, before: readonly NamedProvider[] = []): Promise<readonly NamedProvider[]> =>
  createProviders(config, await loadAdapters(config), deps, before)

const AT = { provider: 'openai-compatible', base_url: 'http://127.0.0.1:1/v1', api_key: { env: 'KEY' } }
const CHAT = { name: 'chat', ...AT }

it('a provider is kept while nothing changes that it was made of', async () => {
  const before = await open(configOf([CHAT]))
  const isKept = async (config: Config) => (await open(config, before))[0].provider === before[0].provider
  for (const tuned of [
    { order: 3 },
    { limits: { concurrent: 2 } },
    { timeouts: { ttft_ms: 5 } },
    { context_tokens: 10, kinds: ['chat'], stream: 'never', conversation_members: ['x'], pool: 'gpu' },
  ])
    expect(await isKept(configOf([{ ...CHAT, ...tuned }])), JSON.stringify(tuned)).toBe(true)
  for (const changed of [
    { base_url: 'http://127.0.0.1:1/v2' },
    { model: 'other' },
    { headers: { 'x-team': '7' } },
    { stream_usage: false },
    { continuation: 'vllm' },
    { provider: 'azure' },
    { deployment: 'renamed' },
  ])
    expect(await isKept(configOf([{ ...CHAT, ...changed }])), JSON.stringify(changed)).toBe(false)
  expect(await isKept(configOf([CHAT], {}, 'another-key'))).toBe(false)
  expect(await isKept(configOf([CHAT], { proxy: { url: 'http://127.0.0.1:2' } }))).toBe(false)
  expect(await isKept(configOf([CHAT], { http: { max_answer_bytes: 2048 } }))).toBe(false)
})

it('one that is kept has the settings of today', async () => {
  const before = await open(configOf([CHAT]))
  const tuned = configOf([{ ...CHAT, order: 3, limits: { concurrent: 2 } }])
  const after = await open(tuned, before)
  expect(after[0].provider).toBe(before[0].provider)
  expect(toRoutes(tuned, after)[0].deployments[0]).toMatchObject({ order: 3, concurrent: 2 })
})

it('where one can not be made, those made before it are closed, and those in use are not', async () => {
  const closed: string[] = []
  const adapters: Adapters = new Map([
    [
      AT.provider,
      (name: string) => {
        if (name === 'third') throw new SluiceError('config_invalid')
        return { close: () => void closed.push(name) } as Provider
      },
    ],
  ])
  const models = ['first', 'second', 'third'].map((deployment) => ({ ...CHAT, deployment }))
  const before = createProviders(configOf(models.slice(0, 1)), adapters, deps)
  expect(() => createProviders(configOf(models), adapters, deps, before)).toThrow(SluiceError)
  expect(closed).toEqual(['second'])
})

it('certificates are read, and read again', async () => {
  const ca_file = join(dir, 'ca.pem')
  const config = configOf([{ ...CHAT, ca_file }])
  await expect(open(config)).rejects.toMatchObject({ code: 'config_invalid', message: /^ca_file: .*ENOENT/ })
  writeFileSync(ca_file, 'one')
  const before = await open(config)
  expect((await open(config, before))[0].provider).toBe(before[0].provider)
  writeFileSync(ca_file, 'two')
  expect((await open(config, before))[0].provider).not.toBe(before[0].provider)
})

it("OpenAI's models are at OpenAI's own address, unless another is given", async () => {
  const proxy = createServer()
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  const asked = async (settings: object): Promise<string> => {
    const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
    const models = [{ name: 'gpt-*', provider: 'openai', api_key: { env: 'KEY' }, ...settings }]
    const [{ name, provider }] = await open(configOf(models, { proxy: { url } }))
    const checked = provider.check()
    const [socket] = await once(proxy, 'connection')
    const [bytes] = await once(socket, 'data')
    socket.destroy()
    await checked
    provider.close()
    return `${name}: ${String(bytes).split('\r\n')[0]}`
  }
  expect(await asked({})).toBe('gpt-*@api.openai.com: CONNECT api.openai.com:443 HTTP/1.1')
  expect(await asked({ base_url: 'https://eu.example/v1' })).toBe('gpt-*@eu.example: CONNECT eu.example:443 HTTP/1.1')
  proxy.close()
})

it('what can not be made is refused, and says why', async () => {
  const config = configOf([CHAT, { ...CHAT, headers: { host: 'x' } }])
  await expect(open(config)).rejects.toMatchObject({ code: 'config_invalid', message: /header host/ })
})

it('names are those of the deployments, and routes show no settings of providers', async () => {
  const config = configOf([
    { ...CHAT, model: 'a' },
    { ...CHAT, model: 'b', deployment: 'spare' },
    { ...CHAT, name: 'o' },
  ])
  const [chat, other] = toRoutes(config, await open(config))
  expect(chat.deployments.map(({ name }) => name)).toEqual(['chat@127.0.0.1:1', 'spare'])
  expect(other.deployments[0].name).toBe('o@127.0.0.1:1')
  expect(chat.deployments[0]).toMatchObject({ upstreamModel: 'a', concurrent: Infinity, timeouts: { ttftMs: 600_000 } })
  expect(JSON.stringify(chat)).not.toMatch(/a-key|apiKey|headers|KEY/)
})

it('loads the adapters of the providers that are used, and of no others', async () => {
  expect([...(await loadAdapters(configOf([CHAT, CHAT]))).keys()]).toEqual(['openai-compatible'])
  expect([...(await loadAdapters(configOf([{ name: 'd', provider: 'demo' }]))).keys()]).toEqual(['demo'])
})

it('what it is made of is known anew where its provider is kept', async () => {
  const before = await open(configOf([{ ...CHAT, deployment: 'd' }]))
  const [kept] = await open(configOf([{ ...CHAT, deployment: 'd', name: 'other' }]), before)
  expect(kept.provider).toBe(before[0].provider)
  expect(kept.identity).not.toBe(before[0].identity)
})

it('what a deployment is made of does not hang on its name, its limits, or the value of its key', async () => {
  const of = async (entry: object, key = 'a-key') => (await open(configOf([entry], {}, key)))[0]
  const one = await of({ ...CHAT, model: 'm' })
  for (const same of [{ deployment: 'renamed' }, { name: 'other' }, { limits: { requests_per_minute: 3 } }])
    expect((await of({ ...CHAT, model: 'm', ...same })).identity, JSON.stringify(same)).toBe(one.identity)
  expect((await of({ ...CHAT, model: 'm' }, 'another-key')).identity).toBe(one.identity)
  const renamed = await of({ ...CHAT, model: 'm', deployment: 'renamed' })
  expect(renamed.name).not.toBe(one.name)
  expect(renamed.madeOf).toBe(one.madeOf)
  for (const other of [
    { model: 'other' },
    { base_url: 'http://127.0.0.1:2/v1' },
    // Of another team, with the same key: each is drained by itself
    { base_url: 'http://127.0.0.1:1/v2' },
    { api_key: { env: 'PATH' } },
  ])
    expect((await of({ ...CHAT, model: 'm', ...other })).identity, JSON.stringify(other)).not.toBe(one.identity)
})
