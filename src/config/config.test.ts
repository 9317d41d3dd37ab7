import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterAll, describe, expect, it } from 'vitest'
import { GUARDS } from '../admission/guards/index.ts'
import { camelCase } from '../core/camel.ts'
import { PROVIDERS } from '../routing/providers/index.ts'
import { Secret } from '../settings/fields.ts'
import { jsonSchema } from './json-schema.ts'
import { envName, FLAGS, flagName, LEAVES, VALUES } from './leaves.ts'
import { type Environment, loadConfig } from './load.ts'
import { printConfig } from './print.ts'
import type { ModelConfig } from './schema.ts'

const dir = mkdtempSync(join(tmpdir(), 'sluice-config-'))
afterAll(() => rmSync(dir, { recursive: true }))

const PROVIDER_NAMES = PROVIDERS.map(({ name }) => `"${name}"`).join(', ')

const write = (text: string, name = 'sluice.yaml'): string => {
  const path = join(dir, name)
  writeFileSync(path, text)
  return path
}
const load = (yaml: string | null, env: Environment = {}, flags: Record<string, string> = {}) =>
  loadConfig({ file: yaml === null ? undefined : write(yaml), env, flags })
const refusal = (yaml: string | null, env: Environment = {}, flags: Record<string, string> = {}): string => {
  try {
    load(yaml, env, flags)
  } catch (error) {
    expect(error).toMatchObject({ code: 'config_invalid' })
    return (error as Error).message.replaceAll(`${dir}/`, '')
  }
  return 'it was taken'
}

/** A model of a provider that has OpenAI's settings. */
const openai = (model: ModelConfig) => {
  if (!('baseUrl' in model) || !('apiKey' in model)) throw new Error(`${model.name} does not speak OpenAI's dialect`)
  return model
}

describe('defaults < file < environment < flags', () => {
  it('has defaults for all', () => {
    const { config } = load(null)
    expect(config).toMatchObject({
      host: '127.0.0.1',
      port: 4100,
      admin: { port: 4101 },
      dataDir: './sluice-data',
      durability: 'power',
    })
    expect(config.http.maxBodyBytes).toBe(4 * 2 ** 20)
    expect(config.retention.logsMs).toBe(86_400_000)
    // Whoever tries kill -9 five times in a row still gets the answer
    expect(config.queue.maxCrashes).toBeGreaterThanOrEqual(5)
    expect(config.models.map((m) => m.name)).toEqual(['demo'])
  })

  it('takes the nearest word', () => {
    const yaml = 'port: 4200\nhttp: { max_depth: 10, max_keys: 99 }\nqueue:\n'
    expect(load(yaml).config).toMatchObject({
      port: 4200,
      admin: { port: 4201 },
      http: { maxDepth: 10, maxKeys: 99 },
      queue: { maxAttempts: 3 },
    })
    const env = { SLUICE_PORT: '4300', SLUICE_HTTP_MAX_DEPTH: '11', SLUICE_QUEUE_MAX_ATTEMPTS: '5', SLUICE_HOST: '' }
    expect(load(yaml, env).config).toMatchObject({
      host: '127.0.0.1',
      port: 4300,
      http: { maxDepth: 11, maxKeys: 99 },
      queue: { maxAttempts: 5 },
    })
    expect(load(yaml, env, { port: '4400' }).config).toMatchObject({
      port: 4400,
      admin: { port: 4401 },
      http: { maxDepth: 11 },
    })
    expect(load(yaml, { ...env, SLUICE_ADMIN_PORT: '9' }).config.admin.port).toBe(9)
  })

  it('finds the file by SLUICE_CONFIG', () => {
    expect(loadConfig({ env: { SLUICE_CONFIG: write('port: 4500\n') } }).config.port).toBe(4500)
  })

  it('has a flag and an environment name for every setting that is one value, and no two share one', () => {
    expect(new Set(VALUES.map(envName)).size).toBe(VALUES.length)
    expect(new Set(FLAGS.map(flagName)).size).toBe(FLAGS.length)
    expect(LEAVES.filter((leaf) => !VALUES.includes(leaf)).map((leaf) => leaf.path.join('.'))).toEqual([
      'limits.global',
      'limits.models',
      'limits.each_tenant',
      'models',
      'pools',
      'tenants',
      'telemetry.otlp.headers',
    ])
    expect(VALUES.filter((leaf) => !FLAGS.includes(leaf)).map(envName)).toEqual([
      'SLUICE_KEY',
      'SLUICE_ADMIN_KEY',
      'SLUICE_SECRET_KEY',
      'SLUICE_SECRET_KEY_BEFORE',
      'SLUICE_KAFKA_PASSWORD',
      'SLUICE_TELEMETRY_OTLP_HEADER_LIST',
    ])
    for (const leaf of LEAVES.flatMap((l) => [l, ...l.members]))
      expect(leaf.description, leaf.path.join('.')).not.toBe('')
  })

  it('takes each default again as text, from the environment', () => {
    const env = Object.fromEntries(
      FLAGS.filter((l) => l.default !== null && !(Array.isArray(l.default) && l.default.length === 0))
        // Those of another engine would choose it
        .filter(({ path }) => path[0] !== 'engine' || path.length === 1)
        .map((l) => [envName(l), String(l.default)]),
    )
    expect(Object.keys(env).length).toBeGreaterThan(40)
    expect(load(null, env).config).toEqual(load(null).config)
  })

  it('offers the models of a key that is in the environment', () => {
    const { config } = load(null, { OPENAI_API_KEY: 'sk-canary' })
    const media = ['gpt-image-*', 'dall-e-*', 'tts-*', 'gpt-4o-mini-tts*', 'whisper-*']
    const names = ['demo', 'gpt-*', 'o*', 'text-embedding-*', ...media, 'gpt-4o-transcribe*', 'gpt-4o-mini-transcribe*']
    expect(config.models.map((m) => m.name)).toEqual(names)
    // OpenAI's own address: test/e2e and the names of deployments show it
    expect(config.models[1]).toMatchObject({ baseUrl: null, kinds: ['chat'] })
    expect(openai(config.models[1]).apiKey!.reveal()).toBe('sk-canary')
    expect(
      load('models: [{ name: x, provider: demo }]', { OPENAI_API_KEY: 'k' }).config.models.map((m) => m.name),
    ).toEqual(['x'])
  })

  it('is named as code names it, with units; names that users choose stay theirs', () => {
    const yaml =
      'models: [{ name: a, provider: openai-compatible, base_url: "http://h/v1", headers: { x_team_id: "7" } }]'
    expect(load(yaml).config.models[0]).toMatchObject({ contextTokens: null, headers: { x_team_id: '7' } })
    const durations = LEAVES.flatMap((l) => [l, ...l.members]).filter(({ kind }) => kind === 'duration')
    // A percentile of what was measured has no unit
    const ofTime = durations.filter(({ path }) => path.join('.') !== 'hedge.after')
    for (const { path } of ofTime) expect(camelCase(path.at(-1)!), path.join('.')).toMatch(/Ms$/)
  })

  it('is frozen', () => {
    const { config } = load('models: [{ name: x, provider: demo }]')
    expect(() => Object.assign(config.http, { max_depth: 1 })).toThrow(TypeError)
    expect(() => Object.assign(config.models[0].limits, { concurrent: 1 })).toThrow(TypeError)
  })
})

