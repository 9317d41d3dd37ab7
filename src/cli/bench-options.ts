/** The options of `sluice bench run`, read and checked. */

import { isLabel } from '../bench/files.ts'
import type { Api, Arrivals, Load } from '../bench/run.ts'
import type { Price } from '../bench/runner.ts'
import { readSlo, SloError, type SloTerm } from '../bench/slo.ts'
import { environmentOf } from '../config/load.ts'
import { isObject, type JsonObject } from '../core/fold.ts'
import { didYouMean } from '../core/nearest.ts'
import { type Args, type OptionHelp, UsageError, wholeNumber } from './command.ts'

export const RUN_OPTIONS: Readonly<Record<string, OptionHelp>> = {
  target: { value: 'URL', help: 'the server to measure, with or without /v1' },
  model: { value: 'NAME', help: 'default: the first that the server lists' },
  api: { value: 'NAME', help: 'chat (default), completions, responses, messages, or of Sluice jobs, ws' },
  stream: { help: 'ask for streams (default); --no-stream: whole answers, which have no TTFT' },
  workload: {
    value: 'NAME',
    help:
      'chat (default), rag, agent, code, FILE.jsonl, trace:mooncake=FILE, trace:azure=FILE, trace:burstgpt=FILE, ' +
      'prod:FILE or prod:LAST_24H',
  },
  rate: { value: 'N', help: 'open loop: requests a second (default: 2)' },
  arrivals: { value: 'KIND', help: 'poisson (default), constant, gamma:SHAPE (below 1: bursts), trace or trace:SPEED' },
  concurrency: { value: 'N', help: 'closed loop instead: so many at once' },
  sweep: { help: 'one at a time, all at once, then rates between, until it is saturated' },
  rounds: { value: 'N', help: 'default: 8, the fewest that comparisons can be sure of' },
  round: { value: 'SIZE', help: 'of a round: 100req (default) or 60s' },
  warmup: { value: 'N', help: 'auto (default): until TTFT is flat; or so many requests' },
  idle: { value: 'N', help: 'requests one at a time, for the floor without load (default: 20)' },
  seed: { value: 'N', help: 'default: 1; runs of one seed ask the same at the same times' },
  slo: { value: 'GOALS', help: 'as ttft.p95<800ms,tpot<40ms; without a percentile: of each request, for goodput' },
  'abort-on': { value: 'WHEN', help: 'break off when this holds, as error>5%' },
  price: { value: 'IN/OUT', help: 'dollars per million tokens, as 0.15/0.60' },
  'max-cost': { value: 'DOLLARS', help: 'break off when this is reached' },
  body: { value: 'JSON', help: 'members for each request, as {"temperature":0,"ignore_eos":true}' },
  nonce: { help: 'keep caches of earlier rounds out (default); --no-nonce: send prompts as they are' },
  metrics: { value: 'URL', help: "metrics of the engine, for vLLM's queue, prefill and decode of each round" },
  timeout: {
    value: 'TIMES',
    help: 'give up an answer that brings nothing for so long, or takes so long in all (default: 120s,10m)',
  },
  label: { value: 'NAME', help: 'default: run' },
  out: { value: 'DIR', help: 'writes DIR/LABEL (default: bench)' },
  post: { value: 'URL', help: "keep the run on Sluice's dashboard: its admin address" },
  'key-env': { value: 'NAME', help: 'the variable with the API key (default: SLUICE_BENCH_KEY)' },
  quiet: { help: 'no progress' },
}

/** A whole one, from 1. */
export function atLeast1(args: Args, name: string, otherwise: number, max: number): number {
  const text = args.option(name)
  if (text === undefined) return otherwise
  const number = wholeNumber(text, name, max)
  if (number < 1) throw new UsageError(`--${name} needs a whole number from 1 to ${max}.`)
  return number
}

export function metricsOf(args: Args, base: string): string {
  const text = args.option('metrics')
  if (text !== undefined) addressIn(text, 'metrics')
  return text ?? `${base}/metrics`
}

function addressIn(text: string, option: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:'))
    throw new UsageError(`--${option}: "${text}" is not an http or https address.`)
  return url
}

export function targetOf(args: Args): string {
  const text = args.option('target')
  if (text === undefined) throw new UsageError('Missing --target: the address of the server to measure.')
  const url = addressIn(text, 'target')
  if (url.username !== '' || url.password !== '')
    throw new UsageError('--target: leave the credentials out of the address, and set SLUICE_BENCH_KEY to the API key.')
  if (url.search !== '' || url.hash !== '') throw new UsageError('--target: leave out the "?" or "#" and what follows.')
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '').replace(/\/v1$/, '')
}

/** From the environment alone: what is on a command line is in process lists and histories. */
export function headersOf(args: Args, api: Api): Record<string, string> {
  const name = args.option('key-env') ?? 'SLUICE_BENCH_KEY'
  const key = environmentOf(name)
  if (key === null) {
    if (args.has('key-env')) throw new UsageError(`--key-env: the environment has no ${name}.`)
    return {}
  }
  if (!/^[\x21-\x7e]+$/.test(key)) throw new UsageError(`${name} contains characters that keys never contain.`)
  const anthropic = { 'x-api-key': key, 'anthropic-version': '2023-06-01' }
  return { authorization: `Bearer ${key}`, ...(api === 'messages' && anthropic) }
}

const APIS: readonly Api[] = ['chat', 'completions', 'responses', 'messages', 'jobs', 'ws']

