/** Shared answers at random: whatever happens, nobody repeats what is not made, and all jobs end. */
import { expect, it } from 'vitest'
import { depth } from '../../../test/depth.ts'
import { random as seeded } from '../../../test/random.ts'
import { SluiceError } from '../../core/errors.ts'
import { type LimitSettings, NO_LIMITS } from '../../core/limits.ts'
import type { Outcome } from '../../core/ports/work.ts'
import { createCoordinator } from '../coordinator.ts'
import { OPTIONS, job as scheduled } from '../scheduler/testing/jobs.ts'
import { Shares, type SharingJob } from './shares.ts'

const SEEDS = depth(3_000, 300)
const DONE: Outcome = {
  kind: 'done',
  usage: { promptTokens: 1, completionTokens: 1, estimated: false },
  timing: { queuedMs: 0, totalMs: 1, attempts: 1 },
}
const failed = (retry: boolean | 'elsewhere'): Outcome => ({
  kind: 'failed',
  error: new SluiceError('provider_error'),
  retry,
})
const model = {
  name: 'm',
  deployments: [{ name: 'd', kinds: ['chat' as const], upstreamModel: null, concurrent: 2, order: 0, revision: '' }],
}

function run(seed: number): string {
  const below = seeded(seed)
  const random = (): number => below(1_000_000) / 1_000_000
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]
  const rules = { ttlMs: pick([0, 40, 1_000]), maxEntries: 2, coalesce: random() < 0.9 }
  let now = 0
  const most = pick([null, null, 1, 2])
  const eachUser = most === null ? null : { rates: [], budgets: [], concurrent: most }
  const eachTenant = { all: null, eachUser, eachRun: null, eachKey: null, models: {} }
  const limits = (): LimitSettings => ({ ...NO_LIMITS, eachTenant })
  const it = createCoordinator({ ...OPTIONS, models: [model], limits, shares: () => rules })
  const running = new Map<string, { attempt: number; source: string | null }>()
  const inLine = new Set<string>()
  const made = new Set<string>()
  let count = 0
  let repeats = 0
  const look = (): void => {
    for (const change of it.changes()) {
      const { id } = change as { id: string }
      if (change.type === 'leased') {
        const source = change.claim.source ?? null
        if (source !== null) {
          repeats++
          const of = running.get(source)
          if (of?.source != null) throw new Error(`${id} repeats ${source}, which repeats ${of.source}`)
          if (of === undefined && !made.has(source)) throw new Error(`${id} repeats ${source}, which makes nothing`)
        }
        inLine.delete(id)
        running.set(id, { attempt: change.attempt, source })
      } else if (change.type === 'returned') {
        running.delete(id)
        inLine.add(id)
      } else if (change.type === 'ended') {
        if (change.state === 'done' && running.get(id)?.source === null) made.add(id)
        running.delete(id)
        inLine.delete(id)
      } else if (change.type === 'accepted') inLine.add(id)
    }
    it.notices()
  }
  const finish = (id: string, outcome: Outcome): void => {
    const { attempt } = running.get(id)!
    it.finish(id, attempt, outcome, now)
    look()
  }
  const lease = (): void => {
    it.tick(now)
    look()
    for (let rounds = 0; it.leasable && rounds < 100; rounds++) {
      it.lease(now)
      look()
    }
  }
  it.attach({ id: 'w', pools: [], slots: pick([1, 2, 5]) }, now)
  for (let step = 0; step < 120; step++) {
    now += Math.floor(random() * 10)
    const what = random()
    const id = pick([...running.keys(), ...inLine])
    if (what < 0.35) {
      const times = { acceptedMono: now, notBeforeMono: now + (random() < 0.1 ? 15 : 0), deadlineMono: Infinity }
      const share = { key: pick(['a', 'a', 'b']), ...(random() < 0.1 && { refresh: true as const }) }
      const lane = random() < 0.1 ? pick(['x', 'y']) : null
      const user = pick([null, 'ann', 'ben', 'cem'])
      const more = { lane, user, priority: pick(['high', 'normal', 'low'] as const), ...times, share }
      it.submit(scheduled(`job_${count++}`, { model: 'm', pool: 'text', ...more }), now)
      look()
    } else if (what < 0.6) lease()
    else if (what < 0.63) {
      it.leave('w', now)
      look()
      it.attach({ id: 'w', pools: [], slots: pick([1, 2, 5]) }, now)
    } else if (id === undefined) continue
    else if (what < 0.68) it.cancel(id, now)
    else if (what < 0.72) it.abandon(id, now)
    else if (running.has(id))
      finish(id, pick([DONE, DONE, failed(true), failed('elsewhere'), failed(false), { kind: 'released' }]))
    look()
  }
  for (let rounds = 0; running.size + inLine.size > 0; rounds++) {
    if (rounds > 500) throw new Error(`stuck: ${[...inLine].join()} in line, ${[...running.keys()].join()} run`)
    now += 50
    it.heartbeat('w', now)
    lease()
    for (const id of [...running.keys()]) finish(id, DONE)
  }
  const { queued, delayed, waiting, leased } = it.depth()
  if (queued + delayed + waiting + leased > 0) throw new Error('jobs are left')
  if (it.status(now).some(({ active }) => active > 0)) throw new Error('a deployment is still used')
  return `${count} ${repeats}`
}

