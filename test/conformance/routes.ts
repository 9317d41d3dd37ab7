/** Held by every engine: where jobs go, what their providers allow, and why, whatever dies meanwhile. */
import { expect } from 'vitest'
import type { CheckReport } from '../../src/core/engine-check.ts'
import type { PlanDeployment, PlanModel } from '../../src/core/ports/coordinator.ts'
import type { RouteAsk } from '../../src/core/ports/operations.ts'
import { type Case, DONE, eventually, submit, TestWorker } from './harness.ts'

const deployment = (name: string, more: Partial<PlanDeployment> = {}): PlanDeployment => ({
  ...{ name, kinds: ['chat'], upstreamModel: null, concurrent: Infinity, order: 0, revision: '' },
  ...more,
})
const models = (...deployments: PlanDeployment[]): readonly PlanModel[] => [{ name: 'm', deployments }]
const ASK: RouteAsk = { model: 'm', kind: 'chat', promptTokens: 10, maxOutputTokens: 10, draw: 'x' }

export const routeCases: readonly Case[] = [
  {
    name: 'what a provider allows in a minute is used, over a kill too, and comes back',
    needs: 'kill',
    async run(open) {
      let opened = await open({ models: models(deployment('d', { tokensPerMinute: 1_000 })) })
      const first = await submit(opened.engine, { promptTokens: 600, maxOutputTokens: 100 })
      const lease = await new TestWorker(opened.engine).one(first)
      expect(lease.claim).toMatchObject({ deployment: 'd', quotaTokens: 700 })
      const usage = { promptTokens: 600, completionTokens: 90, estimated: false }
      await opened.engine.work.finish(lease, { ...DONE, usage })
      const second = await submit(opened.engine, { promptTokens: 311, maxOutputTokens: 0 })
      expect(await new TestWorker(opened.engine, 'w2').lease()).toEqual([])
      opened = await opened.reopen('kill')
      const worker = new TestWorker(opened.engine, 'w3')
      expect(await worker.lease()).toEqual([])
      opened.clock.leap(63_000)
      await worker.one(second)
    },
  },
  {
    name: 'what was reported of a prompt is held for those after it',
    async run(open) {
      const { engine } = await open({ models: models(deployment('d', { tokensPerMinute: 1_000 })) })
      const prompt = { promptTokens: 50, maxOutputTokens: 0 }
      const first = await submit(engine, prompt)
      const worker = new TestWorker(engine)
      const lease = await worker.one(first)
      const usage = { promptTokens: 400, completionTokens: 0, estimated: false }
      await engine.work.finish(lease, { ...DONE, usage })
      for (let i = 0; i < 4; i++) await submit(engine, prompt)
      // Two of about 270 beside the 400
      const another = new TestWorker(engine, 'w2')
      await another.lease()
      await eventually(() => expect(another.taken.length).toBe(2))
      await another.lease()
      expect(another.taken.length).toBe(2)
    },
  },
  {
    name: 'an attempt whose worker died is counted where it ran',
    needs: 'kill',
    async run(open) {
      let opened = await open({ models: models(deployment('d', { tokensPerMinute: 1_000 })), leaseMs: 1_000 })
      const first = await submit(opened.engine, { promptTokens: 600, maxOutputTokens: 0 })
      await new TestWorker(opened.engine).one(first)
      opened = await opened.reopen('kill')
      await submit(opened.engine, { promptTokens: 600, maxOutputTokens: 0 })
      expect(await new TestWorker(opened.engine, 'w2').lease()).toEqual([])
    },
  },
  {
    name: 'what a job needs of a deployment outlives a kill',
    needs: 'kill',
    async run(open) {
      let opened = await open({ models: models(deployment('a'), deployment('b', { order: 1, tags: ['eu'] })) })
      const needs = { can: [], tags: ['eu'] }
      const job = await submit(opened.engine, { needs, affinity: 'begins so' })
      opened = await opened.reopen('kill')
      expect((await opened.engine.jobs.get(job.id))?.needs).toEqual(needs)
      expect((await new TestWorker(opened.engine).one(job)).claim.deployment).toBe('b')
    },
  },
  {
    name: 'what checks found is heard by all who ask, tells where jobs go, and is told',
    async run(open) {
      const { engine } = await open({ models: models(deployment('a'), deployment('b', { order: 1 })) })
      const heard: CheckReport[] = []
      engine.work.onChecked((reports) => void heard.push(...reports))
      const where = async (): Promise<string | null> => (await engine.operations.explain(ASK)).deployment
      const check = { tookMs: 5, holdsMs: 60_000, running: null, waiting: null }
      const bad = { ...check, deployment: 'a', ok: false, why: 'HTTP 503' }
      const good = { ...check, deployment: 'a', ok: true, why: 'HTTP 200', running: 3 }
      engine.work.checked([bad, { ...good, deployment: 'b' }])
      await eventually(() => expect(heard).toEqual([bad, { ...good, deployment: 'b' }]))
      expect(await where()).toBe('a')
      engine.work.checked([bad])
      await eventually(async () => expect(await where()).toBe('b'))
      const [a, b] = await engine.operations.deployments()
      expect(a.check).toMatchObject({ ok: false, why: 'HTTP 503', isDown: true, running: null })
      expect(b.check).toMatchObject({ ok: true, isDown: false, running: 3, waiting: null })
      expect((await new TestWorker(engine).one(await submit(engine))).claim.deployment).toBe('b')
      engine.work.checked([good])
      await eventually(async () => expect(await where()).toBe('a'))
    },
  },
  {
    name: 'where a request would go, and why, is told, and takes nothing',
    async run(open) {
      const { engine } = await open({
        models: models(deployment('a', { concurrent: 1 }), deployment('b', { order: 1 })),
      })
      const told = async (more: Partial<RouteAsk> = {}) => engine.operations.explain({ ...ASK, ...more })
      expect(await told()).toMatchObject({
        deployment: 'a',
        outputTokens: 10,
        steps: [{ model: 'm', policy: 'least-wait', unit: 'ms', chosen: 'a' }],
      })
      await new TestWorker(engine).one(await submit(engine))
      const { deployment: at, steps } = await told()
      expect([at, steps[0].deployments.map(({ deployment, out, active }) => [deployment, out, active])]).toEqual([
        'b',
        [
          ['a', 'slots', 1],
          ['b', null, 0],
        ],
      ])
      expect(await told({ needs: { can: [], tags: ['us'] } })).toMatchObject({ deployment: null })
      expect(await told({ model: 'nobody’s' })).toMatchObject({ deployment: null, steps: [] })
    },
  },
]
