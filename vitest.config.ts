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

export default defineConfig({
  resolve: { conditions: ['@sluice/source'] },
  ssr: { resolve: { conditions: ['@sluice/source'] } },
  test: {
    include: ['src/**/*.test.ts', 'client/**/*.test.ts', 'test/**/*.test.ts'],
    // Most of them wait for something, and not for a core
    maxWorkers: 4,
    sequence: { sequencer: LongestFirst },
    // Not while somebody edits the tree beside a run
    ...(process.env['CI'] && { globalSetup: 'test/stray-files.ts' }),
    // For what never comes. What comes is waited for, and takes as long as a machine busy with other things needs
    testTimeout: 60_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 20_000, interval: 20 } },
    reporters: ['default', skipped, ...(report ? [['json', { outputFile: report }] as const] : [])],
  },
})
