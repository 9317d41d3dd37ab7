import { expect, it } from 'vitest'
import { checksOf as checksOfModel } from '../app/models.ts'
import { loadConfig } from '../config/load.ts'
import { isNear } from './engine-checks.ts'

const NEAR = ['localhost', '127.0.0.1', '127.9.9.9', '10.1.2.3', '172.16.0.1', '172.31.9.9', '192.168.7.7', '[::1]']
NEAR.push('100.64.0.1', '100.127.1.1', 'gpu', 'vllm-0', 'gpu.lan', 'vllm.ml.svc', 'vllm.ml.svc.cluster.local')
NEAR.push('[fd00::1]', '[fe80::1]', 'host.docker.internal', 'gpu.home.arpa', 'box.tail1.ts.net')
const FAR = ['api.openai.com', '8.8.8.8', '172.32.0.1', '172.15.0.1', '100.128.0.1', '11.0.0.1', '169.254.169.254']
FAR.push('[2606:4700::1]', '[::ffff:8.8.8.8]', 'localhost.example.com', '10.0.0.1.example.com', 'internal.example')

it.each(NEAR)('%s is near', (host) => expect(isNear(new URL(`http://${host}`).hostname)).toBe(true))
it.each(FAR)('%s is not', (host) => expect(isNear(new URL(`http://${host}`).hostname)).toBe(false))

const checksOf = (given: Readonly<Record<string, unknown>>) =>
  checksOfModel(loadConfig({ env: { K: 'key' }, flags: {}, found: [{ name: 'm', ...given }] }).config.models.at(-1)!)
const OWN = { intervalMs: 5_000, timeoutMs: 2_000 }

it.each([
  ['vLLM at home', { provider: 'vllm' }, '/health', '/metrics'],
  ['behind a path', { provider: 'sglang', base_url: 'http://gpu/a/v1/' }, '/a/health', '/a/metrics'],
  ['llama.cpp', { provider: 'llamacpp', base_url: 'http://10.0.0.7:8080' }, '/health', '/metrics'],
  ['Ollama', { provider: 'ollama' }, '/api/version', null],
  [
    'another page',
    { provider: 'vllm', health: { path: '/ready', metrics_path: '/m' }, base_url: 'https://gpu.example/v1' },
    '/ready',
    '/m',
  ],
  [
    'one of another kind',
    { provider: 'openai-compatible', base_url: 'http://tgi', health: { path: '/h' } },
    '/h',
    null,
  ],
  [
    'on purpose',
    { provider: 'vllm', base_url: 'https://gpu.example/v1', health: { enabled: true } },
    '/health',
    '/metrics',
  ],
])('%s is checked', (_, given, path, metricsPath) => {
  expect(checksOf(given)).toEqual({ path, metricsPath, ...OWN })
})

it.each([
  ['a rented engine', { provider: 'vllm', base_url: 'https://gpu.example/v1' }],
  ['one that is not to be', { provider: 'vllm', health: { enabled: false } }],
  ['one that is not to be, with a page', { provider: 'vllm', health: { enabled: false, path: '/health' } }],
  ['an unknown one', { provider: 'openai-compatible', base_url: 'http://127.0.0.1:1/v1' }],
  ['a vendor', { provider: 'groq', api_key: { env: 'K' } }],
  ['a vendor through a proxy of ours', { provider: 'groq', base_url: 'http://10.0.0.1/v1', api_key: { env: 'K' } }],
  ['OpenAI', { provider: 'openai', api_key: { env: 'K' } }],
  ['the demo', { provider: 'demo' }],
])('%s is not', (_, given) => expect(checksOf(given)).toBeNull())

it.each([
  [{ provider: 'openai-compatible', base_url: 'http://tgi', health: { enabled: true } }, 'needs a "path"'],
  [{ provider: 'groq', api_key: { env: 'K' }, health: { enabled: true } }, 'needs a "path"'],
  [{ provider: 'vllm', health: { path: 'health' } }, 'expected a path'],
  [{ provider: 'vllm', health: { path: '/a b' } }, 'expected a path'],
  [{ provider: 'vllm', health: { path: '/a\r\nx: y' } }, 'expected a path'],
  [{ provider: 'vllm', health: { interval_ms: 10 } }, 'at least 500'],
  [{ provider: 'vllm', health: { intervall_ms: '5s' } }, 'interval_ms'],
])('%j is refused', (given, message) => expect(() => checksOf(given)).toThrow(message))
