/** The examples of docs/extending.md work in this tree: they apply, and their types, rules and tests pass. */
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { checkArchitecture } from '../../scripts/architecture.ts'
import { DEEP } from '../depth.ts'
import { applied, copyTree, examplesOf, write } from './examples.ts'

const root = join(import.meta.dirname, '../..')
const EXAMPLES = examplesOf(readFileSync(join(root, 'docs/extending.md'), 'utf8'))
/** They hold for what the examples add, or look at all things of a kind: none of them may need a change. */
const SUITES = [
  'src/config/config.test.ts',
  'src/observability/recorder.test.ts',
  'test/conformance/delivery.test.ts',
  'test/conformance/dialect.test.ts',
  'test/conformance/provider.test.ts',
  'test/front/dialect.test.ts',
  'test/front/numbers.test.ts',
  'test/front/routes.test.ts',
]
/** On a busy machine. */
const COMMAND_MS = 180_000

/** What a command of the packages prints if it fails. */
const failure = (tree: string, command: string, ...args: readonly string[]): Promise<string> =>
  new Promise((done) =>
    execFile(
      join(root, 'node_modules/.bin', command),
      args,
      // The inner run must not overwrite this run's report, and what it tests again need not be deep
      { cwd: tree, timeout: COMMAND_MS, env: { ...process.env, SLUICE_TEST_REPORT: '', SLUICE_TEST_DEEP: '' } },
      (error, out, err) => done(error === null ? '' : `${error.message}\n${out}${err}`),
    ),
  )

it('there is one of each kind', () => {
  const kinds = ['A guard', 'A limit', 'A provider', 'A dialect', 'An engine', 'A metric', 'A route']
  expect(EXAMPLES.map(({ title }) => title)).toEqual(kinds)
})

it.each(EXAMPLES)('$title: applies to this tree, and brings its test', (example) => {
  expect([...applied(example, root).keys()].filter((path) => path.endsWith('.test.ts'))).toHaveLength(1)
})

/** In a copy of this tree with all of them applied. `tests`: their own, and those that must pass with them. */
async function inTree(check: (tree: string, tests: readonly string[]) => Promise<void>): Promise<void> {
  const tree = mkdtempSync(join(tmpdir(), 'sluice-extending-'))
  try {
    copyTree(root, tree)
    for (const example of EXAMPLES) write(applied(example, tree), tree)
    const own = EXAMPLES.flatMap(({ changes }) => changes.map(({ path }) => path)).filter((p) => p.endsWith('.test.ts'))
    await check(tree, [...new Set([...SUITES, ...own])])
  } finally {
    rmSync(tree, { recursive: true, force: true })
  }
}

it('their rules hold', () => inTree(async (tree) => expect(checkArchitecture(tree).violations).toEqual([])))

it.skipIf(!DEEP)('their types hold', { timeout: 2 * COMMAND_MS }, () =>
  inTree(async (tree, tests) => {
    const project = { extends: './tsconfig.json', include: ['src', ...tests] }
    writeFileSync(join(tree, 'tsconfig.example.json'), JSON.stringify(project))
    expect(await failure(tree, 'tsc', '-p', 'tsconfig.example.json')).toBe('')
  }),
)

describe.skipIf(!DEEP)('examples of extending: their documents and tests', () => {
  it('pass', { timeout: 3 * COMMAND_MS }, () =>
    inTree(async (tree, tests) => {
      expect(await failure(tree, 'node', 'scripts/docs.ts')).toBe('')
      expect(await failure(tree, 'node', 'scripts/docs.ts', '--check')).toBe('')
      expect(await failure(tree, 'vitest', 'run', ...tests)).toBe('')
    }),
  )
})
