/**
 * Writes what can be made from the sources: docs/api.md, docs/errors.md, docs/config.md, docs/imports.md, the tables of
 * docs/providers.md, sluice.schema.json. With
 * --check it writes nothing, and fails when one of them is stale, when a line is too long, when a link or anchor
 * leads nowhere, when a document names an error code, a setting or an npm script that does not exist, or when
 * docs/operations.md lacks a metric.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { z } from 'zod'
import { GUARDS } from '../src/admission/guards/index.ts'
import { EXIT } from '../src/cli/command.ts'
import { EXITS } from '../src/cli/help.ts'
import { jsonSchema } from '../src/config/json-schema.ts'
import { LEAVES, type Leaf, VALUES } from '../src/config/leaves.ts'
import { ERRORS } from '../src/core/errors.ts'
import { VENDORS, type Vendor } from '../src/routing/providers/vendors/settings.ts'
import { apiPage, madeDocument } from './api-page.ts'
import { checkArchitecture } from './architecture.ts'
import { checkDocuments, undocumentedMetrics } from './documents.ts'
import { longLines } from './lines.ts'

const root = join(import.meta.dirname, '..')
const MADE = '<!-- Made by "npm run docs"; do not edit. -->'

function errorsPage(): string {
  const rows = Object.entries(ERRORS).map(
    ([code, row]) =>
      `| \`${code}\` | ${row.status} | \`${row.type}\` | ${row.retryable ? 'yes' : 'no'} | ${row.close} | ` +
      `${row.message} |`,
  )
  return `# Errors

${MADE}

Every error has OpenAI's shape, \`{"error": {"message", "type", "param", "code"}}\`; \`code\` is the contract,
\`type\` is what SDKs map to their classes, the message is for people. *Retry*: the very same request may succeed
later. Such a refusal carries \`x-should-retry: true\`, \`retry-after\` and \`retry-after-ms\`; every other one carries
\`x-should-retry: false\`, which the official SDKs obey. So does a job that failed after its attempts were used up: a
client's retries would only multiply them. A job that found no room (429, 503, 507) or no time
(\`deadline_exceeded\`) says when to come back. Where that is in more than a minute, \`x-should-retry\` is
\`false\`, too: the official SDKs wait no longer, and would come back within seconds.
*Close* is the code with which a WebSocket is closed for the same reason.

Where the model provider named a code of its own, it is in the error too. If the provider refused the request
(\`provider_rejected\`), \`code\` and \`param\` are the provider's, such as \`context_length_exceeded\`, because that is
where SDKs and agents look, and \`sluice_code\` holds the row of this table. In all other failures \`code\` is the row
of this table and \`upstream_code\` the provider's.

What a limit refuses has OpenAI's words: \`type\` is \`tokens\`, \`requests\` or \`insufficient_quota\` (of
\`spend_velocity\` it is \`rate_limit_error\`), and a request that its limit will never let through
(\`request_exceeds_limit\`) has the \`code\` \`rate_limit_exceeded\` and its row in \`sluice_code\`. A member \`limit\`
names what refused it (PROTOCOL.md, section 2).

| code | HTTP | type | retry | close | message |
| --- | --- | --- | --- | --- | --- |
${rows.join('\n')}
`
}

function configPage(): string {
  const kinds: Readonly<Record<string, string>> = {
    count: 'whole number',
    duration: 'duration',
    size: 'size',
    secret: '`{ env: NAME }` or `{ file: PATH }`',
    list: 'list',
    flag: 'true, false',
    number: 'number',
    map: 'names with values',
    address: 'address, `{ env: NAME }` or `{ file: PATH }`',
    text: 'text',
    items: 'list',
    limits: 'limits',
  }
  const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ')
  const kind = (leaf: Leaf): string =>
    leaf.choices.length > 0 ? leaf.choices.map((c) => `\`${c}\``).join(', ') : kinds[leaf.kind]
  const fallback = (leaf: Leaf): string =>
    leaf.default === undefined
      ? 'required'
      : leaf.default === null
        ? ''
        : `\`${typeof leaf.default === 'object' ? JSON.stringify(leaf.default) : String(leaf.default)}\``
  const value = (leaf: Leaf): string =>
    `| \`${leaf.path.join('.')}\` | ${kind(leaf)} | ${fallback(leaf)} | ${cell(leaf.description)} |`
  const head = '| setting | value | default | meaning |\n| --- | --- | --- | --- |'
  const groups = LEAVES.filter((leaf) => leaf.members.length > 0)
  const level = groups.find((leaf) => leaf.kind === 'limits')!
  const section = (leaf: Leaf): string => {
    const isOfLevel = ({ path }: Leaf): boolean => level.members.some((one) => one.path.join('.') === path.join('.'))
    const isAsLevel = leaf !== level && leaf.members.some(isOfLevel)
    const own = leaf.members.filter((each) => each.providers === null && !(isAsLevel && isOfLevel(each)))
    const others = isAsLevel ? ` the settings of \`${level.path.join('.')}\`, and` : ''
    const what = `${leaf.kind === 'items' ? 'a list, each item with' : 'a group of'}${others}`
    return [
      `## \`${leaf.path.join('.')}\``,
      `${leaf.description} Only in YAML: ${what}`,
      [head, ...own.map(value)].join('\n'),
      ...ofProviders(leaf.members),
    ].join('\n\n')
  }
  /** A table for each set of providers that share settings. */
  const ofProviders = (members: readonly Leaf[]): string[] => {
    const some = members.filter(({ providers }) => providers !== null)
    const sets = Map.groupBy(some, ({ providers }) => providers!.map((name) => `\`${name}\``).join(', '))
    return [...sets].flatMap(([names, leaves]) => [
      `With the provider ${names.replace(/, (?=[^,]*$)/, ' or ')} also`,
      [head, ...leaves.map(value)].join('\n'),
    ])
  }
  return `# Configuration

${MADE}

Defaults, then the YAML file (\`--config\`, \`SLUICE_CONFIG\`), then the environment, then flags: later ones win. Each
setting of the first table has a flag and an environment variable named after it: \`http.max_body_bytes\` is
\`--http-max-body-bytes\` and \`SLUICE_HTTP_MAX_BODY_BYTES\`, where lists are separated by commas. Secrets have no flag
(a process list shows flags) and are in YAML only as a reference. Unknown names are errors. \`sluice doctor\` prints the
settings in force and where each comes from; [sluice.schema.json](../sluice.schema.json) is for editors,
[sluice.example.yaml](../sluice.example.yaml) is a start.

A duration is a number of milliseconds, or a number with \`ms\`, \`s\`, \`m\`, \`h\` or \`d\` (\`1.5s\`, \`24h\`). A
size is a number of bytes, or a number with \`B\`, \`KB\`, \`MB\`, \`GB\`, \`TB\` (powers of 1000) or \`KiB\`, \`MiB\`,
\`GiB\`, \`TiB\` (powers of 1024), also in lower case; \`Mb\` is refused, since it means megabits. A space may precede
the unit (\`24 h\`), and \`_\` may group digits (\`1_000_000\`).

${head}
${VALUES.map(value).join('\n')}

${groups.map(section).join('\n\n')}

### Guards of a tenant

Each is an item of \`guards\`: \`{ guard: max-context, tokens: 8000 }\`. The first that blocks a request answers it.

| guard | what it does | settings |
| --- | --- | --- |
${GUARDS.map(guardRow).join('\n')}

## Besides settings

| environment | meaning |
| --- | --- |
| \`SLUICE_CONFIG\` | the YAML file |
| \`SLUICE_URL\`, \`SLUICE_ADMIN_URL\` | where \`sluice jobs\`, \`keys\` and \`usage\` find a server elsewhere |
| \`OPENAI_API_KEY\`, \`GROQ_API_KEY\`, … | a provider's key ([providers.md](providers.md)): used by its models \
that name no other, which are offered without \`models\` too |
| \`OLLAMA_HOST\` | where an Ollama is, whose models are offered without \`models\` |

## What the server prints

Without a terminal (or with \`--json\`) all lines are JSON. Stdout gets one, \`"event": "ready"\`, with the addresses.
The log goes to stderr, its last line being \`stopped\` (\`jobs_finished\`, \`jobs_handed_back\`, \`took_ms\`) after a
stop, or one of the level \`fatal\`, whose \`code\` tells why the server could not start.

## Exit codes

| code | meaning |
| --- | --- |
${Object.entries(EXIT)
  .map(([name, code]) => `| ${code} | ${EXITS[name as keyof typeof EXIT]} |`)
  .join('\n')}
`
}