describe('files that have no end', () => {
  it.each([
    ['an alias in its own list', 'a: &a [*a]\n'],
    ['an alias in its own setting', 'http: &a { max_depth: *a }\n'],
    ['aliases in each other', 'a: &a [&b [*a], *b]\n'],
    ['lists in lists', `a: ${'['.repeat(20_000)}${']'.repeat(20_000)}\n`],
    ['lists in lists, in block style', `a:\n  ${'- '.repeat(5_000)}x\n`],
  ])('refuses %s', (_name, yaml) => {
    expect(refusal(yaml)).toMatch(/^sluice\.yaml(:\d+:\d+)?: .*(deep|alias|resource exhaustion)/)
  })
})

describe('units', () => {
  it.each([
    ['retention: { logs: 0 }', 'retention', 'logs', 0],
    ['retention: { logs: 1500 }', 'retention', 'logs', 1500],
    ['retention: { logs: "1.5s" }', 'retention', 'logs', 1500],
    ['retention: { logs: 7d }', 'retention', 'logs', 604_800_000],
    ['retention: { bytes: 2GB }', 'retention', 'bytes', 2e9],
    ['retention: { bytes: 2 GiB }', 'retention', 'bytes', 2 ** 31],
    ['retention: { bytes: 4mb }', 'retention', 'bytes', 4e6],
    ['retention: { logs: 24 h }', 'retention', 'logs', 86_400_000],
    ['queue: { max_queued_jobs: 2_000_000 }', 'queue', 'max_queued_jobs', 2_000_000],
  ] as const)('%s', (yaml, group, name, value) => {
    expect((load(yaml).settings[group] as Record<string, unknown>)[name]).toBe(value)
  })

  it.each([
    'retention: { logs: 3 weeks }',
    'retention: { logs: -1 }',
    'retention: { bytes: 1GiBs }',
    'retention: { logs: 1M }',
    'retention: { logs: 1D }',
    'queue: { max_queued_jobs: 1.5 }',
    'queue: { max_queued_jobs: "" }',
    'port: 65536',
    'port: 0x10_00',
  ])('refuses %s', (yaml) => {
    expect(refusal(yaml)).toMatch(/^sluice\.yaml:1:\d+: /)
  })

  it('refuses what may mean bits, with both sizes that may be meant', () => {
    for (const [unit, decimal, binary] of [
      ['Mb', 'MB', 'MiB'],
      ['Kb', 'KB', 'KiB'],
      ['Gib', 'GB', 'GiB'],
    ])
      expect(refusal(`retention: { bytes: 64${unit} }`)).toContain(
        `"${unit}" may mean bits: write "64${decimal}" (powers of 1000) or "64${binary}" (powers of 1024)`,
      )
  })
})