it(`${SEEDS} random runs: no chains, no job is stuck, nothing is left`, () => {
  let repeats = 0
  for (let seed = 1; seed <= SEEDS; seed++)
    try {
      repeats += Number(run(seed).split(' ')[1])
    } catch (error) {
      throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error })
    }
  expect(repeats).toBeGreaterThan(SEEDS)
})

const sharing = (id: string, key: string): SharingJob => ({
  ...{ id, tenant: 't', lane: null, priority: 'normal', acceptedMono: 0, notBeforeMono: 0, share: { key } },
})

it('very many questions are kept as far as the tenant may, and none of those that ended is held on to', () => {
  const shares = new Shares(() => ({ ttlMs: 1_000_000, maxEntries: 1_000, coalesce: true }))
  for (let i = 0; i < depth(1_000_000, 200_000); i++) {
    const asked = sharing(`job_${i}`, `key ${i}`)
    shares.take(asked, i)
    shares.leased(asked.id)
    if (i % 2 === 0) shares.made(asked, i)
    else shares.ended(asked.id, () => null)
  }
  expect(shares.size).toEqual({ kept: 1_000, making: 0, jobs: 0 })
})

it('thousands that ask the same: each that fails costs no look at all of them', () => {
  const shares = new Shares(() => ({ ttlMs: 0, maxEntries: 1, coalesce: true }))
  const all = Array.from({ length: depth(100_000, 30_000) }, (_, i) => sharing(`job_${i}`, 'key'))
  for (const one of all) shares.take(one, 0)
  const byId = new Map(all.map((one) => [one.id, one]))
  let looked = 0
  let maker: string | null = 'job_0'
  for (let failures = 0; maker !== null; failures++) {
    expect(maker).toBe(`job_${failures}`)
    const { promoted } = shares.ended(maker, (id) => {
      looked++
      return byId.get(id) ?? null
    })
    maker = promoted[0] ?? null
    expect(promoted.length).toBeLessThanOrEqual(1)
    if (failures > all.length) throw new Error('too many')
  }
  expect(looked).toBe(all.length - 1)
  expect(shares.size).toEqual({ kept: 0, making: 0, jobs: 0 })
})

it('what has grown too old is dropped as others come', () => {
  const shares = new Shares(() => ({ ttlMs: 10, maxEntries: 1_000, coalesce: false }))
  for (let i = 0; i < 100; i++) shares.made(sharing(`job_${i}`, `key ${i}`), i)
  expect(shares.size.kept).toBeLessThanOrEqual(11)
})
