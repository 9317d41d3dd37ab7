import { defineConfig } from 'vitest/config'
import skipped from './test/skipped.ts'

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    testTimeout: 20_000,
    hookTimeout: 30_000,
    reporters: ['default', skipped],
  },
})
