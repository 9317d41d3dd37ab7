/**
 * Runs the tests that plant a bug, in all suites, and lists what was planted and whether it was caught. A suite that
 * would pass with a bug in it proves nothing. `npm run planted`; those of test/chaos run with it.
 */
import { spawnSync } from 'node:child_process'
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'

const NAME = /\bplanted\b|\bis red on\b/
const AT_LEAST = 25

interface Report {
  readonly testResults: ReadonlyArray<{
    readonly name: string
    readonly assertionResults: ReadonlyArray<{ readonly title: string; readonly status: string }>
  }>
}

const root = join(import.meta.dirname, '..')
const files = globSync(['src/**/*.test.ts', 'test/**/*.test.ts'], { cwd: root }).filter((file) =>
  NAME.test(readFileSync(join(root, file), 'utf8')),
)
const folder = mkdtempSync(join(tmpdir(), 'sluice-planted-'))
const outputFile = join(folder, 'report.json')
const args = ['run', ...files, '-t', NAME.source, '--reporter=json', `--outputFile=${outputFile}`]
const { status } = spawnSync(join(root, 'node_modules/.bin/vitest'), args, { cwd: root, stdio: ['ignore', 2, 2] })

const { testResults } = JSON.parse(readFileSync(outputFile, 'utf8')) as Report
rmSync(folder, { recursive: true })
let caught = 0
for (const { name, assertionResults } of testResults.toSorted((a, b) => a.name.localeCompare(b.name))) {
  const planted = assertionResults.filter((test) => NAME.test(test.title) && test.status !== 'skipped')
  if (planted.length === 0) continue
  console.log(`\n${relative(root, name)}`)
  for (const test of planted) {
    if (test.status === 'passed') caught++
    console.log(`  ${test.status === 'passed' ? 'caught ' : 'MISSED '} ${test.title}`)
  }
}
console.log(`\n${caught} planted bugs caught`)
process.exitCode = status === 0 && caught >= AT_LEAST ? 0 : 1
