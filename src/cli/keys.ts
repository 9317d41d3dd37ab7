/** `sluice keys`: API keys, through the admin listener of the running server. */
import { systemClock } from '../core/clock.ts'
import { ADMIN_OPTIONS, adminClient } from './client.ts'
import { type Args, EXIT, type Group, type Output, UsageError } from './command.ts'
import { columns } from './table.ts'

interface KeyInfo {
  readonly id: string
  readonly tenant: string
  readonly name: string
  readonly hint: string
  /** Seconds since 1970. */
  readonly created_at: number
  readonly expires_at: number | null
  readonly revoked_at: number | null
  /** Only when it was just created. */
  readonly key?: string
}

/** Where the server, and its admin key, are found. */
const SHOWN = ['admin-port', 'data-dir']

export const command: Group = {
  about: 'API keys of the running server.',
  commands: {
    create: {
      usage: 'keys create [--tenant NAME] [--name TEXT] [--expires-days N]',
      about: 'Creates an API key. A key is shown once, when it is created; only its digest is stored.',
      options: {
        tenant: { value: 'NAME', help: 'the tenant it belongs to (default: default)' },
        name: { value: 'TEXT', help: 'what it is for' },
        'expires-days': { value: 'N', help: 'days until it expires (default: never)' },
        ...ADMIN_OPTIONS,
      },
      takesSettings: SHOWN,
      run: create,
    },
    list: {
      usage: 'keys list',
      about: 'Lists API keys, without the keys themselves.',
      options: ADMIN_OPTIONS,
      takesSettings: SHOWN,
      run: list,
    },
    revoke: {
      usage: 'keys revoke ID',
      about: 'Revokes an API key, at once and for good.',
      options: ADMIN_OPTIONS,
      operand: { name: 'key id', listedBy: 'keys list' },
      takesSettings: SHOWN,
      run: revoke,
    },
  },
}

const DAY_MS = 86_400_000

async function create(args: Args, out: Output): Promise<number> {
  const days = args.option('expires-days')
  if (days !== undefined && !(/^\d+(\.\d+)?$/.test(days) && Number(days) > 0))
    throw new UsageError('--expires-days needs a number of days.')
  const body = {
    tenant: args.option('tenant') ?? 'default',
    ...(args.has('name') ? { name: args.option('name') } : {}),
    ...(days === undefined ? {} : { expires_in_ms: Number(days) * DAY_MS }),
  }
  const key = (await (await adminClient(args).call('POST', '/admin/keys', { body })).json()) as KeyInfo
  if (args.has('json')) out.print(JSON.stringify(key))
  else {
    out.print(key.key ?? '')
    out.note(`Key ${key.id} of tenant ${key.tenant}. It will not be shown again.`)
  }
  return EXIT.ok
}

async function list(args: Args, out: Output): Promise<number> {
  const answer = (await (await adminClient(args).call('GET', '/admin/keys')).json()) as { data: KeyInfo[] }
  if (args.has('json')) {
    out.print(JSON.stringify(answer.data))
    return EXIT.ok
  }
  const now = systemClock.wallMs() / 1000
  const day = (seconds: number): string => new Date(seconds * 1000).toISOString().slice(0, 10)
  const state = (key: KeyInfo): string =>
    key.revoked_at !== null
      ? 'revoked'
      : key.expires_at === null
        ? 'valid'
        : key.expires_at <= now
          ? 'expired'
          : `until ${day(key.expires_at)}`
  const rows = answer.data.map((key) => [key.id, key.tenant, key.hint, day(key.created_at), state(key), key.name])
  for (const line of columns([['ID', 'TENANT', 'KEY', 'CREATED', 'STATE', 'NAME'], ...rows])) out.print(line)
  return EXIT.ok
}

async function revoke(args: Args, out: Output): Promise<number> {
  const [id] = args.positionals
  await adminClient(args).call('DELETE', `/admin/keys/${encodeURIComponent(id)}`)
  if (args.has('json')) out.print(JSON.stringify({ id, revoked: true }))
  else out.note(`Key ${id} is revoked.`)
  return EXIT.ok
}