describe('what is wrong, where, and what was probably meant', () => {
  it.each([
    ['prot: 4200', 'sluice.yaml:1:1: prot: is not a known setting. Did you mean "port"?'],
    [
      'http:\n  max_bdy_bytes: 3',
      'sluice.yaml:2:3: http.max_bdy_bytes: is not a known setting. Did you mean "max_body_bytes"?',
    ],
    [
      'max_body_bytes: 3',
      'sluice.yaml:1:1: max_body_bytes: is not a known setting here. Did you mean "http.max_body_bytes"?',
    ],
    [
      'models:\n  - { name: a, provider: demo, limit: 3 }',
      'sluice.yaml:2:32: models[0].limit: is not a known setting. Did you mean "limits"?',
    ],
    [
      'models:\n  - { name: a, provider: demo, limits: { concurent: 3 } }',
      'sluice.yaml:2:42: models[0].limits.concurent: is not a known setting. Did you mean "concurrent"?',
    ],
    [
      'conversations: { zzz: 1 }',
      'sluice.yaml:1:18: conversations.zzz: is not a known setting. Known here: keep_failed, max_prompt_bytes.',
    ],
    [
      'retention:\n  conversations: { bytes: 2GiB }',
      'sluice.yaml:2:20: retention.conversations.bytes: must be at most retention.conversations.tenant_bytes',
    ],
    ['durability: disk', 'sluice.yaml:1:1: durability: must be one of "memory", "process", "power"'],
    ['http: 5', 'sluice.yaml:1:1: http: expected a group of settings, one "name: value" per line'],
    ['models: [{ provider: demo }]', 'sluice.yaml:1:10: models[0].name: is required'],
    [
      'models: [{ name: a, provider: azure }]',
      'sluice.yaml:1:10: models[0].base_url: is required by the provider azure',
    ],
    [
      'models: [{ name: a, provider: openai }]',
      'sluice.yaml:1:10: models[0].api_key: the environment variable OPENAI_API_KEY is not set',
    ],
    [
      'models: [{ name: a, provider: opena }]',
      `sluice.yaml:1:21: models[0].provider: must be one of ${PROVIDER_NAMES}. Did you mean "openai"?`,
    ],
    [
      'log: { level: wran }',
      'sluice.yaml:1:8: log.level: must be one of "debug", "info", "warn", "error", "silent". Did you mean "warn"?',
    ],
    [
      'tenants: [{ name: t, guards: [{ guard: deny-terms, terms: [1, true, null] }] }]',
      'sluice.yaml:1:52: tenants[0].guards[0].terms: expected a list of texts: ' +
        'put numbers, true, false and null in quotes',
    ],
    [
      'tenants: [{ name: t, guards: [{ guard: deny-terms, terms: { a: b } }] }]',
      'sluice.yaml:1:52: tenants[0].guards[0].terms: expected a list',
    ],
    [
      'models: [{ name: "a*b", provider: demo }]',
      'sluice.yaml:1:12: models[0].name: expected a model name, or the beginning of one followed by "*"',
    ],
    [
      'models: [{ name: a, provider: demo }, { name: a, provider: demo, pool: x }]',
      'sluice.yaml:1:66: models[1].pool: "a" already uses the pool "text": a group has one pool',
    ],
    [
      'workers: { lease_ms: 1s, heartbeat_ms: 900ms }',
      'sluice.yaml:1:26: workers.heartbeat_ms: must be at most half of workers.lease_ms',
    ],
    [
      'models: [{ name: a, provider: demox, limt: 3 }]',
      '2 settings are not valid:\n' +
        `  sluice.yaml:1:21: models[0].provider: must be one of ${PROVIDER_NAMES}. Did you mean "demo"?\n` +
        '  sluice.yaml:1:38: models[0].limt: is not a known setting. Did you mean "limits"?',
    ],
    ['models: [{ name: a }]', `sluice.yaml:1:10: models[0].provider: must be one of ${PROVIDER_NAMES}`],
    [
      'models: [{ name: a, provider: azure, base_url: "http://h/x", api_versio: 1 }]',
      'sluice.yaml:1:62: models[0].api_versio: is not a known setting. Did you mean "api_version"?',
    ],
    [
      'models: [{ name: a, provider: demo, base_url: "http://h" }]',
      'sluice.yaml:1:37: models[0].base_url: is not used by the demo model',
    ],
    [
      'models: [{ name: a, provider: demo, ca_file: "$HOME/x" }]',
      'sluice.yaml:1:37: models[0].ca_file: starts with "$HOME", which is not expanded: write the full path',
    ],
    [
      'models: [{ name: a, provider: demo, deployment: x }, { name: b, provider: demo, deployment: x }]',
      'sluice.yaml:1:81: models[1].deployment: "x" is a duplicate',
    ],
    ['tenants: [{ name: a }, { name: a }]', 'sluice.yaml:1:26: tenants[1].name: "a" is a duplicate'],
    [
      'tenants: [{ name: a, guards: [{ guard: max-contxt, tokens: 1 }] }]',
      'sluice.yaml:1:33: tenants[0].guards[0].guard: "max-contxt" is not a guard. Did you mean "max-context"? ' +
        `There are ${GUARDS.map(({ name }) => name).join(', ')}.`,
    ],
    [
      'tenants: [{ name: a, guards: [max-context] }]',
      'sluice.yaml:1:31: tenants[0].guards[0]: expected a group of settings, one "name: value" per line',
    ],
    [
      'tenants: [{ name: a, guards: [{ guard: max-context, tokens: 1, token: 1 }] }]',
      'sluice.yaml:1:64: tenants[0].guards[0].token: is not a setting of the guard max-context. ' +
        'Did you mean "tokens"? Known here: tokens, mode.',
    ],
    [
      'tenants: [{ name: a, guards: [{ guard: max-context, tokens: 0 }] }]',
      'sluice.yaml:1:53: tenants[0].guards[0].tokens: must be at least 1',
    ],
    [
      'tenants: [{ name: a, guards: [{ guard: allow-models, models: [] }] }]',
      'sluice.yaml:1:54: tenants[0].guards[0].models: must not be empty',
    ],
    [
      'http: { cors_origins: [app.example.com] }',
      'sluice.yaml:1:24: http.cors_origins[0]: expected an origin, e.g. https://app.example.com, or *',
    ],
    ['admin: { port: 4100 }', 'sluice.yaml:1:10: admin.port: must differ from port'],
    ['a: [', 'sluice.yaml:1:5: not valid YAML (bad indent).'],
    ['port: 1\nport: 2', 'sluice.yaml:2:1: not valid YAML (duplicate key).'],
    ['just text', 'sluice.yaml: expected settings, one "name: value" per line.'],
  ])('%s', (yaml, message) => {
    expect(refusal(yaml)).toBe(message)
  })

  it('lists all that is wrong, in the order of the file', () => {
    expect(
      refusal('port: x\nhttp: { a: 1 }\nlog: { level: loud }')
        .split('\n')
        .map((line) => /:(\d):/.exec(line)?.[1]),
    ).toEqual([undefined, '1', '2', '3'])
  })

  it('names the variable and the flag', () => {
    expect(refusal('host: a', { SLUICE_PORT: 'x' })).toBe('SLUICE_PORT: expected a whole number')
    expect(refusal(null, {}, { 'http-max-depth': '1' })).toBe('--http-max-depth: must be at least 8')
    expect(refusal(null, { SLUICE_CONVERSATIONS_KEEP_FAILED: 'maybe' })).toBe(
      'SLUICE_CONVERSATIONS_KEEP_FAILED: expected true or false',
    )
  })

  it.each(['SLUICE_KEY', 'SLUICE_ADMIN_KEY', 'SLUICE_SECRET_KEY', 'SLUICE_SECRET_KEY_BEFORE'])(
    'takes an empty %s for a mistake',
    (name) => {
      for (const blank of ['', ' ', '""']) expect(refusal(null, { [name]: blank })).toMatch(/is empty: give it a value/)
    },
  )

  it.each([
    ['file:///tmp/x', /is a URL/],
    [':memory:', /durability/],
    ['-x', /option/],
  ])('takes the data folder %s for a mistake', (path, message) => {
    expect(refusal(null, { SLUICE_DATA_DIR: path })).toMatch(message)
    expect(refusal(null, {}, { 'data-dir': path })).toMatch(message)
  })

  it("takes another provider's settings, leaves them out, and warns", () => {
    const yaml = (provider: string): string =>
      `models: [{ name: a, provider: ${provider}, base_url: null, api_key: { env: K }, api_version: "1", ` +
      'demo: { ttft_ms: 5 } }]'
    const demo = load(yaml('demo'))
    expect(demo.config.models[0]).toMatchObject({ provider: 'demo', demo: { ttftMs: 5 } })
    expect(demo.config.models[0]).not.toHaveProperty('apiKey')
    expect(demo.warnings.map((warning) => /models.*/.exec(warning)?.[0])).toEqual([
      'models[0].api_key: not used by the provider demo',
      'models[0].api_version: not used by the provider demo',
    ])
    const openai = load(yaml('openai'), { K: 'key' })
    expect(openai.config.models[0]).toMatchObject({ provider: 'openai', apiVersion: '1' })
    expect(openai.config.models[0]).not.toHaveProperty('demo')
    expect(openai.warnings).toEqual([expect.stringMatching(/models\[0\]\.demo: not used by the provider openai$/)])
  })

  it('reads choices in any case', () => {
    const { config } = load('durability: Memory\n', { SLUICE_LOG_LEVEL: 'WARN' })
    expect([config.log.level, config.durability]).toEqual(['warn', 'memory'])
  })

  it('a worker, which never dials RabbitMQ, needs no address of it', () => {
    const yaml =
      'engine: { redis: { url: redis://127.0.0.1:6379 } }\n' +
      'intakes: { rabbitmq: { url: { env: RABBITMQ_URL } } }\npools: [{ name: text, intake: rabbitmq }]\n'
    expect(load(yaml, { SLUICE_ROLE: 'worker' }).config.role).toBe('worker')
    expect(refusal(yaml, { SLUICE_ROLE: 'gateway' })).toContain('RABBITMQ_URL')
  })

  it('warns of unknown names in the environment', () => {
    const { warnings } = load(null, {
      SLUICE_PRT: '1',
      SLUICE_TEST_X: '1',
      SLUICE_CONFIG: '',
      SLUICE_URL: 'http://x',
      SLUICE_BENCH_KEY: 'sk-x',
      OTHER: '1',
    })
    expect(warnings).toEqual(['SLUICE_PRT in the environment is not a known setting. Did you mean "SLUICE_PORT"?'])
  })

  it('ignores the service links of Kubernetes and Docker, with one note', () => {
    const links = {
      SLUICE_PORT: 'tcp://10.0.0.1:4100',
      SLUICE_SERVICE_HOST: '10.0.0.1',
      SLUICE_SERVICE_PORT: '4100',
      SLUICE_SERVICE_PORT_HTTP: '4100',
      SLUICE_PORT_4100_TCP: 'tcp://10.0.0.1:4100',
      SLUICE_PORT_4100_TCP_PROTO: 'tcp',
      SLUICE_PORT_4100_TCP_PORT: '4100',
      SLUICE_PORT_4100_TCP_ADDR: '10.0.0.1',
      SLUICE_ADMIN_PORT: 'tcp://[fd00::1]:4101',
      SLUICE_ADMIN_SERVICE_HOST: 'fd00::1',
      SLUICE_ADMIN_PORT_4101_TCP_ADDR: 'fd00::1',
      SLUICE_HTTP_PORT: 'udp://10.0.0.2:80',
      SLUICE_DATA_DIR_PORT: 'sctp://10.0.0.3:9',
    }
    const { config, warnings } = load('port: 4200\n', links)
    expect(config).toMatchObject({ port: 4200, admin: { port: 4201 } })
    expect(warnings).toEqual([expect.stringMatching(/^SLUICE_PORT and 12 more .*service links.*enableServiceLinks/)])
    expect(load(null, { SLUICE_PORT: '4300', SLUICE_SERVICE_HOST: 'x' }).config.port).toBe(4300)
    expect(refusal(null, { SLUICE_PORT: 'http://10.0.0.1:4100' })).toContain('expected a whole number')
    expect(load(null, links, { port: '4400' }).config.port).toBe(4400)
  })

  it('says when the file is not there', () => {
    expect(() => loadConfig({ file: join(dir, 'none.yaml'), env: {} })).toThrow(/none\.yaml can't be read \(ENOENT\)/)
  })
})

describe('values as env files, shells and editors leave them', () => {
  const home = homedir()

  it.each([
    ['/srv/sluice\r', '/srv/sluice'],
    ['"/srv/sluice"', '/srv/sluice'],
    [` '/srv/sluice' \r\n`, '/srv/sluice'],
    ['/srv/my data', '/srv/my data'],
    ['~', home],
    ['~/data', `${home}/data`],
    ['"~/data"\r', `${home}/data`],
    ['./~', './~'],
    ["it's", "it's"],
  ])('a path of %j', (text, path) => {
    expect(load(null, { SLUICE_DATA_DIR: text }).config.dataDir).toBe(path)
    expect(load(null, {}, { 'data-dir': text }).config.dataDir).toBe(path)
    expect(load(`data_dir: ${JSON.stringify(text)}\n`).config.dataDir).toBe(path)
    const settings = `provider: openai-compatible, base_url: "http://h", ca_file: ${JSON.stringify(text)}`
    const models = `models: [{ name: a, ${settings} }]`
    expect(openai(load(models).config.models[0]).caFile).toBe(path)
  })

  it.each([
    ['~root/data', 'starts with "~root", which is not expanded'],
    ['$HOME/data', 'starts with "$HOME", which is not expanded'],
    [`\${HOME}/data`, 'which is not expanded'],
    ['/srv/a\rb', 'control characters'],
    ['/srv/a\0b', 'control characters'],
    ['""', 'must not be empty'],
  ])('refuses a path of %j', (text, problem) => {
    expect(refusal(`data_dir: ${JSON.stringify(text)}\n`)).toContain(problem)
    if (text !== '""') expect(refusal(null, { SLUICE_DATA_DIR: text })).toContain(`SLUICE_DATA_DIR: `)
    expect(refusal(null, {}, { 'data-dir': text })).toContain(problem)
  })

  it('every other value', () => {
    const env = {
      SLUICE_PORT: ' 4300\r',
      SLUICE_HOST: '"127.0.0.2"\r\n',
      SLUICE_DURABILITY: "'process'",
      SLUICE_RETENTION_LOGS: '"12h"\r',
      SLUICE_CONVERSATIONS_KEEP_FAILED: 'true\r',
      SLUICE_HTTP_CORS_ORIGINS: '"https://a.example, https://b.example"\r',
      SLUICE_KEY: '"a-key-in-an-env-file-42"\r',
      SLUICE_ADMIN_PORT: '\r',
      SLUICE_CONFIG: `"${write('queue: { max_attempts: 5 }\r\nlog: { level: warn }\r\n')}"\r`,
    }
    const { config } = loadConfig({ env })
    expect(config).toMatchObject({
      port: 4300,
      host: '127.0.0.2',
      durability: 'process',
      retention: { logsMs: 43_200_000 },
      conversations: { keepFailed: true },
      http: { corsOrigins: ['https://a.example', 'https://b.example'] },
      queue: { maxAttempts: 5 },
      log: { level: 'warn' },
      admin: { port: 4301 },
    })
    expect(config.key!.reveal()).toBe('a-key-in-an-env-file-42')
    expect(() => loadConfig({ file: '~nobody/x.yaml', env: {} })).toThrow(/^--config: starts with "~nobody"/)
  })
})

describe('secrets', () => {
  const model = (more: string): string =>
    `models:\n  - { name: a, provider: openai-compatible, base_url: "http://127.0.0.1:1/v1", ${more} }\n`

  it('come from the environment or a file, and show nowhere', () => {
    const file = write('canary-file-of-the-tests\n', 'secret')
    const { config } = load(
      `${model('api_key: { env: MY_KEY }, headers: { x-team: "7", x-auth: { env: MY_KEY } }')}admin: { key: { ` +
        `file: "${file}" } }\n`,
      {
        MY_KEY: ' canary-env ',
        SLUICE_KEY: 'canary-seed-of-the-tests',
      },
    )
    expect(openai(config.models[0]).apiKey!.reveal()).toBe('canary-env')
    expect(config.admin.key!.reveal()).toBe('canary-file-of-the-tests')
    expect(config.key!.reveal()).toBe('canary-seed-of-the-tests')
    expect(
      `${JSON.stringify(config)} ${inspect(config, { depth: null, showHidden: true })} ${config.key}`,
    ).not.toContain('canary')
  })

  it.each([
    model('api_key: sk-canary'),
    model('api_key: { env: MY_KEY, value: sk-canary }'),
    model('headers: { x-api-key: sk-canary }'),
    model('base_url: "http://u:sk-canary@h/"').replace('base_url: "http://127.0.0.1:1/v1", ', ''),
    'key: sk-canary',
    'admin: { key: [sk-canary] }',
    'proxy: { url: "http://user:sk-canary@proxy:3128" }',
    'admin: { key: sk-canary\n  }: {',
    `${model('api_key: { env: BROKEN }')}`,
  ])('are refused as literals, and not repeated: %s', (yaml) => {
    const message = refusal(yaml, { BROKEN: 'sk-canary\r\nx' })
    expect(message).not.toContain('sk-canary')
    expect(message).not.toBe('it was taken')
  })

  it.each(['a', 'short', '123456789012345', 'aaaaaaaaaaaaaaaaaaaaaaaa', 'a key with spaces in it'])(
    'are refused when they are too weak: %s',
    (weak) => {
      const remedy = /openssl rand -hex 24|visible ASCII/
      expect(refusal(null, { SLUICE_KEY: weak })).toMatch(remedy)
      expect(refusal(null, { SLUICE_ADMIN_KEY: weak })).toMatch(remedy)
      const inFile = write(`${weak}\n`, 'weak')
      expect(refusal(`admin: { key: { file: "${inFile}" } }`)).toMatch(remedy)
      expect(refusal(null, { SLUICE_ADMIN_KEY: weak })).toMatch(/^SLUICE_ADMIN_KEY: (is|may) /)
      expect(refusal(null, { SLUICE_KEY: weak })).not.toContain(weak.length > 5 ? weak : 'the value of a')
      expect(loadConfig({ env: { SLUICE_KEY: weak }, withoutSecrets: true }).config.key!.known).toBe(true)
    },
  )

  it('warns of one key for clients and operators', () => {
    const key = 'one-key-for-all-of-them'
    expect(load(null, { SLUICE_KEY: key, SLUICE_ADMIN_KEY: key }).warnings).toEqual([
      'key and admin.key are the same: every client with that key can act as an operator.',
    ])
  })

  it('must be there', () => {
    expect(refusal(model('api_key: { env: NOT_SET }'))).toBe(
      'sluice.yaml:2:80: models[0].api_key: the environment variable NOT_SET is not set',
    )
    expect(refusal(`admin: { key: { file: "${dir}/none" } }`)).toBe(
      "sluice.yaml:1:10: admin.key: the file none can't be read (ENOENT)",
    )
    const { config } = loadConfig({ file: write(model('api_key: { env: NOT_SET }')), env: {}, withoutSecrets: true })
    expect(openai(config.models[0]).apiKey!.known).toBe(false)
    expect(() => openai(config.models[0]).apiKey!.reveal()).toThrow(/NOT_SET/)
  })
})

describe('printing', () => {
  const yaml =
    'port: 4200\nhttp: { cors_origins: ["https://a.example"] }\nproxy: { url: { env: PROXY } }\nmodels:\n' +
    '  - { name: a, provider: openai-compatible, base_url: "http://127.0.0.1:1/v1", api_key: { env: K }, ' +
    'headers: { x-team: canary } }\n'
  const env = { K: 'canary-key', PROXY: 'http://u:canary@p:1', SLUICE_HTTP_MAX_DEPTH: '33' }

  it('tells what is in force and where it comes from, without secrets', () => {
    const printed = printConfig(load(yaml, env, { host: '0.0.0.0' })).replaceAll(`${dir}/`, '')
    expect(printed).not.toContain('canary')
    for (const line of [
      'host: 0.0.0.0 # --host',
      'port: 4200 # sluice.yaml',
      '  max_depth: 33 # SLUICE_HTTP_MAX_DEPTH',
      '  url: { env: PROXY } # sluice.yaml',
      '  max_keys: 50000',
    ])
      expect(printed.split('\n')).toContain(line)
  })

  it.each([
    ['?key=canary', '?key=(not shown)'],
    ['?canary', '?(not shown)'],
    ['?a=canary=b&&d=%20canary', '?a=(not shown)&&d=(not shown)'],
  ])('leaves out the values of a query: %s', (query, shown) => {
    const address = yaml.replace('127.0.0.1:1/v1', `127.0.0.1:1/v1${query}`)
    const printed = printConfig(load(address, env))
    expect(printed).not.toContain('canary')
    expect(printed).toContain(`http://127.0.0.1:1/v1${shown}`)
  })

  it('can be loaded again', () => {
    const again = printConfig(load(yaml.replace(', headers: { x-team: canary }', ''), env))
    expect(load(again, env).config).toEqual(load(yaml.replace(', headers: { x-team: canary }', ''), env).config)
  })
})

describe('files of the repository', () => {
  const root = join(import.meta.dirname, '../..')

  it('sluice.example.yaml loads, also with all that is commented out', () => {
    const text = readFileSync(join(root, 'sluice.example.yaml'), 'utf8')
    expect(load(text).config.models.map((m) => m.name)).toEqual(['demo'])
    const whole = text
      .replace(/^ {2}# (?=(- | {2}\w|\w+: [[{]))/gm, '  ')
      .replace('/run/secrets/azure-key', write('k', 'azure'))
    expect(load(whole, { OPENAI_API_KEY: 'k' }).config.models.map((m) => m.name)).toEqual([
      'demo',
      'chat',
      'chat',
      'local/*',
      'gpt-azure',
    ])
  })

  it('limits are printed without what is not set, and can be loaded again', () => {
    const yaml = `
limits:
  global: { tokens_per_minute: 1_000, dollars_per_day: 0.1 }
  models: [{ name: demo, burst: 0.5, requests_per_minute: 10 }]
  each_tenant: { each_user: { concurrent: 0 }, models: [{ name: demo, max_request_bytes: 64KiB }] }
tenants:
  - { name: none, limits: {} }
  - { name: acme, limits: { when_out: deny_next, output_tokens_per_minute: 5, each_run: { dollars_per_hour: 1 } } }
`
    const before = load(yaml)
    const printed = printConfig(before)
    expect(load(printed).config).toEqual(before.config)
    expect(/^limits:[\s\S]*?(?=^\w)/m.exec(printed)![0]).not.toContain('output_tokens_per_minute')
  })

  it('limits of models that there are not are told, and no reason to stop', () => {
    const names = (list: readonly string[]) => list.map((name) => ({ name, concurrent: 1 }))
    const yaml = JSON.stringify({
      models: ['chat', 'gpt-*', 'local/*'].map((name) => ({ name, provider: 'demo' })),
      limits: {
        models: names(['chat', 'gpt-4o', 'gpt-4*', 'g*', '*', 'nil', 'chat-*', 'chat2']),
        each_tenant: { models: names(['local/x', 'remote/*']) },
      },
      tenants: [{ name: 'acme', limits: { models: names(['llama']) } }, { name: 'other' }],
    })
    const told = load(yaml).warnings.map((line) => line.replace(/^.*sluice\.yaml:\d+:\d+: /, ''))
    const idle = (setting: string, name: string) =>
      `${setting}.name: "${name}" limits nothing: no model in \`models\` has such a name`
    expect(told).toEqual([
      idle('limits.models[5]', 'nil'),
      idle('limits.models[6]', 'chat-*'),
      idle('limits.models[7]', 'chat2'),
      idle('limits.each_tenant.models[1]', 'remote/*'),
      idle('tenants[0].limits.models[0]', 'llama'),
    ])
  })

  it('limits that do nothing are told', () => {
    const velocity = { five_minutes: 2 }
    const on = { dollars_per_day: 5, velocity: { trip: true, hour: 3 } }
    const yaml = JSON.stringify({
      models: [{ name: 'chat', provider: 'demo' }],
      limits: { global: { velocity }, each_tenant: { ...on, each_user: { velocity } } },
      tenants: [
        { name: 'a', cache: { ttl: 60 }, limits: { models: [{ name: 'chat', velocity: { cool_down_ms: '1m' } }] } },
        { name: 'b', cache: { ttl: '60s' } },
      ],
    })
    const told = load(yaml).warnings.map((line) => line.replace(/^.*sluice\.yaml:\d+:\d+: /, ''))
    expect(told).toEqual([
      'limits.global.velocity: does nothing without `trip: true`',
      'limits.each_tenant.each_user.velocity: does nothing without `trip: true`',
      'tenants[0].limits.models[0].velocity: does nothing without `trip: true`',
      'tenants[0].cache.ttl: 60 ms is hardly meant: write "60s"',
    ])
  })

  it('a limit in the wrong place is found where it is meant', () => {
    const yaml = 'tenants: [{ name: a, limits: { each_user: { models: [] } } }]'
    expect(() => load(yaml)).toThrow('Did you mean "tenants[0].limits.models"?')
  })

  it('every yaml block of docs/limits.md loads, and limits what its comments tell', () => {
    const text = readFileSync(join(root, 'docs/limits.md'), 'utf8')
    const blocks = [...text.matchAll(/```yaml\n([\s\S]*?)```/g)].map((m) => m[1])
    expect(blocks).toHaveLength(2)
    const { limits, tenants } = load(blocks[0]).config
    expect([limits.global?.concurrent, limits.eachTenant?.dollarsPerDay]).toEqual([500, 20])
    expect(tenants.map((tenant) => tenant.limits?.eachUser?.concurrent)).toEqual([2, undefined])
    expect(blocks[1]).toContain('# five_minutes: 14, hour: 6, cool_down_ms: 10m')
    const standard = { trip: true, fiveMinutes: 14, hour: 6, coolDownMs: 600_000 }
    const { velocity, eachUser } = load(blocks[1]).config.limits.eachTenant!
    expect([velocity, eachUser!.velocity]).toEqual([standard, standard])
  })

  it('sluice.schema.json is up to date ("npm run docs")', () => {
    expect(JSON.parse(readFileSync(join(root, 'sluice.schema.json'), 'utf8'))).toEqual(
      JSON.parse(JSON.stringify(jsonSchema())),
    )
  })

  it('every yaml block of README loads', () => {
    const blocks = [...readFileSync(join(root, 'README.md'), 'utf8').matchAll(/```yaml\n([\s\S]*?)```/g)].map(
      (m) => m[1],
    )
    expect(blocks.length).toBeGreaterThan(0)
    for (const block of blocks) expect(load(block, { OPENAI_API_KEY: 'k' }).config.models.length).toBeGreaterThan(0)
  })
})

it('a secret that was not fetched reveals nothing', () => {
  expect(() => new Secret({ env: 'X' }).reveal()).toThrow()
})
