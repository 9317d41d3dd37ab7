/** Jobs that wait for an account: asked about when there may be room, in their order, and never forgotten. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { depth } from '../../../test/depth.ts'
import { SluiceError } from '../../core/errors.ts'
import type { ScheduledJob } from '../../core/ports/coordinator.ts'
import type { Outcome } from '../../core/ports/work.ts'
import { Line } from './flow.ts'
import type { HeadroomRefusal, Scheduler } from './port.ts'
import { createScheduler } from './scheduler.ts'
import { job } from './testing/jobs.ts'
import { WALK_OPTIONS } from './testing/walk.ts'

const DONE: Outcome = {
  kind: 'done',
  usage: { promptTokens: 1, completionTokens: 1, estimated: false },
  timing: { queuedMs: 0, totalMs: 0, attempts: 1 },
}

const keyOf = ({ tenant, bodyBytes }: ScheduledJob): string => `key ${tenant}/${bodyBytes}`
const userOf = ({ tenant, session }: ScheduledJob): string => `user ${tenant}/${session}`
const accountsOf = (of: ScheduledJob): readonly string[] => [
  userOf(of),
  keyOf(of),
  `model ${of.tenant}/${of.model}`,
  `tenant ${of.tenant}`,
]

/** An account of so many tokens, which come back in time; a job uses its prompt's. */
interface Purse {
  readonly scope: 'tenant' | 'line' | 'job'
  readonly burst: number
  readonly perMs: number
  used: number
  atMono: number
}

/** A scheduler whose jobs are limited by purses: the tenant's, one for its model, the user's (here: the session's), and
 * the key's (here: the body's bytes). */
class Limited {
  readonly scheduler: Scheduler
  readonly purses = new Map<string, Purse>()
  readonly attempts = new Map<string, number>()
  /** Models that nothing serves at the moment. */
  readonly full = new Set<string>()
  asked = 0
  now = 0
  /** Something may be leasable. */
  told = false

  constructor(options: Partial<typeof WALK_OPTIONS> = {}) {
    this.scheduler = createScheduler({
      ...WALK_OPTIONS,
      maxQueuedJobs: 1e6,
      maxQueuedPerTenant: 1e6,
      maxQueuedPerSession: 1e6,
      maxQueuedBytesPerTenant: 1e12,
      maxQueuedBytesPerSession: 1e12,
      leaseMs: 1e12,
      narrow: (of) => [keyOf(of), ...(of.session === null ? [] : [userOf(of)])],
      ...options,
    })
  }

  limit(account: string, scope: Purse['scope'], burst: number, perMs: number): void {
    this.purses.set(account, { scope, burst, perMs, used: 0, atMono: 0 })
  }

  #room(candidate: ScheduledJob): HeadroomRefusal | null {
    this.asked++
    if (this.full.has(candidate.model)) return { scope: 'model' }
    const mine = accountsOf(candidate).flatMap((account) => {
      const purse = this.purses.get(account)
      return purse === undefined ? [] : [{ account, purse }]
    })
    for (const { account, purse } of mine) {
      purse.used = Math.max(0, purse.used - (this.now - purse.atMono) * purse.perMs)
      purse.atMono = this.now
      const over = purse.used + Math.min(candidate.promptTokens, purse.burst) - purse.burst
      if (over > 1e-9)
        return { scope: purse.scope, blocked: { account, untilMono: this.now + Math.max(1e-6, over / purse.perMs) } }
    }
    for (const { purse } of mine) purse.used += candidate.promptTokens
    return null
  }

  submit(id: string, more: Partial<ScheduledJob> = {}): void {
    this.scheduler.submit(
      job(id, { tenant: 'a', session: 'u', promptTokens: 10, acceptedMono: this.now, ...more }),
      this.now,
    )
    this.#drain()
  }

  /** Only when told, and again when told so. */
  lease(max = 100, pools: readonly string[] = []): readonly string[] {
    for (let calls = 0; this.told; calls++) {
      expect(calls).toBeLessThan(100)
      const leased = this.call(max, pools)
      if (leased.length > 0) return leased
    }
    return []
  }

  call(max = 100, pools: readonly string[] = []): readonly string[] {
    this.told = false
    const leased = this.scheduler.lease('w', pools, max, (candidate) => this.#room(candidate), this.now)
    for (const { id, attempt } of leased) this.attempts.set(id, attempt)
    if (leased.length === max) this.told = true
    this.#drain()
    return leased.map(({ id }) => id)
  }

  pass(ms: number): void {
    this.now += ms
    this.scheduler.tick(this.now)
    this.#drain()
  }

  finish(id: string, outcome: Outcome = DONE): void {
    this.scheduler.finish(id, this.attempts.get(id)!, outcome, this.now)
    this.#drain()
  }

  serves(model: string, isOn: boolean): void {
    if (isOn) this.full.delete(model)
    else this.full.add(model)
    this.told = true
  }

  giveBack(account: string, tokens: number): void {
    this.purses.get(account)!.used -= tokens
    this.scheduler.freed([account])
    this.#drain()
  }

  cancel(id: string): void {
    this.scheduler.cancel(id, this.now)
    this.#drain()
  }

  #drain(): void {
    if (this.scheduler.drain().some(({ type }) => type === 'ready')) this.told = true
  }
}

