/** Commands that work on one thing of the API key's tenant, through the public listener. */
import { CLIENT_OPTIONS, type Client, publicClient } from './client.ts'
import { type Args, type Command, EXIT, type Output } from './command.ts'

type Options = Command['options']
/** `id`: as it goes into a path. */
type Work = (client: Client, id: string, args: Args, out: Output) => Promise<number>

/** Those of a group whose commands name one "run id", "batch id": "jobs show ID". */
export function onOne(group: string, name: string, listedBy = `${group} list`) {
  const operand = { name, listedBy }
  return (verb: string, about: string, run: Work, options: Options = {}, usage = `${verb} ID`): Command => ({
    usage: `${group} ${usage}`,
    about,
    options: { ...options, ...CLIENT_OPTIONS },
    operand,
    takesSettings: [],
    run: (args, out) => run(publicClient(args), encodeURIComponent(args.positionals[0]), args, out),
  })
}

/** A thing as JSON: in lines for people. */
export function printOne(one: unknown, args: Args, out: Output): number {
  out.print(args.has('json') ? JSON.stringify(one) : JSON.stringify(one, null, 2))
  return EXIT.ok
}

/** A list: as JSON, or as a table, which is made of it. */
export function printAll<T>(
  data: readonly T[],
  args: Args,
  out: Output,
  table: (all: readonly T[]) => string[],
): number {
  if (args.has('json')) out.print(JSON.stringify(data))
  else for (const line of table(data)) out.print(line)
  return EXIT.ok
}
