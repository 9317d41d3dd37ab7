/**
 * Every setting, its meaning, its default and its limits. docs/config.md, sluice.schema.json, the flags and the names
 * in the environment are all generated from here. Names are those of the YAML file, with their units.
 */
import { z } from 'zod'
import { guardSettings } from '../admission/settings.ts'
import { levelSettings, modelLimitSettings, tenantLimitSettings } from '../coordinator/limits/settings.ts'
import { cacheSettings } from '../coordinator/shares/settings.ts'
import type { Camelised } from '../core/camel.ts'
import { isWithin } from '../core/model-index.ts'
import { didYouMean } from '../core/nearest.ts'
import { otlpSettings } from '../observability/otlp/settings.ts'
import { count, duration, filePath, flag, httpUrl, list, secret, share, size } from '../settings/fields.ts'
import { engine, engineAsGiven, processes, role } from './engine.ts'
import { checkIntakes, intakes, pools } from './intakes.ts'
import { model, modelAsGiven, name, policy } from './models.ts'
import { webhooks } from './webhooks.ts'

const port = () => count({ max: 65_535 })
export const settings = z.strictObject({
  host: z
    .string()
    .min(1)
    .prefault('127.0.0.1')
    .describe('Address of the public listener. `0.0.0.0` or `::` listens on all interfaces; put TLS in front.'),
  port: port().prefault(4100).describe('Port of the public listener. 0: any free port.'),
  key: secret()
    .nullable()
    .prefault(null)
    .describe(
      'An API key for the tenant `default`, for unattended starts; at least 16 random characters. A changed key ' +
        'replaces ' +
        'the one of earlier starts. In the environment: the key itself.',
    ),
  admin: z
    .strictObject({
      host: z.string().min(1).prefault('127.0.0.1').describe('Address of the admin listener.'),
      port: port().nullable().prefault(null).describe('Port of the admin listener. Null: `port` + 1.'),
      key: secret()
        .nullable()
        .prefault(null)
        .describe(
          'The admin key, at least 16 random characters. Null: the first start creates one, in the file `admin.key` ' +
            'in the ' +
            'data folder. In the environment: the key itself.',
        ),
    })
    .prefault({})
    .describe('The listener for operators.'),
  secret_key: secret()
    .nullable()
    .prefault(null)
    .describe(
      "What the store's secrets are sealed with (tenants' own provider keys); at least 16 random characters. Null: " +
        'the file `sealing.key` in the data folder, made when it is needed; on Redis it must be given, the same ' +
        'to all processes. In the environment: the key itself.',
    ),
  secret_key_before: secret()
    .nullable()
    .prefault(null)
    .describe(
      'The `secret_key` before this one, while it is changed: what it sealed can be read, and `sluice provider-keys ' +
        'reseal` seals it with the new one. In the environment: the key itself.',
    ),
  engine,
  role,
  processes,
  data_dir: filePath()
    .prefault('./sluice-data')
    .describe(
      'The folder that holds all state of the embedded engine: only one server can use it at a time. On Redis only ' +
        'keys that were made here are in it.',
    ),
  durability: z
    .enum(['memory', 'process', 'power'])
    .prefault('power')
    .describe(
      'What acknowledged work survives. `power`: a power failure. `process`: a crash of the process. `memory`: ' +
        'nothing.',
    ),

  http: z
    .strictObject({
      cors_origins: list()
        .prefault([])
        .describe('Origins of web pages that may call the API, e.g. `https://app.example.com`. `*`: all.'),
      max_body_bytes: size({ min: 1024 }).prefault('4MiB').describe('Largest request body.'),
      max_upload_bytes: size({ min: 1024 })
        .prefault('64MiB')
        .describe('Largest sound that is uploaded to be transcribed.'),
      max_depth: count({ min: 8 }).prefault(64).describe('Deepest nesting of a JSON body.'),
      max_keys: count({ min: 16 }).prefault(50_000).describe('Most keys in a JSON body, at all depths together.'),
      headers_timeout_ms: duration({ min: 100 })
        .prefault('10s')
        .describe("Time for all of a request's headers to arrive."),
      request_timeout_ms: duration({ min: 100 })
        .prefault('30s')
        .describe('Time for a whole request to arrive, body included.'),
      keep_alive_ms: duration({ min: 0 }).prefault('75s').describe('How long an idle connection is kept open.'),
      max_header_bytes: size({ min: 1024, max: 2 ** 20 })
        .prefault('16KiB')
        .describe('Largest request headers in total, those added by proxies included.'),
      max_wait_ms: duration({ min: 0 })
        .prefault('50s')
        .describe('Longest wait of a request with `wait_ms`; keep it below the timeout of proxies, often 60 s.'),
      max_connections: count({ min: 1 })
        .prefault(20_000)
        .describe('Open connections to the public listener, WebSockets included.'),
      max_requests_per_key: count({ min: 1 })
        .prefault(10_000)
        .describe('Concurrent requests per API key, open streams included.'),
      max_unfinished_bytes: size({ min: 2 ** 20 })
        .prefault('256MiB')
        .describe('Bytes of request bodies and WebSocket messages that are still arriving, over all clients.'),
      max_unfinished_bytes_per_key: size({ min: 1024 })
        .prefault('64MiB')
        .describe('The same for one API key and its sessions; one body always fits.'),
      bad_keys_per_minute: count({ min: 1 })
        .prefault(60)
        .describe('Invalid API keys accepted from one address per minute before it gets 429.'),
      max_readers_per_job: count({ min: 1 }).prefault(100).describe('Concurrent readers of one job.'),
      heartbeat_ms: duration({ min: 100 })
        .prefault('15s')
        .describe('Interval of keep-alive comments on a silent stream.'),
      headers_after_ms: duration({ min: 0 })
        .prefault('5s')
        .describe("A stream's response headers are sent after this time at the latest, even before the first token."),
      disconnect_grace_ms: duration({ min: 0 })
        .prefault('15s')
        .describe('How long a plain POST keeps running after its client disconnects, before it is canceled.'),
      max_reader_buffer_bytes: size({ min: 4096 })
        .prefault('1MiB')
        .describe('Unsent bytes per reader; a slower reader is caught up from the log when it reads again.'),
      max_answer_bytes: size({ min: 1024 })
        .prefault('128MiB')
        .describe('Largest answer; 2,048 embeddings of 1,536 numbers fit. One event or document of a chat: 16MiB.'),
    })
    .prefault({})
    .describe('The public HTTP listener.'),

  websocket: z
    .strictObject({
      heartbeat_ms: duration({ min: 100 })
        .prefault('20s')
        .describe(
          'A connection that has been silent for this long is pinged, and closed if it stays silent for half as ' +
            'long again.',
        ),
      hello_timeout_ms: duration({ min: 100 }).prefault('5s').describe('Time for a new connection to send `hello`.'),
      max_message_bytes: size({ min: 1024 })
        .prefault('256KiB')
        .describe(
          'Largest message on `/v1/ws`: submit larger requests with `POST /v1/jobs`. On `/v1/responses`, ' +
            '`http.max_body_bytes` is the limit.',
        ),
      max_jobs: count({ min: 1 })
        .prefault(1_000)
        .describe('Jobs that one connection can follow, and responses that it can have open, at a time.'),
      max_messages_per_second: count({ min: 1 })
        .prefault(1_000)
        .describe('Messages per connection; bursts may be five times as large.'),
      max_per_key: count({ min: 1 })
        .prefault(10_000)
        .describe('Connections per API key, those opened with its tickets included.'),
    })
    .prefault({})
    .describe('WebSocket connections (`/v1/ws`, `/v1/responses`).'),

  sessions: z
    .strictObject({
      ticket_ms: duration({ min: 1_000 }).prefault('30s').describe('Validity of a ticket. A ticket works once.'),
      token_ms: duration({ min: 1_000 })
        .prefault('10m')
        .describe('Validity of a session token before it must be renewed.'),
      session_ms: duration({ min: 1_000 })
        .prefault('12h')
        .describe('Longest session of a page; after that it needs a new ticket.'),
      max_queued_jobs: count({ min: 1 })
        .prefault(1_000)
        .describe('Queued jobs of one user, over all of its sessions. A session without a user counts for itself.'),
      max_queued_bytes: size({ min: 1024 }).prefault('32MiB').describe('Bytes of those requests.'),
      max_delay_ms: duration({ min: 0 })
        .prefault('1h')
        .describe('Longest `delay_ms` of a session; its `deadline_ms` may be longer by `queue.job_deadline_ms`.'),
      max_requests: count({ min: 1 })
        .prefault(200)
        .describe('Requests of one user in progress at once, including open streams.'),
      max_runs: count({ min: 1, max: 1_000_000 })
        .prefault(1_000)
        .describe('Runs of one user that are kept, over all of its sessions: for 30 days after their last job.'),
      max_sockets: count({ min: 1 }).prefault(50).describe('Open WebSockets of one user.'),
      max_unfinished_bytes: size({ min: 1024 })
        .prefault('16MiB')
        .describe('Bytes of one user in bodies and messages that are still arriving; one body always fits.'),
    })
    .prefault({})
    .describe('Sessions of web pages, which have no API key.'),

  files: z
    .strictObject({
      max_bytes: size({ min: 1024 }).prefault('512MiB').describe('Largest file.'),
      max_tenant_bytes: size({ min: 1024 })
        .prefault('10GiB')
        .describe("Bytes of all files of a tenant. On Redis they are in Redis's memory."),
      max_tenant_files: count({ min: 1, max: 1_000_000 }).prefault(10_000).describe('Files of a tenant.'),
    })
    .prefault({})
    .describe('Files (`/v1/files`): uploads, and what batches answer.'),

  runs: z
    .strictObject({
      max_tenant_runs: count({ min: 1, max: 10_000_000 })
        .prefault(100_000)
        .describe(
          "Runs of a tenant that are kept: for 30 days after their last job. On Redis they are in Redis's memory.",
        ),
    })
    .prefault({})
    .describe('Runs of agents (`/v1/runs`).'),

  batches: z
    .strictObject({
      window: count({ min: 1, max: 10_000 })
        .prefault(16)
        .describe('Lines of a batch that are in line or run at once; the others wait in its file.'),
      max_lines: count({ min: 1, max: 1_000_000 }).prefault(50_000).describe('Lines of a batch.'),
    })
    .prefault({})
    .describe('Batches (`/v1/batches`).'),

  workers: z
    .strictObject({
      concurrency: count({ min: 1 }).prefault(4096).describe('Jobs that run concurrently.'),
      pools: list(name).prefault([]).describe('Pools whose jobs run here. Empty: all.'),
      lease_ms: duration({ min: 100 })
        .prefault('30s')
        .describe('A worker that has been silent for this long loses its jobs.'),
      heartbeat_ms: duration({ min: 50 })
        .prefault('10s')
        .describe('How often leases are renewed; at most half of `lease_ms`.'),
      drain_ms: duration({ min: 0 })
        .prefault('6s')
        .describe(
          'How long a stop waits for running jobs; the others continue at the next start. The default fits the 10 s ' +
            'that ' +
            '`docker stop` allows. Raise it together with that limit, leaving 3 s for the rest of the stop.',
        ),
    })
    .prefault({})
    .describe('How jobs are run.'),

  queue: z
    .strictObject({
      max_attempts: count({ min: 1 })
        .prefault(3)
        .describe('Failed attempts after which a job does not go back where it failed.'),
      max_crashes: count({ min: 0 })
        .prefault(5)
        .describe('Crashes of the server that a job may be blamed for; one more, and it fails with `poison_job`.'),
      retry_base_ms: duration({ min: 1 })
        .prefault(200)
        .describe('Longest delay before the first retry; it doubles with each further one.'),
      retry_cap_ms: duration({ min: 1 })
        .prefault('5s')
        .describe('Longest delay before any retry, unless the provider asks for more.'),
      max_queued_jobs: count({ min: 1 }).prefault(1_000_000).describe('Queued jobs of all tenants.'),
      max_queued_per_tenant: count({ min: 1 }).prefault(100_000).describe('Queued jobs per tenant.'),
      max_queued_per_lane: count({ min: 1 })
        .prefault(1_000)
        .describe('Queued jobs per lane or conversation; not for what comes through a broker.'),
      max_queued_bytes_per_tenant: size({ min: 1024 })
        .prefault('256MiB')
        .describe('Bytes of queued requests per tenant.'),
      plain_deadline_ms: duration({ min: 1 })
        .prefault('60s')
        .describe('Time within which a plain POST must start, unless it sets its own deadline.'),
      job_deadline_ms: duration({ min: 1 })
        .prefault('24h')
        .describe('Time within which any other job must start, unless it sets its own deadline.'),
    })
    .prefault({})
    .describe('The queue.'),

  limits: z
    .strictObject({
      global: levelSettings
        .nullable()
        .prefault(null)
        .describe('What everybody together may use (docs/limits.md). Null: no limits.'),
      models: modelLimitSettings.describe('What all tenants together may use of a model.'),
      each_tenant: tenantLimitSettings
        .nullable()
        .prefault(null)
        .describe('What each tenant may use that has no `limits` of its own. Null: no limits.'),
      unpriced: z
        .enum(['refuse', 'count'])
        .prefault('refuse')
        .describe(
          'A request for a model whose price nobody knows, where a limit of money holds for its caller. `refuse`: it ' +
            'is refused. `count`: it is counted at `limits.unpriced_dollars_per_million_tokens`.',
        ),
      unpriced_dollars_per_million_tokens: z
        .number()
        .min(0)
        .max(1_000_000)
        .nullable()
        .prefault(null)
        .describe('With `unpriced: count`: what a million tokens of such a model count, of prompts and of answers.'),
    })
    .prefault({})
    .describe('Who may use how much.'),

  timeouts: z
    .strictObject({
      ttft_ms: duration({ min: 1 })
        .prefault('10m')
        .describe('From the call to the first text of a stream; reasoning models are silent for minutes.'),
      inter_token_ms: duration({ min: 1 }).prefault('2m').describe('Between two events, from the first text on.'),
      total_ms: duration({ min: 1 })
        .prefault('30m')
        .describe('The whole call; the only limit for an answer that is not streamed.'),
    })
    .prefault({})
    .describe('How long a provider may take. A model can override them.'),

  goals: z
    .strictObject({
      ttft_ms: duration({ min: 1 })
        .prefault('1500ms')
        .describe(
          "From a request's head to the first text of its answer, but for the wait for its own turn. " +
            'Lines of batches have no such goal.',
        ),
      tpot_ms: duration({ min: 1 }).prefault('50ms').describe('For each token after the first.'),
      good: share()
        .prefault('99%')
        .describe('The share of answers that are to meet both: the rest is the budget that may be burned.'),
    })
    .prefault({})
    .describe('What a good answer is, for metrics, the dashboard and alerts; nothing is refused for it.'),

  dashboard: z
    .strictObject({
      text: z
        .enum(['shown', 'asked', 'never'])
        .nullable()
        .prefault(null)
        .describe(
          'Prompts and answers: `shown`; `asked`: one job at a time, and each look is recorded; `never`. Null: ' +
            '`shown` where all models are of the provider `demo`, else `asked`.',
        ),
      kill: flag()
        .nullable()
        .prefault(null)
        .describe('May the playground end a worker, or break a call? Null: where all models are of `demo`.'),
    })
    .prefault({})
    .describe('The dashboard, on the admin listener.'),

  stream: z
    .strictObject({
      gather: z
        .enum(['auto', 'on', 'off'])
        .prefault('auto')
        .describe(
          "Read several tokens at a time from a provider's socket: always (`on`), never (`off`), or when the " +
            'machine is busy ' +
            '(`auto`). A first token never waits.',
        ),
      gather_ms: duration({ min: 5, max: 300 })
        .prefault(60)
        .describe('How long a socket is left unread while gathering.'),
    })
    .prefault({})
    .describe('How tokens are read from providers.'),

  models: z
    .array(model)
    .prefault([])
    .describe(
      'The models that clients can use. Empty: `demo`, those of every provider whose key is in the environment (with ' +
        '`OPENAI_API_KEY` `gpt-*`, `o*`, `text-embedding-*` and its images and sounds; ' +
        'docs/providers.md has the others), and those of an ' +
        'Ollama on this machine.',
    ),

  intakes,
  pools,

  routing: z
    .strictObject({
      policy: policy()
        .prefault('least-wait')
        .describe(
          'How one of the deployments of a model is chosen, among those of the lowest `order` that have room: ' +
            '`least-wait` (shortest expected answer), `weighted` (by `weight`), `cheapest`, `fastest` (first text), ' +
            '`round-robin`.',
        ),
    })
    .prefault({})
    .describe('Where requests go.'),

  proxy: z
    .strictObject({
      url: z
        .union([httpUrl(), secret()], { error: 'expected an address, { env: NAME } or { file: PATH }' })
        .nullable()
        .prefault(null)
        .describe('HTTP proxy for calls to providers. A reference, if it contains credentials.'),
      no_proxy: list()
        .prefault(['localhost', '127.0.0.1', '::1'])
        .describe('Hosts that are called directly, their subdomains included.'),
    })
    .prefault({})
    .describe('Proxy for calls to providers.'),

  webhooks,

  tenants: z
    .array(
      z.strictObject({
        name: name.describe('The name given to `keys create --tenant`.'),
        weight: z
          .number()
          .positive()
          .max(1_000_000)
          .prefault(1)
          .describe('Share of the service, relative to other waiting tenants.'),
        retention: z
          .strictObject({
            logs: duration()
              .nullable()
              .prefault(null)
              .describe(
                'How long ended jobs are kept. 0: until all that follow one at its end have read it; one that nobody ' +
                  'follows then, for `retention.at_least`. Null: the value in `retention`.',
              ),
          })
          .prefault({})
          .describe('Retention for this tenant.'),
        limits: tenantLimitSettings
          .nullable()
          .prefault(null)
          .describe('What it may use, its users all together. Null: what `limits.each_tenant` has.'),
        guards: guardSettings
          .prefault([])
          .describe(
            'What its requests must pass, in this order: a list of `{ guard: NAME, …settings }`. Each submit is ' +
              'checked, whichever way it came.',
          ),
        own_keys: z
          .enum(['prefer', 'require'])
          .prefault('prefer')
          .describe(
            'Its own provider keys (`sluice provider-keys`). `prefer`: a call without one is made with ours. ' +
              '`require`: it is refused.',
          ),
        cache: cacheSettings.describe('Answers that its requests share. Without it each is generated.'),
      }),
    )
    .prefault([])
    .describe('Tenants with their own settings. Any other tenant exists as soon as it has a key.'),

  conversations: z
    .strictObject({
      keep_failed: flag().prefault(false).describe('Keep failed and canceled turns in the prompt.'),
      max_prompt_bytes: size({ min: 1024 })
        .prefault('16MiB')
        .describe(
          'Largest prompt built from a conversation, images included; older turns are left out. Also the most that a ' +
            'request may be sent of the answers of other jobs (`job_output`).',
        ),
    })
    .prefault({})
    .describe('Conversations.'),

  retention: z
    .strictObject({
      logs: duration().prefault('24h').describe('How long ended jobs and their logs are kept.'),
      bytes: size({ min: 2 ** 20 })
        .prefault('1GiB')
        .describe(
          'Bytes of ended jobs that are kept, over all tenants. Above it, the tenant with the most loses its oldest ' +
            'first.',
        ),
      at_least: duration()
        .prefault('10m')
        .describe(
          'Ended jobs, and with them their idempotency keys, are kept this long even when `retention.bytes` is ' +
            'exceeded.',
        ),
      usage: duration()
        .prefault('90d')
        .describe('How long usage records are kept, one for each attempt at a provider. Their sums by day stay.'),
      usage_bytes: size({ min: 2 ** 20 })
        .prefault('256MiB')
        .describe('Bytes of usage records that are kept; above it, the oldest go first.'),
      conversations: z
        .strictObject({
          max_age: duration()
            .nullable()
            .prefault(null)
            .describe('How long a conversation without a new turn is kept. Null: until it is deleted.'),
          turns: count({ min: 1 }).prefault(10_000).describe('Turns of one conversation; the oldest are erased.'),
          bytes: size({ min: 1024 })
            .prefault('256MiB')
            .describe('Bytes of one conversation; its oldest turns are erased.'),
          tenant_bytes: size({ min: 1024 })
            .prefault('1GiB')
            .describe('Bytes of all conversations of a tenant; those idle the longest are erased.'),
        })
        .prefault({})
        .describe('What is kept of conversations, apart from the results of their jobs.'),
    })
    .prefault({})
    .describe('What is kept, and for how long.'),

  telemetry: z
    .strictObject({
      tenant_label: flag()
        .prefault(false)
        .describe(
          'Whether metrics of jobs, tokens and costs are told apart by tenant, while they have at most 200 series.',
        ),
      open_metrics: flag()
        .prefault(false)
        .describe('Whether `GET /metrics` on the admin listener needs no admin key, for scrapers that have none.'),
      otlp: otlpSettings,
    })
    .prefault({})
    .describe('What is told to monitoring.'),

  log: z
    .strictObject({
      level: z
        .enum(['debug', 'info', 'warn', 'error', 'silent'])
        .prefault('info')
        .describe('Lowest level that is logged. The log goes to stderr: JSON lines, or text for people on a terminal.'),
    })
    .prefault({})
    .describe("The operator's log."),
})

