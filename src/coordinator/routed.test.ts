/** The plan among the other parts: fallbacks, quotas and retries from a job's submit to its end. */
import { expect, it } from 'vitest'
import { SluiceError } from '../core/errors.ts'
import type { Found, PlanDeployment, PlanModel, ScheduledJob } from '../core/ports/coordinator.ts'
import type { Outcome } from '../core/ports/work.ts'
import { type CoordinatorOptions, createCoordinator } from './coordinator.ts'
import { done, OPTIONS, job as scheduled } from './scheduler/testing/jobs.ts'

const deployment = (name: string, more: Partial<PlanDeployment> = {}): PlanDeployment => ({
  ...{ name, kinds: ['chat'], upstreamModel: null, concurrent: Infinity, order: 0, revision: '' },
  ...more,
})
/** Its caller may use all models. */
const job = (id: string, more: Partial<ScheduledJob> = {}): ScheduledJob =>
  scheduled(id, { instead: ['long', 'frank', 'small'].map((model) => ({ model })), ...more })

const refused = (upstreamCode: string, textShown = false): Outcome => ({
  kind: 'failed',
  error: new SluiceError('provider_rejected', { upstreamCode }),
  retry: false,
  textShown,
})

function setUp(models: readonly PlanModel[], more: Partial<CoordinatorOptions> = {}) {
  const coordinator = createCoordinator({ ...OPTIONS, models, ...more })
  coordinator.attach({ id: 'w', pools: [], slots: 500 }, 0)
  return {
    coordinator,
    /** Leases, and tells what was leased, where to. */
    lease(now = 0) {
      coordinator.changes()
      coordinator.lease(now)
      return coordinator.changes().flatMap((change) => (change.type === 'leased' ? [change] : []))
    },
  }
}

const INSTEAD: PlanModel[] = [
  {
    name: 'chat',
    deployments: [deployment('a')],
    fallbacks: { general: [], contextWindow: ['long'], contentPolicy: ['frank'] },
  },
  { name: 'long', deployments: [deployment('l')] },
  { name: 'frank', deployments: [deployment('f')] },
]

it.each([
  ['context_length_exceeded', 'long', 'l'],
  ['content_filter', 'frank', 'f'],
])('what one model refuses (%s) another one answers, and the claim says which', (code, model, at) => {
  const { coordinator, lease } = setUp(INSTEAD)
  coordinator.submit(job('1'), 0)
  expect(lease()[0].claim).toEqual({ deployment: 'a', reservation: null })
  const again = coordinator.finish('1', 1, refused(code), 10)
  expect(again.kind).toBe('again')
  expect(lease(1_000)[0].claim).toEqual({ deployment: at, model, reservation: null })
  expect(coordinator.finish('1', 2, done(), 1_001)).toEqual({ kind: 'ended', state: 'done' })
})

it('a refusal is final where no other model is named for it, or its text was seen', () => {
  for (const outcome of [refused('invalid_image'), refused('content_filter', true)]) {
    const { coordinator, lease } = setUp(INSTEAD)
    coordinator.submit(job('1'), 0)
    lease()
    expect(coordinator.finish('1', 1, outcome, 10)).toEqual({ kind: 'ended', state: 'failed' })
  }
  const { coordinator, lease } = setUp(INSTEAD)
  coordinator.submit(job('1'), 0)
  lease()
  coordinator.finish('1', 1, refused('content_filter'), 10)
  lease(1_000)
  expect(coordinator.finish('1', 2, refused('context_length_exceeded'), 10)).toEqual({ kind: 'ended', state: 'failed' })
})

it('a prompt that is too long where it was sent goes to the larger ones of the group, and then to the fallback', () => {
  const windows = { a: 4_000, b: 4_000, c: 32_000, d: null }
  const deployments = Object.entries(windows).map(([name, contextTokens], order) =>
    deployment(name, { contextTokens, order }),
  )
  const fallbacks = { general: [], contextWindow: ['long'], contentPolicy: [] }
  const { coordinator, lease } = setUp([{ name: 'chat', deployments, fallbacks }, ...INSTEAD.slice(1)])
  coordinator.submit(job('1'), 0)
  const tried: string[] = []
  for (let attempt = 1; attempt <= 4; attempt++) {
    tried.push(lease(attempt * 1_000)[0].claim.deployment)
    const outcome = attempt < 4 ? refused('context_length_exceeded') : done()
    coordinator.finish('1', attempt, outcome, attempt * 1_000 + 1)
  }
  expect(tried).toEqual(['a', 'c', 'd', 'l'])
  expect(coordinator.state('1')).toBe(null)
})