function guardRow({ name, settings: { shape } }: (typeof GUARDS)[number]): string {
  const { guard, ...own } = shape
  const settings = Object.entries(own as Readonly<Record<string, z.ZodType>>).map(
    ([setting, field]) => `\`${setting}\`: ${field.description ?? ''}`,
  )
  return `| \`${name}\` | ${guard.description ?? ''} | ${settings.join(' ')} |`
}

function importsPage(): string {
  const { folders } = checkArchitecture(root)
  const arrows = [...folders]
    .sort(([a], [b]) => a.localeCompare(b))
    .flatMap(([from, tos]) =>
      [...tos]
        .filter((to) => to !== 'core')
        .sort()
        .map((to) => `  ${from} --> ${to}`),
    )
  const onCore = [...folders].filter(([, tos]) => tos.has('core')).map(([from]) => from)
  return `# Who imports whom

${MADE}

The folders of \`src\`, from the sources. \`core\` imports none of them and is left out here, as all
(${onCore.sort().join(', ')}) import it.

\`\`\`mermaid
graph LR
${arrows.join('\n')}
\`\`\`
`
}

/** A part of a page between two marks. */
function withPart(path: string, name: string, part: string): string {
  const text = readFileSync(join(root, path), 'utf8')
  const [before, rest] = text.split(`<!-- ${name} -->`)
  const after = rest?.split(`<!-- /${name} -->`)[1]
  if (after === undefined) throw new Error(`${path} lacks the marks of ${name}`)
  return `${before}<!-- ${name} -->\n${part}\n<!-- /${name} -->${after}`
}

