import { describe, expect, it } from 'vitest'
import { manualClock } from '../../test/manual-clock.ts'
import type { ScheduledJob } from '../core/ports/coordinator.ts'
import type { Deployment } from '../core/ports/provider.ts'
import { createRouter, type ModelRoute } from './router.ts'

const deployment = (
  name: string,
  more: { readonly concurrent?: number; readonly order?: number } = {},
): Deployment => ({
  name,
  provider: {} as never,
  upstreamModel: null,
  concurrent: Infinity,
  order: 0,
  contextTokens: 8_000,
  stream: 'as_asked',
  conversationMembers: [],
  timeouts: { ttftMs: 1, interTokenMs: 1, totalMs: 1 },
  ...more,
})
const route = (name: string, ...deployments: Deployment[]): ModelRoute => ({
  name,
  pool: 'text',
  kinds: ['chat'],
  deployments,
})
const job = (id: string, model = 'chat'): ScheduledJob => ({ id, model }) as ScheduledJob

/** Takes a slot for the job and names where it went. */
function take(router: ReturnType<typeof createRouter>, id: string): string {
  expect(router.headroom(job(id))).toBeNull()
  return router.claimed(id).name
}

function setUp(...routes: ModelRoute[]) {
  const clock = manualClock()
  let woken = 0
  const router = createRouter(routes, clock, () => woken++)
  return { clock, router, woken: () => woken }
}

it('resolves exact names before the longest pattern', () => {
  const { router } = setUp(
    route('gpt-*', deployment('a')),
    route('gpt-4*', deployment('b')),
    route('gpt-4.1', deployment('c')),
  )
  expect(['gpt-4.1', 'gpt-4o', 'gpt-3', 'claude'].map((m) => router.resolve(m)?.deployments[0].name)).toEqual([
    'c',
    'b',
    'a',
    undefined,
  ])
})

it('holds a deployment to its slots and wakes the queue when one comes free', () => {
  const { router, woken } = setUp(route('chat', deployment('a', { concurrent: 2 })))
  expect([1, 2, 3].map((i) => router.headroom(job(`j${i}`)))).toEqual([null, null, { scope: 'model' }])
  router.release('j1', { code: null })
  expect(woken()).toBe(1)
  router.release('j1', { code: null })
  expect(router.headroom(job('j3'))).toBeNull()
  expect(router.headroom(job('j4'))).toEqual({ scope: 'model' })
})

it('spreads by load inside an order, and goes to the next order when the first is full', () => {
  const { router } = setUp(
    route(
      'chat',
      deployment('a', { concurrent: 1 }),
      deployment('b', { concurrent: 1 }),
      deployment('c', { order: 1 }),
    ),
  )
  const names = ['1', '2', '3'].map((id) => take(router, id))
  expect(names).toEqual(['a', 'b', 'c'])
})

it('leaves a rate-limited deployment alone for as long as it asked, then wakes the queue', () => {
  const { clock, router, woken } = setUp(route('chat', deployment('a')))
  router.headroom(job('1'))
  router.release('1', { code: 'provider_rate_limited', retryAfterMs: 3_000 })
  expect(router.headroom(job('2'))).toEqual({ scope: 'model', retryAfterMs: 3_000 })
  clock.advance(3_001)
  expect(woken()).toBe(1)
  expect(router.headroom(job('2'))).toBeNull()
})

it('takes a job that failed somewhere to another deployment, and back only when there is no other', () => {
  const { router } = setUp(route('chat', deployment('a'), deployment('b', { order: 1 })))
  const go = (): string => take(router, '1')
  expect(go()).toBe('a')
  router.release('1', { code: 'provider_unreachable' })
  expect(go()).toBe('b')
  router.release('1', { code: 'provider_error' })
  expect(go()).toBe('a')
  router.release('1', { code: null })
  router.forget('1')
  expect(go()).toBe('a')
})

