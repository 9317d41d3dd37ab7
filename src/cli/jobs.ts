/** `sluice jobs`: through the public listener, with an API key. */
import { systemClock } from '../core/clock.ts'
import { CLIENT_OPTIONS, type Client, publicClient } from './client.ts'
import { type Args, EXIT, type Group, type Output, wholeNumber } from './command.ts'
import { follow } from './follow.ts'
import { onOne, printAll, printOne } from './on-one.ts'
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
  readonly queue: {
    readonly position: number | null
    readonly waits_for_jobs?: number
    readonly eta_ms: number | null
  } | null
  readonly usage: { readonly completion_tokens: number } | null
  readonly timing: { readonly total_ms: number | null } | null
  readonly error: { readonly code: string; readonly message: string } | null
}

const onJob = onOne('jobs', 'job id')

export const command: Group = {
  about: "Jobs of the API key's tenant.",
  commands: {
    list: {
      usage: 'jobs list [--state queued,leased] [--model NAME] [--lane NAME] [--limit N]',
      about: 'Lists jobs, newest first.',
      options: {
        state: { value: 'A,B', help: 'only jobs in these states' },
        model: { value: 'NAME', help: 'only jobs of this model' },
        lane: { value: 'NAME', help: 'only jobs of this lane' },
        run: { value: 'ID', help: "only jobs of this agent's run" },
        conversation: { value: 'ID', help: 'only jobs of this conversation' },
        before: { value: 'ID', help: 'only jobs older than this one' },
        limit: { value: 'N', help: 'at most this many (default: 20)' },
        ...CLIENT_OPTIONS,
      },
      takesSettings: [],
      run: (args, out) => list(args, out),
    },
    show: onJob('show', 'Prints a job as JSON.', show),
    follow: onJob(
      'follow',
      'Prints the text of a job as it is generated. A lost connection is reopened where it broke off.',
      followJob,
      { after: { value: 'CURSOR', help: 'start after this cursor' } },
      'follow ID [--after CURSOR]',
    ),
    cancel: onJob('cancel', 'Cancels a job.', (client, id, args, out) => post('cancel', client, id, args, out)),
    redrive: onJob('redrive', 'Submits a failed or expired job again.', (client, id, args, out) =>
      post('redrive', client, id, args, out),
    ),
  },
}

const DEFAULT_LIMIT = '20'
const MAX_LIMIT = 1_000

async function list(args: Args, out: Output): Promise<number> {
  const limit = wholeNumber(args.option('limit') ?? DEFAULT_LIMIT, 'limit', MAX_LIMIT)
  const client = publicClient(args)
  const query = new URLSearchParams({ limit: String(limit) })
  for (const name of ['state', 'model', 'lane', 'conversation', 'run', 'before'])
    if (args.has(name)) query.set(name, args.option(name)!)
  const { data } = (await (await client.call('GET', `/v1/jobs?${query}`)).json()) as { data: JobInfo[] }
  return printAll(data, args, out, (all) => jobTable(all, systemClock.wallMs()))
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
    job.error?.code ?? placeOf(job.queue),
  ])
  return columns([['ID', 'STATE', 'MODEL', 'LANE', 'CREATED', 'TOKENS', 'TOOK', ''], ...rows])
}

const placeOf = (queue: JobInfo['queue']): string =>
  queue === null ? '' : queue.position === null ? `waits for ${queue.waits_for_jobs} jobs` : `${queue.position} in line`

async function show(client: Client, id: string, args: Args, out: Output): Promise<number> {
  return printOne(await (await client.call('GET', `/v1/jobs/${id}`)).json(), args, out)
}

async function post(
  action: 'cancel' | 'redrive',
  client: Client,
  id: string,
  args: Args,
  out: Output,
): Promise<number> {
  const job = (await (await client.call('POST', `/v1/jobs/${id}/${action}`)).json()) as JobInfo
  out.print(args.has('json') ? JSON.stringify(job) : `${job.id} ${job.state}`)
  return EXIT.ok
}

async function followJob(client: Client, id: string, args: Args, out: Output): Promise<number> {
  const end = await follow(client, id, {
    after: args.option('after') ?? null,
    json: args.has('json'),
    out,
  })
  return end === 'done' ? EXIT.ok : EXIT.failed
}
