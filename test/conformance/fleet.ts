/** Held by every engine that several processes can open at once: what holds over one process holds over all. */
import { expect } from 'vitest'
import type { Bytes } from '../../src/core/record.ts'
import {
  type Case,
  DONE,
  eventually,
  type Open,
  type Opened,
  pass,
  readAll,
  type Settings,
  settled,
  submit,
  TestWorker,
} from './harness.ts'
import { draft } from './words.ts'

const chunk = (n: number): string => `{"n":${n}}`

/** The one that was opened first coordinates. */
async function two(open: Open, settings?: Settings): Promise<readonly [Opened, Opened]> {
  const first = await open(settings)
  return [first, await first.beside!()]
}

/** A job that the first took, and the second runs. */
async function running(open: Open) {
  const [a, b] = await two(open)
  const worker = new TestWorker(b.engine)
  const job = await submit(a.engine)
  const lease = await worker.one(job)
  return { a, b, worker, job, lease, writer: b.engine.log.open(lease) }
}

export const fleetCases: readonly Case[] = [
  {
    name: 'what one process submits another runs, and both read; states, places, lists and keys are the same',
    needs: 'fleet',
    async run(open) {
      const [a, b] = await two(open)
      const worker = new TestWorker(b.engine)
      const [first, second] = [await submit(a.engine), await submit(b.engine)]
      expect([...(await b.engine.jobs.places([first.id, second.id])).values()].map((place) => place.position)).toEqual(
        [...(await a.engine.jobs.places([first.id, second.id])).values()].map((place) => place.position),
      )
      const heard: Bytes[] = []
      await a.engine.log.follow(first.id, (_firstSeq, records) => heard.push(...records)).ready
      const lease = await worker.one(first)
      const writer = b.engine.log.open(lease)
      for (let n = 1; n <= 50; n++) writer.append([chunk(n)], 1, n === 1)
      expect((await b.engine.work.finish(lease, DONE)).kind).toBe('ended')
      await eventually(() => expect(heard.length).toBe(51))
      expect(heard.slice(0, 50)).toEqual(Array.from({ length: 50 }, (_, i) => chunk(i + 1)))
      for (const { engine } of [a, b]) {
        expect((await engine.jobs.get(first.id))?.state).toBe('done')
        expect((await engine.jobs.list({ tenant: 'acme', limit: 9 })).map(({ id }) => id)).toEqual([
          second.id,
          first.id,
        ])
        expect((await readAll(engine, first.id)).records).toEqual(heard)
      }
      await a.engine.keys.add({ id: 'k', tenant: 'acme', name: 'k', hint: 'sk', createdAtMs: 1 }, 'digest')
      await eventually(() => expect(b.engine.keys.find('digest')?.id).toBe('k'))
      await a.engine.tickets.issue('t', { id: 's', keyId: 'k', user: null, origin: null, endsAtMs: 1e15 }, 30_000)
      expect((await b.engine.tickets.redeem('t'))?.keyId).toBe('k')
      expect(await a.engine.tickets.redeem('t')).toBeNull()
    },
  },
  {
    name: 'a lane is in order over all processes; a cancel at one reaches the worker at another',
    needs: 'fleet',
    async run(open) {
      const [a, b] = await two(open)
      const [wa, wb] = [new TestWorker(a.engine, 'w1'), new TestWorker(b.engine, 'w1')]
      const lane = { options: { lane: 'l' } }
      const [first, second] = [await submit(b.engine, lane), await submit(a.engine, lane)]
      const lease = await wb.one(first)
      expect(await wa.lease()).toEqual([])
      expect(await a.engine.jobs.cancel(first.id)).toEqual({ kind: 'canceling' })
      await eventually(() => expect(wb.heard).toContain(`canceled ${first.id}`))
      await b.engine.work.finish(lease, { kind: 'canceled' })
      await wa.one(second)
    },
  },
  {
    name: 'an idempotency key is one over all processes, also when they submit at once',
    needs: 'fleet',
    async run(open) {
      const [a, b] = await two(open)
      const one = draft({ options: { idempotencyKey: 'k' } })
      const all = await Promise.all([a, b, a, b].map(({ engine }) => engine.submissions.submit([one])))
      const kinds = all.map(([{ kind }]) => kind).sort()
      expect(kinds).toEqual(['accepted', 'joined', 'joined', 'joined'])
      expect(new Set(all.map(([submitted]) => (submitted.kind === 'refused' ? '' : submitted.job.id))).size).toBe(1)
    },
  },
  {
    name: 'adopt: the coordinator dies, and what runs elsewhere goes on in its attempt',
    needs: 'fleet',
    async run(open) {
      const { a, b, worker, job, lease, writer } = await running(open)
      writer.append([chunk(1)], 1, true)
      await writer.flushed()
      const next = await a.reopen('kill')
      writer.append([chunk(2)], 1, true)
      expect(await b.engine.work.finish(lease, DONE)).toMatchObject({ kind: 'ended', state: 'done' })
      expect(worker.heard).toEqual([`leased ${job.id}`])
      expect(await next.engine.jobs.get(job.id)).toMatchObject({ state: 'done', attempts: 1 })
      expect((await readAll(next.engine, job.id)).records.slice(0, 2)).toEqual([chunk(1), chunk(2)])
    },
  },
  {
    name: 'adopt: a cancel after the coordinator died reaches the worker all the same',
    needs: 'fleet',
    async run(open) {
      const { a, b, worker, job, lease } = await running(open)
      const next = await a.reopen('kill')
      expect(await next.engine.jobs.cancel(job.id)).toEqual({ kind: 'canceling' })
      await eventually(() => expect(worker.heard).toContain(`canceled ${job.id}`))
      expect(await b.engine.work.finish(lease, { kind: 'canceled' })).toMatchObject({
        kind: 'ended',
        state: 'canceled',
      })
    },
  },
  {
    name: 'resend: what is submitted while the coordinator dies is accepted once, or refused',
    needs: 'fleet',
    async run(open) {
      const [a, b] = await two(open)
      const before = await submit(b.engine)
      const sent = Array.from({ length: 40 }, () => b.engine.submissions.submit([draft()]))
      const next = await a.reopen('kill')
      const all = (await Promise.all(sent)).map(([submitted]) => submitted)
      const ids = all.flatMap((submitted) => (submitted.kind === 'refused' ? [] : [submitted.job.id]))
      expect(ids.length).toBe(40)
      const listed = (await next.engine.jobs.list({ tenant: 'acme', limit: 1_000 })).map(({ id }) => id)
      expect(listed.length).toBe(41)
      expect(new Set(listed)).toEqual(new Set([before.id, ...ids]))
    },
  },
  {
    name: 'reconcile: a worker that was given up while it was cut off stops, and can end nothing',
    needs: 'cut',
    async run(open) {
      const [first, cutOff] = await two(open, { leaseMs: 10_000 })
      const [wa, wb] = [new TestWorker(first.engine, 'w1'), new TestWorker(cutOff.engine, 'w1')]
      const job = await submit(first.engine)
      const lease = await wb.one(job)
      await pass(cutOff, 1_000)
      const heal = cutOff.cut!()
      first.clock.leap(11_000)
      const again = await wa.one(job)
      expect(again.attempt).toBe(2)
      heal()
      await eventually(() => expect(wb.heard).toContain(`lost ${job.id}`))
      expect((await cutOff.engine.work.finish(lease, DONE)).kind).toBe('fenced')
      expect((await first.engine.work.finish(again, DONE)).kind).toBe('ended')
      expect(await cutOff.engine.jobs.get(job.id)).toMatchObject({ state: 'done', attempts: 2 })
    },
  },
  {
    name: 'lost message: a reader whose process was cut off hears all that was stored meanwhile, and its end, once',
    needs: 'cut',
    async run(open) {
      const [first, cutOff] = await two(open)
      const worker = new TestWorker(first.engine)
      const job = await submit(first.engine)
      const lease = await worker.one(job)
      const writer = first.engine.log.open(lease)
      const heard: Bytes[] = []
      let next = 1
      await cutOff.engine.log.follow(job.id, (firstSeq, records) => {
        heard.push(...records.slice(Math.max(0, next - firstSeq)))
        next = Math.max(next, firstSeq + records.length)
      }).ready
      writer.append([chunk(1)], 1, true)
      await eventually(() => expect(heard.length).toBe(1))
      const heal = cutOff.cut!()
      writer.append([chunk(2), chunk(3)], 2, true)
      await writer.flushed()
      expect((await first.engine.work.finish(lease, DONE)).kind).toBe('ended')
      heal()
      await eventually(() => expect(heard.length).toBe(4))
      expect(heard).toEqual((await readAll(first.engine, job.id)).records)
    },
  },
  {
    name: 'lost message: a lease that its process did not hear of runs once, there or elsewhere',
    needs: 'cut',
    async run(open) {
      const [first, cutOff] = await two(open)
      const worker = new TestWorker(cutOff.engine)
      worker.accept(1)
      await settled(cutOff.engine)
      const heal = cutOff.cut!()
      const job = await submit(first.engine)
      heal()
      await eventually(() => expect(worker.taken.length).toBeGreaterThan(0))
      await settled(cutOff.engine)
      const lease = worker.taken.at(-1)!
      expect((await cutOff.engine.work.finish(lease, DONE)).kind).toBe('ended')
      expect(await first.engine.jobs.get(job.id)).toMatchObject({ state: 'done', attempts: lease.attempt })
    },
  },
]
