/** Fairness over lost workers, hand-backs and reloads: tenants that always have work get their shares. */
import { expect, it } from 'vitest'
import { createCoordinator } from '../../src/coordinator/coordinator.ts'
import type { ScheduledJob } from '../../src/core/ports/coordinator.ts'
import { random } from './random.ts'
import { OPTIONS } from './world.ts'

const MAX_PROMPT = 300
const MAX_OUTPUT = 50
const SLOTS = 2
const WEIGHTS: Readonly<Record<string, number>> = { a: 1, b: 1, c: 3 }
const MODELS = [
  {
    name: 'm',
    deployments: [
      { name: 'd', kinds: ['chat'] as const, upstreamModel: null, concurrent: SLOTS, order: 0, revision: '1' },
    ],
  },
]

/** The widest gap there ever was between two tenants' service, by their weights. */
function widestGap(seed: number, weight: (tenant: string) => number): number {
  const draw = random(seed)
  const coordinator = createCoordinator({
    ...OPTIONS,
    maxQueuedJobs: 1e6,
    maxQueuedPerTenant: 1e6,
    weight,
    models: MODELS,
  })
  const served: Record<string, number> = { a: 0, b: 0, c: 0 }
  const running = new Map<string, { readonly job: ScheduledJob; readonly attempt: number }>()
  const jobs = new Map<string, ScheduledJob>()
  let made = 0
  let worker = 'w0'
  const submit = (tenant: string): void => {
    const job: ScheduledJob = {
      ...{ id: `j${++made}`, kind: 'chat', tenant, lane: null, session: null, pool: 'text', model: 'm' },
      ...{ priority: 'normal', promptTokens: 1 + draw.below(MAX_PROMPT), bodyBytes: 1, acceptedMono: 0 },
      ...{ notBeforeMono: 0, deadlineMono: Infinity, joinKey: null },
      ...{ keyId: 'key_1', user: null, run: null, route: '', maxOutputTokens: null, price: null, policy: 'wait' },
    }
    jobs.set(job.id, job)
    coordinator.submit(job, 0)
  }
  for (const tenant of Object.keys(WEIGHTS)) for (let i = 0; i < 5; i++) submit(tenant)
  coordinator.attach({ id: worker, pools: [], slots: SLOTS }, 0)
  let gap = 0
  for (let step = 0; step < 400; step++) {
    coordinator.lease(0)
    for (const change of coordinator.changes()) {
      if (change.type !== 'leased') continue
      const job = jobs.get(change.id)!
      running.set(change.id, { job, attempt: change.attempt })
      served[job.tenant] += job.promptTokens
      // Each job that starts is replaced, so there is always work
      if (change.attempt === 1) submit(job.tenant)
    }
    const shares = Object.keys(served).map((tenant) => served[tenant] / WEIGHTS[tenant])
    gap = Math.max(gap, Math.max(...shares) - Math.min(...shares))
    const what = draw.below(100)
    if (what < 3) {
      coordinator.leave(worker, 0)
      running.clear()
      worker = `w${step}`
      coordinator.attach({ id: worker, pools: [], slots: SLOTS }, 0)
    } else if (what < 6) coordinator.configure(MODELS, 0)
    else {
      const [id, { job, attempt }] = draw.of([...running])
      running.delete(id)
      if (draw.chance(0.1)) coordinator.finish(id, attempt, { kind: 'released' }, 0)
      else {
        const completionTokens = draw.below(MAX_OUTPUT)
        served[job.tenant] += 2 * completionTokens
        const usage = { promptTokens: job.promptTokens, completionTokens, estimated: false }
        const timing = { queuedMs: 0, totalMs: 0, attempts: 1 }
        coordinator.finish(id, attempt, { kind: 'done', usage, timing }, 0)
      }
    }
  }
  return gap
}

/** VTC's bound: what may run at once, and the job that is chosen. */
const BOUND = 2 * (SLOTS + 1) * (MAX_PROMPT + 2 * MAX_OUTPUT)

it('keeps shares over 100 seeds', () => {
  for (let seed = 1; seed <= 100; seed++)
    expect(
      widestGap(seed, (tenant) => WEIGHTS[tenant]),
      `seed ${seed}`,
    ).toBeLessThan(BOUND)
})

it('finds a planted bug: weights ignored', () => {
  expect(widestGap(1, () => 1)).toBeGreaterThan(BOUND)
})

it('finds a planted bug: who has had most is served first', () => {
  expect(widestGap(1, (tenant) => (tenant === 'a' ? 1e9 : 1))).toBeGreaterThan(BOUND)
})