function vendorTable(): string {
  const code = (text: string | null): string => (text === null ? '' : `\`${text}\``)
  const rows = VENDORS.map((vendor: Vendor) => {
    const models = [...vendor.chat, ...vendor.embedding].map(code).join(' ')
    return [
      code(vendor.name),
      code(vendor.baseUrl),
      code(vendor.keyVariable),
      models,
      vendor.streamUsage ? 'asked' : 'unasked',
      vendor.isMaxTokens ? 'yes' : '',
      vendor.continuation === 'none' ? '' : code(vendor.continuation),
    ].join(' | ')
  })
  return [
    '| provider | base URL | key | offered with the key | usage of streams | max_tokens | continues |',
    '| --- | --- | --- | --- | --- | --- | --- |',
    ...rows.map((row) => `| ${row} |`),
  ].join('\n')
}

const pages: Readonly<Record<string, () => string>> = {
  'docs/api.md': () => apiPage(MADE),
  'docs/errors.md': errorsPage,
  'docs/config.md': configPage,
  'docs/imports.md': importsPage,
  'docs/providers.md': () => withPart('docs/providers.md', 'vendors', vendorTable()),
  'sluice.schema.json': () => `${JSON.stringify(jsonSchema(), null, 2)}\n`,
}

const problems: string[] = []
for (const [path, make] of Object.entries(pages)) {
  const file = join(root, path)
  const text = make()
  if (existsSync(file) && readFileSync(file, 'utf8') === text) continue
  if (process.argv.includes('--check')) problems.push(`${path} is stale: run "npm run docs"`)
  else {
    writeFileSync(file, text)
    console.log(`wrote ${path}`)
  }
}
if (process.argv.includes('--check')) {
  for (const what of madeDocument().missing)
    problems.push(`src/gateway/routes/openapi: ${what} is not described (operations.ts, parameters.ts)`)
  problems.push(...checkDocuments(root), ...undocumentedMetrics(root), ...longLines(root))
  for (const problem of problems) console.error(problem)
  console.log(
    problems.length === 0
      ? 'The documents say the truth, as far as can be checked.'
      : `${problems.length} ${problems.length === 1 ? 'problem' : 'problems'} in the documents`,
  )
  if (problems.length > 0) process.exitCode = 1
}
