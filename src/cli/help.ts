/** Help, made from the commands and the schema. */
import { envName, FLAGS, flagName, type Leaf, VALUES } from '../config/leaves.ts'
import { version } from '../config/version.ts'
import { type Command, EXIT, type Group, invocation, optionsOf } from './command.ts'
import { columns } from './table.ts'

export const EXITS: Readonly<Record<keyof typeof EXIT, string>> = {
  ok: 'it worked',
  failed: 'it failed (doctor: a check failed; jobs follow: the job did not end well)',
  usage: 'a mistake on the command line or in the configuration',
  unreachable: 'the server could not be reached',
  refused: 'the server did not accept the key',
  inUse: 'another process is using the data folder or a port',
}

export function overview(commands: Readonly<Record<string, { readonly about: string }>>): string {
  return [
    `Sluice ${version}: the delivery layer between an AI product and its language models.`,
    '',
    `${invocation} COMMAND [options]`,
    '',
    ...indent([
      ...Object.entries(commands).map(([name, { about }]) => [name, about]),
      ['help COMMAND', 'show its options'],
      ['help settings', 'list every setting, with its flag and environment variable'],
      ['version', 'show the version'],
    ]),
    '',
    'Exit codes',
    ...indent(Object.entries(EXIT).map(([name, code]) => [String(code), EXITS[name as keyof typeof EXIT]])),
  ].join('\n')
}

/** The settings that are needed most. */
const COMMON = ['host', 'port', 'admin-port', 'data-dir', 'durability', 'redis-url', 'role', 'processes', 'log-level']

export function forCommand(command: Command): string {
  const options = Object.entries(optionsOf(command)).map(([name, option]) => [
    option.value === undefined ? `--${name}` : `--${name} ${option.value}`,
    option.help,
  ])
  const { takesSettings } = command
  const shown = takesSettings === true ? COMMON : takesSettings === false ? [] : takesSettings
  const settings = FLAGS.filter((leaf) => shown.includes(flagName(leaf))).map((leaf) => [
    flagText(leaf),
    `${inLine(leaf.description)} (${envName(leaf)})`,
  ])
  return [
    command.about,
    '',
    `${invocation} ${command.usage}`,
    '',
    ...indent([...options, ...settings]),
    ...(takesSettings === true ? ['', `Every other setting is a flag too: "${invocation} help settings".`] : []),
    ...(command.tables ?? []).flatMap(({ title, rows }) => ['', title, '', ...indent(rows)]),
  ].join('\n')
}

export function forGroup(name: string, { about, commands }: Group): string {
  return [
    about,
    '',
    ...Object.values(commands).map(({ usage }) => `${invocation} ${usage}`),
    '',
    ...indent(Object.entries(commands).map(([verb, command]) => [verb, command.about])),
    '',
    `The options of each: "${invocation} help ${name} COMMAND".`,
  ].join('\n')
}

export function settings(): string {
  const rows = VALUES.map((leaf) => [
    leaf.kind === 'secret' ? '(no flag: a process list shows flags)' : flagText(leaf),
    envName(leaf),
    leaf.default === null ? '' : `${defaultText(leaf)}`,
    leaf.description,
  ])
  return rows
    .map(([flag, env, fallback, about]) => `${flag}  ${env}${fallback === '' ? '' : `  [${fallback}]`}\n    ${about}`)
    .join('\n')
}

/** The first sentence, as the other options are described. */
const inLine = (description: string): string =>
  `${description[0].toLowerCase()}${description.slice(1).split('. ')[0].replace(/\.$/, '')}`

const VALUE_NAMES: Readonly<Partial<Record<Leaf['kind'], string>>> = {
  count: 'N',
  duration: 'TIME',
  size: 'SIZE',
  list: 'A,B',
  number: 'N',
  address: 'URL',
}
const valueText = ({ choices, kind }: Leaf): string =>
  choices.length > 0 ? choices.join('|') : (VALUE_NAMES[kind] ?? 'TEXT')
const flagText = (leaf: Leaf): string => `--${flagName(leaf)}${leaf.kind === 'flag' ? '' : ` ${valueText(leaf)}`}`
const defaultText = (leaf: Leaf): string =>
  Array.isArray(leaf.default) ? leaf.default.join(',') : String(leaf.default)

const indent = (rows: ReadonlyArray<readonly string[]>): string[] => columns(rows).map((line) => `  ${line}`)
