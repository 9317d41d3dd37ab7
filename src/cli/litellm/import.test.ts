/** `sluice import litellm`: what it writes loads, says what is not the same, and has no secret in it. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { type Loaded, loadConfig } from '../../config/load.ts'
import { run } from '../run.ts'

const dir = mkdtempSync(join(tmpdir(), 'sluice-import-'))
afterAll(() => rmSync(dir, { recursive: true }))

let n = 0
function file(text: string, ending = 'yaml'): string {
  const path = join(dir, `${n++}.${ending}`)
  writeFileSync(path, text)
  return path
}

interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
}

async function imported(text: string, ...more: readonly string[]): Promise<Ran> {
  const [out, err]: [string[], string[]] = [[], []]
  const code = await run(['import', 'litellm', file(text), ...more], {
    write: (text) => void out.push(text),
    print: (line) => void out.push(`${line}\n`),
    note: (line) => void err.push(`${line}\n`),
  })
  return { code, out: out.join(''), err: err.join('') }
}

/** With a secret for each name that it refers to. */
function load(text: string): Loaded {
  const names = [...text.matchAll(/env: (\w+)/g)].map(([, name]) => [
    name,
    'a secret of 24 characters'.replaceAll(' ', '-'),
  ])
  return loadConfig({ file: file(text), env: { OPENAI_API_KEY: 'it-is-looked-for', ...Object.fromEntries(names) } })
}

const CANARY = 'sk-canary-0123456789abcdef'
const FULL = `
model_list:
  - model_name: chat
    litellm_params:
      model: openai/gpt-4.1-mini
      api_key: os.environ/OPENAI_KEY_A
      rpm: 500
      tpm: "2_000_000"
      weight: 3
      max_parallel_requests: 20
      timeout: 120
      stream_timeout: 7.5
      input_cost_per_token: 4.0e-07
      output_cost_per_token: 0.0000016
      temperature: 0.2
      drop_params: true
    model_info: { id: first, mode: chat, max_input_tokens: 1047576, supports_vision: true }
  - model_name: chat
    litellm_params:
      model: azure/my-deployment
      api_base: https://res.openai.azure.com/
      api_version: "2024-10-21"
      api_key: ${CANARY}
      order: 2
  - model_name: chat
    litellm_params:
      model: azure/other
      api_base: "https://user:${CANARY}@res2.openai.azure.com?key=${CANARY}"
      api_version: v
      api_key: ${CANARY}
  - model_name: third
    litellm_params: { model: azure/third, api_base: "https://res3.example", api_version: v, api_key: ${CANARY}2 }
  - model_name: fast
    litellm_params: { model: groq/llama-3.3-70b-versatile, max_retries: 2, made_up: 1 }
  - model_name: own
    litellm_params:
      model: hosted_vllm/qwen3-32b
      api_base: http://10.0.0.5:8000/v1
      extra_headers: { x-team: ${CANARY}3 }
  - model_name: local
    litellm_params: { model: ollama/llama3.2 }
  - model_name: gpt-*
    litellm_params: { model: openai/gpt-* }
  - model_name: anthropic/*
    litellm_params: { model: "anthropic/*" }
  - model_name: pictures
    litellm_params: { model: openai/dall-e-3, output_cost_per_image: 0.04 }
    model_info: { mode: rerank }
  - model_name: unheard
    litellm_params: { model: strange_cloud/x }
  - model_name: embed
    litellm_params: { model: text-embedding-3-small, litellm_credential_name: shared }
    model_info: { mode: embedding }
credential_list:
  - credential_name: shared
    credential_values: { api_key: ${CANARY}4, api_base: https://proxy.example.com/v1 }
router_settings:
  routing_strategy: usage-based-routing-v2
  num_retries: 2
  timeout: 300
  cooldown_time: 30
  allowed_fails: 3
  model_group_alias: { gpt-4: chat }
  fallbacks: [{ chat: [fast, gone] }]
  context_window_fallbacks: [{ chat: [own] }]
litellm_settings:
  content_policy_fallbacks: [{ fast: [own] }]
  callbacks: [prometheus]
  max_budget: 100
  budget_duration: 30d
general_settings:
  master_key: os.environ/MASTER
  database_url: postgres://u:${CANARY}5@db/x
environment_variables: { LANGFUSE_SECRET: ${CANARY}6 }
`

