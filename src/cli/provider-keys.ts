/** `sluice provider-keys`: tenants' own keys for providers, through the admin listener of the running server. */
import { text } from 'node:stream/consumers'
import { environmentOf } from '../config/load.ts'
import { systemClock } from '../core/clock.ts'
import { ADMIN_OPTIONS, adminClient } from './client.ts'
import { type Args, EXIT, type Group, type Output, UsageError } from './command.ts'
import { SHOWN } from './switches.ts'
import { ago, columns } from './table.ts'

interface KeyInfo {
  readonly provider: string
  readonly origin: string
  readonly last4: string
  /** Seconds since 1970. */
  readonly set_at: number
}

const OPERAND = { name: 'tenant', listedBy: 'tenants list' }
const BOTH = { ...OPERAND, second: 'needed', secondName: 'provider' } as const
const MAX_STDIN_BYTES = 4_096

export const command: Group = {
  about: "Tenants' own keys for providers.",
  commands: {
    set: {
      usage: 'provider-keys set TENANT PROVIDER --from-env NAME | --stdin [--origin URL]',
      about:
        "Stores a tenant's own key, sealed, for that tenant's jobs alone; one that is there is replaced. It is never " +
        'shown again, but for its last characters.',
      options: {
        'from-env': { value: 'NAME', help: 'the variable that has the key (process lists show flags)' },
        stdin: { help: 'read the key from stdin' },
        origin: { value: 'URL', help: 'where it is sent, if models of that provider are at several places' },
        ...ADMIN_OPTIONS,
      },
      operand: BOTH,
      takesSettings: SHOWN,
      run: set,
    },
    list: {
      usage: 'provider-keys list TENANT',
      about: 'Lists for which providers a tenant has keys of its own, without the keys.',
      options: ADMIN_OPTIONS,
      operand: OPERAND,
      takesSettings: SHOWN,
      run: list,
    },
    remove: {
      usage: 'provider-keys remove TENANT PROVIDER',
      about: "Removes a tenant's own key. Its jobs are called with yours, unless the tenant has own_keys: require.",
      options: ADMIN_OPTIONS,
      operand: BOTH,
      takesSettings: SHOWN,
      run: remove,
    },
    reseal: {
      usage: 'provider-keys reseal',
      about: "Seals all tenants' own keys with the secret_key of today, after a change of it (secret_key_before).",
      options: ADMIN_OPTIONS,
      takesSettings: SHOWN,
      run: reseal,
    },
  },
}

const pathOf = (tenant: string, provider?: string): string =>
  `/admin/tenants/${encodeURIComponent(tenant)}/provider-keys` +
  `${provider === undefined ? '' : `/${encodeURIComponent(provider)}`}`

async function set(args: Args, out: Output): Promise<number> {
  const [tenant, provider] = args.positionals
  const client = adminClient(args)
  const key = await keyOf(args)
  const origin = args.option('origin')
  const body = { key, ...(origin !== undefined && { origin }) }
  const info = (await (await client.call('POST', pathOf(tenant, provider), { body })).json()) as KeyInfo
  if (args.has('json')) out.print(JSON.stringify(info))
  else out.note(`Jobs of ${tenant} call ${provider} (${info.origin}) with the key that ends in "${info.last4}".`)
  return EXIT.ok
}

async function keyOf(args: Args): Promise<string> {
  const name = args.option('from-env')
  if ((name === undefined) === !args.has('stdin'))
    throw new UsageError('Give the key by --from-env NAME, or by --stdin.')
  if (name !== undefined) {
    const key = environmentOf(name)
    if (key === null) throw new UsageError(`The environment variable ${name} is not set, or empty.`)
    return key
  }
  const given = (await text(process.stdin)).trim()
  if (given === '' || given.length > MAX_STDIN_BYTES) throw new UsageError('There is no key on stdin.')
  return given
}

async function list(args: Args, out: Output): Promise<number> {
  const [tenant] = args.positionals
  const { data } = (await (await adminClient(args).call('GET', pathOf(tenant))).json()) as { data: KeyInfo[] }
  if (args.has('json')) {
    out.print(JSON.stringify(data))
    return EXIT.ok
  }
  const now = systemClock.wallMs()
  const rows = data.map(({ provider, origin, last4, set_at: at }) => [
    provider,
    origin,
    `…${last4}`,
    ago(now - at * 1_000),
  ])
  for (const line of columns([['PROVIDER', 'SENT TO', 'KEY', 'SET'], ...rows])) out.print(line)
  return EXIT.ok
}

async function remove(args: Args, out: Output): Promise<number> {
  const [tenant, provider] = args.positionals
  await adminClient(args).call('DELETE', pathOf(tenant, provider))
  if (args.has('json')) out.print(JSON.stringify({ tenant, provider, removed: true }))
  else out.note(`The key of ${tenant} for ${provider} is removed.`)
  return EXIT.ok
}

interface Resealed {
  readonly resealed: number
  readonly unchanged: number
  readonly unreadable: ReadonlyArray<{ readonly tenant: string; readonly provider: string }>
}

/** Fails where some can't be read: then the key before can't be given up. */
async function reseal(args: Args, out: Output): Promise<number> {
  const told = (await (
    await adminClient(args).call('POST', '/admin/provider-keys/reseal', { body: {} })
  ).json()) as Resealed
  const { resealed, unchanged, unreadable } = told
  if (args.has('json')) out.print(JSON.stringify({ resealed, unchanged, unreadable }))
  else {
    out.note(`${resealed} sealed anew, ${unchanged} sealed with the key of today.`)
    for (const { tenant, provider } of unreadable)
      out.note(`The key of ${tenant} for ${provider} can't be read with either key: set it again.`)
  }
  return unreadable.length === 0 ? EXIT.ok : EXIT.failed
}
