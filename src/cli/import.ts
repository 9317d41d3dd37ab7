/** `sluice import`: another gateway's configuration as one of Sluice. */
import { statSync, writeFileSync } from 'node:fs'
import { parseFile } from '../config/file.ts'
import { environmentOf } from '../config/load.ts'
import { readRegularFile } from '../config/regular-file.ts'
import { systemClock } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import { type Args, EXIT, FailedError, type Group, type Output, UsageError } from './command.ts'
import { isLeftOut, type Note } from './litellm/given.ts'
import { printed } from './litellm/print.ts'
import { type Translated, translate } from './litellm/translate.ts'

/** What people write is a hundredth of it; a parser of YAML takes seconds for ten times as much. */
const MAX_BYTES = 1 << 20

export const command: Group = {
  about: "Another gateway's configuration as one of Sluice.",
  commands: {
    litellm: {
      usage: 'import litellm CONFIG.YAML [--out sluice.yaml] [--keys keys.json]',
      about:
        'Translates models, routing, fallbacks and virtual keys of a LiteLLM configuration, and tells what has no ' +
        'counterpart. Secrets become references; none is printed.',
      options: {
        out: { value: 'FILE', help: 'where to write; it must not exist (default: stdout)' },
        keys: { value: 'FILE', help: 'virtual keys, as /key/info or /key/list?return_full_object=true tells them' },
      },
      operand: { name: 'file' },
      takesSettings: false,
      run: importLiteLlm,
    },
  },
}

async function importLiteLlm(args: Args, out: Output): Promise<number> {
  const [path] = args.positionals
  const keys = args.option('keys')
  const translated = translate(yamlOf(path), {
    keys: keys === undefined ? undefined : jsonOf(keys),
    variable: environmentOf,
    nowMs: systemClock.wallMs(),
  })
  if (translated.models.length === 0) {
    for (const line of report(translated)) out.note(line)
    throw new FailedError(`${path} has no entry of models that could be taken over.`)
  }
  const text = printed(translated, path.replaceAll(/\p{Cc}/gu, '?'))
  const target = args.option('out')
  if (target !== undefined) write(target, text)
  if (args.has('json')) {
    const { notes, notesLeft, commands, moved } = translated
    out.print(
      JSON.stringify({ config: text, notes, notes_left: notesLeft, commands, secrets: Object.fromEntries(moved) }),
    )
    return EXIT.ok
  }
  if (target === undefined) out.write(text)
  for (const line of report(translated, target)) out.note(line)
  return EXIT.ok
}

function* report({ models, notes, notesLeft, moved, commands }: Translated, target?: string): Generator<string> {
  const entries = (count: number): string => `${count} ${count === 1 ? 'entry' : 'entries'}`
  const [left, others] = [notes.filter(isLeftOut), notes.filter((note) => !isLeftOut(note))]
  yield `${entries(models.length)} of models${target === undefined ? '' : ` in ${target}`}, ${left.length} left out.`
  if (moved.size > 0) yield 'Secrets stood in the file. Set these variables, and have the keys replaced:'
  for (const [name, where] of moved) yield `  ${name}  (${where})`
  yield* told('Left out:', left)
  yield* told('What is not the same, and what to do:', others)
  if (notesLeft > 0) yield `  … and ${notesLeft} more.`
  if (commands.length > 0) yield 'When the server runs:'
  for (const line of commands) yield `  ${line}`
  if (target !== undefined)
    yield `Next: sluice doctor --config ${target} tells which keys, addresses and packages are still missing.`
}

function* told(title: string, notes: readonly Note[]): Generator<string> {
  if (notes.length > 0) yield title
  for (const { where, why, todo } of notes) {
    yield `  ${where}: ${why}`
    yield `    ${todo}`
  }
}

function yamlOf(path: string): Readonly<Record<string, unknown>> {
  try {
    return parseFile(path, read(path)).value
  } catch (cause) {
    // The parser's own recursion
    if (cause instanceof RangeError) throw invalid(`${path}: is nested too deep.`, cause)
    throw cause
  }
}

function jsonOf(path: string): unknown {
  try {
    return JSON.parse(read(path))
  } catch (cause) {
    if (cause instanceof SyntaxError || cause instanceof RangeError) throw invalid(`${path}: not valid JSON.`, cause)
    throw cause
  }
}

function read(path: string): string {
  try {
    const { size } = statSync(path)
    if (size > MAX_BYTES) throw invalid(`${path} is larger than ${MAX_BYTES >> 20} MiB (${size} bytes): split it.`)
    return readRegularFile(path)
  } catch (cause) {
    if (cause instanceof SluiceError) throw cause
    throw invalid(`${path} can't be read (${(cause as NodeJS.ErrnoException).code ?? 'error'}).`, cause)
  }
}

const invalid = (message: string, cause?: unknown) => new SluiceError('config_invalid', { message, cause })

function write(path: string, text: string): void {
  try {
    writeFileSync(path, text, { flag: 'wx' })
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'EEXIST') throw new UsageError(`${path} is there already: choose another name, or remove it.`)
    throw new FailedError(`${path} can't be written (${code}).`)
  }
}