describe('a user who is out', () => {
  it('is not in the way of another of the same tenant and model, however many of its jobs wait', () => {
    const of = new Limited()
    of.limit('user a/loop', 'job', 10, 0.001)
    for (let i = 0; i < 5_000; i++) of.submit(`loop${i}`, { session: 'loop' })
    expect(of.lease()).toEqual(['loop0'])
    for (let i = 0; i < 20; i++) of.submit(`ann${i}`, { session: 'ann' })
    expect(of.lease()).toHaveLength(20)
    of.asked = 0
    for (let i = 20; i < 120; i++) {
      of.submit(`ann${i}`, { session: 'ann' })
      expect(of.lease()).toEqual([`ann${i}`])
    }
    expect(of.asked).toBe(100)
  })

  it('goes on when its time has come, in its order, one at a time', () => {
    const of = new Limited()
    of.limit('user a/u', 'job', 10, 0.01)
    for (const id of ['1', '2', '3']) of.submit(id)
    expect(of.lease()).toEqual(['1'])
    expect(of.scheduler.state('2')).toBe('waiting')
    expect(of.scheduler.nextAt()).toBe(1_000)
    of.pass(999)
    expect(of.lease()).toEqual([])
    of.pass(1)
    expect(of.lease()).toEqual(['2'])
    expect(of.scheduler.nextAt()).toBe(2_000)
    of.pass(1_000)
    expect(of.lease()).toEqual(['3'])
    expect(of.scheduler.nextAt()).toBeGreaterThan(1e11)
  })

  it('goes on at once when something is given back', () => {
    const of = new Limited()
    of.limit('user a/u', 'job', 10, 1e-9)
    of.submit('1')
    of.submit('2')
    expect(of.lease()).toEqual(['1'])
    of.giveBack('user a/u', 10)
    expect(of.lease()).toEqual(['2'])
  })

  it('keeps its order when there was not room enough after all', () => {
    const of = new Limited()
    of.limit('user a/u', 'job', 10, 1e-9)
    for (const id of ['1', '2', '3']) of.submit(id)
    expect(of.lease()).toEqual(['1'])
    of.giveBack('user a/u', 5)
    expect(of.lease()).toEqual([])
    of.giveBack('user a/u', 5)
    expect(of.lease()).toEqual(['2'])
  })

  it('does not keep its other jobs waiting when the next one is held back by its key', () => {
    const of = new Limited()
    of.limit('user a/u', 'job', 10, 1e-9)
    of.limit('key a/1', 'job', 10, 1e-9)
    of.submit('1', { bodyBytes: 1 })
    of.submit('2', { bodyBytes: 1 })
    of.submit('3', { bodyBytes: 2 })
    expect(of.lease()).toEqual(['1'])
    of.giveBack('user a/u', 10)
    expect(of.lease()).toEqual(['3'])
    of.giveBack('user a/u', 10)
    expect(of.lease()).toEqual([])
    of.giveBack('key a/1', 10)
    expect(of.lease()).toEqual(['2'])
  })

  it('is not asked about job by job when its key is out too', () => {
    const of = new Limited()
    of.limit('user a/u', 'job', 10, 1e-9)
    of.limit('key a/1', 'job', 10, 1e-9)
    for (let i = 0; i < 1_000; i++) of.submit(`${i}`, { bodyBytes: 1 })
    expect(of.lease()).toEqual(['0'])
    of.asked = 0
    of.giveBack('user a/u', 10)
    expect(of.lease()).toEqual([])
    of.giveBack('key a/1', 10)
    expect(of.lease()).toEqual(['1'])
    expect(of.asked).toBeLessThan(5)
    of.giveBack('key a/1', 10)
    of.giveBack('user a/u', 10)
    expect(of.lease()).toEqual(['2'])
  })

  it('is not overtaken by its own that came later while it finds no room elsewhere', () => {
    const of = new Limited()
    of.limit('user a/u', 'job', 12, 1e-9)
    of.limit('key a/1', 'job', 10, 1e-9)
    of.submit('first', { model: 'm2', bodyBytes: 1 })
    of.submit('1', { promptTokens: 2, model: 'm1', bodyBytes: 1 })
    of.submit('2', { promptTokens: 1, model: 'm1', bodyBytes: 1 })
    of.submit('3', { promptTokens: 5, model: 'm2', bodyBytes: 1 })
    expect(of.lease()).toEqual(['first'])
    of.serves('m1', false)
    of.giveBack('key a/1', 10)
    expect(of.lease()).toEqual([])
    of.giveBack('user a/u', 3)
    of.serves('m1', true)
    expect(of.lease()).toEqual(['1', '2'])
  })

  it('is not overtaken by its own that another one of its key kept waiting', () => {
    const of = new Limited()
    of.limit('user a/u', 'job', 10, 1e-9)
    of.limit('key a/1', 'job', 100, 1e-9)
    of.submit('first', { promptTokens: 8, bodyBytes: 1 })
    of.submit('large', { bodyBytes: 1 })
    expect(of.lease()).toEqual(['first'])
    of.submit('another', { session: 'v', promptTokens: 100, bodyBytes: 1 })
    of.submit('small', { promptTokens: 1, bodyBytes: 1 })
    expect(of.lease()).toEqual([])
    of.giveBack('key a/1', 8)
    expect(of.lease()).toEqual(['another'])
    of.giveBack('key a/1', 100)
    expect(of.lease()).toEqual([])
    of.giveBack('user a/u', 8)
    expect(of.lease()).toEqual(['large'])
  })

  it('does not see a large job overtaken by the small ones that came later', () => {
    const of = new Limited()
    of.limit('user a/u', 'job', 100, 0.01)
    of.submit('first', { promptTokens: 50 })
    of.submit('large', { promptTokens: 90 })
    expect(of.lease()).toEqual(['first'])
    for (let i = 0; i < 50; i++) {
      of.submit(`small${i}`, { promptTokens: 1 })
      expect(of.lease()).toEqual([])
      of.pass(80)
    }
    expect(of.lease()[0]).toBe('large')
  })

  it('is told a place that counts its own, and a time not before there is room', () => {
    const of = new Limited()
    of.limit('user a/u', 'job', 10, 0.01)
    for (const id of ['1', '2', '3']) of.submit(id)
    of.lease()
    expect([of.scheduler.place('2', 0), of.scheduler.place('3', 0)]).toMatchObject([{ position: 1 }, { position: 2 }])
  })

  it('leaves nobody behind when the one that may try next is canceled, or is held back itself', () => {
    const of = new Limited()
    of.limit('user a/u', 'job', 10, 1e-9)
    for (const id of ['1', '2', '3', '4']) of.submit(id)
    of.lease()
    of.giveBack('user a/u', 10)
    of.cancel('2')
    expect(of.lease()).toEqual(['3'])
    of.giveBack('user a/u', 10)
    of.scheduler.pause({ tenant: 'a' })
    expect(of.lease()).toEqual([])
    of.scheduler.resume({ tenant: 'a' })
    of.pass(0)
    expect(of.lease()).toEqual(['4'])
  })
})