describe('a whole configuration', () => {
  it('loads, with its models, limits and prices', async () => {
    const { code, out, err } = await imported(FULL)
    expect(code, err).toBe(0)
    const { models, queue, timeouts, limits, admin } = load(out).config
    expect(models.map(({ name, provider }) => `${name} ${provider}`)).toEqual([
      'chat openai',
      'chat azure',
      'chat azure',
      'third azure',
      'fast groq',
      'own vllm',
      'local ollama',
      'gpt-* openai',
      'embed openai-compatible',
      'gpt-4 openai',
      'gpt-4 azure',
      'gpt-4 azure',
    ])
    const [first, azure, other] = models
    expect(first).toMatchObject({
      model: 'gpt-4.1-mini',
      deployment: 'first',
      kinds: ['chat'],
      contextTokens: 1_047_576,
      limits: { concurrent: 20 },
      price: { input: 0.4, output: 1.6 },
      timeouts: { totalMs: 120_000, ttftMs: 7_500, interTokenMs: 7_500 },
    })
    expect(azure).toMatchObject({
      baseUrl: 'https://res.openai.azure.com/openai/deployments/my-deployment',
      apiVersion: '2024-10-21',
      order: 2,
    })
    expect(other).toMatchObject({ baseUrl: 'https://res2.openai.azure.com/openai/deployments/other' })
    expect(models.find(({ name }) => name === 'own')).toMatchObject({ baseUrl: 'http://10.0.0.5:8000/v1' })
    expect(models.find(({ name }) => name === 'local')).toMatchObject({ model: 'llama3.2', baseUrl: null })
    expect(models.find(({ name }) => name === 'embed')).toMatchObject({ baseUrl: 'https://proxy.example.com/v1' })
    expect(queue.maxAttempts).toBe(3)
    expect(timeouts.totalMs).toBe(300_000)
    expect(limits.global).toMatchObject({ dollarsPerMonth: 100 })
    expect(admin.key?.toString()).toBe('MASTER')
  })

  it('has no secret in it, nor in what is told: literal keys are references, the same key the same one', async () => {
    const { out, err } = await imported(FULL)
    const json = await imported(FULL, '--json')
    for (const text of [out, err, json.out, json.err]) expect(text).not.toContain('canary')
    const keys = load(out).config.models.map((model) => ('apiKey' in model ? (model.apiKey?.toString() ?? null) : null))
    expect(keys.slice(0, 4)).toEqual(['OPENAI_KEY_A', 'AZURE_API_KEY', 'AZURE_API_KEY', 'AZURE_API_KEY_2'])
    expect(keys.slice(-2)).toEqual(['AZURE_API_KEY', 'AZURE_API_KEY'])
    expect(err).toMatch(/AZURE_API_KEY {2}\(model_list\[1\]/)
    expect(out).toContain('# Set AZURE_API_KEY_2 to the secret that stands in')
  })

  it.each([
    ['temperature', 'requests are passed on as clients send them'],
    ['made_up', 'has no counterpart'],
    ['model_list[4].litellm_params.max_retries', 'queue.max_attempts'],
    ['model_list[8]', 'are passed on as they are'],
    ['model_list[9]', 'models of the mode "rerank" are not served'],
    ['model_list[10]', 'nothing here speaks to "strange_cloud"'],
    ['fallbacks: chat', 'there is no model "gone"'],
    ['router_settings.cooldown_time', 'a breaker for each deployment'],
    ['litellm_settings.callbacks', 'there are metrics'],
    ['general_settings.master_key', 'sluice keys create'],
    ['general_settings.database_url', 'there is no database'],
    ['environment_variables', 'Set them where the server is started'],
    ['model_group_alias: gpt-4', 'its limits are counted apart'],
  ])('tells of %s: %s', async (where, what) => {
    const lines = (await imported(FULL)).err.split('\n')
    const found = lines.flatMap((line, i) =>
      line.startsWith('  ') && line.includes(where) ? `${line} ${lines[i + 1]}` : [],
    )
    expect(found.join('\n')).toContain(what)
  })

  it('writes a file, and never over one', async () => {
    const out = join(dir, 'made.yaml')
    expect(await imported(FULL, '--out', out)).toMatchObject({ code: 0, out: '' })
    expect(load(readFileSync(out, 'utf8')).config.models).toHaveLength(12)
    const again = await imported(FULL, '--out', out)
    expect(again).toMatchObject({ code: 2 })
    expect(again.err).toContain('is there already')
    expect(load(readFileSync(out, 'utf8')).config.models).toHaveLength(12)
  })
})

describe('virtual keys', () => {
  const keys = file(
    JSON.stringify([
      {
        key: CANARY,
        info: {
          key_alias: "it's; rm -rf /",
          token: CANARY,
          team_id: 'acme',
          models: ['chat', 'fast'],
          max_budget: 5,
          budget_duration: '1d',
          tpm_limit: 1000,
          rpm_limit: 10,
          max_parallel_requests: 2,
          expires: '2999-01-01T00:00:00Z',
          model_max_budget: { chat: 1 },
        },
      },
      { key_alias: 'old', expires: '2001-01-01' },
      { key_alias: 'blocked', blocked: true },
      { key_alias: 'lasting', max_budget: 3, models: ['all-proxy-models'] },
      { key_alias: 'odd', models: ['what is this?'] },
    ]),
    'json',
  )

  it('are commands for a shell, without their secrets; those that are over are left out, and told', async () => {
    const { out } = await imported(FULL, '--keys', keys, '--json')
    expect(out).not.toContain('canary')
    const { commands, notes } = JSON.parse(out) as { commands: string[]; notes: Array<{ where: string; why: string }> }
    expect(commands).toEqual([
      expect.stringMatching(
        /^sluice keys create --tenant acme --name 'it'\\''s; rm -rf \/' --models chat,fast --limits .* --exp.*s \d+$/,
      ),
      'sluice keys create --tenant default --name lasting',
      'sluice keys create --tenant default --name odd --models none',
    ])
    expect(commands[0]).toContain(
      '{"dollars_per_day":5,"tokens_per_minute":1000,"requests_per_minute":10,"concurrent":2}',
    )
    const told = notes.map(({ where, why }) => `${where}: ${why}`).join('\n')
    for (const text of ['keys[1] (old): it has expired', 'keys[2] (blocked): it is blocked', 'budgets here begin anew'])
      expect(told).toContain(text)
  })
})

describe('what no file should be', () => {
  const bomb = [
    'a: &a0 [x,x,x,x,x,x,x,x,x]',
    ...Array.from({ length: 9 }, (_, i) => `b${i}: &a${i + 1} [${Array(9).fill(`*a${i}`)}]`),
  ]
  it.each([
    ['a bomb of aliases', bomb.join('\n'), 'too many aliases'],
    ['an alias within itself', 'model_list: &a [*a]', /nested|alias/],
    ['depth', `model_list: ${'['.repeat(20_000)}${']'.repeat(20_000)}`, /nested|resource exhaustion/],
    ['some depth', `model_list: ${'['.repeat(100)}${']'.repeat(100)}`, 'nested more than 64'],
    ['10 MB', `# ${'x'.repeat(10_000_000)}\nmodel_list: []`, 'larger than 1 MiB'],
    ['no YAML', 'model_list: [', 'not valid YAML'],
    ['the same name twice', 'model_list: []\nmodel_list: []', 'duplicate key'],
    ['a list', '- 1', 'expected settings'],
  ])('%s is refused', async (_, text, message) => {
    const ran = await imported(text)
    expect(ran).toMatchObject({ code: 2, out: '' })
    expect(ran.err).toMatch(message)
    expect(ran.err.split('\n').length).toBeLessThan(4)
  })

  it.each([
    ['nothing', ''],
    ['values of other types', 'model_list: 3\nrouter_settings: [1]\nlitellm_settings: x\ngeneral_settings: null'],
    ['entries of other types', 'model_list: [1, null, {}, [], {model_name: 3, litellm_params: x}, {model_name: a}]'],
    [
      'members of other types',
      'model_list: [{model_name: a, litellm_params: {model: openai/x, rpm: [1], tpm: -1, weight: x, tags: 3, ' +
        'order: {}, headers: 3, timeout: .inf, api_key: [1]}, model_info: [1]}]',
    ],
    ['names that are none', `model_list: [{model_name: "a b\\u001b[2J", litellm_params: {model: openai/x}}]`],
    [
      'a name of the prototype',
      'model_list: [{model_name: a, litellm_params: {model: constructor/x}}]\n__proto__: {x: 1}',
    ],
    [
      'aliases of aliases',
      `model_list: [{model_name: a, litellm_params: {model: openai/x}}]
router_settings: {model_group_alias: {a: a, b: a, c: 3, d: {x: 1}}, fallbacks: {a: b}, routing_strategy: [1]}`,
    ],
    [
      'duplicate ids',
      'model_list: [{model_name: a, litellm_params: {model: openai/x}, model_info: {id: i}}, ' +
        '{model_name: a, litellm_params: {model: openai/y}, model_info: {id: i}}]',
    ],
  ])('%s ends as a file that loads, or as none', async (_, text) => {
    const ran = await imported(text)
    expect(ran.out + ran.err).not.toContain('\u001b')
    if (ran.code !== 0) {
      expect(ran.out).toBe('')
      expect(ran.err).toContain('no entry of models that could be taken over')
    } else expect(() => load(ran.out), ran.out).not.toThrow()
  })

  it('many entries and notes are cut, and both told', async () => {
    const entries = Array.from(
      { length: 2_500 },
      (_, i) => `- {model_name: m${i}, litellm_params: {model: openai/x, odd: 1}}`,
    )
    const { out, err } = await imported(`model_list:\n${entries.join('\n')}`)
    expect(err).toMatch(/only the first 2000|… and \d+ more/)
    expect((parse(out, { maxAliasCount: 0 }) as { models: unknown[] }).models).toHaveLength(2_000)
  })

  it('keys that are no JSON are refused', async () => {
    const ran = await imported('model_list: []', '--keys', file('{', 'json'))
    expect(ran).toMatchObject({ code: 2, out: '' })
    expect(existsSync(join(dir, 'x'))).toBe(false)
  })
})

describe('what would be wrong, and not be noticed', () => {
  const one = (params: string, info = '{}'): string =>
    `model_list:\n  - { model_name: m, litellm_params: { ${params} }, model_info: ${info} }\n`

  it("an engine of one's own never gets the vendor's key", async () => {
    const base = 'api_base: "http://10.0.0.5:8000/v1"'
    const literal = await imported(one(`model: openai/qwen3-32b, ${base}, api_key: ${CANARY}`))
    expect(literal.out).toContain('env: QWEN3_32B_API_KEY')
    const absent = await imported(one(`model: openai/qwen3-32b, ${base}`))
    expect(absent.err).toContain('LiteLLM sends OPENAI_API_KEY to http://10.0.0.5:8000/v1: nothing is sent there')
    for (const { out } of [literal, absent]) expect(out).not.toContain('OPENAI_API_KEY')
    const named = await imported(one(`model: openai/qwen3-32b, ${base}, api_key: os.environ/OPENAI_API_KEY`))
    expect(named.out, 'as the file says').toContain('env: OPENAI_API_KEY')
  })

  it.each([
    ['anthropic/claude-sonnet-4-5', 'https://api.anthropic.com', 'https://api.anthropic.com/v1'],
    ['anthropic/claude-sonnet-4-5', 'https://proxy.example/v1', 'https://proxy.example/v1'],
    ['gemini/gemini-2.5-pro', 'https://generativelanguage.example', 'https://generativelanguage.example/v1beta'],
  ])('%s at %s: the path that LiteLLM adds', async (model, base, wanted) => {
    const { out } = await imported(one(`model: ${model}, api_base: "${base}", api_key: os.environ/KEY`))
    expect(load(out).config.models[0]).toMatchObject({ baseUrl: wanted })
  })

  it('who might use a model, and what priced it, is told', async () => {
    const { err } = await imported(one('model: openai/gpt-4.1', '{ team_id: t1, base_model: gpt-4o, odd: 1, id: a }'))
    expect(err).toContain('model_info.team_id: it was for one team only')
    expect(err).toContain('model_info.base_model')
    expect(err).toContain('model_info.odd: has no counterpart')
    expect(err).not.toContain('model_info.id')
  })

  it.each([
    ['image_generation', 'output_cost_per_image: 0.04', 'image', { image: 0.04 }],
    ['audio_transcription', 'input_cost_per_second: 0.0001', 'transcription', { second: 0.0001 }],
    ['audio_speech', 'input_cost_per_character: 0.000015', 'speech', { character: 0.000015 }],
  ])('%s has its kind, and its price', async (mode, price, kind, wanted) => {
    const { out, err } = await imported(one(`model: openai/m, api_key: os.environ/K, ${price}`, `{ mode: ${mode} }`))
    expect(load(out).config.models[0]).toMatchObject({ kinds: [kind], price: wanted })
    expect(err).not.toContain('no counterpart')
  })

  it('all of a vendor is all of it here, where its provider takes the name off', async () => {
    const all = (vendor: string): string =>
      `model_list: [{ model_name: "${vendor}/*", litellm_params: { model: "${vendor}/*", api_key: os.environ/K } }]`
    expect(load((await imported(all('groq'))).out).config.models[0]).toMatchObject({ name: 'groq/*', model: null })
    expect((await imported(all('mistral'))).err).toContain('the entry is left out')
    const any = await imported('model_list: [{ model_name: "*", litellm_params: { model: "*" } }]')
    expect(any.err).toContain('all names go to OpenAI here')
  })

  it("another API's bridge is that API's model", async () => {
    const { out } = await imported(one('model: openai/responses/gpt-5, api_key: os.environ/K'))
    expect(load(out).config.models[0]).toMatchObject({ model: 'gpt-5' })
  })

  it('what a key has used of its budget is told', async () => {
    const keys = file(
      JSON.stringify([{ key_alias: 'a', max_budget: 100, budget_duration: '30d', spend: 12.5 }]),
      'json',
    )
    const { err } = await imported(one('model: openai/gpt-4.1'), '--keys', keys)
    expect(err).toContain('keys[0] (a).spend: 12.5 of its budget are used')
  })
})

describe('clouds', () => {
  const entry = (model: string, params = '') =>
    `  - { model_name: m, litellm_params: { model: "${model}"${params && `, ${params}`} } }\n`
  const AWS = `aws_access_key_id: ${CANARY}, aws_secret_access_key: os.environ/SECRET_OF_AWS`

  it('Bedrock and Vertex, with their credentials by reference, load', async () => {
    const { code, out, err } = await imported(
      `model_list:\n${[
        entry('bedrock/converse/us.anthropic.claude-sonnet-4-5-20250929-v1:0', `${AWS}, aws_region_name: us-east-1`),
        entry('bedrock/eu-west-1/amazon.nova-lite-v1:0', `${AWS}, aws_session_token: ${CANARY}t`),
        entry('bedrock/amazon.nova-pro-v1:0', `api_key: ${CANARY}b, aws_region_name: us-west-2`),
        entry('vertex_ai/gemini-2.5-pro', 'vertex_project: my-project, vertex_location: europe-west1'),
        entry('vertex_ai/gemini-2.5-flash', 'vertex_project: p-1, vertex_credentials: /etc/keys/vertex.json'),
        entry('vertex_ai/gemini-2.5-flash', `api_key: ${CANARY}v`),
      ].join('')}`,
    )
    expect([code, err]).toEqual([0, err])
    expect(out + err).not.toContain('canary')
    const pair = { access_key_id: { env: 'AWS_ACCESS_KEY_ID' }, secret_access_key: { env: 'SECRET_OF_AWS' } }
    const bedrock = { name: 'm', provider: 'bedrock' }
    const vertex = { name: 'm', provider: 'vertex' }
    expect(parse(out).models).toEqual([
      { ...bedrock, region: 'us-east-1', ...pair, model: 'us.anthropic.claude-sonnet-4-5-20250929-v1:0' },
      {
        ...bedrock,
        ...{
          region: 'eu-west-1',
          ...pair,
          session_token: { env: 'AWS_SESSION_TOKEN' },
          model: 'amazon.nova-lite-v1:0',
        },
      },
      {
        ...bedrock,
        ...{ region: 'us-west-2', api_key: { env: 'AWS_BEARER_TOKEN_BEDROCK' }, model: 'amazon.nova-pro-v1:0' },
      },
      { ...vertex, project: 'my-project', region: 'europe-west1', model: 'gemini-2.5-pro' },
      {
        ...vertex,
        ...{
          project: 'p-1',
          region: 'us-central1',
          credentials_file: '/etc/keys/vertex.json',
          model: 'gemini-2.5-flash',
        },
      },
      { ...vertex, api_key: { env: 'GOOGLE_VERTEX_API_KEY' }, model: 'gemini-2.5-flash' },
    ])
    expect(load(out).config.models.map(({ provider }) => provider)).toHaveLength(6)
  })

  it('what has no counterpart is said, each by its name; what can not be served is left out', async () => {
    const { code, out, err } = await imported(
      `model_list:\n${[
        entry(
          'bedrock/amazon.nova-lite-v1:0',
          'aws_region_name: us-east-1, aws_role_name: "arn:x", aws_profile_name: p',
        ),
        entry('bedrock/amazon.nova-lite-v1:0', AWS),
        entry('bedrock/x', `${AWS}, aws_region_name: os.environ/NOT_SET_HERE`),
        entry('vertex_ai/gemini-2.5-pro', `vertex_project: p-1, vertex_credentials: '{"private_key":"${CANARY}"}'`),
        entry('vertex_ai/claude-sonnet-4-5', 'vertex_project: p-1'),
        entry('vertex_ai/gemini-2.5-pro'),
      ].join('')}`,
    )
    expect(code, err).toBe(0)
    expect(out + err).not.toContain('canary')
    for (const told of [
      /\[0\]\.litellm_params: LiteLLM takes AWS's own chain/,
      /\[0\]\.litellm_params\.aws_role_name: roles, profiles/,
      /\[0\]\.litellm_params\.aws_profile_name: roles, profiles/,
      /\[1\]\.litellm_params: Bedrock needs a region/,
      /\[2\]\.litellm_params\.aws_region_name: NOT_SET_HERE is not set here/,
      /\[3\]\.litellm_params\.vertex_credentials: credentials are a file/,
      /\[4\]\.litellm_params: of Vertex's models, Google's own/,
      /\[5\]\.litellm_params: Vertex needs a project/,
    ])
      expect(err).toMatch(told)
    expect(parse(out).models).toEqual([
      {
        ...{ name: 'm', provider: 'bedrock', region: 'us-east-1', model: 'amazon.nova-lite-v1:0' },
        ...{ access_key_id: { env: 'AWS_ACCESS_KEY_ID' }, secret_access_key: { env: 'AWS_SECRET_ACCESS_KEY' } },
      },
      { name: 'm', provider: 'vertex', project: 'p-1', region: 'us-central1', model: 'gemini-2.5-pro' },
    ])
  })
})