export function apiOf(args: Args): Api {
  const text = args.option('api') ?? 'chat'
  const found = APIS.find((api) => api === text)
  if (found === undefined)
    throw new UsageError(`--api: "${text}" is not one of ${APIS.join(', ')}.${didYouMean(text, APIS)}`)
  return found
}

const DEFAULT_RATE = 2

export function loadOf(args: Args, hasTimes: boolean): Load {
  const given = ['rate', 'concurrency', 'sweep'].filter((name) => args.has(name))
  if (given.length > 1) throw new UsageError(`${given.map((name) => `--${name}`).join(' and ')}: choose one of them.`)
  if (args.option('sweep') === 'true') return { kind: 'sweep' }
  if (args.has('concurrency')) {
    if (args.has('arrivals')) throw new UsageError('--arrivals are those of an open loop: leave out --concurrency.')
    return { kind: 'closed', concurrency: atLeast1(args, 'concurrency', 1, 10_000) }
  }
  const arrivals = arrivalsOf(args.option('arrivals') ?? (hasTimes && !args.has('rate') ? 'trace' : 'poisson'))
  if (arrivals.kind === 'trace' && !hasTimes)
    throw new UsageError('--arrivals trace: this workload has no times of its own; name a trace with --workload.')
  if (arrivals.kind === 'trace' && args.has('rate'))
    throw new UsageError('--rate: a trace has its own; --arrivals trace:2 plays it twice as fast.')
  return { kind: 'open', rate: rateOf(args), arrivals }
}

function rateOf(args: Args): number {
  const text = args.option('rate')
  if (text === undefined) return DEFAULT_RATE
  const rate = /^\d{1,6}(\.\d{1,6})?$/.test(text) ? Number(text) : 0
  if (rate <= 0) throw new UsageError('--rate needs requests a second, above 0.')
  return rate
}

function arrivalsOf(text: string): Arrivals {
  const [kind, value] = text.split(':')
  const number = Number(value)
  const isNumber = value !== undefined && /^\d{1,4}(\.\d{1,4})?$/.test(value) && number > 0
  if ((kind === 'poisson' || kind === 'constant') && value === undefined) return { kind }
  if (kind === 'gamma' && isNumber) return { kind, shape: number }
  if (kind === 'trace' && (value === undefined || isNumber)) return { kind, speed: value === undefined ? 1 : number }
  throw new UsageError(`--arrivals: "${text}" is not poisson, constant, gamma:SHAPE, trace or trace:SPEED.`)
}

export function roundOf(args: Args): { requests: number | null; ms: number | null } {
  const text = args.option('round') ?? '100req'
  const [, number, unit] = /^(\d{1,7})(req|s|m)$/.exec(text) ?? []
  if (number === undefined || Number(number) < 1) throw new UsageError('--round needs a size: 100req, 60s or 5m.')
  if (unit === 'req') return { requests: Number(number), ms: null }
  return { requests: null, ms: Number(number) * (unit === 's' ? 1_000 : 60_000) }
}

/** Without a second time, ten minutes are for the whole, or twice the silence. */
export function timeoutOf(args: Args): { silenceMs: number; answerMs: number } {
  const [silence, answer, ...more] = (args.option('timeout') ?? '120s').split(',').map(timeOf)
  if (silence === null || answer === null || more.length > 0)
    throw new UsageError('--timeout needs a time: 120s, 500ms or 2m; and after a comma one for the whole answer.')
  return { silenceMs: silence, answerMs: answer ?? Math.max(600_000, 2 * silence) }
}

function timeOf(text: string): number | null {
  const [, number, unit] = /^(\d{1,6})(ms|s|m)$/.exec(text) ?? []
  const ms = Number(number) * (unit === 'ms' ? 1 : unit === 's' ? 1_000 : 60_000)
  return ms > 0 ? ms : null
}

export function sloOf(args: Args, name: string): SloTerm[] {
  const text = args.option(name)
  if (text === undefined) return []
  try {
    return readSlo(text)
  } catch (error) {
    if (error instanceof SloError) throw new UsageError(`--${name}: ${error.message}.`)
    throw error
  }
}

export function warmupOf(args: Args): number | null {
  const text = args.option('warmup') ?? 'auto'
  return text === 'auto' ? null : wholeNumber(text, 'warmup', 10_000)
}

export function bodyOf(args: Args): JsonObject {
  const text = args.option('body')
  if (text === undefined) return {}
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    value = null
  }
  if (!isObject(value)) throw new UsageError('--body needs a JSON object, as {"temperature":0}.')
  for (const name of ['model', 'messages', 'stream', 'prompt', 'input'])
    if (name in value) throw new UsageError(`--body: "${name}" is set by the benchmark.`)
  return value
}

export function priceOf(args: Args): Price | null {
  const text = args.option('price')
  if (text === undefined) return null
  const [, prompt, completion] = /^(\d+(?:\.\d+)?)\/(\d+(?:\.\d+)?)$/.exec(text) ?? []
  if (prompt === undefined) throw new UsageError('--price needs dollars per million tokens, in and out: 0.15/0.60.')
  return { prompt: Number(prompt) / 1e6, completion: Number(completion) / 1e6 }
}

export function maxCostOf(args: Args): number | null {
  const text = args.option('max-cost')
  if (text === undefined) return null
  const dollars = /^\$?\d+(\.\d+)?$/.test(text) ? Number(text.replace('$', '')) : 0
  if (dollars <= 0) throw new UsageError('--max-cost needs dollars, above 0.')
  return dollars
}

export function labelOf(args: Args): string {
  const label = args.option('label') ?? 'run'
  if (!isLabel(label)) throw new UsageError('--label needs letters, digits, ".", "_" and "-", at most 64.')
  return label
}
