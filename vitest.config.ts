import { defineConfig } from 'vitest/config'
import skipped from './test/skipped.ts'

/** A file for the results as JSON; .ci/run sums them. */
const report = process.env['SLUICE_TEST_REPORT']

export default defineConfig({
  resolve: { conditions: ['@sluice/source'] },
  ssr: { resolve: { conditions: ['@sluice/source'] } },
  test: {
    include: ['src/**/*.test.ts', 'client/**/*.test.ts', 'test/**/*.test.ts'],
    // Most of them wait for something, and not for a core
    maxWorkers: 4,
    testTimeout: 20_000,
    hookTimeout: 30_000,
    reporters: ['default', skipped, ...(report ? [['json', { outputFile: report }] as const] : [])],
  },
})
