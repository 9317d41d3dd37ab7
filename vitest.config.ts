import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defineConfig } from 'vitest/config'
import { LongestFirst } from './test/longest-first.ts'
import skipped from './test/skipped.ts'

/** A file for the results as JSON; .ci/run sums them. */
const report = process.env['SLUICE_TEST_REPORT']

// Tests start some hundred servers and threads, each of which would strip the types of all sources anew: a third of the
// suite's CPU time. Tests pass it on where they give a process an environment of its own (test/environment.ts)
process.env['NODE_COMPILE_CACHE'] ??= join(tmpdir(), 'sluice-test-cache')

const TESTS = ['src/**/*.test.ts', 'client/**/*.test.ts', 'dashboard/**/*.test.ts', 'test/**/*.test.ts']
/**
 * A process of its own for what counts CPU time or memory, adds to a list of the sources, or starts processes and
 * waits. The rest share a few: loading the sources would cost more than most of their tests.
 */
const APART = [
  'client/**/*.test.ts',
  'src/cli/**/*.test.ts',
  'test/conformance/{embedded,redis}-*.test.ts',
  'test/{e2e,examples,extending,fleet,kafka,ledger,model,protocol,python,redis}/**/*.test.ts',
  'test/front/{bad-http,bad-requests,budgets,dialect,guard-time,large-answers,lines,sweep}.test.ts',
]

export default defineConfig({
  resolve: { conditions: ['@sluice/source'] },
  ssr: { resolve: { conditions: ['@sluice/source'] } },
  test: {
    // Most of them wait for something, and not for a core
    maxWorkers: 6,
    maxConcurrency: 12,
    sequence: { sequencer: LongestFirst },
    // Not while somebody edits the tree beside a run
    ...(process.env['CI'] && { globalSetup: 'test/stray-files.ts' }),
    // For what never comes. What comes is waited for, and takes as long as a machine busy with other things needs
    testTimeout: 180_000,
    hookTimeout: 180_000,
    expect: { poll: { timeout: 60_000, interval: 20 } },
    // Who holds the loop, or is slow, is so each time; a busy machine is not (test/front/loop.ts, test/in-time.ts)
    retry: { count: 2, condition: /held the loop|took too long/ },
    // Node runs the sources as in production, and caches what it compiled
    experimental: { viteModuleRunner: false, nodeLoader: false },
    reporters: ['default', skipped, ...(report ? [['json', { outputFile: report }] as const] : [])],
    projects: [
      { extends: true, test: { name: 'apart', include: APART } },
      {
        extends: true,
        test: { name: 'shared', include: TESTS, exclude: ['**/node_modules/**', ...APART], isolate: false },
      },
    ],
  },
})
