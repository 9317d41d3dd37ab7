/**
 * May two runs be compared? Where what was asked, or what came back, is not the same, a difference in time says nothing
 * about the system. What is meant to differ is named by the user, and only remarked upon.
 */
import type { Check } from '../core/comparison.ts'
import type { MeasuredRun } from './effects.ts'
import { mean } from './quantile.ts'
import type { BenchRecord } from './record.ts'
import type { BenchRun, Load, RunOptions } from './run.ts'

/** What a change may be about. */
export const MAY_DIFFER = ['model', 'region', 'output', 'cache', 'load', 'rate', 'errors'] as const
export type MayDiffer = (typeof MAY_DIFFER)[number]

export interface Gate {
  readonly checks: readonly Check[]
  readonly isComparable: boolean
  /** Why their rounds are no pairs; null: they are. */
  readonly unpaired: string | null
  /** Other models, other tokens. */
  readonly acrossTokenizers: boolean
}

/** Shares of before: from the first on it is remarked upon, from the second on it is no comparison. */
const OUTPUT = { remarked: 0.03, refused: 0.1 }
const RATE = { remarked: 0.02, refused: 0.05 }
/** Differences of shares. */
const CACHE = { remarked: 0.02, refused: 0.05 }
const ERRORS = { remarked: 0.01, refused: 0.05 }
/** Of the prompts that both have. */
const SAME_PROMPTS = 0.999

export function gateOf(before: MeasuredRun, after: MeasuredRun, across: ReadonlySet<MayDiffer>): Gate {
  const sides = [before, after] as const
  const prompts = promptsOf(before, after)
  const checks = [
    prompts.check,
    model(before.run, after.run),
    load(before.run, after.run),
    rate(before.run, after.run),
    output(sides),
    cache(sides),
    errors(sides),
    region(before.run, after.run),
    goals(before.run, after.run),
    machine(before.run, after.run),
    client(before.run, after.run),
  ]
    .filter((check) => check !== null)
    .map((check) =>
      check.state === 'differs' && isMeant(check, across) ? { ...check, state: 'warns' as const } : check,
    )
  return {
    checks,
    isComparable: checks.every(({ state }) => state !== 'differs'),
    unpaired: prompts.unpaired,
    acrossTokenizers: before.run.options.model !== after.run.options.model,
  }
}

const isMeant = ({ name }: Check, across: ReadonlySet<MayDiffer>): boolean => across.has(name as MayDiffer)

// ---------------------------------------------------------------- what was asked

function promptsOf(before: MeasuredRun, after: MeasuredRun): { check: Check; unpaired: string | null } {
  const title = 'Prompts and arrivals'
  const [a, b] = [before.run.options, after.run.options]
  const check = (state: Check['state'], text: string): Check => ({ name: 'prompts', state, title, text })
  if (a.workload !== b.workload)
    return { check: check('differs', `workloads ${a.workload} and ${b.workload}`), unpaired: null }
  if (a.seed !== b.seed)
    return {
      check: check('warns', `seeds ${a.seed} and ${b.seed}: other prompts of the same workload`),
      unpaired: `seeds ${a.seed} and ${b.seed}`,
    }
  if ([before, after].some(({ records }) => records.some(isUnknownPrompt))) return promptLengths(before, after)
  const { shared, same } = samePrompts(before.records, after.records)
  if (shared === 0) return { check: check('differs', 'none in common'), unpaired: null }
  if (same / shared < SAME_PROMPTS)
    return { check: check('differs', `${percent(1 - same / shared)} of the prompts are not the same`), unpaired: null }
  const other = otherRounds(a, b)
  return other === null
    ? { check: check('same', `the same, seed ${a.seed}`), unpaired: null }
    : { check: check('warns', `prompts of one seed, but ${other}`), unpaired: other }
}

/** Only what was sent at the same moments, in rounds of the same requests, is a pair. Null: it is. */
function otherRounds(a: RunOptions, b: RunOptions): string | null {
  if (JSON.stringify(a.load) !== JSON.stringify(b.load)) return `${loadText(a.load)} and ${loadText(b.load)}`
  if (a.roundRequests !== b.roundRequests || a.roundMs !== b.roundMs)
    return `rounds of ${sizeText(a)} and of ${sizeText(b)}`
  return null
}

const sizeText = ({ roundRequests, roundMs }: RunOptions): string =>
  roundRequests === null ? `${digits((roundMs ?? 0) / 1_000)} s` : `${roundRequests} requests`

/** Of another tool's result. */
const isUnknownPrompt = ({ phase, promptHash }: BenchRecord): boolean => phase === 'round' && promptHash === ''

