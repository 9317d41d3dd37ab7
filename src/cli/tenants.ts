/** `sluice tenants`: what the operator sets of tenants, through the admin listener of the running server. */
import { systemClock } from '../core/clock.ts'
import { ADMIN_OPTIONS, adminClient } from './client.ts'
import { type Args, type Command, EXIT, type Group, type Output, UsageError, wholeNumber } from './command.ts'
import { limitChanges, limitsText } from './limits-text.ts'
import { type StandingInfo, standingLines } from './standing.ts'
import { LIMITS_OPTION, limitsOf, listOf, MODELS_OPTION, SHOWN, switches } from './switches.ts'
import { ago, columns } from './table.ts'

interface TenantInfo {
  readonly id: string
  readonly label: string
  readonly models: readonly string[] | null
  /** Those in force. */
  readonly limits: Readonly<Record<string, unknown>> | null
  /** `config`, `api`: its own; `each_tenant`: those that the configuration has for all without. */
  readonly limits_source: string | null
  readonly weight: number
  /** Of a change of its limits. */
  readonly before?: Pick<TenantInfo, 'limits'>
  readonly source: string
  readonly disabled: { readonly reason: string } | null
}

interface AuditInfo {
  readonly at_ms: number
  readonly action: string
  readonly target: string
  readonly from: string
  readonly before: object
  readonly after: object
}

const MAX_AUDIT = 1_000
const OPERAND = { name: 'tenant', listedBy: 'tenants list' }

const one = (verb: string, about: string, more: Pick<Command, 'run'> & Partial<Command>): Command => ({
  usage: `tenants ${verb}`,
  about,
  options: ADMIN_OPTIONS,
  takesSettings: SHOWN,
  ...more,
})

export const command: Group = {
  about: 'Tenants of the running server.',
  commands: {
    list: one('list', 'Lists tenants: those of the configuration, those that were set here, and those with keys.', {
      run: list,
    }),
    show: one('show ID', 'Shows a tenant, where its limits come from, and how it stands with them.', {
      operand: OPERAND,
      run: show,
    }),
    set: one(
      'set ID [--label TEXT] [--models A,B*] [--limits JSON]',
      'Sets what is given, at once and on all processes. What the configuration sets is changed there.',
      {
        options: {
          label: { value: 'TEXT', help: 'a name for people' },
          models: MODELS_OPTION,
          limits: LIMITS_OPTION,
          ...ADMIN_OPTIONS,
        },
        operand: OPERAND,
        run: set,
      },
    ),
    ...switches('tenant', 'tenants list'),
    audit: one('audit [--limit N]', 'Lists what operators have changed of tenants, keys and models, newest first.', {
      options: { limit: { value: 'N', help: 'at most this many (default: 100)' }, ...ADMIN_OPTIONS },
      run: audit,
    }),
  },
}

async function list(args: Args, out: Output): Promise<number> {
  const { data } = (await (await adminClient(args).call('GET', '/admin/tenants')).json()) as { data: TenantInfo[] }
  if (args.has('json')) {
    out.print(JSON.stringify(data))
    return EXIT.ok
  }
  const rows = data.map(({ id, source, weight, disabled, models, limits, limits_source: limitsSource, label }) => [
    id,
    source,
    disabled === null ? 'active' : 'disabled',
    String(weight),
    models === null ? 'all' : models.join(','),
    limits === null ? '-' : `${limitsText(limits)} (${limitsSource})`,
    label,
  ])
  for (const line of columns([['ID', 'SOURCE', 'STATE', 'WEIGHT', 'MODELS', 'LIMITS', 'LABEL'], ...rows]))
    out.print(line)
  return EXIT.ok
}

async function show(args: Args, out: Output): Promise<number> {
  const [id] = args.positionals
  const client = adminClient(args)
  const path = `/admin/tenants/${encodeURIComponent(id)}`
  const tenant = (await (await client.call('GET', path)).json()) as TenantInfo
  const standing = (await (await client.call('GET', `${path}/standing`)).json()) as StandingInfo
  if (args.has('json')) {
    out.print(JSON.stringify({ ...tenant, standing }))
    return EXIT.ok
  }
  out.print(JSON.stringify(tenant, null, 2))
  for (const line of standingLines(standing)) out.print(line)
  return EXIT.ok
}

async function set(args: Args, out: Output): Promise<number> {
  const [id] = args.positionals
  const [models, limits] = [listOf(args.option('models')), limitsOf(args.option('limits'))]
  const body = {
    ...(args.has('label') && { label: args.option('label') }),
    ...(models !== undefined && { models }),
    ...(limits !== undefined && { limits }),
  }
  if (Object.keys(body).length === 0) throw new UsageError('Give --label, --models or --limits.')
  const answer = await adminClient(args).call('PATCH', `/admin/tenants/${encodeURIComponent(id)}`, { body })
  const tenant = (await answer.json()) as TenantInfo
  if (args.has('json')) out.print(JSON.stringify(tenant))
  else {
    out.note(`Tenant ${id} is changed.`)
    const changes = limits === undefined ? [] : limitChanges(tenant.before?.limits ?? null, tenant.limits)
    for (const line of changes) out.note(line)
    if (limits !== undefined && changes.length === 0) out.note('Its limits are as they were.')
  }
  return EXIT.ok
}

async function audit(args: Args, out: Output): Promise<number> {
  const limit = wholeNumber(args.option('limit') ?? '100', 'limit', MAX_AUDIT)
  const answer = await adminClient(args).call('GET', `/admin/audit?limit=${limit}`)
  const { data } = (await answer.json()) as { data: AuditInfo[] }
  if (args.has('json')) {
    out.print(JSON.stringify(data))
    return EXIT.ok
  }
  const now = systemClock.wallMs()
  const rows = data.map(({ at_ms: at, action, target, from, before, after }) => [
    ago(now - at),
    action,
    target,
    from,
    `${JSON.stringify(before)} -> ${JSON.stringify(after)}`,
  ])
  for (const line of columns([['WHEN', 'ACTION', 'TARGET', 'FROM', 'CHANGE'], ...rows])) out.print(line)
  return EXIT.ok
}
