/** Speaks HTTP to a running server, for the commands. */
import { join } from 'node:path'
import { bareText } from '../config/fields.ts'
import { environmentOf, loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { ADMIN_KEY, readSecret } from '../config/secret-file.ts'
import { systemClock } from '../core/clock.ts'
import { type Args, FailedError, RefusedError, UnreachableError, UsageError } from './command.ts'

export interface Client {
  /** Resolves with any answer below 400; throws ApiError, RefusedError or UnreachableError. */
  call(
    method: string,
    path: string,
    more?: { readonly headers?: Record<string, string>; readonly body?: unknown; readonly signal?: AbortSignal },
  ): Promise<Response>
}

export class ApiError extends FailedError {
  readonly status: number
  readonly code: string

  constructor(status: number, code: string, message: string) {
    super(message)
    this.status = status
    this.code = code
  }
}

/** Throws UsageError for what is no address: the server is not to blame. */
export function readUrl(text: string, from: string): string {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    const meant = /^[\w.-]+(:\d+)?(\/.*)?$/.test(text) ? ` Did you mean "http://${text}"?` : ''
    throw new UsageError(`${from}: "${text}" is not an http or https address.${meant}`)
  }
  if (url.username !== '' || url.password !== '')
    throw new UsageError(`${from}: leave the credentials out of the address; the API key goes into SLUICE_API_KEY.`)
  if (url.search !== '' || url.hash !== '') throw new UsageError(`${from}: leave out what follows "?" or "#".`)
  // SDKs want "/v1" in their base_url; here it is added
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '').replace(/\/v1$/, '')
}

/** No answer of an API takes longer; streams have begun by then. */
const ANSWER_MS = 30_000

export function createClient(base: string, key: string): Client {
  return {
    async call(method, path, { headers, body, signal } = {}) {
      const late = new AbortController()
      const answered = systemClock.after(ANSWER_MS, () => late.abort(new DOMException('late', 'TimeoutError')))
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
          throw new UnreachableError(unreachable(base, cause), { cause })
        })
        .finally(answered)
      if (response.status < 400) return response
      const { code, message } = errorOf(await response.text().catch(() => ''))
      const told = message ?? `${base} answered HTTP ${response.status}, but not as Sluice does: check the address`
      if (response.status === 401 || response.status === 403) throw new RefusedError(told)
      throw new ApiError(response.status, code ?? '', told)
    },
  }
}

function errorOf(text: string): { readonly code?: string; readonly message?: string } {
  try {
    return (JSON.parse(text) as { error?: { code?: string; message?: string } }).error ?? {}
  } catch {
    return {}
  }
}

/** What kept it from answering, and what to try. */
function unreachable(base: string, error: unknown): string {
  const { cause, message, name } = error as Error & { cause?: NodeJS.ErrnoException }
  const reason = cause?.code ?? cause?.message ?? message
  if (name === 'TimeoutError') return `${base} accepts connections, but has not answered within ${ANSWER_MS / 1000} s.`
  if (base.startsWith('https:') && /SSL|EPROTO|TLS/.test(reason))
    return `${base} does not speak TLS (${reason}). Did you mean "${base.replace('https:', 'http:')}"?`
  if (/HPE_|SOCKET|ECONNRESET/.test(reason))
    return `${base} does not speak plain HTTP (${reason}). Does it want https, or is it another service?`
  if (/CERT|SELF_SIGNED|ALTNAME/.test(reason))
    return `the certificate of ${base} is not trusted (${reason}). NODE_EXTRA_CA_CERTS names a file with your own CA.`
  if (reason === 'ENOTFOUND' || reason === 'EAI_AGAIN') return `there is no host of the name in ${base} (${reason}).`
  return `no answer from ${base} (${reason}). Is the server running?`
}

/** The public listener of the server that this configuration describes, or of --url. */
export function publicClient(args: Args): Client {
  const { config } = loadConfig({ file: args.option('config'), flags: args.settings, withoutSecrets: true })
  const seed = config.key?.known ? config.key.reveal() : undefined
  const key = args.option('key') ?? environmentOf('SLUICE_API_KEY') ?? seed
  if (key === undefined) throw new UsageError('Which API key? Give it with SLUICE_API_KEY, or --key.')
  return createClient(addressed(args, 'url', 'SLUICE_URL') ?? addressOf(config.host, config.port), sendable(key))
}

/**
 * The admin listener. Its key: SLUICE_ADMIN_KEY (admin.key), or the file that the server wrote into its data folder.
 */
export function adminClient(args: Args): Client {
  const { config } = loadConfig({ file: args.option('config'), flags: args.settings, withoutSecrets: true })
  return createClient(
    addressed(args, 'admin-url', 'SLUICE_ADMIN_URL') ?? addressOf(config.admin.host, config.admin.port),
    sendable(config.admin.key?.known ? config.admin.key.reveal() : storedAdminKey(config)),
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
    throw new UsageError('The key has characters in it that no key has: check how it was copied.')
  return bare
}

function storedAdminKey(config: Config): string {
  const path = join(config.data_dir, 'admin.key')
  const key = readSecret(path, ADMIN_KEY)
  if (key !== null) return key
  throw new UsageError(
    `There is no ${path}: the server writes it at its first start. ` +
      'Name its folder with --data-dir, or give the key with SLUICE_ADMIN_KEY.',
  )
}

/** A listener on all interfaces is reached on this machine. */
export const addressOf = (host: string, port: number): string => {
  const at = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return `http://${at.includes(':') ? `[${at}]` : at}:${port}`
}

export const CLIENT_OPTIONS = {
  url: { value: 'URL', help: 'the server (SLUICE_URL); else as in the configuration' },
  key: { value: 'KEY', help: 'an API key (better: SLUICE_API_KEY, since a process list shows flags)' },
} as const

export const ADMIN_OPTIONS = {
  'admin-url': { value: 'URL', help: 'the admin listener (SLUICE_ADMIN_URL); else as in the configuration' },
} as const