it('passes by a deployment that fails again and again, while there is another', () => {
  const { router } = setUp(route('chat', deployment('a'), deployment('b', { order: 1 })))
  for (let i = 0; i < 5; i++) {
    router.headroom(job(`f${i}`))
    router.release(`f${i}`, { code: 'provider_timeout' })
  }
  router.headroom(job('next'))
  expect(router.claimed('next').name).toBe('b')
})

it('does not blame a deployment for a request it refused', () => {
  const { router } = setUp(route('chat', deployment('a'), deployment('b', { order: 1 })))
  for (let i = 0; i < 9; i++) {
    router.headroom(job(`f${i}`))
    router.release(`f${i}`, { code: 'provider_rejected' })
  }
  router.headroom(job('next'))
  expect(router.claimed('next').name).toBe('a')
})

it('makes the wait longer while a deployment goes on refusing, once for calls that were under way together', () => {
  const { clock, router } = setUp(route('chat', deployment('a')))
  const refuse = (...ids: string[]): number => {
    for (const id of ids) expect(router.headroom(job(id))).toBeNull()
    return Math.max(...ids.map((id) => router.release(id, { code: 'provider_rate_limited', retryAfterMs: 0 })))
  }
  const waits = [refuse('1', '2', '3')]
  for (let i = 0; i < 7; i++) {
    clock.advance(waits.at(-1)! + 1)
    waits.push(refuse(`again${i}`))
  }
  expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000])
  clock.advance(60_001)
  take(router, 'good')
  router.release('good', { code: null })
  expect(refuse('after')).toBe(1_000)
})

it('closes to others for less where one job is all that it failed', () => {
  const { clock, router } = setUp(route('chat', deployment('a')))
  const fail = (id: string): number => {
    expect(router.headroom(job(id))).toBeNull()
    const waitMs = router.release(id, { code: 'provider_error', retryAfterMs: 0 })
    clock.advance(waitMs + 1)
    return waitMs
  }
  expect([fail('1'), fail('1'), fail('1')]).toEqual([1_000, 1_000, 1_000])
  expect(['2', '3', '4', '5', '6', '7'].map(fail)).toEqual([2_000, 4_000, 8_000, 15_000, 15_000, 15_000])
})

it('is not told by a stop of ours that a deployment is well', () => {
  const { clock, router } = setUp(route('chat', deployment('a')))
  take(router, '1')
  router.release('1', { code: 'provider_rate_limited' })
  clock.advance(1_001)
  take(router, '2')
  router.release('2', { code: null, stopped: true })
  take(router, '3')
  expect(router.release('3', { code: 'provider_rate_limited' })).toBe(2_000)
})

it('never tries a job again where it was too slow, while there is another place', () => {
  const { router } = setUp(route('chat', deployment('a'), deployment('b', { concurrent: 1, order: 1 })))
  expect(take(router, '1')).toBe('a')
  expect(router.elsewhereInMs('1', 'chat')).toBe(0)
  router.release('1', { code: 'provider_timeout', elsewhere: true })
  expect(take(router, 'other')).toBe('a')
  router.release('other', { code: null })
  // The other place is taken: this job waits for it, and no other job of the model with it
  router.headroom(job('blocker'))
  router.release('blocker', { code: 'provider_timeout' })
  expect(take(router, '1')).toBe('b')
  expect(router.elsewhereInMs('1', 'chat')).toBeNull()
})

it('waits for local faults without blaming the deployment', () => {
  const { clock, router } = setUp(route('chat', deployment('a'), deployment('b', { order: 1 })))
  for (let i = 0; i < 9; i++) {
    router.headroom(job(`f${i}`))
    router.release(`f${i}`, { code: 'overloaded', retryAfterMs: 1_000 })
    clock.advance(60_001)
  }
  router.headroom(job('next'))
  expect(router.claimed('next').name).toBe('a')
})