it('those that are alike are not asked: the client gets the refusal', () => {
  const deployments = [deployment('a'), deployment('b')]
  const { coordinator, lease } = setUp([{ name: 'chat', deployments }])
  coordinator.submit(job('1', { instead: [] }), 0)
  lease()
  expect(coordinator.finish('1', 1, refused('context_length_exceeded'), 1)).toMatchObject({ state: 'failed' })
})

const LIMITED: PlanModel[] = [{ name: 'chat', deployments: [deployment('a', { tokensPerMinute: 1_000 })] }]

it('a job that its provider has no room for waits, and runs when there is some', () => {
  const { coordinator, lease } = setUp(LIMITED)
  for (const id of ['1', '2']) coordinator.submit(job(id, { promptTokens: 500, maxOutputTokens: 100 }), 0)
  expect(lease().map(({ id }) => id)).toEqual(['1'])
  coordinator.charge('1', 1, 60, 1)
  coordinator.finish('1', 1, done(500, 60), 2)
  expect(lease(3)).toEqual([])
  expect(coordinator.state('2')).toBe('waiting')
  coordinator.submit(job('3', { promptTokens: 440, maxOutputTokens: 0 }), 3)
  expect(coordinator.nextAt()).toBe(62_000)
  coordinator.tick(62_000)
  expect(coordinator.leasable).toBe(true)
  expect(lease(62_000).map(({ id }) => id)).toEqual(['2'])
})

it('a coordinator that takes over knows what was used, and what runs', () => {
  const first = setUp(LIMITED)
  first.coordinator.submit(job('1', { promptTokens: 300, maxOutputTokens: 100 }), 0)
  const [{ claim }] = first.lease()
  const levels = first.coordinator.takeLevels(0)
  expect(levels).toMatchObject([{ kind: 'deployment', name: 'a', used: { rates: { tokens: 300, requests: 1 } } }])
  const next = setUp(LIMITED)
  next.coordinator.openLimits(levels, () => ({ index: 0, endsMono: Infinity }), 10)
  const tally = { attempts: 1, fails: 0, deaths: 0, crashes: 0, ranMs: 0, ttftMs: null }
  const found: Found = { tally, failedAt: [], reservation: null, held: { worker: 'w', claim } }
  next.coordinator.restore(job('1', { promptTokens: 300, maxOutputTokens: 100 }), found, 10)
  for (const [id, promptTokens] of [
    ['2', 601],
    ['3', 600],
  ] as const) {
    next.coordinator.submit(job(id, { promptTokens, maxOutputTokens: 0, tenant: id }), 10)
    const fits = next.lease(10).length === 1
    expect(fits, id).toBe(id === '3')
    if (!fits) next.coordinator.cancel(id, 10)
  }
})

it('what fails everywhere is not tried again all at once', () => {
  const { coordinator, lease } = setUp([{ name: 'chat', deployments: [deployment('a'), deployment('b')] }])
  const ids = Array.from({ length: 200 }, (_, i) => `${i}`)
  for (const id of ids) coordinator.submit(job(id), 0)
  for (let i = 0; i < 4; i++) lease()
  const error = new SluiceError('provider_unreachable')
  const waits = ids.map((id) => {
    const again = coordinator.finish(id, 1, { kind: 'failed', error, retry: true }, 0)
    return again.kind === 'again' ? again.notBeforeMono : 0
  })
  // 20 saved up, a fifth of 200 calls, and the first one: the other deployment works, as far as is known
  expect(waits.filter((ms) => ms <= OPTIONS.retryBaseMs).length).toBe(61)
  expect(Math.max(...waits)).toBe(30_000)
})

it('tells where a request would go', () => {
  const { coordinator } = setUp(LIMITED)
  const ask = { model: 'chat', kind: 'chat', promptTokens: 10, maxOutputTokens: 20, draw: 'x' } as const
  expect(coordinator.explain(ask, 0)).toMatchObject({ deployment: 'a', promptTokens: 10, outputTokens: 20 })
})

