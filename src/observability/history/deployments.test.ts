import { expect, it } from 'vitest'
import { Deployments } from './deployments.ts'

it('a p95 is that of all first tokens, however many came in a bucket', () => {
  const deployments = new Deployments()
  for (let i = 0; i < 200_000; i++) deployments.ttft('d', 1_000, i % 50 === 0 ? 5_000 : 100)
  for (const range of [0, 4]) expect(deployments.read('d', range, 1_000).ttftP95Ms).toBeLessThan(110)
})

it('has a history of each deployment of a large fleet', () => {
  const deployments = new Deployments()
  for (let i = 0; i < 200; i++) deployments.ended(`d${i}`, 1_000, 'provider_error', 0)
  expect(deployments.read('d199', 0, 1_000)).toMatchObject({ attempts: 1, failed: 1 })
  expect(deployments.lastError('d199')).toBe('provider_error')
})

it('counts what missed a goal in the last minutes', () => {
  const deployments = new Deployments()
  const nowMs = 600_000
  for (const [atMs, ms] of [
    [nowMs - 180_000, 90],
    [nowMs - 50_000, 60],
    [nowMs, 20],
    [nowMs, 49],
  ])
    deployments.tpot('d', atMs, ms)
  deployments.ttft('d', nowMs, 2_000)
  const over = (minutes: number) => deployments.over('d', { nowMs, minutes, goals: { ttftMs: 1_500, tpotMs: 50 } })
  expect(over(1)).toMatchObject({ slow: 1, late: 1, tpotP95Ms: 60, ttftP95Ms: 2_000 })
  expect(over(5)).toMatchObject({ slow: 2, tpotP95Ms: 90 })
})
