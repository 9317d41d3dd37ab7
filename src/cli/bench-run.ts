/** `sluice bench run`. */
import { availableParallelism } from 'node:os'
import { consoleText, findingsOf } from '../bench/console.ts'
import { openRunFolder, RunFolderError, writeReport } from '../bench/files.ts'
import { figure } from '../bench/format.ts'
import { httpCaller } from '../bench/http.ts'
import { QUIET, showProgress } from '../bench/progress.ts'
import { reportOf } from '../bench/report/report.ts'
import type { BenchRun, Load, RunOptions } from '../bench/run.ts'
import { type Plan, type Price, Runner } from '../bench/runner.ts'
import { selfTest } from '../bench/self-test.ts'
import { socketCaller } from '../bench/socket.ts'
import { isMet } from '../bench/summary.ts'
import { askTarget, engineSums, roundTrips, TargetError } from '../bench/target.ts'
import { charsOf, type Workload } from '../bench/workloads/workload.ts'
import { version } from '../config/version.ts'
import { systemClock } from '../core/clock.ts'
import { systemIds } from '../core/ids.ts'
import {
  apiOf,
  atLeast1,
  bodyOf,
  headersOf,
  labelOf,
  loadOf,
  maxCostOf,
  metricsOf,
  priceOf,
  RUN_OPTIONS,
  roundOf,
  sloOf,
  targetOf,
  timeoutOf,
  warmupOf,
} from './bench-options.ts'
import { checkPost, postRun } from './bench-post.ts'
import { workloadOf } from './bench-workload.ts'
import { ADMIN_OPTIONS } from './client.ts'
import {
  type Args,
  type Command,
  FailedError,
  type Output,
  UnreachableError,
  UsageError,
  wholeNumber,
} from './command.ts'
import { onSignal } from './signals.ts'

/** Exit codes of the benchmark: they are what CI decides by. */
export const BENCH_EXIT = { ok: 0, missed: 1, usage: 2, invalid: 3, inconclusive: 4, notKept: 5 } as const

export const run: Command = {
  usage: 'bench run --target URL [--model NAME] [--rate 5 | --concurrency 16 | --sweep] [options]',
  about:
    'Measures a server: time to first token, time per output token, goodput. Phases: fingerprint, self-test of this ' +
    'client, warm-up, idle floor, rounds. Writes records.jsonl, run.json and report.html.',
  options: { ...RUN_OPTIONS, ...ADMIN_OPTIONS },
  tables: [
    {
      title: 'Exit codes:',
      rows: [
        ['0', 'valid, and all goals of --slo are met'],
        ['1', 'a goal was missed'],
        ['2', 'a mistake on the command line'],
        ['3', 'INVALID: the client was the bottleneck, or it was not the load that was asked for'],
        ['5', 'all is well, but --post did not keep it'],
      ],
    },
  ],
  takesSettings: ['admin-port', 'data-dir'],
  run: runBench,
}

