/** `sluice runs`: agents' runs, through the public listener, with an API key. */
import { systemClock } from '../core/clock.ts'
import { moneyText } from '../core/money.ts'
import { CLIENT_OPTIONS, type Client, publicClient } from './client.ts'
import { type Args, EXIT, type Group, type Output, wholeNumber } from './command.ts'
import { onOne, printAll, printOne } from './on-one.ts'
import { ago, columns } from './table.ts'

export interface RunInfo {
  readonly id: string
  readonly state: string
  /** Seconds since 1970. */
  readonly created_at: number
  readonly budget: Readonly<Record<'tokens' | 'usd' | 'steps' | 'depth', number | null>>
  readonly totals: {
    readonly jobs: number
    readonly states: Readonly<Record<string, number>>
    readonly total_tokens: number
    readonly usd: number
    readonly steps: number
    readonly depth: number
    readonly is_partial: boolean
  }
}

interface JobInfo {
  readonly id: string
  readonly state: string
  readonly model: string
  readonly parent: string | null
  readonly prompt_tokens: number | null
  readonly completion_tokens: number | null
  readonly usd_at_most: number | null
  readonly total_ms: number | null
  readonly error: string | null
}

type RunPage = RunInfo & { readonly jobs: readonly JobInfo[]; readonly next: string | null }

const MAX_LIST = 100
const MAX_JOBS = 1_000
const ended = ({ states }: RunInfo['totals']): number =>
  ['done', 'failed', 'canceled', 'expired'].reduce((sum, state) => sum + (states[state] ?? 0), 0)

const one = onOne('runs', 'run id')

export const command: Group = {
  about: "Agents' runs of the API key's tenant.",
  commands: {
    list: {
      usage: 'runs list [--limit N] [--after CURSOR]',
      about: 'Lists runs, newest first, with what their jobs have used.',
      options: {
        limit: { value: 'N', help: 'at most this many (default: 20, at most 100)' },
        after: { value: 'CURSOR', help: 'go on where a list ended, which told this' },
        ...CLIENT_OPTIONS,
      },
      takesSettings: [],
      run: (args, out) => list(publicClient(args), args, out),
    },
    show: one(
      'show',
      'Shows a run: what it has used of its budget, and its jobs, oldest first.',
      show,
      {
        limit: { value: 'N', help: 'at most this many jobs (default: 100, at most 1000)' },
        after: { value: 'JOB', help: 'only jobs younger than this one' },
      },
      'show ID [--limit N] [--after JOB]',
    ),
    cancel: one('cancel', 'Ends what lives of a run, and refuses what it still sends.', cancel),
  },
}

function queryOf(args: Args, most: number): string {
  const query = new URLSearchParams()
  const limit = args.option('limit')
  if (limit !== undefined) query.set('limit', String(wholeNumber(limit, 'limit', most)))
  if (args.has('after')) query.set('after', args.option('after')!)
  return query.size === 0 ? '' : `?${query}`
}

async function list(client: Client, args: Args, out: Output): Promise<number> {
  const answer = await (await client.call('GET', `/v1/runs${queryOf(args, MAX_LIST)}`)).json()
  const { data, next } = answer as { data: RunInfo[]; next: string | null }
  printAll(data, args, out, (all) => runTable(all, systemClock.wallMs()))
  if (next !== null) out.note(`There are older ones: --after ${next}`)
  return EXIT.ok
}

/** A sum that may lack some: "500+". */
const sum = (text: string, { is_partial: isPartial }: RunInfo['totals']): string => (isPartial ? `${text}+` : text)

export function runTable(runs: readonly RunInfo[], nowMs: number): string[] {
  const rows = runs.map(({ id, state, created_at: at, totals, budget }) => [
    id,
    state,
    ago(Math.max(0, nowMs - at * 1000)),
    `${ended(totals)}/${sum(String(totals.jobs), totals)}`,
    String(totals.total_tokens),
    moneyText(totals.usd * 1e9),
    budgetText(budget),
  ])
  return columns([['RUN', 'STATE', 'BEGUN', 'ENDED', 'TOKENS', 'COST', 'BUDGET'], ...rows])
}

function budgetText({ tokens, usd, steps, depth }: RunInfo['budget']): string {
  const parts = [
    tokens !== null && `${tokens} tokens`,
    usd !== null && moneyText(usd * 1e9),
    steps !== null && `${steps} steps`,
    depth !== null && `depth ${depth}`,
  ]
  return parts.filter((part) => part !== false).join(', ')
}

async function show(client: Client, id: string, args: Args, out: Output): Promise<number> {
  const answer = await client.call('GET', `/v1/runs/${id}${queryOf(args, MAX_JOBS)}`)
  const run = (await answer.json()) as RunPage
  if (args.has('json')) return printOne(run, args, out)
  for (const line of runLines(run)) out.print(line)
  if (run.next !== null) out.note(`There are more jobs: --after ${run.next}`)
  return EXIT.ok
}

export function runLines(run: RunPage): string[] {
  const { id, state, budget, totals, jobs } = run
  const of = (used: string, limit: string | null): string => used + (limit === null ? '' : ` of ${limit}`)
  const money = (usd: number): string => moneyText(usd * 1e9)
  const whole = (value: number | null): string | null => (value === null ? null : String(value))
  const facts = columns([
    ['state', state],
    ['jobs', `${ended(totals)} of ${sum(String(totals.jobs), totals)} ended`],
    ['tokens', of(String(totals.total_tokens), whole(budget.tokens))],
    ['cost', of(money(totals.usd), budget.usd === null ? null : money(budget.usd))],
    ['steps', of(String(totals.steps), whole(budget.steps))],
    ['depth', of(String(totals.depth), whole(budget.depth))],
  ])
  const rows = jobs.map((job) => [
    job.id,
    job.state,
    job.model,
    job.parent ?? '-',
    job.prompt_tokens === null ? '-' : String(job.prompt_tokens + (job.completion_tokens ?? 0)),
    job.usd_at_most === null ? '-' : money(job.usd_at_most),
    job.total_ms === null ? '-' : `${(job.total_ms / 1000).toFixed(1)} s`,
    job.error ?? '',
  ])
  const table = columns([['JOB', 'STATE', 'MODEL', 'PARENT', 'TOKENS', 'COST, AT MOST', 'TOOK', ''], ...rows])
  return [id, ...facts.map((line) => `  ${line}`), ...(jobs.length === 0 ? [] : ['', ...table])]
}

async function cancel(client: Client, id: string, args: Args, out: Output): Promise<number> {
  const answer = await (await client.call('POST', `/v1/runs/${id}/cancel`)).json()
  const { canceled, left, ...run } = answer as { id: string; canceled: number; left: number }
  if (args.has('json')) return printOne(answer, args, out)
  out.print(`${run.id} canceled: ${canceled} ${canceled === 1 ? 'job ends' : 'jobs end'}`)
  if (left > 0) out.note(`${left} of other API keys go on: a key with the scope "manage" ends them.`)
  return EXIT.ok
}
