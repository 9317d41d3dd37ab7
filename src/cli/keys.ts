/** `sluice keys`: API keys, through the admin listener of the running server. */
import { systemClock } from '../core/clock.ts'
import { ADMIN_OPTIONS, adminClient } from './client.ts'
import { type Args, type Command, EXIT, type Output, UsageError } from './command.ts'
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
  /** Only when it was just made. */
  readonly key?: string
}

export const command: Command = {
  usage: [
    'sluice keys create [--tenant NAME] [--name TEXT] [--expires-days N]',
    'sluice keys list',
    'sluice keys revoke ID',
  ],
  about: 'API keys of the running server. A key is shown once, when it is made; stored is its digest.',
  options: {
    tenant: { value: 'NAME', help: 'whose key (default: default)' },
    name: { value: 'TEXT', help: 'what it is for' },
    'expires-days': { value: 'N', help: 'days until it expires (default: never)' },
    ...ADMIN_OPTIONS,
  },
  takesSettings: true,
  async run(args, out) {
    const [verb, ...rest] = args.positionals
    const run = { create, list, revoke }[verb as 'create' | 'list' | 'revoke']
    if (run === undefined) throw new UsageError(`What about keys? "sluice keys create", "list" or "revoke ID".`)
    await run(args, rest, out)
    return EXIT.ok
  },
}

const DAY_MS = 86_400_000

async function create(args: Args, _rest: readonly string[], out: Output): Promise<void> {
  const days = args.option('expires-days')
  if (days !== undefined && !(Number(days) > 0)) throw new UsageError('--expires-days needs a number of days.')
  const body = {
    tenant: args.option('tenant') ?? 'default',
    ...(args.has('name') ? { name: args.option('name') } : {}),
    ...(days === undefined ? {} : { expires_in_ms: Number(days) * DAY_MS }),
  }
  const key = (await (await adminClient(args).call('POST', '/admin/keys', { body })).json()) as KeyInfo
  if (args.has('json')) out.print(JSON.stringify(key))
  else {
    out.print(key.key ?? '')
    out.note(`The key ${key.id} of the tenant ${key.tenant}. It is not shown again.`)
  }
}

async function list(args: Args, _rest: readonly string[], out: Output): Promise<void> {
  const answer = (await (await adminClient(args).call('GET', '/admin/keys')).json()) as { data: KeyInfo[] }
  if (args.has('json')) return out.print(JSON.stringify(answer.data))
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
}

async function revoke(args: Args, [id]: readonly string[], out: Output): Promise<void> {
  if (id === undefined) throw new UsageError('Which one? "sluice keys list" shows their ids.')
  await adminClient(args).call('DELETE', `/admin/keys/${encodeURIComponent(id)}`)
  if (args.has('json')) out.print(JSON.stringify({ id, revoked: true }))
  else out.note(`The key ${id} is revoked.`)
}
