/** `sluice batches`: through the public listener, with an API key. */
import { systemClock } from '../core/clock.ts'
import { CLIENT_OPTIONS, type Client, publicClient } from './client.ts'
import { type Args, EXIT, type Group, type Output, wholeNumber } from './command.ts'
import { onOne, printAll, printOne } from './on-one.ts'
import { ago, columns } from './table.ts'

export interface BatchInfo {
  readonly id: string
  readonly status: string
  readonly endpoint: string
  /** Seconds since 1970. */
  readonly created_at: number
  readonly expires_at: number
  readonly request_counts: { readonly total: number; readonly completed: number; readonly failed: number }
  readonly output_file_id: string | null
  readonly error_file_id: string | null
}

const MAX_LIST = 100
const one = onOne('batches', 'batch id')

export const command: Group = {
  about: "Batches of the API key's tenant.",
  commands: {
    list: {
      usage: 'batches list [--limit N] [--after ID]',
      about: 'Lists batches, newest first.',
      options: {
        limit: { value: 'N', help: 'at most this many (default: 20, at most 100)' },
        after: { value: 'ID', help: 'only batches older than this one' },
        ...CLIENT_OPTIONS,
      },
      takesSettings: [],
      run: (args, out) => list(publicClient(args), args, out),
    },
    show: one('show', 'Prints a batch as JSON: its counts, its files, and what was wrong with its input.', show),
    cancel: one('cancel', 'Ends a batch: lines that are done keep their results.', cancel),
  },
}

async function list(client: Client, args: Args, out: Output): Promise<number> {
  const query = new URLSearchParams()
  query.set('limit', String(wholeNumber(args.option('limit') ?? '20', 'limit', MAX_LIST)))
  if (args.has('after')) query.set('after', args.option('after')!)
  const answer = await (await client.call('GET', `/v1/batches?${query}`)).json()
  const { data, has_more: hasMore } = answer as { data: BatchInfo[]; has_more: boolean }
  printAll(data, args, out, (all) => batchTable(all, systemClock.wallMs()))
  if (hasMore) out.note(`There are older ones: --after ${data.at(-1)!.id}`)
  return EXIT.ok
}

export function batchTable(batches: readonly BatchInfo[], nowMs: number): string[] {
  const rows = batches.map(({ request_counts: { total, completed, failed }, ...batch }) => [
    batch.id,
    batch.status,
    batch.endpoint,
    ago(Math.max(0, nowMs - batch.created_at * 1000)),
    `${completed + failed}/${total}`,
    String(failed),
    batch.output_file_id ?? batch.error_file_id ?? '-',
  ])
  return columns([['ID', 'STATUS', 'ENDPOINT', 'CREATED', 'LINES', 'FAILED', 'RESULTS'], ...rows])
}

async function show(client: Client, id: string, args: Args, out: Output): Promise<number> {
  return printOne(await (await client.call('GET', `/v1/batches/${id}`)).json(), args, out)
}

async function cancel(client: Client, id: string, args: Args, out: Output): Promise<number> {
  const batch = (await (await client.call('POST', `/v1/batches/${id}/cancel`)).json()) as BatchInfo
  if (args.has('json')) return printOne(batch, args, out)
  out.print(`${batch.id} ${batch.status}`)
  return EXIT.ok
}
