/** `sluice jobs`: through the public listener, with an API key. */
import { systemClock } from '../core/clock.ts'
import { CLIENT_OPTIONS, type Client, publicClient } from './client.ts'
import { type Args, type Command, EXIT, type Output, UsageError } from './command.ts'
import { follow } from './follow.ts'
import { ago, columns } from './table.ts'

export interface JobInfo {
  readonly id: string
  readonly state: string
  readonly model: string
  readonly lane: string | null
  readonly conversation: string | null
  /** Seconds since 1970. */
  readonly created_at: number
  readonly attempts: number
  readonly queue: { readonly position: number; readonly eta_ms: number | null } | null
  readonly usage: { readonly completion_tokens: number } | null
  readonly timing: { readonly total_ms: number | null } | null
  readonly error: { readonly code: string; readonly message: string } | null
}

const VERBS = { list, show, follow: followJob, cancel, redrive }

export const command: Command = {
  usage: [
    'sluice jobs list [--state queued,leased] [--model NAME] [--lane NAME] [--limit N]',
    'sluice jobs show ID',
    'sluice jobs follow ID [--after CURSOR]',
    'sluice jobs cancel ID',
    'sluice jobs redrive ID',
  ],
  about: "Jobs of the API key's tenant. `follow` prints the text as it is made, and survives cuts.",
  options: {
    state: { value: 'A,B', help: 'list: in these states' },
    model: { value: 'NAME', help: 'list: of this model' },
    lane: { value: 'NAME', help: 'list: of this lane' },
    conversation: { value: 'ID', help: 'list: of this conversation' },
    before: { value: 'ID', help: 'list: older than this job' },
    limit: { value: 'N', help: 'list: at most this many (default: 20)' },
    after: { value: 'CURSOR', help: 'follow: start after this cursor' },
    ...CLIENT_OPTIONS,
  },
  takesSettings: true,
  async run(args, out) {
    const [verb, id] = args.positionals
    if (verb === undefined || !Object.hasOwn(VERBS, verb))
      throw new UsageError(`What about jobs? "sluice jobs ${Object.keys(VERBS).join('", "')}".`)
    if (verb !== 'list' && id === undefined) throw new UsageError('Which one? "sluice jobs list" shows their ids.')
    return await VERBS[verb as keyof typeof VERBS](publicClient(args), args, out, encodeURIComponent(id ?? ''))
  },
}

async function list(client: Client, args: Args, out: Output): Promise<number> {
  const query = new URLSearchParams({ limit: args.option('limit') ?? '20' })
  for (const name of ['state', 'model', 'lane', 'conversation', 'before'])
    if (args.has(name)) query.set(name, args.option(name)!)
  const { data } = (await (await client.call('GET', `/v1/jobs?${query}`)).json()) as { data: JobInfo[] }
  if (args.has('json')) out.print(JSON.stringify(data))
  else for (const line of jobTable(data, systemClock.wallMs())) out.print(line)
  return EXIT.ok
}

export function jobTable(jobs: readonly JobInfo[], nowMs: number): string[] {
  const rows = jobs.map((job) => [
    job.id,
    job.state,
    job.model,
    job.conversation ?? job.lane ?? '-',
    ago(Math.max(0, nowMs - job.created_at * 1000)),
    String(job.usage?.completion_tokens ?? '-'),
    job.timing?.total_ms == null ? '-' : `${(job.timing.total_ms / 1000).toFixed(1)} s`,
    job.error?.code ?? (job.queue === null ? '' : `${job.queue.position} in line`),
  ])
  return columns([['ID', 'STATE', 'MODEL', 'LANE', 'CREATED', 'TOKENS', 'TOOK', ''], ...rows])
}

async function show(client: Client, args: Args, out: Output, id: string): Promise<number> {
  const job: unknown = await (await client.call('GET', `/v1/jobs/${id}`)).json()
  out.print(args.has('json') ? JSON.stringify(job) : JSON.stringify(job, null, 2))
  return EXIT.ok
}

async function cancel(client: Client, args: Args, out: Output, id: string): Promise<number> {
  return report(await client.call('POST', `/v1/jobs/${id}/cancel`), args, out)
}

async function redrive(client: Client, args: Args, out: Output, id: string): Promise<number> {
  return report(await client.call('POST', `/v1/jobs/${id}/redrive`), args, out)
}

async function report(response: Response, args: Args, out: Output): Promise<number> {
  const job = (await response.json()) as JobInfo
  out.print(args.has('json') ? JSON.stringify(job) : `${job.id} ${job.state}`)
  return EXIT.ok
}

async function followJob(client: Client, args: Args, out: Output, id: string): Promise<number> {
  const end = await follow(client, id, {
    after: args.option('after') ?? null,
    json: args.has('json'),
    out,
    clock: systemClock,
  })
  return end === 'done' ? EXIT.ok : EXIT.failed
}