/** Has its user's room, and nothing of its own model: m1. */
const STANDS: Readonly<Record<string, (of: Limited) => void>> = {
  'the model is full': (of) => of.full.add('m1'),
  'the model is paused': (of) => of.scheduler.pause({ model: 'm1' }),
  'the tenant’s model is paused': (of) => of.scheduler.pause({ tenant: 'a', model: 'm1' }),
  'the tenant’s model is used up': (of) => {
    of.limit('model a/m1', 'line', 10, 1e-9)
    of.submit('other', { model: 'm1', session: 'v' })
    of.submit('other2', { model: 'm1', session: 'v' })
    of.lease()
  },
}

describe('one that may try next, and has no room elsewhere', () => {
  it.each(Object.entries(STANDS))('is in the way of its model alone: %s', (_name, stands) => {
    const of = new Limited()
    of.limit('user a/u', 'job', 10, 0.01)
    of.submit('first', { model: 'm2' })
    expect(of.lease()).toEqual(['first'])
    for (const id of ['a1', 'a2', 'a3']) of.submit(id, { model: 'm1' })
    for (const id of ['b1', 'b2']) of.submit(id, { model: 'm2' })
    expect(of.lease()).toEqual([])
    stands(of)
    of.pass(1_000)
    expect(of.lease()).toEqual(['b1'])
    of.pass(1_000)
    expect(of.lease()).toEqual(['b2'])
    of.pass(1_000)
    of.submit('b3', { model: 'm2' })
    expect(of.lease()).toEqual(['b3'])
    of.serves('m1', true)
    for (const selector of of.scheduler.paused()) of.scheduler.resume(selector)
    if (of.purses.has('model a/m1')) of.giveBack('model a/m1', 10)
    of.purses.delete('model a/m1')
    of.scheduler.limitsChanged(of.now)
    const order: string[] = []
    for (let i = 0; i < 5; i++) {
      of.told = true
      order.push(...of.lease().filter((id) => id.startsWith('a')))
      of.pass(1_000)
    }
    expect(order).toEqual(['a1', 'a2', 'a3'])
  })

  it('is passed over where no worker serves its pool', () => {
    const of = new Limited()
    of.limit('user a/u', 'job', 10, 0.01)
    of.submit('first')
    expect(of.lease(100, ['text'])).toEqual(['first'])
    of.submit('image', { pool: 'image' })
    of.submit('text')
    of.lease()
    of.pass(1_000)
    expect(of.lease(100, ['text'])).toEqual(['text'])
    of.pass(1_000)
    of.told = true
    expect(of.lease(100, ['image'])).toEqual(['image'])
  })

  it('does not lose its turn to small ones once it could run', () => {
    const of = new Limited()
    of.limit('user a/u', 'job', 100, 0.01)
    of.submit('first', { model: 'm2', promptTokens: 100 })
    of.lease()
    of.full.add('m1')
    of.submit('large', { model: 'm1', promptTokens: 90 })
    of.submit('small', { model: 'm2', promptTokens: 10 })
    of.lease()
    of.pass(9_000)
    expect(of.lease()).toEqual(['small'])
    of.serves('m1', true)
    for (let i = 0; i < 50; i++) {
      of.submit(`small${i}`, { model: 'm2', promptTokens: 10 })
      const leased = of.lease()
      if (leased.length > 0) {
        expect(leased[0]).toBe('large')
        return
      }
      of.pass(100)
    }
    expect.unreachable('it never had its turn')
  })
})

