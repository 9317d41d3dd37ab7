/** `sluice deployments`: where models are reached, changed while the server runs. */
import { parseFile } from '../config/file.ts'
import { readRegularFile } from '../config/regular-file.ts'
import { ADMIN_OPTIONS, adminClient } from './client.ts'
import {
  type Args,
  type Command,
  EXIT,
  FailedError,
  type Group,
  type Output,
  UsageError,
  wholeNumber,
} from './command.ts'
import { short } from './limits-text.ts'
import { SHOWN } from './switches.ts'
import { columns } from './table.ts'

interface Check {
  readonly ok: boolean | null
  readonly why: string
  readonly down: boolean
  readonly running: number | null
  readonly waiting: number | null
}

interface ModelInfo {
  readonly id: string
  readonly deployments: ReadonlyArray<{
    readonly name: string
    readonly provider: string
    readonly upstream_model: string | null
    readonly state: string
    readonly cools_for_ms: number
    readonly broken_for_ms: number
    readonly broken_by: string | null
    readonly requests_per_minute: number | null
    readonly tokens_per_minute: number | null
    /** Of the last minute; null: not limited. */
    readonly used: { readonly requests: number; readonly tokens: number } | null
    readonly active: number
    readonly concurrent: number | null
    readonly order: number
    readonly weight: number
    readonly source: string
    readonly check?: Check | null
  }>
}

const OPERAND = { name: 'deployment', listedBy: 'deployments list' }
const MOST_WEIGHT = 1_000_000

const one = (usage: string, about: string, run: Command['run'], options: Command['options'] = {}): Command => ({
  usage: `deployments ${usage}`,
  about,
  options: { ...options, ...ADMIN_OPTIONS },
  operand: OPERAND,
  takesSettings: SHOWN,
  run,
})

export const command: Group = {
  about: 'Deployments of the running server.',
  commands: {
    list: {
      usage: 'deployments list',
      about: 'Lists deployments by their models, with their state, their calls now, and what they use of their limits.',
      options: ADMIN_OPTIONS,
      takesSettings: SHOWN,
      run: list,
    },
    add: {
      usage: 'deployments add ENTRY.yaml',
      about:
        'Adds one: an entry as in "models" of the configuration, with a name for the deployment. It is in force at ' +
        'once, on all processes and after restarts. Its key is one that the configuration sends to the same address.',
      options: ADMIN_OPTIONS,
      operand: { name: 'file' },
      takesSettings: SHOWN,
      run: add,
    },
    set: one('set NAME --weight N', 'Sets its share under the policy "weighted".', set, {
      weight: { value: 'N', help: 'its share; 0: none while another one works; "none": as configured' },
    }),
    remove: one('remove NAME', 'Removes one that was added; calls that run there end by themselves.', remove),
    drain: one('drain NAME', 'Starts no call there; those that run end by themselves.', turn('drain')),
    resume: one('resume NAME', 'Puts it back.', turn('resume')),
  },
}

type Listed = ModelInfo['deployments'][number]

/** With how long it is left alone, and what its breaker opened for. */
function stateOf({ state, cools_for_ms: cools, broken_for_ms: broken, broken_by: by }: Listed): string {
  const forMs = state === 'failing' ? broken : state === 'cooling' ? cools : 0
  const more = [state === 'failing' && by, forMs > 0 && `${Math.ceil(forMs / 1_000)} s`].filter(Boolean)
  return more.length === 0 ? state : `${state} (${more.join(', ')})`
}

function usedOf({ used, requests_per_minute: requests, tokens_per_minute: tokens }: Listed): string {
  if (used === null) return '-'
  const of = (n: number, limit: number | null, what: string): string | false =>
    limit !== null && `${short(n)}/${short(limit)} ${what}`
  return [of(used.requests, requests, 'requests'), of(used.tokens, tokens, 'tokens')].filter(Boolean).join(', ')
}

const pathOf = (name: string): string => `/admin/deployments/${encodeURIComponent(name)}`

async function list(args: Args, out: Output): Promise<number> {
  const { data } = (await (await adminClient(args).call('GET', '/admin/models')).json()) as { data: ModelInfo[] }
  const all = data.flatMap(({ id, deployments }) => deployments.map((each) => ({ model: id, ...each })))
  if (args.has('json')) {
    out.print(JSON.stringify(all))
    return EXIT.ok
  }
  const rows = all.map((each) => [
    each.name,
    each.model,
    each.provider,
    stateOf(each),
    `${each.active}${each.concurrent === null ? '' : ` of ${each.concurrent}`}`,
    String(each.order),
    String(each.weight),
    usedOf(each),
    each.source,
    checkOf(each.check),
  ])
  const head = [
    'DEPLOYMENT',
    'MODEL',
    'PROVIDER',
    'STATE',
    'CALLS',
    'ORDER',
    'WEIGHT',
    'LAST MINUTE',
    'SOURCE',
    'CHECK',
  ]
  for (const line of columns([head, ...rows])) out.print(line)
  return EXIT.ok
}

/** "ok, 3 running, 1 waiting"; "fails: HTTP 503". */
function checkOf(check: Check | null | undefined): string {
  if (check == null) return '-'
  if (check.ok !== true) return `${check.down ? 'fails' : check.ok === null ? 'unclear' : 'failed once'}: ${check.why}`
  const { running, waiting } = check
  return ['ok', running !== null && `${running} running`, waiting !== null && `${waiting} waiting`]
    .filter((part) => part !== false)
    .join(', ')
}

async function add(args: Args, out: Output): Promise<number> {
  const [file] = args.positionals
  const body = entryOf(file)
  const answer = await (await adminClient(args).call('POST', '/admin/deployments', { body })).json()
  if (args.has('json')) out.print(JSON.stringify(answer))
  else out.note(`The deployment ${(answer as { deployment: string }).deployment} is added.`)
  return EXIT.ok
}

function entryOf(file: string): Record<string, unknown> {
  let text: string
  try {
    text = readRegularFile(file)
  } catch (cause) {
    throw new FailedError(`${file} can't be read (${(cause as NodeJS.ErrnoException).code ?? 'error'}).`)
  }
  return parseFile(file, text).value
}

async function set(args: Args, out: Output): Promise<number> {
  const [name] = args.positionals
  const given = args.option('weight')
  if (given === undefined) throw new UsageError('Give --weight.')
  const body = { weight: given === 'none' ? null : wholeNumber(given, 'weight', MOST_WEIGHT) }
  const answer = await (await adminClient(args).call('PATCH', pathOf(name), { body })).json()
  if (args.has('json')) out.print(JSON.stringify(answer))
  else out.note(`The deployment ${name} is changed.`)
  return EXIT.ok
}

async function remove(args: Args, out: Output): Promise<number> {
  const [name] = args.positionals
  await adminClient(args).call('DELETE', pathOf(name))
  if (args.has('json')) out.print(JSON.stringify({ deployment: name, removed: true }))
  else out.note(`The deployment ${name} is removed; calls that run there end by themselves.`)
  return EXIT.ok
}

function turn(verb: 'drain' | 'resume'): Command['run'] {
  return async (args, out) => {
    const [name] = args.positionals
    const answer = await (await adminClient(args).call('POST', `${pathOf(name)}/${verb}`, { body: {} })).json()
    if (args.has('json')) out.print(JSON.stringify(answer))
    else out.note(`The deployment ${name} is ${verb === 'drain' ? 'drained: no call starts there' : 'back'}.`)
    return EXIT.ok
  }
}