/** What is left to hold against each other where nobody knows the prompts. */
function promptLengths(before: MeasuredRun, after: MeasuredRun): { check: Check; unpaired: string } {
  const [a, b] = [before, after].map(({ records }) =>
    mean(records.flatMap(({ phase, tokens }) => (phase === 'round' ? (tokens.prompt ?? []) : []))),
  )
  const unpaired = 'nobody knows whether their prompts and arrivals are the same'
  const check = (state: Check['state'], text: string) => ({
    check: { name: 'prompts', state, title: 'Prompts and arrivals', text } as const,
    unpaired,
  })
  if (a === null || b === null) return check('unknown', 'not known')
  const state = stateOf(relative(a, b), OUTPUT)
  const text = `${Math.round(a)} and ${Math.round(b)} tokens long, on the mean`
  return check(state === 'same' ? 'unknown' : state, state === 'same' ? `not known, but ${text}` : text)
}

/** By round and place: of a seed that is one prompt. */
function samePrompts(
  before: readonly BenchRecord[],
  after: readonly BenchRecord[],
): { readonly shared: number; readonly same: number } {
  const hashes = new Map<string, string>()
  for (const { phase, round, index, promptHash } of before)
    if (phase === 'round') hashes.set(`${round}.${index}`, promptHash)
  let shared = 0
  let same = 0
  for (const { phase, round, index, promptHash } of after) {
    const known = phase === 'round' ? hashes.get(`${round}.${index}`) : undefined
    if (known === undefined) continue
    shared++
    if (known === promptHash) same++
  }
  return { shared, same }
}

function model(before: BenchRun, after: BenchRun): Check {
  const [a, b] = [before.options.model, after.options.model]
  return a === b
    ? { name: 'model', state: 'same', title: 'Model', text: a }
    : { name: 'model', state: 'differs', title: 'Model', text: `${a} and ${b}: their tokens are not the same` }
}

function load(before: BenchRun, after: BenchRun): Check {
  const [a, b] = [describeLoad(before), describeLoad(after)]
  const state = a === b ? 'same' : 'differs'
  return { name: 'load', state, title: 'Load', text: a === b ? a : `${a}; ${b}` }
}

/** "chat, 5 a second (poisson)" */
export function describeLoad({ options }: BenchRun): string {
  const whole = options.stream ? '' : ', not streamed'
  const api = options.api === 'chat' ? '' : ` by ${options.api}`
  return `${options.workload}${api}${whole}, ${loadText(options.load)}`
}

function loadText(load: Load): string {
  if (load.kind === 'closed') return `${load.concurrency} at once`
  if (load.kind === 'sweep') return 'sweep'
  const { arrivals } = load
  if (arrivals.kind === 'trace') return `as the trace${arrivals.speed === 1 ? '' : `, ${arrivals.speed} times as fast`}`
  return `${load.rate} a second (${arrivals.kind === 'gamma' ? `gamma ${arrivals.shape}` : arrivals.kind})`
}

/** Of a closed loop it follows from the answers, and is no condition. */
function rate(before: BenchRun, after: BenchRun): Check | null {
  if (before.options.load.kind !== 'open' || after.options.load.kind !== 'open') return null
  const sent = ({ rounds }: BenchRun): number | null => mean(rounds.map(({ sentRate }) => sentRate))
  const [a, b] = [sent(before), sent(after)]
  if (a === null || b === null) return null
  const text = `${digits(a)} and ${digits(b)} a second`
  return { name: 'rate', title: 'Rate held', text, state: stateOf(relative(a, b), RATE) }
}

// ---------------------------------------------------------------- what came back

type Sides = readonly [MeasuredRun, MeasuredRun]

const okOf = ({ records }: MeasuredRun): readonly BenchRecord[] =>
  records.filter(({ phase, outcome }) => phase === 'round' && outcome === 'ok')

/** By characters where the tokens are not the same ones. */
function output(sides: Sides): Check | null {
  const isSame = sides[0].run.options.model === sides[1].run.options.model
  const [a, b] = sides.map((side) => mean(okOf(side).map(({ tokens, chars }) => (isSame ? tokens.completion : chars))))
  if (a === null || b === null || a === 0) return null
  const change = (b - a) / a
  const text = Math.abs(change) < 0.005 ? 'the same' : signedPercent(change)
  return { name: 'output', title: 'Output length', text, state: stateOf(change, OUTPUT) }
}

