/** Held by every engine: an attempt's second call is committed before it is made, and each of the two booked once. */
import { expect } from 'vitest'
import type { PlanDeployment, PlanModel } from '../../src/core/ports/coordinator.ts'
import type { Engine } from '../../src/core/ports/engine.ts'
import type { Race } from '../../src/core/ports/work.ts'
import { type Case, DONE, eventually, type Open, pass, settled, submit, TestWorker } from './harness.ts'
import { recordsOf } from './ledger.ts'

const deployment = (name: string, order: number): PlanDeployment => ({
  ...{ name, kinds: ['chat'], upstreamModel: null, concurrent: 1, order, revision: '' },
  hedge: { quantile: 0.95, afterMs: 200 },
})
const MODELS: readonly PlanModel[] = [{ name: 'm', deployments: [deployment('a', 0), deployment('b', 1)] }]
const usage = (promptTokens: number, completionTokens: number) => ({ promptTokens, completionTokens, estimated: true })
const COST = { nanoDollars: 7, priceVersion: 'list 7' }
const LOST: Race = { won: 'second', end: 'outrun', usage: usage(10, 0), cost: COST }
const ENDED = { ...DONE, usage: usage(10, 3), cost: { ...COST, nanoDollars: 1_000 } }

async function hedged(open: Open) {
  const opened = await open({ models: MODELS, leaseMs: 2_000 })
  const { engine } = opened
  const job = await submit(engine, { promptTokens: 10, maxOutputTokens: 10 })
  const lease = await new TestWorker(engine).one(job)
  expect(lease.claim).toMatchObject({ deployment: 'a', hedgeAfterMs: 200 })
  const claim = await engine.work.hedge(lease)
  expect(claim).toMatchObject({ deployment: 'b', isHedge: true })
  return { opened, engine, job, lease, claim }
}

/** "deployment end tokens dollars", of the second call with "hedge" before it. */
const booked = async (engine: Engine): Promise<readonly string[]> =>
  (await recordsOf(engine))
    .map(
      ({ hedge, attempt, deployment: at, end, usage: { promptTokens, completionTokens }, nanoDollars }) =>
        `${hedge ? 'hedge ' : ''}${attempt} ${at} ${end} ${promptTokens}+${completionTokens} ${nanoDollars}`,
    )
    .toSorted()

const active = async ({ operations }: Engine): Promise<readonly number[]> =>
  (await operations.deployments()).map((each) => each.active)

const BOTH = ['1 a outrun 10+0 7', 'hedge 1 b done 10+3 1000']

