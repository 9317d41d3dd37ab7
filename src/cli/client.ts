/** Speaks HTTP to a running server, for the commands. */
import { join } from 'node:path'
import { environmentOf, loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { ADMIN_KEY, readSecret } from '../config/secret-file.ts'
import { type Args, FailedError, RefusedError, UnreachableError, UsageError } from './command.ts'

export interface Client {
  /** Resolves with any answer below 400; throws what the server said, or RefusedError, UnreachableError. */
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

export function createClient(url: string, key: string): Client {
  const base = url.replace(/\/+$/, '')
  return {
    async call(method, path, { headers, body, signal } = {}) {
      const response = await fetch(`${base}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${key}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        body: body === undefined ? null : JSON.stringify(body),
        ...(signal === undefined ? {} : { signal }),
      }).catch((cause: unknown) => {
        throw new UnreachableError(`no answer from ${base} (${reason(cause)}). Is the server running?`, { cause })
      })
      if (response.status < 400) return response
      const { code, message } = errorOf(await response.text().catch(() => ''))
      if (response.status === 401 || response.status === 403)
        throw new RefusedError(message ?? `the server answered ${response.status}`)
      throw new ApiError(response.status, code ?? '', message ?? `the server answered ${response.status}`)
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

const reason = (error: unknown): string => {
  const { cause, message } = error as Error & { cause?: NodeJS.ErrnoException }
  return cause?.code ?? message
}

/** The public listener of the server that this configuration describes, or of --url. */
export function publicClient(args: Args): Client {
  const { config } = loadConfig({ file: args.option('config'), flags: args.settings, withoutSecrets: true })
  const key = args.option('key') ?? (config.key?.known ? config.key.reveal() : undefined)
  if (key === undefined) throw new UsageError('Which API key? Give it with SLUICE_KEY, or --key.')
  return createClient(args.option('url') ?? environmentOf('SLUICE_URL') ?? addressOf(config.host, config.port), key)
}

/** The admin listener. Its key: SLUICE_ADMIN_KEY (admin.key), or the file that the server wrote into its data folder. */
export function adminClient(args: Args): Client {
  const { config } = loadConfig({ file: args.option('config'), flags: args.settings, withoutSecrets: true })
  return createClient(
    args.option('admin-url') ?? environmentOf('SLUICE_ADMIN_URL') ?? addressOf(config.admin.host, config.admin.port),
    config.admin.key?.known ? config.admin.key.reveal() : storedAdminKey(config),
  )
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
  key: { value: 'KEY', help: 'an API key (better: SLUICE_KEY, since a process list shows flags)' },
} as const

export const ADMIN_OPTIONS = {
  'admin-url': { value: 'URL', help: 'the admin listener (SLUICE_ADMIN_URL); else as in the configuration' },
} as const