/** Answers from a cache, and prompts that an engine had seen. */
function cache(sides: Sides): Check | null {
  if (sides.some(({ run }) => run.importedFrom !== null))
    return { name: 'cache', title: 'Cache hits', state: 'unknown', text: 'not known of another tool’s result' }
  const hits = sides.map((side) => {
    const ok = okOf(side)
    return ok.length === 0 ? null : ok.filter(({ cache }) => cache === 'hit').length / ok.length
  })
  const cached = sides.map((side) => {
    const told = okOf(side).filter(({ tokens }) => tokens.prompt !== null && tokens.prompt > 0)
    const prompt = told.reduce((sum, { tokens }) => sum + tokens.prompt!, 0)
    return prompt === 0 ? 0 : told.reduce((sum, { tokens }) => sum + (tokens.cached ?? 0), 0) / prompt
  })
  const [a, b] = hits
  if (a === null || b === null) return null
  const hitState = stateOf(b - a, CACHE)
  const cachedState = stateOf(cached[1] - cached[0], CACHE)
  // What an engine keeps of prompts is a property of the system: it explains a difference, and forbids no comparison
  const state = hitState === 'differs' ? 'differs' : hitState === 'warns' || cachedState !== 'same' ? 'warns' : 'same'
  const answers = `answers ${percent(a)} and ${percent(b)}`
  const prompts = `prompts ${percent(cached[0])} and ${percent(cached[1])}`
  return { name: 'cache', title: 'Cache hits', text: `${answers}, ${prompts}`, state }
}

/** Those that failed took no time: with many more of them the rest are other requests. */
function errors(sides: Sides): Check | null {
  const [a, b] = sides.map((side) => {
    const all = side.records.filter(({ phase }) => phase === 'round').length
    return all === 0 ? null : 1 - okOf(side).length / all
  })
  if (a === null || b === null) return null
  return { name: 'errors', title: 'Errors', text: `${percent(a)} and ${percent(b)}`, state: stateOf(b - a, ERRORS) }
}

function region(before: BenchRun, after: BenchRun): Check | null {
  const [a, b] = [before.fingerprint.region, after.fingerprint.region]
  if (a === null || b === null) return null
  const text = a === b ? a : `${a} and ${b}`
  return { name: 'region', title: 'Region', text, state: a === b ? 'same' : 'differs' }
}

/** They change no time; a share of good answers means something else. */
function goals(before: BenchRun, after: BenchRun): Check {
  const [a, b] = [before, after].map(({ options }) => options.slo.map(({ text }) => text).join(', ') || 'none')
  return { name: 'goals', title: 'Goals', text: a === b ? a : `${a}; ${b}`, state: a === b ? 'same' : 'warns' }
}

/** From where it was measured; another tool does not tell. */
function machine(before: BenchRun, after: BenchRun): Check | null {
  if (before.importedFrom !== null || after.importedFrom !== null) return null
  const [a, b] = [before, after].map(
    ({ fingerprint: { platform, cpus, node, sluice } }) =>
      `${platform}, ${cpus} CPUs, Node ${node.replace(/^v/, '')}, Sluice ${sluice}`,
  )
  const text = a === b ? a : `${a}; ${b}`
  return { name: 'machine', title: 'Measured from', text, state: a === b ? 'same' : 'warns' }
}

/** Runs that the client spoiled say nothing about the server. */
function client(before: BenchRun, after: BenchRun): Check {
  const title = 'Client'
  for (const { label, validity, brokenOff } of [before, after]) {
    if (brokenOff !== null) return { name: 'client', state: 'differs', title, text: `${label} was broken off` }
    if (validity.isValid) continue
    const broken = validity.checks.find(({ isMet, decides }) => decides && !isMet)
    return {
      name: 'client',
      state: 'differs',
      title,
      text: `${label} is invalid: ${broken?.text ?? 'by its own checks'}`,
    }
  }
  if (before.importedFrom !== null || after.importedFrom !== null)
    return { name: 'client', state: 'unknown', title, text: 'not known of another tool’s result' }
  const lag = ({ rounds }: BenchRun): number => Math.max(0, ...rounds.map(({ lagP99Ms }) => lagP99Ms))
  return { name: 'client', state: 'same', title, text: `lag p99 ${digits(lag(before))} and ${digits(lag(after))} ms` }
}

// ---------------------------------------------------------------- words

const relative = (a: number, b: number): number => (a === 0 ? 0 : (b - a) / a)

function stateOf(change: number, { remarked, refused }: { remarked: number; refused: number }): Check['state'] {
  const size = Math.abs(change)
  return size > refused ? 'differs' : size > remarked ? 'warns' : 'same'
}

const digits = (value: number): string => String(Number(value.toPrecision(2)))
const percent = (share: number): string => `${digits(share * 100)}%`
const signedPercent = (share: number): string => `${share > 0 ? '+' : '−'}${digits(Math.abs(share) * 100)}%`
