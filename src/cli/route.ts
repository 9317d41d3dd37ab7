/** `sluice route`: where a request would go, by the running server. */

import { ABILITIES } from '../core/job.ts'
import type { RecordGroup } from '../core/live.ts'
import { ADMIN_OPTIONS, adminClient } from './client.ts'
import { type Args, EXIT, type Group, type Output, UsageError, wholeNumber } from './command.ts'
import { listOf, SHOWN } from './switches.ts'
import { columns } from './table.ts'

interface Candidate {
  readonly deployment: string
  readonly order: number
  readonly active: number
  /** Why it is no candidate; null: it is one. */
  readonly why: string | null
  /** Of one that may be called: what speaks against it. */
  readonly note: string | null
  readonly out: string | null
  readonly score: number | null
  readonly expected_ms: number | null
  readonly ttft_ms: number | null
  readonly error_rate: number
  readonly headroom: number
  readonly hedge_after_ms: number | null
}

interface Trace {
  readonly kind: string
  readonly refused: { readonly message: string } | null
  readonly own_key: boolean | null
  readonly prompt_tokens: number
  readonly output_tokens: number
  readonly deployment: string | null
  readonly steps: ReadonlyArray<{
    readonly model: string
    readonly policy: string
    readonly unit: string
    readonly cached_at: string | null
    readonly chosen: string | null
    readonly awaits?: { readonly deployment: string; readonly in_ms: number } | null
    readonly deployments: readonly Candidate[]
  }>
}

const MOST_TOKENS = 1e9

export const command: Group = {
  about: 'Where requests go.',
  commands: {
    explain: {
      usage:
        'route explain MODEL [--tenant NAME] [--tokens N] [--output-tokens N] [--tags A,B] [--needs A,B] [--kind KIND]',
      about: 'Shows where a request would go now, what else there is, and why not there. Nothing is called.',
      options: {
        tenant: { value: 'NAME', help: 'may this tenant use it, and with a key of its own?' },
        tokens: { value: 'N', help: 'tokens of the prompt (default: 1000)' },
        'output-tokens': { value: 'N', help: 'the most that it may write' },
        tags: { value: 'A,B', help: 'what the deployment must be tagged with' },
        needs: { value: 'A,B', help: `what it must be able to do: ${ABILITIES.join(', ')}` },
        kind: { value: 'KIND', help: "chat or embedding (default: the model's only one, else chat)" },
        ...ADMIN_OPTIONS,
      },
      operand: { name: 'model', listedBy: 'models list' },
      takesSettings: SHOWN,
      run: explain,
    },
    job: {
      usage: 'route job ID',
      about: 'Shows where a job was tried, how it ended, and of one that has not: where it would go now.',
      options: ADMIN_OPTIONS,
      operand: { name: 'job id', listedBy: 'jobs list' },
      takesSettings: SHOWN,
      run: ofJob,
    },
  },
}

async function explain(args: Args, out: Output): Promise<number> {
  const [model] = args.positionals
  const count = (option: string): number | undefined => {
    const text = args.option(option)
    return text === undefined ? undefined : wholeNumber(text, option, MOST_TOKENS)
  }
  const needs = listOf(args.option('needs')) ?? undefined
  const unknown = needs?.find((one) => !ABILITIES.some((ability) => ability === one))
  if (unknown !== undefined) throw new UsageError(`--needs takes ${ABILITIES.join(', ')}, not "${unknown}".`)
  const body = {
    model,
    tenant: args.option('tenant'),
    prompt_tokens: count('tokens'),
    max_output_tokens: count('output-tokens'),
    tags: listOf(args.option('tags')) ?? undefined,
    can: needs,
    kind: args.option('kind'),
  }
  const trace = (await (await adminClient(args).call('POST', '/admin/route/explain', { body })).json()) as Trace
  if (args.has('json')) out.print(JSON.stringify(trace))
  else for (const line of explained(trace)) out.print(line)
  return EXIT.ok
}

async function ofJob(args: Args, out: Output): Promise<number> {
  const path = `/admin/jobs/${encodeURIComponent(args.positionals[0])}`
  const client = adminClient(args)
  const { data } = (await (await client.call('GET', `${path}/records`)).json()) as { data: readonly RecordGroup[] }
  const attempts = data.filter(({ type }) => type === 'attempt')
  const end = data.find(({ type }) => type === 'end')
  const trace = end === undefined ? ((await (await client.call('GET', `${path}/route`)).json()) as Trace) : null
  if (args.has('json')) {
    out.print(JSON.stringify({ attempts, end: end ?? null, route: trace }))
    return EXIT.ok
  }
  for (const line of columns(attempts.map(({ attempt, note }) => [`attempt ${attempt}`, note]))) out.print(line)
  if (end !== undefined) out.print(`Ended: ${end.note}.`)
  if (trace !== null) for (const line of explained(trace)) out.print(line)
  return EXIT.ok
}

function* explained({ refused, own_key: ownKey, kind, steps, deployment, ...tokens }: Trace): Generator<string> {
  if (refused !== null) yield `Refused: ${refused.message}`
  if (ownKey === true) yield "It would be called with the tenant's own key."
  for (const { model, policy, unit, cached_at: cachedAt, chosen, awaits, deployments } of steps) {
    yield `${model}, by ${policy} (${SCORES[policy] ?? unit}):`
    const rows = deployments.map((one) => [
      one.deployment === chosen ? '->' : '',
      one.deployment,
      String(one.order),
      String(one.active),
      unit === 'turn' || one.score === null ? number(one.score) : String(Number(one.score.toPrecision(4))),
      number(one.ttft_ms),
      `${Math.round(one.error_rate * 100)} %`,
      `${Math.round(one.headroom * 100)} %`,
      one.why ?? one.note ?? (one.deployment === cachedAt ? 'had this beginning last' : ''),
    ])
    yield* columns([['', 'DEPLOYMENT', 'ORDER', 'CALLS', 'SCORE', 'TTFT MS', 'ERRORS', 'ROOM', 'WHY NOT'], ...rows])
    if (awaits)
      yield `It is sooner to wait for ${awaits.deployment}, which is full for about ${Math.ceil(awaits.in_ms)} ms more.`
  }
  const what = `${tokens.prompt_tokens} tokens in, about ${tokens.output_tokens} out`
  const all = steps.flatMap(({ deployments }) => deployments)
  if (deployment !== null) yield `It would go to ${deployment} (${what}).`
  else if (all.every(({ out }) => out === 'kind')) yield `It would be refused: no deployment of it is for ${kind}.`
  else yield `It would wait in line (${what}).`
  const at = all.find((one) => one.deployment === deployment && one.out === null)
  if (at?.note?.startsWith('longer than') === true)
    yield 'By its estimate the prompt is longer than any context window there; it is sent all the same.'
  if (at?.hedge_after_ms != null)
    yield `As a stream that has shown nothing after ${Math.round(at.hedge_after_ms)} ms it gets a second call.`
}

/** What a score is, and which is best. */
const SCORES: Readonly<Record<string, string>> = {
  'least-wait': 'score: ms to the end of the answer, the least is best',
  fastest: 'score: ms to the first text, the least is best',
  cheapest: 'score: billionths of a dollar, the least is best',
  weighted: 'score: weight, a draw in proportion to it',
  'round-robin': 'score: its last turn, the least is best',
}

const number = (value: number | null): string => (value === null ? '-' : String(Math.round(value)))
