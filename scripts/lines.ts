/** Lines of code and prose are at most 120 characters, so that two files fit beside each other in a review. */
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const MAX_CHARS = 120
const FILES = ['**/*.{ts,js,py,sh,css,html,md,yaml}', '.ci/run']
/** Made from the sources, or by npm. */
const MADE = new Set(['docs/errors.md', 'docs/config.md', 'docs/imports.md'])
const ELSEWHERE = new Set(['node_modules', 'dist', 'build'])

/** "path:line: n characters" of each line that is too long. Rows of Markdown tables can't be broken. */
export function longLines(root: string): string[] {
  const files = globSync(FILES, { cwd: root, exclude: (path) => path.split('/').some((part) => ELSEWHERE.has(part)) })
  return files
    .filter((path) => !MADE.has(path))
    .sort()
    .flatMap((path) =>
      readFileSync(join(root, path), 'utf8')
        .split('\n')
        .flatMap((line, i) => {
          const isRow = path.endsWith('.md') && line.startsWith('|')
          return line.length > MAX_CHARS && !isRow ? [`${path}:${i + 1}: ${line.length} characters`] : []
        }),
    )
}