describe('thousands of users of a key that is out', () => {
  const crowd = (users: number): Limited => {
    const of = new Limited()
    of.limit('key a/1', 'job', 10, 1e-9)
    for (let i = 0; i < users; i++) of.submit(`${i}`, { session: `u${i}`, bodyBytes: 1 })
    return of
  }

  it('are parked some hundred in a call', () => {
    const of = crowd(2_000)
    expect(of.call()).toEqual(['0'])
    let calls = 1
    for (; of.told; calls++) expect(of.call()).toEqual([])
    expect([calls, of.asked]).toEqual([4, 2])
    expect(of.scheduler.depth()).toMatchObject({ waiting: 1_999, queued: 0 })
  })

  it('cost the next one of them no look at all the others', () => {
    const of = crowd(2_000)
    while (of.told) of.call()
    let looks = 0
    const counted = (name: 'first' | 'headOf'): (() => void) => {
      const real = Line.prototype[name] as (this: unknown, ...args: unknown[]) => unknown
      Line.prototype[name] = function (this: unknown, ...args: unknown[]) {
        looks++
        return real.apply(this, args)
      } as never
      return () => {
        Line.prototype[name] = real as never
      }
    }
    const repairs = [counted('first'), counted('headOf')]
    try {
      for (let i = 1; i <= 20; i++) {
        of.giveBack('key a/1', 10)
        expect(of.lease()).toEqual([`${i}`])
      }
      of.cancel('1000')
    } finally {
      for (const repair of repairs) repair()
    }
    expect(looks).toBeLessThan(20 * 60)
  })
})

