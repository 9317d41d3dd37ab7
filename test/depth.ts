/**
 * How much of what is depth, and not coverage, a run shows: seeds, random walks, sizes, the same cases once more.
 * `npm test` takes a part of it; `npm run test:deep`, and .ci/run, all.
 */
export const DEEP = process.env['SLUICE_TEST_DEEP'] === '1'

/** `all` in a deep run, `part` otherwise. */
export const depth = (all: number, part: number): number => (DEEP ? all : part)
