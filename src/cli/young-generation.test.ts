import { execFileSync, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { bareEnvironment } from '../../test/environment.ts'

/** The largest young generation, MB, of a process that begins at once to keep much for a while. */
function grown(args: readonly string[]): number {
  const code = `
    import { getHeapSpaceStatistics } from 'node:v8'
    import { boundYoungGeneration } from ${JSON.stringify(join(import.meta.dirname, 'young-generation.ts'))}
    boundYoungGeneration(${JSON.stringify(args)})
    const kept = []
    let n = 0
    let most = 0
    function turn() {
      for (let i = 0; i < 20_000; i++) kept[n++ % 400_000] = { n, list: [n] }
      const young = getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space')
      most = Math.max(most, young.space_size)
      if (n < 3_000_000) setImmediate(turn)
      else process.stdout.write(String(most / 2 ** 20))
    }
    turn()`
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' })
  expect(stderr).toBe('')
  return Number(stdout)
}

it('the young generation does not exceed 32 MB, however fast it grows', () => {
  const most = grown([])
  expect(most).toBeGreaterThan(16)
  expect(most).toBeLessThanOrEqual(32)
})

it('nor where one turn of the loop takes in many requests', () => {
  const flood = join(import.meta.dirname, '../../test/e2e/flood.ts')
  const out = execFileSync(process.execPath, [flood], { env: bareEnvironment() })
  const { requests, turns, young } = JSON.parse(String(out)) as Record<string, number>
  expect([requests, turns]).toEqual([1_000, 1])
  expect(young).toBeGreaterThan(16)
  expect(young).toBeLessThanOrEqual(32)
})

it('unless an operator has set its size', () => {
  expect(grown(['--max-semi-space-size=64'])).toBeGreaterThan(32)
})

it('after an idle time it grows again', () => {
  const grow = join(import.meta.dirname, '../../test/e2e/grow.ts')
  const out = execFileSync(process.execPath, ['--expose-gc', grow], { env: bareEnvironment() })
  const { busy, idle, again } = JSON.parse(String(out)) as Record<string, number>
  expect(idle).toBeCloseTo(1, 0)
  for (const young of [busy, again]) {
    expect(young).toBeGreaterThan(16)
    expect(young).toBeLessThanOrEqual(32)
  }
})