describe('a tenant that is out', () => {
  it('is not asked about again until there may be room, whatever else comes', () => {
    const of = new Limited()
    of.limit('tenant a', 'tenant', 10, 0.01)
    for (let i = 0; i < 100; i++) of.submit(`a${i}`, { session: null, model: `m${i % 7}` })
    expect(of.lease()).toHaveLength(1)
    of.asked = 0
    for (let i = 0; i < 100; i++) {
      of.submit(`b${i}`, { tenant: 'b', session: null })
      expect(of.lease()).toEqual([`b${i}`])
    }
    expect(of.asked).toBe(100)
    of.submit('a-new', { session: null, model: 'another' })
    expect(of.lease()).toEqual([])
    of.pass(1_000)
    expect(of.lease()).toHaveLength(1)
  })

  it('of one model is served in the others', () => {
    const of = new Limited()
    of.limit('model a/m1', 'line', 10, 0.01)
    for (let i = 0; i < 10; i++) of.submit(`${i}`, { session: null, model: `m${1 + (i % 2)}`, pool: `p${i % 3}` })
    expect([...of.lease()].sort()).toEqual(['0', '1', '3', '5', '7', '9'])
    of.submit('10', { session: null, model: 'm1', pool: 'p9' })
    expect(of.lease()).toEqual([])
    of.pass(1_000)
    expect(of.lease()).toHaveLength(1)
  })
})

