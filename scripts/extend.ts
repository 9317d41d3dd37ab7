/**
 * npm run extend -- "A guard": applies a worked example of docs/extending.md to this tree. Without a name it lists
 * them.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { applied, examplesOf, write } from '../test/extending/examples.ts'

const root = join(import.meta.dirname, '..')
const examples = examplesOf(readFileSync(join(root, 'docs/extending.md'), 'utf8'))
const wanted = process.argv.slice(2).join(' ').toLowerCase()
const example = examples.find(({ title }) =>
  [title, title.replace(/^an? /i, '')].some((t) => t.toLowerCase() === wanted),
)
if (example === undefined) {
  console.error(`Name one of ${examples.map(({ title }) => `"${title}"`).join(', ')}.`)
  process.exitCode = 2
} else {
  const there = example.changes.filter(({ path, isNew }) => isNew && existsSync(join(root, path)))
  if (there.length > 0) {
    console.error(`${there[0].path} exists: the example has been applied already.`)
    process.exitCode = 1
  } else {
    write(applied(example, root), root)
    for (const { path } of example.changes) console.log(`wrote ${path}`)
    console.log('Then: npm run docs && npm run types && npm run lint && npm run arch && npm run docs:check && npm test')
  }
}
