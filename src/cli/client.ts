/** Speaks HTTP to a running server, for the commands. */
import { join } from 'node:path'
import { environmentOf, loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { ADMIN_KEY, API_KEY, FIRST_KEY_FILE, readSecret } from '../config/secret-file.ts'
import { urlOf } from '../core/address.ts'
import { systemClock } from '../core/clock.ts'
import { bareText } from '../settings/fields.ts'
import { type Args, EXIT, FailedError, invocation, RefusedError, UnreachableError, UsageError } from './command.ts'

export interface Client {
  readonly url: string
  readonly key: string
  /** Resolves with any answer below 400; throws ApiError, RefusedError or UnreachableError. */
  call(
    method: string,
    path: string,
    more?: {
      readonly headers?: Record<string, string>
      readonly body?: unknown
      readonly signal?: AbortSignal
      /** The answer begins by then; default: 30 s. */
      readonly withinMs?: number
    },
  ): Promise<Response>
}

class ApiError extends FailedError {
  override readonly exitCode: number
  readonly status: number
  readonly code: string

  constructor(status: number, { code = '', param = null }: ErrorBody, message: string) {
    super(message)
    this.status = status
    this.code = code
    // What is wrong with the request was on the command line
    this.exitCode = status === 400 && (param !== null || code.startsWith('cursor_')) ? EXIT.usage : EXIT.failed
  }
}

/** What can be read of an error. */
interface ErrorBody {
  readonly code?: string
  readonly message?: string
  readonly param?: string | null
}

/** The API names routes; who types a command wants a command. */
const MESSAGES: ReadonlyMap<string, string> = new Map([
  ['key_not_found', `There is no such API key. "${invocation} keys list" shows their ids.`],
  ['tenant_not_found', `There is no such tenant. "${invocation} tenants list" shows them.`],
  ['run_not_found', `There is no such run. "${invocation} runs list" shows their ids.`],
  ['batch_not_found', `There is no such batch. "${invocation} batches list" shows their ids.`],
  ['job_not_found', `There is no such job. "${invocation} jobs list" shows their ids.`],
  ['invalid_api_key', `The API key is not valid on this server. "${invocation} keys create" creates one.`],
])
const ADMIN_MESSAGES: ReadonlyMap<string, string> = new Map([
  ...MESSAGES,
  ['invalid_api_key', 'The admin key is not valid on this server: use the one in the admin.key of its data folder.'],
])

/** Throws UsageError for what is no address: the server is not to blame. */
function readUrl(text: string, from: string): string {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    const meant = /^[\w.-]+(:\d+)?(\/.*)?$/.test(text) ? ` Did you mean "http://${text}"?` : ''
    throw new UsageError(`${from}: "${text}" is not an http or https address.${meant}`)
  }
  if (url.username !== '' || url.password !== '')
    throw new UsageError(`${from}: leave the credentials out of the address; set SLUICE_API_KEY to the API key.`)
  if (url.search !== '' || url.hash !== '')
    throw new UsageError(`${from}: leave out the "?" or "#" and everything after it.`)
  // SDKs want "/v1" in their base_url; here it is added
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '').replace(/\/v1$/, '')
}

/** No answer of an API takes longer; streams have begun by then. */
const ANSWER_MS = 30_000