async function runBench(args: Args, out: Output): Promise<number> {
  const base = targetOf(args)
  const api = apiOf(args)
  const headers = headersOf(args, api)
  const seed = args.has('seed') ? wholeNumber(args.option('seed')!, 'seed', 0x7fffffff) : 1
  const price = priceOf(args)
  const maxCostUsd = maxCostOf(args)
  if (maxCostUsd !== null && price === null)
    throw new UsageError('--max-cost needs --price: the benchmark knows no prices.')
  const options = { slo: sloOf(args, 'slo'), abortOn: sloOf(args, 'abort-on'), label: labelOf(args) }
  const size = roundOf(args)
  const extra = bodyOf(args)
  const bounds = timeoutOf(args)
  const warmup = warmupOf(args)
  const rounds = atLeast1(args, 'rounds', args.has('sweep') ? 10 : 8, 1_000)
  const idle = args.has('idle') ? wholeNumber(args.option('idle')!, 'idle', 10_000) : 20
  const workload = await workloadOf(args, seed)
  const load = loadOf(args, workload.hasTimes)
  const metrics = metricsOf(args, base)
  if (args.has('post')) await checkPost(args)
  const target = await askTarget(base, headers).catch((error: unknown) => {
    throw error instanceof TargetError ? new UnreachableError(error.message) : error
  })
  const model = args.option('model') ?? target.models[0]
  if (model === undefined) throw new UsageError('Missing --model: the server lists none.')
  const runOptions: RunOptions = {
    target: base,
    model,
    api,
    stream: args.option('stream') !== 'false',
    workload: workload.name,
    load,
    rounds,
    roundRequests: size.requests,
    roundMs: size.ms,
    idle,
    seed,
    slo: options.slo,
    label: options.label,
    maxCostUsd,
  }
  warnOfCost(runOptions, workload, price, out)
  const hasNonce = args.option('nonce') !== 'false'
  const plan: Plan = { options: runOptions, workload, extra, warmup, hasNonce, abortOn: options.abortOn, price }
  const folder = folderOf(args.option('out') ?? 'bench', options.label)
  const isQuiet = args.has('quiet') || args.has('json')
  const { stderr } = process
  const planned = durationText(runOptions)
  if (!isQuiet && planned !== null) out.note(planned)
  const progress = isQuiet
    ? QUIET
    : showProgress({
        clock: systemClock,
        isTerminal: stderr.isTTY === true,
        rounds,
        write: (text) => void stderr.write(text),
      })
  const caller =
    api === 'ws'
      ? socketCaller({ clock: systemClock, base, headers, ...bounds })
      : httpCaller({ clock: systemClock, base, api, headers, ...bounds })
  // Asked once: a server without them is not asked again
  const hasMetrics = (await engineSums(metrics, headers)) !== null
  if (args.has('metrics') && !hasMetrics) out.note(`sluice: ${metrics} has none of vLLM's sums: it is left out.`)
  const runner = new Runner(plan, {
    clock: systemClock,
    ids: systemIds(),
    caller,
    watch: progress,
    fingerprint: async () => ({
      sluice: version,
      node: process.version,
      platform: `${process.platform}-${process.arch}`,
      cpus: availableParallelism(),
      rtt: await roundTrips(systemClock, base),
      ...target,
    }),
    selfTest: (like) => selfTest(systemClock, like),
    engineSums: hasMetrics ? () => engineSums(metrics, headers) : null,
    keep: (record) => folder.add(record),
  })
  onSignal(() => runner.breakOff('by hand'))
  const done = await runner.run().finally(() => {
    progress.close()
    caller.close()
  })
  await folder.finish(done.run)
  const findings = findingsOf(done.run, done.records)
  writeReport(folder.path, reportOf(findings))
  if (args.has('json')) out.print(JSON.stringify({ ...done.run, summary: findings.summary, folder: folder.path }))
  else for (const line of consoleText(findings)) out.print(line)
  if (!isQuiet) out.note(`\nrecords, run.json and report.html are in ${folder.path}`)
  const isKept = !args.has('post') || (await postRun(args, findings, out))
  return exitOf(done.run, runOptions, findings) || (isKept ? BENCH_EXIT.ok : BENCH_EXIT.notKept)
}

/** "8 rounds of 100 requests, 2.00 a second: about 7 min"; null: how long it takes is up to the server. */
function durationText({ load, rounds, roundRequests, roundMs }: RunOptions): string | null {
  const each = roundMs ?? (load.kind === 'open' && roundRequests !== null ? (roundRequests / load.rate) * 1_000 : null)
  if (each === null || load.kind === 'sweep' || (load.kind === 'open' && load.arrivals.kind === 'trace')) return null
  const rate = load.kind === 'open' ? `${figure(load.rate)} a second` : `${load.concurrency} at once`
  const size = roundRequests === null ? '' : ` of ${roundRequests} requests`
  const seconds = Math.round((each * rounds) / 1_000)
  const about = seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} min`
  return `${rounds} rounds${size}, ${rate}: about ${about}`
}

function exitOf(done: BenchRun, { slo }: RunOptions, findings: ReturnType<typeof findingsOf>): number {
  if (!done.validity.isValid || done.brokenOff !== null) return BENCH_EXIT.invalid
  return slo.some((term) => isMet(term, findings.rounds, findings.summary) === false)
    ? BENCH_EXIT.missed
    : BENCH_EXIT.ok
}

function folderOf(out: string, label: string) {
  try {
    return openRunFolder(out, label)
  } catch (error) {
    throw error instanceof RunFolderError ? new FailedError(error.message) : error
  }
}

const CHARS_A_TOKEN = 4
const LOOKED_AT = 50
const ANSWER_TOKENS = 500

/** What the rounds will cost at most, by the prompts of the first. Throws UsageError where that is not allowed. */
function warnOfCost(options: RunOptions, workload: Workload, price: Price | null, out: Output): void {
  if (price === null) return
  const { rounds, roundRequests, roundMs, load, idle, maxCostUsd } = options
  const some = workload.prompts(0, Math.min(LOOKED_AT, roundRequests ?? LOOKED_AT))
  const prompt = some.reduce((sum, { messages }) => sum + charsOf(messages) / CHARS_A_TOKEN, 0) / some.length
  const answer = some.reduce((sum, { maxTokens }) => sum + (maxTokens ?? ANSWER_TOKENS), 0) / some.length
  const each = roundRequests ?? requestsIn(load, roundMs!)
  const dollars = (rounds * each + idle) * (prompt * price.prompt + answer * price.completion)
  const about = `about $${dollars.toFixed(2)}, if every answer is as long as it may be`
  if (maxCostUsd !== null && dollars > maxCostUsd * 2)
    throw new UsageError(`This would cost ${about}: raise --max-cost, or lower --rounds or --round.`)
  out.note(`This will cost ${about}.`)
}

const requestsIn = (load: Load, ms: number): number =>
  load.kind === 'open' ? (load.rate * ms) / 1_000 : (load.kind === 'closed' ? load.concurrency : 16) * (ms / 2_000)