it('and a job: where it has failed it is not sent again', () => {
  const { coordinator, lease } = setUp([{ name: 'chat', deployments: [deployment('a'), deployment('b')] }])
  coordinator.submit(job('1'), 0)
  lease()
  coordinator.finish('1', 1, { kind: 'failed', error: new SluiceError('provider_error'), retry: true }, 0)
  const ask = { model: 'chat', kind: 'chat', promptTokens: 10, maxOutputTokens: 20, draw: '1' } as const
  const outs = (job: string) => coordinator.explain({ ...ask, job }, 0).steps[0].deployments.map(({ out }) => out)
  expect([...outs('1')].sort()).toEqual(['failed_here', null])
  // Not one like it, as of a job that has ended
  expect(outs('gone')).not.toContain('failed_here')
})

const unreachable = (): Outcome => ({ kind: 'failed', error: new SluiceError('provider_unreachable'), retry: true })

it('tries each deployment where a job has not failed, then the fallback, however many attempts it has', () => {
  const deployments = ['a', 'b', 'c', 'd'].map((name, order) => deployment(name, { order }))
  const models = [
    { name: 'chat', deployments, fallbacks: { general: ['small'], contextWindow: [], contentPolicy: [] } },
    { name: 'small', deployments: [deployment('s')] },
  ]
  const { coordinator, lease } = setUp(models, { maxAttempts: 3 })
  coordinator.submit(job('1'), 0)
  const tried: string[] = []
  for (let attempt = 1; attempt <= 4; attempt++) {
    tried.push(lease()[0].claim.deployment)
    // At once, as something works
    expect(coordinator.finish('1', attempt, unreachable(), 0)).toEqual({ kind: 'again', notBeforeMono: 0 })
  }
  expect(tried).toEqual(['a', 'b', 'c', 'd'])
  expect(lease()[0].claim).toMatchObject({ deployment: 's', model: 'small' })
})

it('a request that fails everywhere ends, however many deployments there are', () => {
  const deployments = Array.from({ length: 50 }, (_, i) => deployment(`d${i}`))
  const { coordinator, lease } = setUp([{ name: 'chat', deployments }], { maxAttempts: 3 })
  coordinator.submit(job('1'), 0)
  let attempt = 0
  for (;;) {
    lease()
    if (coordinator.finish('1', ++attempt, unreachable(), 0).kind === 'ended') break
  }
  expect(attempt).toBe(16)
})

it('what was shown is not begun anew at each deployment', () => {
  const deployments = ['a', 'b', 'c', 'd', 'e'].map((name) => deployment(name))
  const { coordinator, lease } = setUp([{ name: 'chat', deployments }], { maxAttempts: 3 })
  coordinator.submit(job('1'), 0)
  const shown = { ...unreachable(), textShown: true } as Outcome
  for (let attempt = 1, at = 0; attempt <= 3; attempt++, at += 10_000) {
    lease(at)
    expect(coordinator.finish('1', attempt, shown, at).kind).toBe(attempt < 3 ? 'again' : 'ended')
  }
})

it('what a deployment had in flight when it died goes at once to one that works', () => {
  const deployments = [deployment('a'), deployment('b', { order: 1 })]
  const { coordinator, lease } = setUp([{ name: 'chat', deployments }])
  const ids = Array.from({ length: 200 }, (_, i) => `${i}`)
  for (const id of ids) coordinator.submit(job(id), 0)
  for (let i = 0; i < 4; i++) lease()
  for (const id of ids) expect(coordinator.finish(id, 1, unreachable(), 5)).toEqual({ kind: 'again', notBeforeMono: 5 })
})

it('a lone deployment that fails is left alone where a fallback works, and tried again in time', () => {
  const models = [
    { ...INSTEAD[0], fallbacks: { general: ['long'], contextWindow: [], contentPolicy: [] } },
    ...INSTEAD.slice(1),
  ]
  const { coordinator, lease } = setUp(models)
  const calls: string[] = []
  for (let i = 0, now = 0; i < 100; i++, now += 100) {
    coordinator.submit(job(`${i}`), now)
    let attempt = 0
    for (;;) {
      const at = lease(now)[0].claim.deployment
      calls.push(at)
      if (coordinator.finish(`${i}`, ++attempt, at === 'a' ? unreachable() : done(), now).kind === 'ended') break
    }
  }
  expect(calls.filter((at) => at === 'l').length).toBe(100)
  // Five, then one after 5 s
  expect(calls.filter((at) => at === 'a').length).toBe(6)
})