it('takes other models over: what runs keeps its deployment, whose slot still counts', () => {
  const old = deployment('a', { concurrent: 1 })
  const { router, woken } = setUp(route('chat', old), route('gone', deployment('g')))
  expect(take(router, '1')).toBe('a')
  const next = deployment('a', { concurrent: 1 })
  const before = woken()
  router.replace([route('chat', next, deployment('b', { order: 1 }))])
  expect(woken()).toBe(before + 1)
  expect(router.claimed('1')).toBe(old)
  expect([router.isInUse(old.provider), router.isInUse(next.provider)]).toEqual([true, false])
  // Its one slot is taken by a call that began before
  expect(take(router, '2')).toBe('b')
  router.release('1', { code: null })
  expect(router.isInUse(old.provider)).toBe(false)
  expect(take(router, '3')).toBe('a')
  expect(router.claimed('3')).toBe(next)
  expect(router.resolve('gone')).toBeNull()
})

it('a deployment keeps its health over a reload, unless its provider is another', () => {
  const provider = {} as never
  const { router } = setUp(route('chat', { ...deployment('a'), provider }, deployment('b', { order: 1 })))
  take(router, '1')
  router.release('1', { code: 'provider_rate_limited', retryAfterMs: 5_000 })
  router.replace([route('chat', { ...deployment('a'), provider }, deployment('b', { order: 1 }))])
  expect(take(router, '2')).toBe('b')
  router.replace([route('chat', deployment('a'), deployment('b', { order: 1 }))])
  expect(take(router, '3')).toBe('a')
})

it('jobs of a model that is gone wait, and run when it is back', () => {
  const { router, woken } = setUp(route('chat', deployment('a')))
  router.replace([])
  expect(router.headroom(job('1'))).toEqual({ scope: 'model' })
  const before = woken()
  router.replace([route('chat', deployment('a'))])
  expect(woken()).toBe(before + 1)
  expect(take(router, '1')).toBe('a')
})

describe('models behind one pattern', () => {
  const ask = (router: ReturnType<typeof createRouter>, id: string, model: string) => router.headroom(job(id, model))
  const busy = { code: 'provider_rate_limited', retryAfterMs: 20_000 } as const

  it('wait and fail each for themselves', () => {
    const { router } = setUp(route('*', deployment('a'), deployment('b', { order: 1 })))
    ask(router, '1', 'bad')
    router.release('1', busy)
    for (let i = 0; i < 5; i++) {
      ask(router, `f${i}`, 'worse')
      router.release(`f${i}`, { code: 'provider_error' })
    }
    const places = ['bad', 'worse', 'good'].map((model) => {
      expect(ask(router, model, model)).toBeNull()
      return router.claimed(model).name
    })
    expect(places).toEqual(['b', 'b', 'a'])
  })

  it('wait together where the deployment calls them all by one name', () => {
    const { router } = setUp(route('*', { ...deployment('a'), upstreamModel: 'm' }))
    ask(router, '1', 'x')
    router.release('1', busy)
    expect(ask(router, '2', 'y')).toEqual({ scope: 'model', retryAfterMs: 20_000 })
  })

  it('are remembered in bounded memory', () => {
    const { router } = setUp(route('*', deployment('a')))
    for (let i = 0; i < 3_000; i++) {
      expect(ask(router, `${i}`, `m${i}`)).toBeNull()
      expect(router.release(`${i}`, busy)).toBe(20_000)
    }
    expect(ask(router, 'old', 'm0')).toBeNull()
    expect(ask(router, 'new', 'm2999')).toMatchObject({ scope: 'model' })
  })
})

it('does not try again where a job was told to go elsewhere, whatever the failure', () => {
  const { router } = setUp(route('chat', deployment('a'), deployment('b', { order: 1 })))
  expect(take(router, '1')).toBe('a')
  router.release('1', { code: 'provider_rejected', elsewhere: true })
  expect(take(router, '1')).toBe('b')
})
