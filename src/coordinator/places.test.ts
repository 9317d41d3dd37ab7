/** Jobs of one model that can go to different places: those that find no room are in nobody else's way. */
import { describe, expect, it } from 'vitest'
import { SluiceError } from '../core/errors.ts'
import type { PlanDeployment, PlanModel, ScheduledJob } from '../core/ports/coordinator.ts'
import { createCoordinator } from './coordinator.ts'
import { done, OPTIONS, job as scheduled } from './scheduler/testing/jobs.ts'

const deployment = (name: string, more: Partial<PlanDeployment> = {}): PlanDeployment => ({
  ...{ name, kinds: ['chat'], upstreamModel: null, concurrent: Infinity, order: 0, revision: '' },
  ...more,
})

function setUp(deployments: readonly PlanDeployment[], more: Partial<PlanModel> = {}, others: PlanModel[] = []) {
  const models = [{ name: 'chat', deployments, ...more }, ...others]
  const coordinator = createCoordinator({ ...OPTIONS, models })
  coordinator.attach({ id: 'w', pools: [], slots: 500 }, 0)
  let made = 0
  return {
    coordinator,
    submit(times: number, more: Partial<ScheduledJob> = {}): void {
      for (let i = 0; i < times; i++) coordinator.submit(scheduled(`j${++made}`, more), 0)
    },
    /** All that can start: its id, and where. */
    lease(now = 0): readonly string[] {
      const leased: string[] = []
      for (let i = 0; i < 100 && coordinator.leasable; i++) {
        coordinator.lease(now)
        for (const change of coordinator.changes())
          if (change.type === 'leased') leased.push(`${change.id} ${change.claim.deployment}`)
      }
      return leased
    },
  }
}

const IMAGES = { can: ['vision'], tags: [] } as const
const EU = { can: [], tags: ['eu'] } as const

describe.each([
  ['abilities', [deployment('v', { concurrent: 1 }), deployment('t', { can: { vision: false } })], IMAGES],
  ['tags', [deployment('v', { concurrent: 1, tags: ['eu'] }), deployment('t')], EU],
] as const)('where 1,000 jobs wait for a place by their %s', (_, deployments, needs) => {
  it.each([
    ['another tenant', 'victim'],
    ['the same one', 'evil'],
  ])('jobs of %s that can go elsewhere do, at once', (_who, tenant) => {
    const { submit, lease } = setUp(deployments)
    submit(1_000, { tenant: 'evil', needs })
    expect(lease()).toEqual(['j1 v'])
    submit(10, { tenant })
    expect(lease()).toEqual(Array.from({ length: 10 }, (_, i) => `j${1_001 + i} t`))
  })

  it('and they start in their order, in turns with others that need the same', () => {
    const { coordinator, submit, lease } = setUp(deployments)
    submit(1_000, { tenant: 'evil', needs })
    lease()
    submit(2, { tenant: 'victim', needs })
    const order: string[] = []
    for (let id = 'j1', now = 1; order.length < 4; now++) {
      coordinator.finish(id, 1, done(), now)
      order.push(...lease(now))
      id = order.at(-1)!.split(' ')[0]
    }
    expect(order).toEqual(['j1001 v', 'j2 v', 'j1002 v', 'j3 v'])
  })
})

it('a crowd that failed at one place waits for the other, while that one works again for all else', () => {
  const { coordinator, submit, lease } = setUp([deployment('a'), deployment('b', { concurrent: 1, order: 1 })])
  submit(200, { tenant: 'evil' })
  const slow = new SluiceError('provider_timeout')
  for (const at of lease()) {
    const [id, where] = at.split(' ')
    if (where === 'a')
      coordinator.finish(id, 1, { kind: 'failed', error: slow, retry: 'elsewhere', textShown: false }, 1)
  }
  lease(2)
  submit(10, { tenant: 'victim' })
  coordinator.tick(100_000)
  // One tries whether it works
  expect(lease(100_000).filter((at) => at.endsWith(' a'))).toEqual(['j201 a'])
  coordinator.finish('j201', 1, done(), 100_001)
  expect(lease(100_001)).toEqual(Array.from({ length: 9 }, (_, i) => `j${202 + i} a`))
})

it('who may use no fallback is not in the way of who may', () => {
  const other = { name: 'other', deployments: [deployment('o')] }
  const fallbacks = { general: ['other'], contextWindow: [], contentPolicy: [] }
  const { coordinator, submit, lease } = setUp([deployment('a', { concurrent: 5 })], { fallbacks }, [other])
  const instead = [{ model: 'other' }]
  submit(5)
  lease()
  const error = new SluiceError('provider_error')
  for (let i = 1; i <= 5; i++)
    coordinator.finish(`j${i}`, 1, { kind: 'failed', error, retry: false, textShown: false }, 1)
  // It may be tried again, and is: one at a time
  submit(100, { tenant: 'evil' })
  submit(10, { tenant: 'victim', instead })
  const leased = lease(2)
  expect(leased.filter((at) => at.endsWith(' o'))).toHaveLength(10)
})

it('so many sets of needs that they stand together hold up nobody of another tenant', () => {
  const places = Array.from({ length: 12 }, (_, i) => deployment(`d${i}`, { concurrent: 1, tags: [`x${i}`] }))
  const tagged = places.map((one, i) => ({ ...one, tags: places.flatMap((_, j) => (i === j ? [] : [`x${j}`])) }))
  const { submit, lease } = setUp([...tagged, deployment('free', { tags: ['free'] })])
  submit(12)
  lease()
  for (let i = 0; i < 500; i++) {
    const tags = tagged.flatMap((_, j) => ((i >> (j % 9)) & 1 ? [`x${j}`] : []))
    if (tags.length > 0) submit(1, { tenant: 'evil', needs: { can: [], tags } })
  }
  lease()
  submit(3, { tenant: 'victim', needs: { can: [], tags: ['free'] } })
  expect(lease().filter((at) => at.endsWith(' free'))).toHaveLength(3)
})

it('after a change of the settings what waits stands by them', () => {
  const { coordinator, submit, lease } = setUp([deployment('v', { concurrent: 1 })])
  submit(200, { tenant: 'evil', needs: IMAGES })
  lease()
  submit(10)
  const deployments = [deployment('v', { concurrent: 1 }), deployment('t', { can: { vision: false } })]
  coordinator.configure([{ name: 'chat', deployments }], 1)
  expect(lease(1).map((at) => at.split(' ')[1])).toEqual(Array(10).fill('t'))
})
