/**
 * Do the documents name what exists? Relative links and their anchors, npm scripts, settings ("queue.max_attempts"),
 * environment names, flags, and every `snake_case` name: an error code, a member of the wire, a setting; it must occur
 * in the sources.
 */
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { envName, flagName, LEAVES, type Leaf, VALUES } from '../src/config/leaves.ts'

/** Names of other people's things. */
const ELSEWHERE = new Set(['extra_body', 'SLUICE_CONFIG', 'SLUICE_URL', 'SLUICE_ADMIN_URL', '--save-exact', '--init'])

export function checkDocuments(root: string): string[] {
  const documents = globSync('**/*.md', {
    cwd: root,
    exclude: (path) => path.split('/').some((part) => part === 'node_modules' || part === 'dist'),
  }).sort()
  const scriptsOf = (path: string): Readonly<Record<string, string>> =>
    (JSON.parse(readFileSync(join(root, path), 'utf8')) as { readonly scripts: Readonly<Record<string, string>> })
      .scripts
  const scripts = { ...scriptsOf('package.json'), ...scriptsOf('client/package.json') }
  const code = ['{src,scripts,client/src,examples,test/bench}/**/*.ts', '{examples,python/src}/**/*.py']
  const sources = globSync(code, { cwd: root }).map((path) => readFileSync(join(root, path), 'utf8'))
  const words = new Set(sources.flatMap((text) => text.match(/[A-Za-z_][A-Za-z0-9_]*/g) ?? []))
  const flags = new Set([
    ...VALUES.map(flagName),
    ...sources.flatMap((text) =>
      [
        ...text.matchAll(/^ {4}'?([a-z-]+)'?: \{(?: value: '[^']*',)? help:|--([a-z-]+)|\b([a-z-]+): \{ type: '/gm),
      ].flatMap((m) => m[1] ?? m[2] ?? m[3] ?? []),
    ),
  ])
  const paths = new Set(
    LEAVES.flatMap((leaf) => [
      leaf,
      // In a table of its list, a setting goes by its own path
      ...leaf.members.flatMap(({ path }) => [{ path }, { path: [...leaf.path, ...path] }]),
    ]).flatMap(({ path }) => path.map((_, i) => path.slice(0, i + 1).join('.'))),
  )
  const groups = new Set(
    LEAVES.filter((leaf: Leaf) => leaf.path.length > 1 || leaf.members.length > 0).map((leaf) => leaf.path[0]),
  )
  const environment = new Set(VALUES.map(envName))

  return documents.flatMap((path) => {
    const text = readFileSync(join(root, path), 'utf8')
    const problems: string[] = []
    const lineOf = (offset: number): number => text.slice(0, offset).split('\n').length
    const add = (offset: number, problem: string): void => void problems.push(`${path}:${lineOf(offset)}: ${problem}`)

    const prose = text.replace(/^```[\s\S]*?^```/gm, (block) => block.replace(/[^\n]/g, ' '))
    for (const link of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
      const problem = brokenLink(root, path, link[1])
      if (problem !== null) add(link.index, problem)
    }
    for (const { index } of prose.matchAll(/\| \| *:?-{3}/g))
      add(index, 'the rows of this table were flowed into one paragraph')
    for (const run of text.matchAll(/\bnpm (?:run (?:-s )?([\w:-]+)|(start|test)\b)/g)) {
      if (scripts[run[1] ?? run[2]] === undefined) add(run.index, `there is no npm script "${run[1] ?? run[2]}"`)
    }
    for (const [name] of text.matchAll(/\bSLUICE_[A-Z0-9_]+\b/g)) {
      if (!environment.has(name) && !ELSEWHERE.has(name) && !words.has(name))
        add(text.indexOf(name), `there is no ${name}`)
    }
    for (const code of prose.matchAll(/`([^`\n]+)`/g)) {
      const name = code[1]
      const setting = /^([a-z]+)\.[a-z_.]+$/.exec(name)
      if (setting && groups.has(setting[1]) && !/\.(ts|md|key|yaml|json)$/.test(name) && !paths.has(name))
        add(code.index, `there is no setting ${name}`)
      if (/^[a-z]+(_[a-z0-9]+)+$/.test(name) && !words.has(name) && !ELSEWHERE.has(name))
        add(code.index, `nothing in the sources is named ${name}`)
      if (/^--[a-z-]+/.test(name) && !ELSEWHERE.has(name) && !flags.has(/^--([a-z-]+)/.exec(name)![1]))
        add(code.index, `there is no option ${name}`)
    }
    return problems
  })
}

function brokenLink(root: string, from: string, link: string): string | null {
  if (/^[a-z]+:/.test(link)) return null
  const [target, anchor] = link.split('#')
  const path = target === '' ? from : normalize(join(dirname(from), decodeURIComponent(target)))
  if (!existsSync(join(root, path))) return `the link ${link} leads nowhere`
  if (anchor === undefined || !path.endsWith('.md')) return null
  return anchors(readFileSync(join(root, path), 'utf8')).has(anchor) ? null : `there is no heading for the link ${link}`
}

/** As GitHub makes them from headings. */
function anchors(text: string): Set<string> {
  const headings = [...text.replace(/^```[\s\S]*?^```/gm, '').matchAll(/^#{1,6} +(.+)$/gm)].map((m) => m[1])
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .trim()
        .replace(/ /g, '-'),
    ),
  )
}

/** Numbers that docs/operations.md does not list, and those whose names can't be read from the sources. */
export function undocumentedMetrics(root: string): string[] {
  const documented = readFileSync(join(root, 'docs/operations.md'), 'utf8')
  return globSync('src/**/*.ts', { cwd: root })
    .filter((path) => !path.endsWith('.test.ts') && path !== join('src', 'core', 'numbers.ts'))
    .sort()
    .flatMap((path) =>
      [
        ...readFileSync(join(root, path), 'utf8').matchAll(
          /\b(?:counter|gauge|histogram)(?:s(?=\(\s*'))?\(\s*(?:'(\w+)'|(.*))/g,
        ),
      ].flatMap(([, name, other]) => {
        if (name === undefined) return [`${path}: a metric's name must be a literal string, not ${other}`]
        return documented.includes(`\`${name}\``)
          ? []
          : [`docs/operations.md: the metric \`${name}\` (${path}) is missing`]
      }),
    )
}
