/** Held by every engine that keeps anything: what survives the death of the process, and of the machine (J1). */
import { expect } from 'vitest'
import { SluiceError } from '../../src/core/errors.ts'
import { parseEnd } from '../../src/core/record.ts'
import {
  accepted,
  type Case,
  DONE,
  draft,
  eventually,
  type Opened,
  readAll,
  readConversation,
  runJob,
  submit,
  TestWorker,
} from './harness.ts'

const ways = ['kill', 'power'] as const
/** The same case for both ways to die. */
const both = (name: string, run: (opened: Opened, how: 'kill' | 'power') => Promise<void>): Case[] =>
  ways.map((how) => ({ name: `${name} (${how})`, needs: how, run: async (open) => run(await open(), how) }))

export const durabilityCases: readonly Case[] = [
  ...both('an acknowledged job survives, with its body, and its turn in the lane', async (opened, how) => {
    const body = `{"big":"${'z'.repeat(200_000)}"}`
    const jobs = (
      await opened.engine.submissions.submit([
        draft({ body, options: { lane: 'l' } }),
        draft({ options: { lane: 'l' } }),
        draft({ options: { delayMs: 60_000 } }),
      ])
    ).map(accepted)
    const { engine } = await opened.reopen(how)
    const worker = new TestWorker(engine)
    const lease = await worker.one(jobs[0])
    expect(lease.attempt).toBe(1)
    expect(Buffer.from(lease.body).toString()).toBe(body)
    expect(await worker.lease()).toEqual([])
    expect((await engine.jobs.get(jobs[2].id))?.state).toBe('delayed')
    await engine.work.finish(lease, DONE)
    await worker.one(jobs[1])
  }),
  ...both(
    'a cancel of a running job that was acknowledged is not undone, before its worker stopped',
    async (o, how) => {
      const [job, other] = [await submit(o.engine), await submit(o.engine)]
      const worker = new TestWorker(o.engine)
      await worker.one(job)
      expect(await o.engine.jobs.cancel(job.id)).toEqual({ kind: 'canceling' })
      const again = await o.reopen(how)
      await eventually(async () => expect((await again.engine.jobs.get(job.id))?.state).toBe('canceled'))
      await new TestWorker(again.engine).one(other)
      const { engine } = await again.reopen(how)
      expect((await engine.jobs.get(job.id))?.state).toBe('canceled')
    },
  ),
  ...ways.map(
    (how): Case => ({
      name: `what a session has in line counts after a restart, and is given back (${how})`,
      needs: how,
      async run(open) {
        const opened = await open({ maxQueuedPerSession: 2 })
        const jobs = [await submit(opened.engine, { session: 'ann' }), await submit(opened.engine, { session: 'ann' })]
        const { engine } = await opened.reopen(how)
        const kind = async (): Promise<string> => (await engine.submissions.submit([draft({ session: 'ann' })]))[0].kind
        expect(await kind()).toBe('refused')
        await engine.jobs.cancel(jobs[0].id)
        expect([await kind(), await kind()]).toEqual(['accepted', 'refused'])
      },
    }),
  ),
  {
    name: 'a plain POST that was begun survives a kill; once power resolved, a power loss too',
    needs: 'power',
    async run(open) {
      const opened = await open()
      const [a, b] = [await opened.engine.submissions.begin(draft()), await opened.engine.submissions.begin(draft())]
      const killed = await opened.reopen('kill')
      expect(await killed.engine.jobs.get(accepted(a.result).id)).not.toBeNull()
      expect(await killed.engine.jobs.get(accepted(b.result).id)).not.toBeNull()
      const again = await open()
      const { result, power } = await again.engine.submissions.begin(draft())
      await power()
      expect(await (await again.reopen('power')).engine.jobs.get(accepted(result).id)).not.toBeNull()
    },
  },
  ...both('an end that was told survives: state, answer, usage, exactly one end record', async (opened, how) => {
    const worker = new TestWorker(opened.engine)
    const job = await runJob(opened.engine, worker, {}, ['{"a":1}', '{"a":2}'])
    const bad = await runJob(opened.engine, worker, {}, [], {
      kind: 'failed',
      error: new SluiceError('provider_error'),
      retry: false,
    })
    const canceled = await submit(opened.engine)
    await opened.engine.jobs.cancel(canceled.id)
    const { engine } = await opened.reopen(how)
    expect(await engine.jobs.get(job.id)).toMatchObject({
      state: 'done',
      epoch: 1,
      attempts: 1,
      usage: { completionTokens: 3 },
    })
    const { records, ended, epoch } = await readAll(engine, job.id)
    expect([records.slice(0, 2), records.length, ended, epoch]).toEqual([['{"a":1}', '{"a":2}'], 3, true, 1])
    expect(parseEnd(records[2]).state).toBe('done')
    expect(await engine.jobs.get(bad.id)).toMatchObject({ state: 'failed', error: { code: 'provider_error' } })
    expect(await engine.jobs.get(canceled.id)).toMatchObject({ state: 'canceled' })
    expect(await new TestWorker(engine).lease()).toEqual([])
  }),
  ...both('a job that was running is leased again, as the next attempt, one crash later', async (opened, how) => {
    const worker = new TestWorker(opened.engine)
    const job = await submit(opened.engine)
    const lease = await worker.one(job)
    opened.engine.log.open(lease).append(['{"a":1}'], 1, true)
    await runJob(opened.engine, worker) // its sync covers the lease
    const { engine } = await opened.reopen(how)
    const next = await new TestWorker(engine).one(job)
    expect(next).toMatchObject({ attempt: 2, crashes: 1 })
    expect(await engine.jobs.get(job.id)).toMatchObject({ state: 'leased', attempts: 2 })
    expect((await engine.work.finish(lease, DONE)).kind).toBe('fenced')
    expect(() => engine.log.open(lease)).toThrow()
    expect(await engine.work.finish(next, DONE)).toEqual({ kind: 'ended', state: 'done' })
  }),
  {
    name: 'a lease survives a kill as soon as it is handed out: its attempt number is not given twice',
    needs: 'kill',
    async run(open) {
      const opened = await open()
      const job = await submit(opened.engine)
      expect((await new TestWorker(opened.engine).one(job)).attempt).toBe(1)
      const second = await opened.reopen('kill')
      expect((await new TestWorker(second.engine).one(job)).attempt).toBe(2)
      const third = await second.reopen('kill')
      expect(await new TestWorker(third.engine).one(job)).toMatchObject({ attempt: 3, crashes: 2 })
    },
  },
  {
    name: 'crashes over restarts give a job up',
    needs: 'kill',
    async run(open) {
      let opened = await open({ maxCrashes: 1 })
      const job = await submit(opened.engine)
      for (let i = 0; i < 2; i++) {
        await new TestWorker(opened.engine).one(job)
        opened = await opened.reopen('kill')
      }
      await eventually(async () =>
        expect(await opened.engine.jobs.get(job.id)).toMatchObject({ state: 'failed', error: { code: 'poison_job' } }),
      )
    },
  },
  {
    name: 'a kill loses no record that was flushed; the log goes on where it was, and cursors of all starts hold',
    needs: 'kill',
    async run(open) {
      let opened = await open()
      const job = await submit(opened.engine)
      const records: string[] = []
      const seen: Array<{ epoch: number; head: number }> = []
      for (let round = 0; round < 3; round++) {
        const writer = opened.engine.log.open(await new TestWorker(opened.engine).one(job))
        expect(writer.head).toBe(records.length)
        for (let i = 0; i < 50; i++) {
          const record =
            `{"id":"chatcmpl-1","object":"chat.completion.chunk","round":${round},` +
            `"choices":[{"delta":{"content":"tok ${i}"}}]}`
          records.push(record)
          writer.append([record], 1, false)
          if (i % 10 === 9) await writer.flushed()
        }
        seen.push({ epoch: writer.epoch, head: records.length })
        opened = await opened.reopen('kill')
        const log = await readAll(opened.engine, job.id)
        expect([log.records, log.ended]).toEqual([records, false])
        expect(seen.map(({ epoch }) => epoch)).not.toContain((await opened.engine.jobs.get(job.id))!.epoch)
        for (const { epoch, head } of seen) expect(await opened.engine.log.commonWith(job.id, epoch)).toBe(head)
      }
      // A start in which nothing was written: who came back then has its epoch
      const idle = (await opened.engine.jobs.get(job.id))!.epoch
      opened = await opened.reopen('kill')
      expect(await opened.engine.log.commonWith(job.id, idle)).toBe(records.length)
      const lease = await new TestWorker(opened.engine).one(job)
      opened.engine.log.open(lease).append(['{"last":1}'], 1, false)
      await opened.engine.work.finish(lease, DONE)
      opened = await opened.reopen('kill')
      const { records: all, ended } = await readAll(opened.engine, job.id)
      expect([all.slice(0, -1), ended]).toEqual([[...records, '{"last":1}'], true])
      for (const { epoch, head } of seen) {
        expect(await opened.engine.log.commonWith(job.id, epoch)).toBe(head)
        // A record keeps the cursor that it was first told under
        expect((await opened.engine.log.read(job.id, head - 1, 0))!.epoch).toBe(epoch)
        const page = (await opened.engine.log.read(job.id, head - 50, 1 << 20))!
        expect([page.epoch, page.records.length]).toEqual([epoch, 50])
      }
      expect(await opened.engine.log.commonWith(job.id, 999)).toBe(0)
    },
  },
  {
    name: 'each start is a new epoch for logs that had not ended; ended ones keep theirs, new ones begin at 1',
    needs: 'power',
    async run(open) {
      let opened = await open()
      const worker = new TestWorker(opened.engine)
      const ended = await runJob(opened.engine, worker)
      const running = await submit(opened.engine)
      opened.engine.log.open(await worker.one(running)).append(['{"a":1}'], 1, true)
      let last = 1
      for (const how of ['power', 'kill', 'power'] as const) {
        opened = await opened.reopen(how)
        const { epoch } = (await opened.engine.jobs.get(running.id))!
        expect(epoch).toBeGreaterThan(last)
        last = epoch
        expect((await readAll(opened.engine, ended.id)).epoch).toBe(1)
      }
      const lease = await new TestWorker(opened.engine).one(running)
      expect(opened.engine.log.open(lease).epoch).toBe(last)
      await opened.engine.work.finish(lease, DONE)
      expect((await submit(opened.engine)).epoch).toBe(1)
      opened = await opened.reopen('power')
      expect((await readAll(opened.engine, running.id)).epoch).toBe(last)
      expect(await opened.engine.jobs.get(running.id)).toMatchObject({ epoch: last, state: 'done' })
    },
  },
  {
    name: 'a cursor of before a power loss holds as far as the log was kept, whatever is written there later',
    needs: 'power',
    async run(open) {
      const opened = await open()
      const job = await submit(opened.engine)
      const writer = opened.engine.log.open(await new TestWorker(opened.engine).one(job))
      for (let i = 0; i < 60; i++) {
        writer.append([`{"before":${i}}`], 1, false)
        await writer.flushed()
      }
      const { engine } = await opened.reopen('power')
      const kept = (await readAll(engine, job.id)).records.length
      const other = engine.log.open(await new TestWorker(engine).one(job))
      other.append(
        Array.from({ length: 60 }, (_, i) => `{"after":${i}}`),
        1,
        true,
      )
      await other.flushed()
      expect((await readAll(engine, job.id)).records.length).toBe(kept + 60)
      expect(await engine.log.commonWith(job.id, 1)).toBe(kept)
    },
  },
  {
    name: 'a power loss loses at most the last records, never one in between',
    needs: 'power',
    async run(open) {
      const opened = await open()
      const worker = new TestWorker(opened.engine)
      const job = await submit(opened.engine)
      const writer = opened.engine.log.open(await worker.one(job))
      const records = Array.from({ length: 100 }, (_, i) => `{"tok":${i}}`)
      for (const record of records) {
        writer.append([record], 1, false)
        await writer.flushed()
      }
      const { engine } = await opened.reopen('power')
      const left = (await readAll(engine, job.id)).records
      expect(left).toEqual(records.slice(0, left.length))
    },
  },
  {
    name: 'a retry and its delay survive a kill, and its attempts count on',
    needs: 'kill',
    async run(open) {
      const opened = await open({ maxAttempts: 2 })
      const job = await submit(opened.engine)
      const lease = await new TestWorker(opened.engine).one(job)
      const error = new SluiceError('provider_error', { retryAfterMs: 60_000 })
      expect((await opened.engine.work.finish(lease, { kind: 'failed', error, retry: true })).kind).toBe('again')
      const { engine, clock } = await opened.reopen('kill')
      const worker = new TestWorker(engine)
      expect(await worker.lease()).toEqual([])
      clock.leap(400_000)
      await eventually(async () => expect((await engine.jobs.get(job.id))?.state).toBe('queued'))
      const next = await worker.one(job)
      expect(next).toMatchObject({ attempt: 2, crashes: 0 })
      expect(await engine.work.finish(next, { kind: 'failed', error, retry: true })).toEqual({
        kind: 'ended',
        state: 'failed',
      })
    },
  },
  {
    name: 'deadlines run on while nobody runs',
    needs: 'kill',
    async run(open) {
      const opened = await open()
      const [soon, later] = [
        await submit(opened.engine, { options: { deadlineMs: 100_000 } }),
        await submit(opened.engine, { options: { deadlineMs: 1_000_000 } }),
      ]
      opened.clock.leap(60_000)
      const { engine, clock } = await opened.reopen('kill')
      expect((await engine.jobs.get(soon.id))?.state).toBe('queued')
      clock.leap(41_000)
      await eventually(async () => expect((await engine.jobs.get(soon.id))?.state).toBe('expired'))
      expect((await engine.jobs.get(later.id))?.state).toBe('queued')
    },
  },
  ...both('idempotency keys and what SDK retries join survive', async (opened, how) => {
    const worker = new TestWorker(opened.engine)
    const keyed = { body: '{"k":1}', options: { idempotencyKey: 'k' } }
    const post = { body: '{"p":1}', options: { policy: 'reject', onDisconnect: 'cancel' } } as const
    const ended = { body: '{"e":1}', options: post.options } as const
    const done = await runJob(opened.engine, worker, ended)
    const [first, running] = [await submit(opened.engine, keyed), await submit(opened.engine, post)]
    const { engine } = await opened.reopen(how)
    const join = async (options: object) => (await engine.submissions.submit([draft(options)]))[0]
    expect(await join(keyed)).toMatchObject({ kind: 'joined', job: { id: first.id } })
    expect(await join({ ...keyed, body: '{"k":2}' })).toMatchObject({
      kind: 'refused',
      error: { code: 'idempotency_conflict' },
    })
    for (const options of [post, ended])
      expect((await join({ ...options, isRetry: true, user: 'bob' })).kind).toBe('accepted')
    expect(await join({ ...keyed, user: 'bob' })).toMatchObject({ error: { code: 'idempotency_conflict' } })
    expect(await join({ ...post, isRetry: true })).toMatchObject({ kind: 'joined', job: { id: running.id } })
    expect(await join({ ...ended, isRetry: true })).toMatchObject({ kind: 'joined', job: { id: done.id } })
    expect((await join(ended)).kind).toBe('accepted')
  }),
  ...both('pauses survive, and so do their ends', async (opened, how) => {
    await opened.engine.operations.pause({ model: 'm' })
    await opened.engine.operations.pause({ tenant: 'acme', lane: 'x' })
    await opened.engine.operations.resume({ tenant: 'acme', lane: 'x' })
    const job = await submit(opened.engine)
    const { engine } = await opened.reopen(how)
    expect(await engine.operations.paused()).toEqual([{ model: 'm' }])
    const worker = new TestWorker(engine)
    expect(await worker.lease()).toEqual([])
    await engine.operations.resume({ model: 'm' })
    await worker.one(job)
  }),
  ...both('what was erased stays erased', async (opened, how) => {
    const worker = new TestWorker(opened.engine)
    const job = await runJob(opened.engine, worker, { options: { conversation: 'c' } })
    const kept = await runJob(opened.engine, worker, { options: { conversation: 'c' } })
    expect(await opened.engine.jobs.erase(job.id)).toBe(true)
    const { engine } = await opened.reopen(how)
    expect(await engine.jobs.get(job.id)).toBeNull()
    expect(await engine.log.read(job.id, 0, 1000)).toBeNull()
    expect((await readConversation(engine, 'acme', 'c'))?.turns.map((t) => t.job)).toEqual([kept.id])
  }),
  ...both('conversations and keys survive', async (opened, how) => {
    const worker = new TestWorker(opened.engine)
    await runJob(
      opened.engine,
      worker,
      { body: '{"messages":[{"role":"user","content":"é"}]}', options: { conversation: 'c' } },
      [],
      {
        ...DONE,
        answer: '{"role":"assistant","content":"ü"}',
      },
    )
    await opened.engine.conversations.rename('acme', 'c', 'Name')
    await opened.engine.keys.add({ id: 'key_1', tenant: 'acme', name: 'n', hint: 'sk', createdAtMs: 1 }, 'digest')
    await opened.engine.keys.add({ id: 'key_2', tenant: 'acme', name: 'n', hint: 'sk', createdAtMs: 2 }, 'digest2')
    await opened.engine.keys.revoke('key_2', 5)
    const { engine } = await opened.reopen(how)
    expect(await readConversation(engine, 'acme', 'c')).toMatchObject({
      info: { name: 'Name', turns: 1 },
      turns: [
        { state: 'done', messages: '[{"role":"user","content":"é"}]', answer: '{"role":"assistant","content":"ü"}' },
      ],
    })
    expect(engine.keys.find('digest')).toMatchObject({ id: 'key_1' })
    expect(engine.keys.find('digest2')).toMatchObject({ id: 'key_2', revokedAtMs: 5 })
  }),
]
