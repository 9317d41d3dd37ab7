/** `sluice bench report`, `import` and `self-test`. */
import { readFileSync, statSync } from 'node:fs'
import { consoleText, findingsOf } from '../bench/console.ts'
import { isLabel, openRunFolder, RunFolderError, readRunFolder, writeReport } from '../bench/files.ts'
import { milliseconds, percent } from '../bench/format.ts'
import { IMPORTS, ImportError, importResult } from '../bench/imports/imports.ts'
import { reportOf } from '../bench/report/report.ts'
import { selfTest } from '../bench/self-test.ts'
import { version } from '../config/version.ts'
import { systemClock } from '../core/clock.ts'
import { systemIds } from '../core/ids.ts'
import { didYouMean } from '../core/nearest.ts'
import { loadOf, RUN_OPTIONS } from './bench-options.ts'
import { postRun } from './bench-post.ts'
import { BENCH_EXIT } from './bench-run.ts'
import { ADMIN_OPTIONS } from './client.ts'
import { type Args, type Command, FailedError, UsageError } from './command.ts'

export const report: Command = {
  usage: 'bench report DIR [--post URL]',
  about: "Writes a run's report.html again, from its records, and prints its findings.",
  options: { post: RUN_OPTIONS['post'], ...ADMIN_OPTIONS },
  operand: { name: 'folder of a run' },
  takesSettings: ['admin-port', 'data-dir'],
  async run(args, out) {
    const path = args.positionals[0]
    const findings = failing(() => {
      const { run, records } = readRunFolder(path)
      return findingsOf(run, records)
    })
    writeReport(path, reportOf(findings))
    if (args.has('json')) out.print(JSON.stringify({ ...findings.run, summary: findings.summary, folder: path }))
    else for (const line of consoleText(findings)) out.print(line)
    const isKept = !args.has('post') || (await postRun(args, findings, out))
    if (!findings.run.validity.isValid) return BENCH_EXIT.invalid
    return isKept ? BENCH_EXIT.ok : BENCH_EXIT.notKept
  },
}

export const selfTestOnly: Command = {
  usage: 'bench self-test [--rate N | --concurrency N]',
  about: 'Measures what this client itself adds, against a thread that answers at once.',
  options: {
    rate: { value: 'N', help: 'requests a second (default: 2)' },
    concurrency: { value: 'N', help: 'so many at once instead' },
  },
  takesSettings: false,
  async run(args, out) {
    const load = loadOf(args, false)
    if (load.kind === 'sweep') throw new UsageError('A self-test has one rate.')
    const floor = await selfTest(systemClock, load.kind === 'open' ? load : { ...load, untilMs: 5_000 })
    if (args.has('json')) out.print(JSON.stringify(floor))
    else {
      out.print(`This client adds ${milliseconds(floor.ttftP50Ms)} to TTFT (p99 ${milliseconds(floor.ttftP99Ms)}).`)
      out.print(`Schedule lag p99 ${milliseconds(floor.lagP99Ms)}, CPU ${percent(floor.cpuShare)} of a core.`)
    }
    return BENCH_EXIT.ok
  },
}

const MAX_BYTES = 1024 * 1024 * 1024

export const importRun: Command = {
  usage: 'bench import --from vllm|guidellm|aiperf FILE [--label NAME] [--out DIR]',
  about: 'Makes a run of the result of another tool, for reports and comparisons.',
  options: {
    from: { value: 'TOOL', help: `${IMPORTS.join(', ')}` },
    label: { value: 'NAME', help: 'default: the name of the tool' },
    out: { value: 'DIR', help: 'writes DIR/LABEL (default: bench)' },
  },
  operand: { name: 'file' },
  takesSettings: false,
  async run(args, out) {
    const tool = toolOf(args)
    const label = args.option('label') ?? tool
    if (!isLabel(label)) throw new UsageError('--label needs letters, digits, ".", "_" and "-", at most 64.')
    const text = contentOf(args.positionals[0])
    const { run, records } = imported(args, () =>
      importResult(tool, text, {
        id: systemIds().name('bench', 6),
        label,
        sluice: version,
        wallMs: systemClock.wallMs(),
      }),
    )
    const findings = findingsOf(run, records)
    const folder = failing(() => openRunFolder(args.option('out') ?? 'bench', label))
    for (const record of records) folder.add(record)
    await folder.finish(run)
    writeReport(folder.path, reportOf(findings))
    if (args.has('json')) out.print(JSON.stringify({ ...run, summary: findings.summary, folder: folder.path }))
    else for (const line of consoleText(findings)) out.print(line)
    return BENCH_EXIT.ok
  },
}

function toolOf(args: Args) {
  const text = args.option('from')
  const found = IMPORTS.find((each) => each === text)
  if (found === undefined)
    throw new UsageError(
      text === undefined
        ? `Missing --from: ${IMPORTS.join(', ')}.`
        : `--from: "${text}" is none of ${IMPORTS.join(', ')}.${didYouMean(text, IMPORTS)}`,
    )
  return found
}

function contentOf(path: string): string {
  try {
    if (statSync(path).size > MAX_BYTES) throw new UsageError(`${path} is larger than 1 GiB.`)
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof UsageError) throw error
    throw new UsageError(`${path} can't be read (${(error as NodeJS.ErrnoException).code ?? 'error'}).`)
  }
}

function imported<T>(args: Args, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw error instanceof ImportError ? new UsageError(`${args.positionals[0]}: ${error.message}.`) : error
  }
}

function failing<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw error instanceof RunFolderError ? new FailedError(error.message) : error
  }
}