export function createClient(base: string, key: string, messages = MESSAGES): Client {
  return {
    url: base,
    key,
    async call(method, path, { headers, body, signal, withinMs = ANSWER_MS } = {}) {
      const late = new AbortController()
      const answered = systemClock.after(withinMs, () => late.abort(new DOMException('late', 'TimeoutError')))
      const response = await fetch(`${base}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${key}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        body: body === undefined ? null : JSON.stringify(body),
        signal: signal === undefined ? late.signal : AbortSignal.any([signal, late.signal]),
      })
        .catch((cause: unknown) => {
          throw new UnreachableError(unreachable(base, cause, withinMs), { cause })
        })
        .finally(answered)
      if (response.status < 400) return response
      const error = errorOf(await response.text().catch(() => ''))
      const message =
        messages.get(error.code ?? '') ??
        error.message ??
        `${base} answered HTTP ${response.status}, but is not Sluice: check the address`
      if (response.status === 401 || response.status === 403) throw new RefusedError(message)
      throw new ApiError(response.status, error, message)
    },
  }
}

function errorOf(text: string): ErrorBody {
  try {
    return (JSON.parse(text) as { error?: ErrorBody }).error ?? {}
  } catch {
    return {}
  }
}

/** What kept it from answering, and what to try. */
function unreachable(base: string, error: unknown, withinMs: number): string {
  const { cause, message, name } = error as Error & { cause?: NodeJS.ErrnoException }
  const reason = cause?.code ?? cause?.message ?? message
  if (name === 'TimeoutError') return `${base} accepts connections, but has not answered within ${withinMs / 1000} s.`
  if (base.startsWith('https:') && /SSL|EPROTO|TLS/.test(reason))
    return `${base} does not speak TLS (${reason}). Did you mean "${base.replace('https:', 'http:')}"?`
  if (/HPE_|SOCKET|ECONNRESET/.test(reason))
    return `${base} does not speak plain HTTP (${reason}). Is it an https address, or another service?`
  if (/CERT|SELF_SIGNED|ALTNAME/.test(reason))
    return `the certificate of ${base} is not trusted (${reason}). Set NODE_EXTRA_CA_CERTS to a file with your own CA.`
  if (reason === 'ENOTFOUND' || reason === 'EAI_AGAIN') return `the host in ${base} was not found (${reason}).`
  return `no answer from ${base} (${reason}). Is the server running?`
}

/**
 * The public listener of the server that this configuration describes, or of --url. The key that the server wrote into
 * its data folder is for its own address alone.
 */
export function publicClient(args: Args): Client {
  const { config } = loadConfig({ file: args.option('config'), flags: args.settings, withoutSecrets: true })
  const seed = config.key?.known ? config.key.reveal() : undefined
  const url = addressed(args, 'url', 'SLUICE_URL')
  const first = join(config.dataDir, FIRST_KEY_FILE)
  const stored = (): string | null => (url === null ? readSecret(first, API_KEY) : null)
  const key = args.option('key') ?? environmentOf('SLUICE_API_KEY') ?? seed ?? stored()
  if (key === null)
    throw new UsageError(
      'Missing API key: set SLUICE_API_KEY, or give it with --key. ' +
        `That of a first start may be in ${first}; ${invocation} keys create makes another one.`,
    )
  return createClient(url ?? urlOf(config), sendable(key))
}

/**
 * The admin listener. Its key: SLUICE_ADMIN_KEY (admin.key), or the file that the server wrote into its data folder.
 */
export function adminClient(args: Args): Client {
  const { config } = loadConfig({ file: args.option('config'), flags: args.settings, withoutSecrets: true })
  return createClient(
    addressed(args, 'admin-url', 'SLUICE_ADMIN_URL') ?? urlOf(config.admin),
    sendable(config.admin.key?.known ? config.admin.key.reveal() : storedAdminKey(config)),
    ADMIN_MESSAGES,
  )
}

/** The address that was given, by option or environment. */
function addressed(args: Args, option: string, variable: string): string | null {
  const given = args.option(option)
  if (given !== undefined) return readUrl(given, `--${option}`)
  const fromEnvironment = environmentOf(variable)
  return fromEnvironment === null ? null : readUrl(fromEnvironment, variable)
}

/** A header takes no other characters, and fetch's own error would repeat the key. */
function sendable(key: string): string {
  const bare = bareText(key)
  if (!/^[\x21-\x7e]+$/.test(bare))
    throw new UsageError('The key contains characters that keys never contain: check how it was copied.')
  return bare
}

function storedAdminKey(config: Config): string {
  const path = join(config.dataDir, 'admin.key')
  const key = readSecret(path, ADMIN_KEY)
  if (key !== null) return key
  throw new UsageError(
    `There is no ${path}: the server writes it at its first start. ` +
      'Point --data-dir to its folder, or set SLUICE_ADMIN_KEY.',
  )
}

export const CLIENT_OPTIONS = {
  url: { value: 'URL', help: 'the server (SLUICE_URL; default: as configured)' },
  key: { value: 'KEY', help: 'an API key (SLUICE_API_KEY is better: process lists show flags)' },
} as const

export const ADMIN_OPTIONS = {
  'admin-url': { value: 'URL', help: 'the admin listener (SLUICE_ADMIN_URL; default: as configured)' },
} as const
