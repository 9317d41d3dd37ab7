/** The worked examples of docs/extending.md: a heading `## …`, and below it one diff in ```diff blocks. */
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

export interface Example {
  readonly title: string
  readonly changes: readonly FileChange[]
}

interface FileChange {
  readonly path: string
  readonly isNew: boolean
  readonly hunks: readonly Hunk[]
}

interface Hunk {
  /** Lines that must be there, and the lines that replace them. */
  readonly before: readonly string[]
  readonly after: readonly string[]
}

export function examplesOf(document: string): readonly Example[] {
  return document
    .split(/^## /m)
    .slice(1)
    .flatMap((section) => {
      const title = section.slice(0, section.indexOf('\n')).trim()
      const diffs = [...section.matchAll(/^```diff\n([\s\S]*?)^```$/gm)].map((m) => m[1])
      return diffs.length === 0 ? [] : [{ title, changes: diffs.flatMap(changesOf) }]
    })
}

/** Of a diff as git writes it, whose line numbers do not matter. Throws for anything else. */
function changesOf(diff: string): FileChange[] {
  return diff
    .split(/^--- /m)
    .slice(1)
    .map((file) => {
      const [from, to, ...lines] = file.replace(/\n$/, '').split('\n')
      const path = /^\+\+\+ b\/(.+)$/.exec(to)?.[1]
      if (path === undefined) throw new Error(`not a header of a diff: ${to}`)
      const hunks: Array<{ before: string[]; after: string[] }> = []
      for (const line of lines) {
        const hunk = hunks.at(-1)
        if (line.startsWith('@@')) hunks.push({ before: [], after: [] })
        else if (hunk === undefined) throw new Error(`${path}: not a line of a diff: ${line}`)
        else if (line.startsWith('+')) hunk.after.push(line.slice(1))
        else if (line.startsWith('-')) hunk.before.push(line.slice(1))
        else if (line === '' || line.startsWith(' ')) {
          hunk.before.push(line.slice(1))
          hunk.after.push(line.slice(1))
        } else throw new Error(`${path}: not a line of a diff: ${line}`)
      }
      return { path, isNew: from === '/dev/null', hunks }
    })
}

const COPIED = [
  'bin',
  'client',
  'python',
  'deploy',
  'docs',
  'examples',
  'scripts',
  'src',
  'test',
  'ARCHITECTURE.md',
  'CHANGELOG.md',
  'PROTOCOL.md',
  'README.md',
  'package.json',
  'sluice.example.yaml',
  'sluice.schema.json',
  'tsconfig.json',
  'vitest.config.ts',
]

/** A copy of the tree at `root`. */
export function copyTree(root: string, tree: string): void {
  for (const path of COPIED)
    cpSync(join(root, path), join(tree, path), {
      recursive: true,
      filter: (from) => !/[\\/](?:node_modules|dist)$/.test(from),
    })
  symlinkSync(join(root, 'node_modules'), join(tree, 'node_modules'))
}

/** The files that the example makes of those at `root`. Throws where a hunk's lines are not there exactly once. */
export function applied(example: Example, root: string): ReadonlyMap<string, string> {
  return new Map(
    example.changes.map(({ path, isNew, hunks }) => [
      path,
      hunks.reduce((text, hunk) => changed(text, hunk, path), isNew ? '' : readFileSync(join(root, path), 'utf8')),
    ]),
  )
}

export function write(files: ReadonlyMap<string, string>, tree: string): void {
  for (const [path, text] of files) {
    mkdirSync(dirname(join(tree, path)), { recursive: true })
    writeFileSync(join(tree, path), text)
  }
}

function changed(text: string, { before, after }: Hunk, path: string): string {
  const joined = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join('')
  if (before.length === 0 && text === '') return joined(after)
  const found = `\n${text}`.split(`\n${joined(before)}`)
  if (found.length !== 2) throw new Error(`${path} has ${found.length - 1} times the lines\n${joined(before)}`)
  return found.join(`\n${joined(after)}`).slice(1)
}