describe('any history', () => {
  const step = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constant('submit' as const),
        tenant: fc.constantFrom('a', 'b'),
        session: fc.constantFrom('u', 'v', null),
        model: fc.constantFrom('m1', 'm2'),
        pool: fc.constantFrom('p1', 'p2'),
        bodyBytes: fc.constantFrom(1, 2),
        lane: fc.constantFrom(null, null, 'l1', 'l2'),
        priority: fc.constantFrom('high' as const, 'normal' as const, 'low' as const),
        tokens: fc.integer({ min: 1, max: 120 }),
        deadline: fc.option(fc.integer({ min: 1, max: 5_000 })),
      }),
    },
    { weight: 4, arbitrary: fc.record({ do: fc.constant('lease' as const), max: fc.integer({ min: 1, max: 5 }) }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('finish' as const), at: fc.nat(99), again: fc.boolean() }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.nat(3_000) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('back' as const), at: fc.nat(99), tokens: fc.nat(50) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel' as const), at: fc.nat(99) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('pause' as const), on: fc.boolean(), lane: fc.boolean() }) },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constant('full' as const),
        on: fc.boolean(),
        model: fc.constantFrom('m1', 'm2'),
      }),
    },
  )

  it('ends with all that waits served, leased only when somebody said so; nobody of a user and class overtakes', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 120 }), (steps) => {
        const of = new Limited()
        of.limit('user a/u', 'job', 100, 0.05)
        of.limit('user b/u', 'job', 150, 0.02)
        of.limit('user b/v', 'job', 30, 0.1)
        of.limit('key a/1', 'job', 60, 0.04)
        of.limit('tenant a', 'tenant', 200, 0.06)
        of.limit('model b/m1', 'line', 120, 0.05)
        const accounts = [...of.purses.keys()]
        const jobs: string[] = []
        /** `alone`: in no lane, of m2. */
        const made = new Map<string, { readonly order: number; readonly of: string; readonly alone: boolean }>()
        const running: string[] = []
        const lease = (max: number): void => {
          for (const id of of.lease(max)) {
            running.push(id)
            const { order, of: group } = made.get(id)!
            // Of a user's jobs of one class, flow and no lane, none that waits was accepted before
            if (group !== '' && of.attempts.get(id) === 1)
              for (const [other, { order: its, of: same }] of made)
                if (same === group && its < order && (of.attempts.get(other) ?? 0) === 0)
                  expect([other, of.scheduler.state(other)]).toEqual([other, null])
          }
        }
        for (const [n, one] of steps.entries())
          switch (one.do) {
            case 'submit': {
              const { tenant, session, bodyBytes, model, pool, lane, priority, tokens, deadline } = one
              const id = `j${n}`
              const group =
                session === null || lane !== null ? '' : [tenant, session, bodyBytes, model, pool, priority].join(' ')
              made.set(id, { order: n, of: group, alone: lane === null && model === 'm2' })
              jobs.push(id)
              of.submit(id, {
                tenant,
                session,
                model,
                pool,
                lane: lane === null ? null : `${tenant}${lane}`,
                priority,
                bodyBytes,
                promptTokens: tokens,
                deadlineMono: deadline === null ? Infinity : of.now + deadline,
              })
              break
            }
            case 'lease':
              lease(one.max)
              break
            case 'finish': {
              const [id] = running.splice(one.at % Math.max(1, running.length), 1)
              if (id === undefined) break
              if (one.again) of.finish(id, { kind: 'failed', error: new SluiceError('provider_error'), retry: true })
              else of.finish(id)
              break
            }
            case 'pass':
              of.pass(one.ms)
              break
            case 'back':
              of.giveBack(
                accounts[one.at % accounts.length]!,
                Math.min(one.tokens, of.purses.get(accounts[one.at % accounts.length]!)!.used),
              )
              break
            case 'cancel':
              if (jobs.length > 0) of.cancel(jobs[one.at % jobs.length]!)
              break
            case 'pause':
              if (one.on) of.scheduler.pause(one.lane ? { lane: 'al1' } : { tenant: 'b', model: 'm1' })
              else for (const selector of of.scheduler.paused()) of.scheduler.resume(selector)
              of.pass(0)
              break
            case 'full':
              of.serves(one.model, !one.on)
          }
        for (const selector of of.scheduler.paused()) of.scheduler.resume(selector)
        of.pass(0)
        const inLine = (): boolean => {
          const { queued, waiting, delayed } = of.scheduler.depth()
          return queued + waiting + delayed > 0
        }
        const serve = (): void => {
          for (const id of running.splice(0)) of.finish(id)
          for (let i = 0; i < 2_000 && inLine(); i++) {
            lease(100)
            for (const id of running.splice(0)) of.finish(id)
            if (of.told || !inLine()) continue
            const next = of.scheduler.nextAt()
            if (next === Infinity) return
            of.pass(Math.max(0, next - of.now) + 1e-3)
          }
        }
        of.serves('m2', true)
        of.serves('m1', false)
        serve()
        for (const [id, { alone }] of made) if (alone) expect([id, of.scheduler.state(id)]).toEqual([id, null])
        of.serves('m1', true)
        serve()
        expect(inLine(), 'what waits has a time').toBe(false)
        for (const id of running.splice(0)) of.finish(id)
        expect(of.scheduler.depth()).toEqual({ queued: 0, delayed: 0, waiting: 0, leased: 0 })
        // Nothing is kept of what is over
        of.pass(1e9)
        expect(of.scheduler.nextAt()).toBe(Infinity)
      }),
      { numRuns: depth(2_000, 150) },
    )
  })
})
