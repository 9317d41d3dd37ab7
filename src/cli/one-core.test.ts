import { spawnSync } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'

const hasTaskset = spawnSync('taskset', ['--version']).status === 0

/** The niceness of the main thread, and of V8's helpers. */
function niceness(cores: string): { readonly main: number; readonly helpers: readonly number[] } {
  const code = `
    import { readdirSync, readFileSync } from 'node:fs'
    import { getPriority } from 'node:os'
    import { yieldToMainThread } from ${JSON.stringify(join(import.meta.dirname, 'one-core.ts'))}
    yieldToMainThread()
    const threads = readdirSync('/proc/self/task').map(Number)
    const isHelper = (id) => readFileSync('/proc/self/task/' + id + '/comm', 'latin1').startsWith('V8Worker')
    process.stdout.write(JSON.stringify({ main: getPriority(), helpers: threads.filter(isHelper).map(getPriority) }))`
  const args = ['-c', cores, process.execPath, '--input-type=module', '-e', code]
  const { stdout, stderr } = spawnSync('taskset', args, { encoding: 'utf8' })
  expect(stderr).toBe('')
  return JSON.parse(stdout)
}

it.skipIf(!hasTaskset)('on one core V8 helps with what the main thread leaves', () => {
  const { main, helpers } = niceness('0')
  expect(helpers.length).toBeGreaterThan(0)
  expect(new Set(helpers)).toEqual(new Set([Math.min(19, main + 10)]))
})

it.skipIf(!hasTaskset || availableParallelism() === 1)('on more cores it helps as it likes', () => {
  const { main, helpers } = niceness('0,1')
  expect(new Set(helpers)).toEqual(new Set([main]))
})
