/** `sluice keys`: API keys, through the admin listener of the running server. */
import { systemClock } from '../core/clock.ts'
import { ADMIN_OPTIONS, adminClient } from './client.ts'
import { type Args, EXIT, type Group, type Output, UsageError } from './command.ts'
import { limitsText } from './limits-text.ts'
import { durationOf, LIMITS_OPTION, limitsOf, listOf, MODELS_OPTION, SHOWN, switches } from './switches.ts'
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
  readonly models?: readonly string[] | null
  readonly limits?: Readonly<Record<string, unknown>> | null
  readonly disabled?: object | null
  readonly replaced_at?: number | null
  readonly previous_expires_at?: number
  /** Only when it was just created. */
  readonly key?: string
}

const OPERAND = { name: 'key id', listedBy: 'keys list' }
const MAY = {
  scopes: { value: 'A,B', help: 'what it may be used for: submit, read, manage, tickets, usage; "all"' },
  models: MODELS_OPTION,
  limits: LIMITS_OPTION,
}

export const command: Group = {
  about: 'API keys of the running server.',
  commands: {
    create: {
      usage:
        'keys create [--tenant NAME] [--name TEXT] [--expires-days N] [--scopes A,B] [--models A,B*] [--limits JSON]',
      about: 'Creates an API key. A key is shown once, when it is created; only its digest is stored.',
      options: {
        tenant: { value: 'NAME', help: 'the tenant it belongs to (default: default)' },
        name: { value: 'TEXT', help: 'what it is for' },
        'expires-days': { value: 'N', help: 'days until it expires (default: never)' },
        ...MAY,
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
    set: {
      usage: 'keys set ID [--name TEXT] [--expires-days N] [--scopes A,B] [--models A,B*] [--limits JSON]',
      about: 'Changes what is given of an API key, at once.',
      options: {
        name: { value: 'TEXT', help: 'what it is for' },
        'expires-days': { value: 'N', help: 'days until it expires, from now; "never"' },
        ...MAY,
        ...ADMIN_OPTIONS,
      },
      operand: OPERAND,
      takesSettings: SHOWN,
      run: set,
    },
    rotate: {
      usage: 'keys rotate ID [--overlap 24h]',
      about:
        'Gives an API key another secret, which is shown once. Its id stays, and with it its limits, its usage and ' +
        'its sessions.',
      options: {
        overlap: { value: 'TIME', help: 'how long the secret before it still works (default: it ends at once)' },
        ...ADMIN_OPTIONS,
      },
      operand: OPERAND,
      takesSettings: SHOWN,
      run: rotate,
    },
    ...switches('key', 'keys list'),
    revoke: {
      usage: 'keys revoke ID [--cut] [--cancel]',
      about: 'Revokes an API key, at once and for good. What is open with it is closed; its jobs go on.',
      options: {
        cut: { help: 'cancel its jobs that run' },
        cancel: { help: 'cancel its jobs in line' },
        ...ADMIN_OPTIONS,
      },
      operand: OPERAND,
      takesSettings: SHOWN,
      run: revoke,
    },
  },
}

const DAY_MS = 86_400_000

async function create(args: Args, out: Output): Promise<number> {
  const body = { tenant: args.option('tenant') ?? 'default', ...membersOf(args) }
  const key = (await (await adminClient(args).call('POST', '/admin/keys', { body })).json()) as KeyInfo
  if (args.has('json')) out.print(JSON.stringify(key))
  else {
    out.print(key.key ?? '')
    out.note(`Key ${key.id} of tenant ${key.tenant}. It will not be shown again.`)
  }
  return EXIT.ok
}

function membersOf(args: Args): object {
  const days = args.option('expires-days')
  if (days !== undefined && days !== 'never' && !(/^\d+(\.\d+)?$/.test(days) && Number(days) > 0))
    throw new UsageError('--expires-days needs a number of days.')
  const [scopes, models] = [listOf(args.option('scopes')), listOf(args.option('models'))]
  const limits = limitsOf(args.option('limits'))
  return {
    ...(args.has('name') && { name: args.option('name') }),
    ...(days !== undefined && { expires_in_ms: days === 'never' ? null : Number(days) * DAY_MS }),
    ...(scopes !== undefined && { scopes }),
    ...(models !== undefined && { models }),
    ...(limits !== undefined && { limits }),
  }
}

async function set(args: Args, out: Output): Promise<number> {
  const [id] = args.positionals
  const body = membersOf(args)
  if (Object.keys(body).length === 0)
    throw new UsageError('Give --name, --expires-days, --scopes, --models or --limits.')
  const answer = await adminClient(args).call('PATCH', `/admin/keys/${encodeURIComponent(id)}`, { body })
  if (args.has('json')) out.print(JSON.stringify(await answer.json()))
  else out.note(`Key ${id} is changed.`)
  return EXIT.ok
}

async function rotate(args: Args, out: Output): Promise<number> {
  const [id] = args.positionals
  const body = { overlap_ms: durationOf(args.option('overlap') ?? '0', 'overlap') }
  const answer = await adminClient(args).call('POST', `/admin/keys/${encodeURIComponent(id)}/rotate`, { body })
  const key = (await answer.json()) as KeyInfo
  if (args.has('json')) out.print(JSON.stringify(key))
  else {
    const end = new Date((key.previous_expires_at ?? 0) * 1000).toISOString()
    out.print(key.key ?? '')
    out.note(`The secret before it works until ${end}. This one will not be shown again.`)
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
      : key.disabled != null
        ? 'disabled'
        : key.replaced_at != null
          ? `replaced, until ${day(key.expires_at ?? 0)}`
          : key.expires_at === null
            ? 'valid'
            : key.expires_at <= now
              ? 'expired'
              : `until ${day(key.expires_at)}`
  const rows = answer.data.map((key) => [
    ...[key.id, key.tenant, key.hint, day(key.created_at), state(key)],
    ...[key.models == null ? 'all' : key.models.join(','), limitsText(key.limits), key.name],
  ])
  const head = ['ID', 'TENANT', 'KEY', 'CREATED', 'STATE', 'MODELS', 'LIMITS', 'NAME']
  for (const line of columns([head, ...rows])) out.print(line)
  return EXIT.ok
}

async function revoke(args: Args, out: Output): Promise<number> {
  const [id] = args.positionals
  const query = [args.has('cut') && 'running=cut', args.has('cancel') && 'queued=cancel'].filter(Boolean).join('&')
  await adminClient(args).call('DELETE', `/admin/keys/${encodeURIComponent(id)}${query && `?${query}`}`)
  if (args.has('json')) out.print(JSON.stringify({ id, revoked: true }))
  else out.note(`Key ${id} is revoked.`)
  return EXIT.ok
}
