/**
 * Every setting, its meaning, its default and its limits. Defaults stand on the field; docs/config.md, sluice.schema.json, the
 * flags and the environment names are all made from here. Names are as in YAML, with their units.
 */
import { z } from 'zod'
import { count, duration, flag, httpUrl, list, type Secret, secret, size } from './fields.ts'

const port = () => count({ max: 65_535 })
const name = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'expected letters, digits, ".", "_" or "-", at most 64')

// ---------------------------------------------------------------- models

const modelName = z
  .string()
  .regex(/^[\w.:/@+-]{1,200}\*?$|^\*$/, 'expected a model name, or the beginning of one with "*" at its end')

/** A header that looks like a credential must be a reference. */
const CREDENTIAL_HEADER = /auth|key|token|secret|cookie|password/i
const headers = z
  .record(
    z.string().regex(/^[A-Za-z0-9!#$%&'*+.^_|~-]+$/, 'expected a header name'),
    z.union([z.string().regex(/^[\x20-\x7e]*$/), secret()], {
      error: 'expected a text, { env: NAME } or { file: PATH }',
    }),
  )
  .superRefine((all, context) => {
    for (const [header, value] of Object.entries(all)) {
      if (typeof value === 'string' && CREDENTIAL_HEADER.test(header)) {
        context.addIssue({
          code: 'custom',
          path: [header],
          message: 'looks like a credential: give it by reference, { env: NAME } or { file: PATH }',
        })
      }
    }
  })

const model = z
  .strictObject({
    name: modelName.describe(
      'What clients ask for; a "*" at the end stands for any ending. The same name again makes one group, tried by `order`.',
    ),
    provider: z
      .enum(['demo', 'openai', 'openai-compatible', 'azure'])
      .describe(
        '`openai-compatible`: vLLM, Ollama, llama.cpp, SGLang, Groq, Mistral and all others that speak the dialect. `demo`: text of our own, at a real pace.',
      ),
    base_url: httpUrl()
      .nullable()
      .prefault(null)
      .describe(
        "Where the provider's API begins, usually ending in `/v1`. Null: OpenAI's own, for `openai`; all others need it.",
      ),
    model: z
      .string()
      .min(1)
      .nullable()
      .prefault(null)
      .describe("The provider's name of the model. Null: the name that the client asked for."),
    api_key: secret()
      .nullable()
      .prefault(null)
      .describe('By reference: `{ env: NAME }` or `{ file: PATH }`. Sent to `base_url` and nowhere else.'),
    api_version: z.string().min(1).nullable().prefault(null).describe('Azure: the `api-version` of its query.'),
    headers: headers
      .prefault({})
      .describe('More headers for the provider. What looks like a credential must be a reference.'),
    kinds: z
      .array(z.enum(['chat', 'embedding']))
      .min(1)
      .prefault(['chat', 'embedding'])
      .describe('What it can do.'),
    order: count()
      .prefault(0)
      .describe('Lower orders first; the next order is used when all before it are full or failing.'),
    limits: z
      .strictObject({
        concurrent: count({ min: 1 })
          .nullable()
          .prefault(null)
          .describe('Calls at once; more wait in line. Null: no limit.'),
      })
      .prefault({})
      .describe('What this deployment can take.'),
    pool: name.prefault('text').describe('Which workers run its jobs.'),
    context_tokens: count({ min: 1 })
      .prefault(128_000)
      .describe('Tokens it takes in; conversations are cut to it from their oldest side.'),
    continuation: z
      .enum(['none', 'prefix', 'vllm'])
      .prefault('none')
      .describe(
        'How it prolongs a given beginning of an answer after a worker died: `prefix` (DeepSeek, Mistral), `vllm`, or not at all. The demo always can.',
      ),
    ca_file: z
      .string()
      .min(1)
      .nullable()
      .prefault(null)
      .describe('Certificates (PEM) to trust besides the well-known ones.'),
    timeouts: z
      .strictObject({
        ttft_ms: duration({ min: 1 }).nullable().prefault(null).describe('Null: as in `timeouts`.'),
        inter_token_ms: duration({ min: 1 }).nullable().prefault(null).describe('Null: as in `timeouts`.'),
        total_ms: duration({ min: 1 }).nullable().prefault(null).describe('Null: as in `timeouts`.'),
      })
      .prefault({})
      .describe('Other time limits than all the rest.'),
    demo: z
      .strictObject({
        ttft_ms: duration().prefault(200).describe('Time to the first token.'),
        token_ms: duration().prefault(20).describe('Time between tokens.'),
      })
      .prefault({})
      .describe('Pace of the demo model.'),
  })
  .superRefine((m, context) => {
    const refuse = (path: string, message: string): void => context.addIssue({ code: 'custom', path: [path], message })
    if ((m.provider === 'openai-compatible' || m.provider === 'azure') && m.base_url === null)
      refuse('base_url', `is needed by the provider ${m.provider}`)
    if (m.provider === 'demo' && m.base_url !== null) refuse('base_url', 'the demo model has no address')
    if (m.provider === 'openai' && m.base_url === null && m.api_key === null)
      refuse('api_key', 'is needed by the provider openai, e.g. { env: OPENAI_API_KEY }')
  })
  .transform((m) => (m.provider === 'openai' && m.base_url === null ? { ...m, base_url: OPENAI_URL } : m))

const OPENAI_URL = 'https://api.openai.com/v1'

// ---------------------------------------------------------------- all

export const settings = z.strictObject({
  host: z
    .string()
    .min(1)
    .prefault('127.0.0.1')
    .describe('Address of the public listener. 0.0.0.0 or :: answers on all interfaces; put TLS in front.'),
  port: port().prefault(4100).describe('Port of the public listener; 0 takes a free one.'),
  key: secret()
    .nullable()
    .prefault(null)
    .describe(
      'A first API key, of the tenant `default`, so that scripts can start it unattended. In the environment: the key itself.',
    ),
  admin: z
    .strictObject({
      host: z.string().min(1).prefault('127.0.0.1').describe('Address of the admin listener.'),
      port: port().nullable().prefault(null).describe('Port of the admin listener. Null: `port` + 1.'),
      key: secret()
        .nullable()
        .prefault(null)
        .describe(
          'The admin key. Null: one is made at the first start, in the file `admin.key` of the data folder. In the environment: the key itself.',
        ),
    })
    .prefault({})
    .describe('The listener for operators.'),
  data_dir: z
    .string()
    .min(1)
    .prefault('./sluice-data')
    .describe('The folder that holds all state. One server at a time owns it.'),
  durability: z
    .enum(['memory', 'process', 'power'])
    .prefault('power')
    .describe(
      'What acknowledged work survives: `power` a power cut, `process` a crash of the process, `memory` nothing.',
    ),

  http: z
    .strictObject({
      cors_origins: list()
        .prefault([])
        .describe('Origins whose pages may call, e.g. `https://app.example.com`; `*` = all.'),
      max_body_bytes: size({ min: 1024 }).prefault('4MiB').describe('Largest request body.'),
      max_depth: count({ min: 8 }).prefault(64).describe('Deepest nesting of a JSON body.'),
      max_keys: count({ min: 16 }).prefault(50_000).describe('Most keys in a JSON body, over all depths.'),
      headers_timeout_ms: duration({ min: 100 }).prefault('10s').describe("For all of a request's headers to arrive."),
      request_timeout_ms: duration({ min: 100 })
        .prefault('30s')
        .describe('For a whole request to arrive, its body included.'),
      keep_alive_ms: duration({ min: 0 }).prefault('75s').describe('How long an idle connection is kept.'),
      max_connections: count({ min: 1 })
        .prefault(20_000)
        .describe('Open connections of the public listener, WebSockets included.'),
      max_requests_per_key: count({ min: 1 })
        .prefault(10_000)
        .describe('Requests under way at once by one API key, open streams included.'),
      bad_keys_per_minute: count({ min: 1 })
        .prefault(60)
        .describe('Wrong API keys from one address, before it is told to wait.'),
      max_readers_per_job: count({ min: 1 }).prefault(100).describe('Open readers of one job.'),
      heartbeat_ms: duration({ min: 100 }).prefault('15s').describe('A silent stream gets a comment as often.'),
      headers_after_ms: duration({ min: 0 })
        .prefault('5s')
        .describe("A stream's response headers are sent at the latest after this, even if there is no token yet."),
      disconnect_grace_ms: duration({ min: 0 })
        .prefault('15s')
        .describe('How long a plain POST whose reader is gone goes on, before it is canceled.'),
      max_reader_buffer_bytes: size({ min: 4096 })
        .prefault('1MiB')
        .describe('Unsent bytes of one slow reader; beyond them it is caught up from the log when it reads again.'),
      max_answer_bytes: size({ min: 1024 }).prefault('4MiB').describe('Largest answer that is kept.'),
    })
    .prefault({})
    .describe('The public listener: what a client may do.'),

  websocket: z
    .strictObject({
      heartbeat_ms: duration({ min: 100 })
        .prefault('20s')
        .describe(
          'A connection that is silent for as long is asked for a sign of life; after half as long again it is closed.',
        ),
      hello_timeout_ms: duration({ min: 100 }).prefault('5s').describe('For a new connection to say who it is.'),
      max_message_bytes: size({ min: 1024 })
        .prefault('256KiB')
        .describe('Largest message; larger requests are submitted by `POST /v1/jobs`.'),
      max_jobs: count({ min: 1 }).prefault(1_000).describe('Jobs that one connection follows at once.'),
      max_messages_per_second: count({ min: 1 })
        .prefault(1_000)
        .describe('Messages of one connection; a burst may be five times as many.'),
      max_per_key: count({ min: 1 })
        .prefault(10_000)
        .describe('Connections of one API key, those of its tickets included.'),
    })
    .prefault({})
    .describe('The live connection, `/v1/ws`.'),

  sessions: z
    .strictObject({
      ticket_ms: duration({ min: 1_000 }).prefault('30s').describe('How long a ticket is good; it is good once.'),
      token_ms: duration({ min: 1_000 })
        .prefault('10m')
        .describe('How long a token stands for its session, before it must be renewed.'),
      session_ms: duration({ min: 1_000 })
        .prefault('12h')
        .describe('Longest session of a page; then it needs a new ticket.'),
    })
    .prefault({})
    .describe('Pages, which have no API key.'),

  workers: z
    .strictObject({
      concurrency: count({ min: 1 }).prefault(4096).describe('Jobs that run at once.'),
      pools: list(name).prefault([]).describe('Pools whose jobs are run here. Empty: all.'),
      lease_ms: duration({ min: 100 })
        .prefault('30s')
        .describe('A worker that is silent for as long has lost its job.'),
      heartbeat_ms: duration({ min: 50 })
        .prefault('10s')
        .describe('How often leases are prolonged; below a half of `lease_ms`.'),
      drain_ms: duration({ min: 0 })
        .prefault('25s')
        .describe('How long a stop waits for running jobs; the rest go on at the next start.'),
    })
    .prefault({})
    .describe('Who runs jobs.'),

  queue: z
    .strictObject({
      max_attempts: count({ min: 1 }).prefault(3).describe('Attempts that a job may use up by failing.'),
      max_crashes: count({ min: 0 }).prefault(2).describe('Workers that may die of a job before it is given up.'),
      retry_base_ms: duration({ min: 1 })
        .prefault(200)
        .describe('The first retry waits up to this; each further one twice as long.'),
      retry_cap_ms: duration({ min: 1 })
        .prefault('5s')
        .describe('No retry waits longer, unless the provider asks for it.'),
      max_queued_jobs: count({ min: 1 }).prefault(1_000_000).describe('Jobs in line, of all tenants.'),
      max_queued_per_tenant: count({ min: 1 }).prefault(100_000).describe('Jobs in line, of one tenant.'),
      max_queued_per_lane: count({ min: 1 }).prefault(1_000).describe('Jobs in line, of one lane or conversation.'),
      max_queued_bytes_per_tenant: size({ min: 1024 })
        .prefault('256MiB')
        .describe('Bytes of the requests in line, of one tenant.'),
      plain_deadline_ms: duration({ min: 1 })
        .prefault('60s')
        .describe('A plain POST must start within this, unless it says otherwise.'),
      job_deadline_ms: duration({ min: 1 })
        .prefault('24h')
        .describe('Every other job must start within this, unless it says otherwise.'),
    })
    .prefault({})
    .describe('How work waits.'),

  timeouts: z
    .strictObject({
      ttft_ms: duration({ min: 1 }).prefault('30s').describe('From the call to its first event.'),
      inter_token_ms: duration({ min: 1 }).prefault('20s').describe('Between two events.'),
      total_ms: duration({ min: 1 }).prefault('10m').describe('The whole call.'),
    })
    .prefault({})
    .describe('How long a provider may take. A model can have its own.'),

  stream: z
    .strictObject({
      gather: z
        .enum(['auto', 'on', 'off'])
        .prefault('auto')
        .describe(
          "Read several tokens at once from a provider's socket: always, never, or when the machine is busy. A first token never waits.",
        ),
      gather_ms: duration({ min: 5, max: 300 })
        .prefault(60)
        .describe('How long a socket is left unread while gathering.'),
    })
    .prefault({})
    .describe('How tokens travel.'),

  models: z
    .array(model)
    .prefault([])
    .describe(
      'The models that clients may ask for. Empty: `demo`; and with `OPENAI_API_KEY` in the environment `gpt-*`, `o*` and `text-embedding-*` at OpenAI.',
    ),

  proxy: z
    .strictObject({
      url: z
        .union([httpUrl(), secret()], { error: 'expected an address, { env: NAME } or { file: PATH }' })
        .nullable()
        .prefault(null)
        .describe('HTTP proxy for calls to providers; a reference if it holds credentials.'),
      no_proxy: list()
        .prefault(['localhost', '127.0.0.1', '::1'])
        .describe('Hosts (and their subdomains) that are called directly.'),
    })
    .prefault({})
    .describe('The way to the providers.'),

  tenants: z
    .array(
      z.strictObject({
        name: name.describe('As in `sluice keys create --tenant`.'),
        weight: z
          .number()
          .positive()
          .max(1_000_000)
          .prefault(1)
          .describe('Share of the service while others wait too.'),
        retention: z
          .strictObject({
            logs: duration()
              .nullable()
              .prefault(null)
              .describe('How long its ended jobs are kept; 0: until they were read. Null: as in `retention`.'),
          })
          .prefault({})
          .describe('What is kept of its work.'),
      }),
    )
    .prefault([])
    .describe('Tenants with settings of their own; others exist as soon as they have a key.'),

  conversations: z
    .strictObject({ keep_failed: flag().prefault(false).describe('Do failed and canceled turns stay in the prompt?') })
    .prefault({})
    .describe('Lanes that remember.'),

  retention: z
    .strictObject({
      logs: duration().prefault('24h').describe('How long ended jobs and their logs are kept.'),
      bytes: size({ min: 2 ** 20 })
        .prefault('1GiB')
        .describe('Bytes of ended jobs that are kept; the oldest go first.'),
    })
    .prefault({})
    .describe('What is kept, and for how long.'),

  log: z
    .strictObject({
      level: z
        .enum(['debug', 'info', 'warn', 'error', 'silent'])
        .prefault('info')
        .describe('The least that is logged, to stderr, as JSON lines. Never text of users.'),
    })
    .prefault({})
    .describe("The operator's log."),

  boot_id: z
    .string()
    .min(1)
    .nullable()
    .prefault(null)
    .describe(
      "Stands for the machine's boot, after which unfinished logs get a new epoch. Null: the system's own; tests set it to play a power cut.",
    ),
  crash_at: z
    .string()
    .regex(/^[a-z-]+:\d+$/, 'expected POINT:N')
    .nullable()
    .prefault(null)
    .describe('Die as by kill -9 at a named point, the Nth time it is passed; only for tests of recovery.'),
})

/** The settings as the parts get them: checked as a whole, and with what follows from others filled in. */
export const schema = settings
  .superRefine((c, context) => {
    const refuse = (path: string[], message: string): void => context.addIssue({ code: 'custom', path, message })
    if (c.workers.heartbeat_ms * 2 > c.workers.lease_ms)
      refuse(['workers', 'heartbeat_ms'], 'must be at most half of workers.lease_ms')
    if (c.queue.retry_base_ms > c.queue.retry_cap_ms)
      refuse(['queue', 'retry_base_ms'], 'must be at most queue.retry_cap_ms')
    if (c.http.headers_timeout_ms > c.http.request_timeout_ms)
      refuse(['http', 'headers_timeout_ms'], 'must be at most http.request_timeout_ms')
    if (c.admin.port === null && c.port === 65_535) refuse(['admin', 'port'], 'is needed where port is 65535')
    if (c.port !== 0 && c.admin.port === c.port) refuse(['admin', 'port'], 'must differ from port')
    const tenants = c.tenants.map((t) => t.name)
    for (const [i, tenant] of tenants.entries())
      if (tenants.indexOf(tenant) < i) refuse(['tenants', String(i), 'name'], `"${tenant}" is there already`)
    const pools = new Map<string, string>()
    for (const [i, m] of c.models.entries()) {
      const pool = pools.get(m.name) ?? m.pool
      pools.set(m.name, pool)
      if (pool !== m.pool)
        refuse(['models', String(i), 'pool'], `"${m.name}" is in the pool "${pool}" already; a group has one pool`)
    }
  })
  .transform((c) => ({ ...c, admin: { ...c.admin, port: c.admin.port ?? (c.port === 0 ? 0 : c.port + 1) } }))

/** The effective configuration, frozen. */
export type Config = DeepReadonly<z.output<typeof schema>>
export type ModelConfig = Config['models'][number]

type DeepReadonly<T> = T extends Secret | string | number | boolean | null | undefined
  ? T
  : T extends ReadonlyArray<infer U>
    ? ReadonlyArray<DeepReadonly<U>>
    : { readonly [K in keyof T]: DeepReadonly<T[K]> }
