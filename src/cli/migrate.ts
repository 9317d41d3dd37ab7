/** `sluice migrate`: everything that one engine holds, to the other. */
import type { EngineName } from '../app/portable.ts'
import { loadConfig } from '../config/load.ts'
import { type Args, type Command, EXIT, type Output, UsageError } from './command.ts'
import { print, progressOn } from './moved.ts'

export const command: Command = {
  usage: 'migrate --to redis|embedded [--dry-run]',
  about:
    'Moves everything that an engine holds to the other one: jobs, results, logs, conversations, keys and pauses. ' +
    'The server, or every process of the fleet, must be stopped. The target must be empty; the source stays as it ' +
    'is. Both are compared at the end. Cut short, it can be run again.',
  options: {
    to: { value: 'redis|embedded', help: 'where to; the other engine is where from' },
    'dry-run': { help: 'count what would be moved, and check both sides' },
  },
  takesSettings: ['data-dir', 'redis-url', 'redis-nodes', 'redis-prefix', 'redis-allow-data-loss'],
  async run(args, out) {
    const to = target(args)
    const { config } = loadConfig({ file: args.option('config'), flags: args.settings, withoutSecrets: true })
    const { migrate } = await import('../app/portable.ts')
    const isDry = args.has('dry-run')
    const { counts, damaged, wasThere, ...names } = await migrate(config, to, isDry, progressOn(out))
    tellDamage(damaged, out)
    const what = { ...names, dry_run: isDry, was_there: wasThere, damaged }
    const [where, both] = [`from ${names.from} to ${names.to}`, 'Both sides are equal.']
    const last = wasThere
      ? `${names.to} holds all of this already. ${both}`
      : isDry
        ? `Nothing was moved. Without --dry-run, this goes ${where}.`
        : `Moved ${where}. ${both} Start the server on it; the old store is as it was, and must not be started again.`
    print(args, out, what, counts, last)
    return EXIT.ok
  },
}

function target(args: Args): EngineName {
  const to = args.option('to')
  if (to === 'redis' || to === 'embedded') return to
  throw new UsageError(to === undefined ? 'Where to? --to redis, or --to embedded.' : '--to takes redis or embedded.')
}

function tellDamage(damaged: readonly string[], out: Output): void {
  for (const detail of damaged) out.note(`damaged: ${detail}`)
}