export const hedgeCases: readonly Case[] = [
  {
    name: "the second call wins: what the first held is free at once, and the attempt's end is of the second",
    async run(open) {
      const { engine, lease, claim } = await hedged(open)
      expect(await active(engine)).toEqual([1, 1])
      expect(await engine.work.hedge(lease)).toEqual(claim)
      engine.work.raced(lease, LOST)
      await settled(engine)
      expect(await active(engine)).toEqual([0, 1])
      await eventually(async () => expect(await booked(engine)).toEqual(BOTH.slice(0, 1)))
      await engine.work.finish(lease, { ...ENDED, race: LOST })
      await eventually(async () => expect(await booked(engine)).toEqual(BOTH))
      expect(await active(engine)).toEqual([0, 0])
      // What is late changes nothing
      engine.work.raced(lease, LOST)
      expect(await engine.work.hedge(lease)).toBeNull()
      await settled(engine)
      expect(await booked(engine)).toEqual(BOTH)
    },
  },
  {
    name: 'where only its end tells of the race, all is the same; one that was never made costs nothing',
    async run(open) {
      const first = await hedged(open)
      await first.engine.work.finish(first.lease, { ...ENDED, race: LOST })
      await eventually(async () => expect(await booked(first.engine)).toEqual(BOTH))
      expect(await active(first.engine)).toEqual([0, 0])
      const second = await hedged(open)
      await second.engine.work.finish(second.lease, ENDED)
      await eventually(async () => expect(await booked(second.engine)).toEqual(['1 a done 10+3 1000']))
      expect(await active(second.engine)).toEqual([0, 0])
    },
  },
  {
    name: 'there is none where the other has no room, nor for an attempt that is over',
    async run(open) {
      const { engine, lease } = await hedged(open)
      const job = await submit(engine, { promptTokens: 10, maxOutputTokens: 10 })
      await engine.work.finish(lease, ENDED)
      const worker = new TestWorker(engine, 'w2')
      const next = await worker.one(job)
      expect(next.claim.deployment).toBe('a')
      const third = await worker.one(await submit(engine, { promptTokens: 10, maxOutputTokens: 10 }))
      expect(third.claim.deployment).toBe('b')
      expect(await engine.work.hedge(next)).toBeNull()
      expect(await engine.work.hedge(lease)).toBeNull()
    },
  },
  {
    name: 'canceled while both run: both are booked',
    async run(open) {
      const { engine, lease, job } = await hedged(open)
      await engine.jobs.cancel(job.id)
      const race: Race = { won: 'first', end: 'canceled', usage: usage(10, 0), cost: COST }
      await engine.work.finish(lease, { kind: 'canceled', attemptUsage: usage(10, 0), cost: COST, race })
      await eventually(async () =>
        expect(await booked(engine)).toEqual(['1 a canceled 10+0 7', 'hedge 1 b canceled 10+0 7']),
      )
    },
  },
  {
    name: 'killed while both run: both are booked where they ran, once, however often it is killed',
    needs: 'kill',
    async run(open) {
      let { opened } = await hedged(open)
      opened = await opened.reopen('kill')
      await pass(opened, 4_000)
      const expected = [expect.stringMatching(/^1 a lost 10\+0 /), expect.stringMatching(/^hedge 1 b lost 10\+0 /)]
      await eventually(async () => expect(await booked(opened.engine)).toEqual(expected))
      expect(await active(opened.engine)).toEqual([0, 0])
      opened = await opened.reopen('kill')
      await settled(opened.engine)
      expect(await booked(opened.engine)).toEqual(expected)
    },
  },
  {
    name: 'killed after the second has won: what streams is of that one',
    needs: 'kill',
    async run(open) {
      let { opened, engine, lease } = await hedged(open)
      engine.work.raced(lease, LOST)
      const writer = engine.log.open(lease)
      writer.append(['{"choices":[{"index":0,"delta":{"content":"Hi"}}]}'], 1, true)
      await writer.flushed()
      await settled(engine)
      opened = await opened.reopen('kill')
      await pass(opened, 4_000)
      await eventually(async () =>
        expect(await booked(opened.engine)).toEqual([
          '1 a outrun 10+0 7',
          expect.stringMatching(/^hedge 1 b lost 10\+[01] /),
        ]),
      )
      const lost = { type: 'attempt-ended', attempt: 1, deployment: 'b', code: 'worker_lost' }
      await eventually(async () => expect(opened.facts.filter(({ type }) => type === lost.type)).toMatchObject([lost]))
    },
  },
  {
    name: 'a coordinator that takes over while both run knows both; its worker goes on',
    needs: 'fleet',
    async run(open) {
      const a = await open({ models: MODELS, leaseMs: 60_000 })
      const b = await a.beside!()
      const job = await submit(b.engine, { promptTokens: 10, maxOutputTokens: 10 })
      const lease = await new TestWorker(b.engine).one(job)
      expect(await b.engine.work.hedge(lease)).toMatchObject({ deployment: 'b' })
      // The one that was opened first coordinates
      const next = await a.reopen('kill')
      await eventually(async () => expect(await active(b.engine)).toEqual([1, 1]))
      await b.engine.work.finish(lease, { ...ENDED, race: LOST })
      await eventually(async () => expect(await booked(next.engine)).toEqual(BOTH))
      await eventually(async () => expect(await active(b.engine)).toEqual([0, 0]))
    },
  },
]
