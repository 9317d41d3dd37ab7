/** What `sluice keys`, `tenants` and `models` have in common: settings that are given as options, and kill switches. */
import { duration } from '../settings/fields.ts'
import { ADMIN_OPTIONS, adminClient } from './client.ts'
import { type Args, type Command, EXIT, invocation, type Output, UsageError } from './command.ts'

/** Where the server, and its admin key, are found. */
export const SHOWN = ['admin-port', 'data-dir']

export const MODELS_OPTION = { value: 'A,B*', help: 'models that it may use; "all": any' }
export const LIMITS_OPTION = {
  value: 'JSON',
  help: 'its limits, e.g. \'{"requests_per_minute": 60}\'; "none": no own ones',
}

/** "all" is null, and other texts are lists. */
export const listOf = (text: string | undefined): readonly string[] | null | undefined =>
  text === undefined ? undefined : text === 'all' ? null : text.split(',').map((each) => each.trim())

export function limitsOf(text: string | undefined): unknown {
  if (text === undefined) return undefined
  if (text === 'none') return null
  try {
    return JSON.parse(text)
  } catch {
    throw new UsageError(`--limits needs JSON, such as '{"requests_per_minute": 60}', or "none".`)
  }
}

/** Milliseconds. A bare number could mean anything. */
export function durationOf(text: string, option: string): number {
  const { data } = duration().safeParse(text)
  if (data === undefined || /^[1-9]\d*$/.test(text.trim()))
    throw new UsageError(`--${option} needs a duration, such as 90s, 24h or 7d.`)
  return data
}

interface Switched {
  readonly disabled: { readonly running: string; readonly queued: string } | null
  readonly canceled?: { readonly running: number; readonly queued: number }
}

/** `disable` and `enable` of one kind. `listedBy`: the command that shows what there is. */
export function switches(kind: 'key' | 'tenant' | 'model', listedBy?: string): Readonly<Record<string, Command>> {
  const operand = { name: kind === 'key' ? 'key id' : kind, ...(listedBy !== undefined && { listedBy }) }
  const noun = kind === 'key' ? 'API key' : kind

  async function turn(verb: 'disable' | 'enable', args: Args, out: Output): Promise<number> {
    const [id] = args.positionals
    const choices = {
      running: args.has('cut') ? 'cut' : 'finish',
      queued: args.has('cancel') ? 'cancel' : 'keep',
      reason: args.option('reason') ?? '',
    }
    const body = { [kind]: id, ...(verb === 'disable' && choices) }
    const answer = (await (await adminClient(args).call('POST', `/admin/${verb}`, { body })).json()) as Switched
    if (args.has('json')) out.print(JSON.stringify(answer))
    else if (verb === 'enable') out.note(`The ${noun} ${id} is enabled.`)
    else {
      const { running = 0, queued = 0 } = answer.canceled ?? {}
      const canceled = running + queued === 0 ? '' : ` Canceled: ${running} that ran, ${queued} in line.`
      out.note(`The ${noun} ${id} is disabled: "${invocation} ${kind}s enable ${id}" ends that.${canceled}`)
    }
    return EXIT.ok
  }

  return {
    disable: {
      usage: `${kind}s disable ${kind === 'model' ? 'NAME' : 'ID'} [--cut] [--cancel] [--reason TEXT]`,
      about:
        `Takes nothing new of the ${noun}, on all processes, and over restarts. What runs ends by itself, and what ` +
        'waits keeps its place, unless told otherwise.',
      options: {
        cut: { help: 'cancel what runs' },
        cancel: { help: 'cancel what waits in line' },
        reason: { value: 'TEXT', help: 'told to its clients' },
        ...ADMIN_OPTIONS,
      },
      operand,
      takesSettings: SHOWN,
      run: (args, out) => turn('disable', args, out),
    },
    enable: {
      usage: `${kind}s enable ${kind === 'model' ? 'NAME' : 'ID'}`,
      about: `Takes work of the ${noun} again; what waits goes on.`,
      options: ADMIN_OPTIONS,
      operand,
      takesSettings: SHOWN,
      run: (args, out) => turn('enable', args, out),
    },
  }
}
