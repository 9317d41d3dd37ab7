/** `sluice bench compare` and `sluice bench aa`. */
import { existsSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { compareRuns } from '../bench/compare.ts'
import { htmlOf } from '../bench/compare-html.ts'
import { consoleLines, markdownOf } from '../bench/compare-text.ts'
import type { MeasuredRun } from '../bench/effects.ts'
import { type FailOn, type Judged, judge } from '../bench/fail-on.ts'
import { RunFolderError, readRunFolder } from '../bench/files.ts'
import { MAY_DIFFER, type MayDiffer } from '../bench/gate.ts'
import { noiseLines, splitRounds } from '../bench/noise.ts'
import { readSlo, SloError } from '../bench/slo.ts'
import { systemClock } from '../core/clock.ts'
import type { Comparison } from '../core/comparison.ts'
import { didYouMean } from '../core/nearest.ts'
import { post } from './bench-post.ts'
import { BENCH_EXIT } from './bench-run.ts'
import { ADMIN_OPTIONS } from './client.ts'
import { type Args, type Command, FailedError, type Output, UsageError } from './command.ts'

const DEFAULT_MARGIN = '5%'
const MARGIN = { value: 'SHARE', help: `a difference within it is none (default: ${DEFAULT_MARGIN})` }
const ACROSS = { value: 'A,B', help: `what the change is about, and may differ: ${MAY_DIFFER.join(', ')}` }

export const compare: Command = {
  usage: 'bench compare BEFORE AFTER [--margin 5%] [--fail-on regress|any|CONDITIONS] [options]',
  about:
    'Compares two runs: is there a difference, how large, and where did it go. Rounds of one seed are pairs. Writes ' +
    'AFTER/comparison.json.',
  options: {
    margin: MARGIN,
    across: ACROSS,
    'fail-on': {
      value: 'WHAT',
      help: 'regress (default), any, or conditions of AFTER: ttft.p95<800ms,error<1%',
    },
    strict: { help: 'what can not be told is no pass: exit 4' },
    html: { value: 'FILE', help: 'write one offline page' },
    md: { value: 'FILE', help: 'write Markdown, for a pull request' },
    post: { value: 'URL', help: "keep it on this Sluice's dashboard (its admin listener)" },
    ...ADMIN_OPTIONS,
  },
  operand: { name: 'folder of a run', second: 'needed' },
  tables: [
    {
      title: 'Exit codes:',
      rows: [
        ['0', 'no regression (or what --fail-on asks for)'],
        ['1', 'a regression'],
        ['2', 'a mistake on the command line'],
        ['3', 'a run is invalid, or they may not be compared'],
        ['4', 'it can not be told (--strict)'],
        ['5', 'no regression, but --post did not keep it'],
      ],
    },
  ],
  takesSettings: ['admin-port', 'data-dir'],
  async run(args, out) {
    const [beforePath, afterPath] = args.positionals.map(folderOf)
    const failOn = failOnOf(args)
    if (resolve(beforePath) === resolve(afterPath))
      throw new UsageError(`${beforePath} is compared with itself: "bench aa" tells how large its noise is.`)
    const before = runAt(beforePath)
    const after = runAt(afterPath)
    const comparison = compareRuns(before, after, optionsOf(args))
    const judged = judge(comparison, after, failOn, args.has('strict'))
    write(join(afterPath, 'comparison.json'), `${JSON.stringify(comparison, null, 2)}\n`)
    writeAsked(args, comparison)
    print(args, comparison, judged, out)
    const isKept = !args.has('post') || (await post(args, comparison, out))
    return judged.code || (isKept ? BENCH_EXIT.ok : BENCH_EXIT.notKept)
  },
}

export const aa: Command = {
  usage: 'bench aa RUN [RUN-OF-THE-SAME] [--margin 5%]',
  about:
    'Compares a system with itself: two runs between which nothing was changed, or the even rounds of one with its ' +
    'odd ones. What it finds is noise, and how large a difference has to be to be found.',
  options: { margin: MARGIN },
  operand: { name: 'folder of a run', second: 'optional' },
  takesSettings: false,
  async run(args, out) {
    const [path, otherPath] = args.positionals.map(folderOf)
    const [before, after] = otherPath === undefined ? splitRounds(runAt(path)) : [runAt(path), runAt(otherPath)]
    if ([before, after].some(({ run }) => run.rounds.every(({ ok }) => ok === 0))) {
      out.note('sluice: how large the noise is can not be told: it takes two rounds in which requests ended well.')
      return BENCH_EXIT.invalid
    }
    const comparison = compareRuns(before, after, optionsOf(args))
    const judged = judge(comparison, after, 'any', false)
    if (args.has('json')) out.print(JSON.stringify(comparison))
    else for (const line of noiseLines(comparison)) out.print(line)
    return judged.code
  },
}

function print(args: Args, comparison: Comparison, { broken }: Judged, out: Output): void {
  if (args.has('json')) return out.print(JSON.stringify(comparison))
  for (const line of consoleLines(comparison)) out.print(line)
  if (broken.length > 0) out.print(`\nNot met by ${comparison.after.label}: ${broken.join(', ')}`)
}

function writeAsked(args: Args, comparison: Comparison): void {
  const html = args.option('html')
  const markdown = args.option('md')
  if (html !== undefined) write(html, htmlOf(comparison))
  if (markdown !== undefined) write(markdown, markdownOf(comparison))
}

function write(path: string, text: string): void {
  try {
    writeFileSync(path, text)
  } catch (cause) {
    throw new FailedError(`${path} can't be written (${(cause as NodeJS.ErrnoException).code ?? 'error'})`, { cause })
  }
}

/** A path, or the label of a run that `bench run` put into its default folder. */
function folderOf(path: string): string {
  const inDefault = join('bench', path)
  return !existsSync(path) && existsSync(inDefault) ? inDefault : path
}

function runAt(path: string): MeasuredRun {
  try {
    return readRunFolder(path)
  } catch (error) {
    if (error instanceof RunFolderError) throw new UsageError(error.message)
    throw error
  }
}

function optionsOf(args: Args): { margin: number; across: ReadonlySet<MayDiffer>; atMs: number } {
  const margin = /^(\d{1,2}(?:\.\d{1,3})?)%$/.exec(args.option('margin') ?? DEFAULT_MARGIN)
  if (margin === null) throw new UsageError('--margin needs a share, as 5%, below 100%.')
  const across = (args.option('across') ?? '').split(',').filter((name) => name !== '')
  for (const name of across)
    if (!MAY_DIFFER.some((each) => each === name))
      throw new UsageError(`--across: "${name}" is none of ${MAY_DIFFER.join(', ')}.${didYouMean(name, MAY_DIFFER)}`)
  return { margin: Number(margin[1]) / 100, across: new Set(across as MayDiffer[]), atMs: systemClock.wallMs() }
}

function failOnOf(args: Args): FailOn {
  const text = args.option('fail-on') ?? 'regress'
  if (text === 'regress' || text === 'any') return text
  try {
    const terms = readSlo(text)
    if (terms.some(({ metric }) => metric === 'goodput'))
      throw new UsageError('--fail-on: goodput is no condition here: name what a good answer is, as ttft.p95<800ms.')
    return terms
  } catch (error) {
    if (error instanceof SloError) throw new UsageError(`--fail-on: ${error.message}`)
    throw error
  }
}