// ---------------------------------------------------------------- 429s that waiting does not mend

const busy = (code: 'provider_rate_limited' | 'own_key_rate_limited' | 'own_key_failed', retryAfterMs?: number) =>
  ({
    kind: 'failed',
    error: new SluiceError(code, retryAfterMs === undefined ? {} : { retryAfterMs }),
    retry: code === 'own_key_failed' ? 'elsewhere' : true,
    textShown: false,
  }) as const

it('a job that is refused though others are answered is asked less and less often, and given up', () => {
  const { coordinator, lease } = setUp([{ name: 'chat', deployments: [deployment('a')] }])
  coordinator.submit(job('huge'), 0)
  let calls = 0
  let small = 0
  for (let now = 0; now < 900_000 && coordinator.state('huge') !== null; now += 250) {
    coordinator.submit(job(`s${now}`), now)
    coordinator.tick(now)
    for (const { id, attempt } of lease(now)) {
      if (id === 'huge') calls++
      else small++
      coordinator.finish(id, attempt, id === 'huge' ? busy('provider_rate_limited', 1_000) : done(), now + 100)
    }
  }
  expect([coordinator.state('huge'), calls <= 10, small > 100]).toEqual([null, true, true])
})

it('jobs that are refused while nobody is answered use up nothing', () => {
  const { coordinator, lease } = setUp([{ name: 'chat', deployments: [deployment('a')] }])
  coordinator.submit(job('1'), 0)
  let calls = 0
  for (let now = 0; now < 900_000; now += 1_000) {
    coordinator.tick(now)
    for (const { attempt } of lease(now)) {
      calls++
      coordinator.finish('1', attempt, busy('provider_rate_limited', 1_000), now)
    }
  }
  expect([coordinator.state('1'), calls > 15]).toEqual(['waiting', true])
})

const KEYED = ['m', 'm#2', 'm#3'].map((name) => deployment(name, { ownKeyAt: 'mistral https://api.mistral.ai' }))

it.each(['own_key_rate_limited', 'own_key_failed'] as const)('%s: the same key is not sent elsewhere', (code) => {
  const { coordinator, lease } = setUp([{ name: 'chat', deployments: [...KEYED, deployment('g', { order: 1 })] }])
  coordinator.submit(job('1'), 0)
  expect(lease()[0].claim.deployment).toMatch(/^m/)
  expect(coordinator.finish('1', 1, busy(code, 120_000), 10)).toMatchObject({ kind: 'again', notBeforeMono: 10 })
  expect(lease(10)[0].claim.deployment).toBe('g')
})

it('the time that is told for an own key is waited for, there and where the same one is sent', () => {
  const { coordinator, lease } = setUp([{ name: 'chat', deployments: KEYED }])
  coordinator.submit(job('1', { deadlineMono: 60_000 }), 0)
  lease()
  expect(coordinator.finish('1', 1, busy('own_key_rate_limited', 2_000), 10)).toEqual({
    kind: 'again',
    notBeforeMono: 2_010,
  })
  coordinator.tick(2_010)
  lease(2_010)
  expect(coordinator.finish('1', 2, busy('own_key_rate_limited', 120_000), 2_020)).toMatchObject({ state: 'failed' })
})

it('what would wait for its providers until it expires is refused at once, with their time', () => {
  const { coordinator, lease } = setUp([{ name: 'chat', deployments: [deployment('a'), deployment('b')] }])
  for (const id of ['1', '2']) coordinator.submit(job(id), 0)
  expect(lease()).toHaveLength(2)
  const isIn = (id: string, deadlineMono: number) => coordinator.submit(job(id, { deadlineMono }), 10)
  coordinator.finish('1', 1, busy('provider_rate_limited', 100_000), 10)
  expect(isIn('3', 60_010).kind).toBe('accepted')
  coordinator.finish('2', 1, busy('provider_rate_limited', 200_000), 10)
  expect(isIn('4', 60_010)).toMatchObject({
    kind: 'refused',
    error: { code: 'provider_rate_limited', retryAfterMs: 100_000 },
  })
  expect(isIn('5', 100_010).kind).toBe('accepted')
})
