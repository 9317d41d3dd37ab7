import { spawnSync } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'

const hasTaskset = spawnSync('taskset', ['--version']).status === 0

/** The most that V8's helper threads had marked, KB, at a step of the main thread's, in a process on these cores. */
function markedBeside(cores: string, begin: string): number {
  const code = `
    import { collectAlone } from ${JSON.stringify(join(import.meta.dirname, 'one-core.ts'))}
    ${begin}
    let kept = []
    for (let turn = 1; turn <= 60; turn++) {
      for (let i = 0; i < 50_000; i++) kept.push({ i, list: [i] })
      if (turn % 30 === 0) kept = []
      await new Promise(setImmediate)
    }`
  const args = ['-c', cores, process.execPath, '--trace-incremental-marking', '--input-type=module', '-e', code]
  const { status, stdout } = spawnSync('taskset', args, { encoding: 'utf8', maxBuffer: 1 << 26 })
  expect(status).toBe(0)
  const steps = [...stdout.matchAll(/ concurrent (\d+)KB/g)]
  expect(steps.length).toBeGreaterThan(0)
  return Math.max(...steps.map(([, marked]) => Number(marked)))
}

it.skipIf(!hasTaskset)('on one core nobody marks beside the main thread', () => {
  expect(markedBeside('0', 'collectAlone()')).toBe(0)
})

it.skipIf(!hasTaskset || availableParallelism() === 1)('on more cores helpers do', () => {
  expect(markedBeside('0,1', 'collectAlone()')).toBeGreaterThan(0)
})
