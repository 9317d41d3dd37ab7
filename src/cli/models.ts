/** `sluice models`: what is served, and kill switches, through the admin listener of the running server. */
import { ADMIN_OPTIONS, adminClient } from './client.ts'
import { type Args, EXIT, type Group, type Output } from './command.ts'
import { limitsText } from './limits-text.ts'
import { SHOWN, switches } from './switches.ts'
import { columns } from './table.ts'

interface ModelInfo {
  readonly id: string
  readonly deployments: ReadonlyArray<{ readonly name: string; readonly provider: string }>
  readonly limits: Readonly<Record<string, unknown>> | null
  readonly price: {
    readonly dollars_per_million_input_tokens: number
    readonly dollars_per_million_output_tokens: number
  } | null
  readonly disabled: { readonly reason: string } | null
}

export const command: Group = {
  about: 'Models of the running server.',
  commands: {
    list: {
      usage: 'models list',
      about: 'Lists models with their deployments, limits and prices (US dollars for a million tokens, in / out).',
      options: ADMIN_OPTIONS,
      takesSettings: SHOWN,
      run: list,
    },
    ...switches('model', 'models list'),
  },
}

async function list(args: Args, out: Output): Promise<number> {
  const { data } = (await (await adminClient(args).call('GET', '/admin/models')).json()) as { data: ModelInfo[] }
  if (args.has('json')) {
    out.print(JSON.stringify(data))
    return EXIT.ok
  }
  const rows = data.map(({ id, deployments, limits, price, disabled }) => [
    id,
    disabled === null ? 'active' : 'disabled',
    deployments.map(({ name }) => name).join(','),
    [...new Set(deployments.map(({ provider }) => provider))].join(','),
    price === null ? '-' : `${price.dollars_per_million_input_tokens} / ${price.dollars_per_million_output_tokens}`,
    limitsText(limits),
  ])
  const head = ['MODEL', 'STATE', 'DEPLOYMENTS', 'PROVIDER', 'PRICE', 'LIMITS']
  for (const line of columns([head, ...rows])) out.print(line)
  return EXIT.ok
}
