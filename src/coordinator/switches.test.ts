/** A level that lets nothing run holds back what waits, and a change of the limits lets it go. */
import { expect, it } from 'vitest'
import { coordinatorOptions } from '../../test/conformance/settings.ts'
import { type LevelLimits, type LimitSettings, NO_LIMITS } from '../core/limits.ts'
import type { Coordinator, ScheduledJob } from '../core/ports/coordinator.ts'
import { createCoordinator } from './coordinator.ts'

const OFF: LevelLimits = { rates: [], budgets: [], concurrent: 0 }
const RATE: LevelLimits = {
  rates: [{ unit: 'requests', burst: 100, perSecond: 1, whenOut: 'debt', oversize: 'refuse' }],
  budgets: [],
  concurrent: null,
}
const TENANT = { all: null, eachUser: null, eachRun: null, eachKey: null, models: {} }

const SWITCHES: ReadonlyArray<readonly [string, LimitSettings]> = [
  ['a tenant', { ...NO_LIMITS, tenants: { acme: { ...TENANT, all: OFF } } }],
  ['a key', { ...NO_LIMITS, keys: { key_1: OFF } }],
  ['a model', { ...NO_LIMITS, models: { demo: OFF } }],
]
const ON: ReadonlyArray<readonly [string, LimitSettings]> = [
  ['no limits', NO_LIMITS],
  ['limits that have room', { ...NO_LIMITS, keys: { key_1: RATE } }],
]

let made = 0
const job = (more: Partial<ScheduledJob> = {}): ScheduledJob => ({
  id: `job_${String(++made).padStart(9, '0')}`,
  kind: 'chat',
  tenant: 'acme',
  lane: null,
  session: null,
  pool: 'default',
  model: 'demo',
  priority: 'normal',
  promptTokens: 10,
  bodyBytes: 100,
  keyId: 'key_1',
  user: null,
  run: null,
  route: '',
  maxOutputTokens: 10,
  price: null,
  policy: 'wait',
  acceptedMono: 0,
  notBeforeMono: 0,
  deadlineMono: Infinity,
  joinKey: null,
  ...more,
})

function machine() {
  let settings: LimitSettings = NO_LIMITS
  const options = coordinatorOptions({})
  const coordinator: Coordinator = createCoordinator({ ...options, limits: () => settings })
  coordinator.openLimits([], () => ({ index: 0, endsMono: Infinity }), 0)
  const leased = (now: number): number => {
    coordinator.lease(now)
    return coordinator.changes().filter(({ type }) => type === 'leased').length
  }
  return {
    coordinator,
    leased,
    change(to: LimitSettings, now: number): void {
      settings = to
      coordinator.configure(options.models, now)
    },
  }
}

for (const [what, off] of SWITCHES)
  for (const [how, on] of ON)
    for (const policy of ['wait', 'reject'] as const)
      it(`${what} is switched off and on again, with ${how}: what waited under ${policy} starts then`, () => {
        const { coordinator, leased, change } = machine()
        // With a limit it holds its weight from its submit on
        change(on, 0)
        for (let i = 0; i < 5; i++) expect(coordinator.submit(job({ policy }), 1).kind).toBe('accepted')
        change(off, 2)
        coordinator.attach({ id: 'w', pools: [], slots: 10 }, 3)
        expect(leased(4)).toBe(0)
        coordinator.tick(100_000)
        expect(leased(100_000)).toBe(0)
        change(on, 100_001)
        expect(leased(100_002)).toBe(5)
      })