const NAME_REDIS = 'give its address with --redis-url, SLUICE_REDIS_URL or engine.redis.url'

/** The settings as the parts get them: checked as a whole, and with what follows from others filled in. */
export const schema = settings
  .extend({ engine: engineAsGiven, models: z.array(modelAsGiven).prefault([]) })
  .superRefine((c, context) => {
    const refuse = (path: string[], message: string): void => context.addIssue({ code: 'custom', path, message })
    if (c.engine === 'embedded' && c.role !== 'all')
      refuse(['role'], `"${c.role}" needs a Redis, which it shares with other processes: ${NAME_REDIS}`)
    if (c.engine === 'embedded' && c.processes > 1)
      refuse(['processes'], `more than one needs a Redis, which they share: ${NAME_REDIS}`)
    if (c.workers.heartbeat_ms * 2 > c.workers.lease_ms)
      refuse(['workers', 'heartbeat_ms'], 'must be at most half of workers.lease_ms')
    if (c.retention.conversations.bytes > c.retention.conversations.tenant_bytes)
      refuse(['retention', 'conversations', 'bytes'], 'must be at most retention.conversations.tenant_bytes')
    if (c.queue.retry_base_ms > c.queue.retry_cap_ms)
      refuse(['queue', 'retry_base_ms'], 'must be at most queue.retry_cap_ms')
    if (c.http.headers_timeout_ms > c.http.request_timeout_ms)
      refuse(['http', 'headers_timeout_ms'], 'must be at most http.request_timeout_ms')
    for (const [i, origin] of c.http.cors_origins.entries())
      if (origin !== '*' && origin !== 'null' && !/^[a-z][a-z0-9+.-]*:\/\/[^/?#@\s]+\/?$/i.test(origin))
        refuse(['http', 'cors_origins', String(i)], 'expected an origin, e.g. https://app.example.com, or *')
    if (c.admin.port === null && c.port === 65_535) refuse(['admin', 'port'], 'is required if port is 65535')
    if (c.port !== 0 && c.admin.port === c.port) refuse(['admin', 'port'], 'must differ from port')
    const { unpriced, unpriced_dollars_per_million_tokens: unpricedDollars } = c.limits
    if (unpriced === 'count' && unpricedDollars === null)
      refuse(['limits', 'unpriced_dollars_per_million_tokens'], 'is required with limits.unpriced: count')
    if (unpriced === 'refuse' && unpricedDollars !== null)
      refuse(['limits', 'unpriced_dollars_per_million_tokens'], 'is used only with limits.unpriced: count')
    checkIntakes(c, refuse)
    const tenants = c.tenants.map((t) => t.name)
    for (const [i, tenant] of tenants.entries())
      if (tenants.indexOf(tenant) < i) refuse(['tenants', String(i), 'name'], `"${tenant}" is a duplicate`)
    const pools = new Map<string, string>()
    const deployments = c.models.map((m) => m.deployment)
    for (const [i, m] of c.models.entries()) {
      if (m.deployment !== null && deployments.indexOf(m.deployment) < i)
        refuse(['models', String(i), 'deployment'], `"${m.deployment}" is a duplicate`)
      const pool = pools.get(m.name) ?? m.pool
      pools.set(m.name, pool)
      if (pool !== m.pool)
        refuse(['models', String(i), 'pool'], `"${m.name}" already uses the pool "${pool}": a group has one pool`)
      if (m.api_keys.length > 0 && !('api_key' in m && m.api_key !== null))
        refuse(['models', String(i), 'api_keys'], 'needs a first one in `api_key`')
    }
    for (const [i, m] of c.models.entries())
      for (const [reason, names] of Object.entries(m.fallbacks))
        for (const [k, name] of names.entries()) {
          const at = ['models', String(i), 'fallbacks', reason, String(k)]
          if (name === m.name) refuse(at, `"${name}" is the model itself`)
          else if (!c.models.some((other) => isWithin(name, other.name)))
            refuse(at, `no model in \`models\` is called "${name}".${didYouMean(name, pools.keys())}`)
        }
  })
  .transform((c) => ({ ...c, admin: { ...c.admin, port: c.admin.port ?? (c.port === 0 ? 0 : c.port + 1) } }))

/** The settings by their names in YAML. */
export type Settings = z.output<typeof schema>
/** The effective configuration, frozen, by the names of code: parts take their slices of it as they are. */
export type Config = Camelised<Settings>
export type ModelConfig = Config['models'][number]
