/** Held by every engine: the Conversations port. Its turns are written by Queue.finish. */
import { expect } from 'vitest'
import { SluiceError } from '../../src/core/errors.ts'
import type { ConversationNews } from '../../src/core/ports.ts'
import { type Case, DONE, eventually, runJob, submit, TestWorker } from './harness.ts'

const say = (text: string): string => `{ "model": "m", "messages" : [{"role":"user","content":"${text}"}], "n": 1 }`
const answer = (text: string): string => `{"role":"assistant","content":"${text}"}`

export const conversationCases: readonly Case[] = [
  {
    name: 'each job adds its turn when it ends: its messages as they were sent, and its answer',
    async run(open) {
      const { engine } = await open()
      const worker = new TestWorker(engine)
      expect(await engine.conversations.read('acme', 'c')).toBeNull()
      const chat = { options: { conversation: 'c' } }
      const a = await runJob(engine, worker, { ...chat, body: say('one é') }, [], { ...DONE, answer: answer('eins') })
      const b = await runJob(engine, worker, { ...chat, body: say('two') }, [], {
        kind: 'failed',
        error: new SluiceError('provider_error'),
        retry: false,
        answer: answer('half'),
      })
      const c = await submit(engine, { ...chat, body: say('three') })
      await engine.queue.cancel(c.id)
      const d = await runJob(engine, worker, { ...chat, body: say('four') }, [], { kind: 'canceled' })
      const { info, turns } = (await engine.conversations.read('acme', 'c'))!
      expect(turns).toEqual([
        { job: a.id, state: 'done', messages: '[{"role":"user","content":"one é"}]', answer: answer('eins') },
        { job: b.id, state: 'failed', messages: '[{"role":"user","content":"two"}]', answer: answer('half') },
        { job: c.id, state: 'canceled', messages: '[{"role":"user","content":"three"}]', answer: null },
        { job: d.id, state: 'canceled', messages: '[{"role":"user","content":"four"}]', answer: null },
      ])
      expect(info).toMatchObject({ id: 'c', name: null, turns: 4 })
      expect(info.updatedAtMs).toBeGreaterThanOrEqual(info.createdAtMs)
    },
  },
  {
    name: 'a turn is there when finish resolves, and not for jobs that go on',
    async run(open) {
      const { engine } = await open()
      const worker = new TestWorker(engine)
      const job = await submit(engine, { options: { conversation: 'c' } })
      const lease = await worker.one(job)
      await engine.queue.finish(lease, { kind: 'released' })
      expect(await engine.conversations.read('acme', 'c')).toBeNull()
      await engine.queue.finish(await worker.one(job), DONE)
      expect((await engine.conversations.read('acme', 'c'))?.turns.length).toBe(1)
    },
  },
  {
    name: 'an expired job leaves its turn too',
    async run(open) {
      const { engine, clock } = await open()
      await submit(engine, { body: say('late'), options: { conversation: 'c', deadlineMs: 100 } })
      clock.leap(200)
      await eventually(async () =>
        expect((await engine.conversations.read('acme', 'c'))?.turns).toMatchObject([
          { state: 'expired', messages: '[{"role":"user","content":"late"}]' },
        ]),
      )
    },
  },
  {
    name: 'jobs of a conversation run one at a time, in order (J3)',
    async run(open) {
      const { engine } = await open()
      const worker = new TestWorker(engine)
      const chat = { options: { conversation: 'c' } }
      const [a, b] = [await submit(engine, chat), await submit(engine, chat)]
      const lease = await worker.one(a)
      expect(await worker.lease()).toEqual([])
      await engine.queue.finish(lease, DONE)
      await worker.one(b)
    },
  },
  {
    name: 'tenants do not meet: the same id is two conversations (T1)',
    async run(open) {
      const { engine } = await open()
      const worker = new TestWorker(engine)
      await runJob(engine, worker, { tenant: 'a', options: { conversation: 'c' } })
      await runJob(engine, worker, { tenant: 'b', options: { conversation: 'c' } })
      expect((await engine.conversations.read('a', 'c'))?.turns.length).toBe(1)
      expect(await engine.conversations.read('c', 'c')).toBeNull()
      expect(await engine.conversations.delete('c', 'c')).toBe(false)
      expect(await engine.conversations.rename('c', 'c', 'x')).toBe(false)
      expect(await engine.conversations.truncate('c', 'c', 0)).toBe(false)
      expect(await engine.conversations.delete('a', 'c')).toBe(true)
      expect(await engine.conversations.read('b', 'c')).not.toBeNull()
    },
  },
  {
    name: 'list, rename, truncate, delete',
    async run(open) {
      const { engine, clock } = await open()
      const worker = new TestWorker(engine)
      for (const id of ['x', 'y', 'x', 'x', 'z']) {
        await runJob(engine, worker, { options: { conversation: id } })
        clock.leap(10)
      }
      const ids = async (limit: number) => (await engine.conversations.list('acme', limit)).map((c) => [c.id, c.turns])
      expect(await ids(10)).toEqual([
        ['z', 1],
        ['x', 3],
        ['y', 1],
      ])
      expect(await ids(1)).toEqual([['z', 1]])
      for (const id of ['ann/x', 'ann%/x', 'an_/x']) await runJob(engine, worker, { options: { conversation: id } })
      expect((await engine.conversations.list('acme', 10, 'ann/')).map((c) => c.id)).toEqual(['ann/x'])
      expect((await engine.conversations.list('acme', 10, 'an_/')).map((c) => c.id)).toEqual(['an_/x'])
      expect(await engine.conversations.rename('acme', 'x', 'My chat')).toBe(true)
      expect((await engine.conversations.read('acme', 'x'))?.info.name).toBe('My chat')
      const turns = (await engine.conversations.read('acme', 'x'))!.turns
      expect(await engine.conversations.truncate('acme', 'x', 5)).toBe(true)
      expect((await engine.conversations.read('acme', 'x'))!.turns).toEqual(turns)
      expect(await engine.conversations.truncate('acme', 'x', 1)).toBe(true)
      expect((await engine.conversations.read('acme', 'x'))!.turns).toEqual(turns.slice(0, 1))
      expect(await engine.conversations.truncate('acme', 'x', 0)).toBe(true)
      expect(await engine.conversations.read('acme', 'x')).toMatchObject({
        info: { turns: 0, name: 'My chat' },
        turns: [],
      })
      expect(await engine.conversations.delete('acme', 'x')).toBe(true)
      expect(await engine.conversations.read('acme', 'x')).toBeNull()
      expect(await engine.conversations.delete('acme', 'x')).toBe(false)
      await runJob(engine, worker, { options: { conversation: 'x' } })
      expect((await engine.conversations.read('acme', 'x'))?.info).toMatchObject({ turns: 1, name: null })
    },
  },
  {
    name: 'a watcher is told how the conversation stands, then each change in order; and of no other conversation',
    async run(open) {
      const { engine } = await open()
      const worker = new TestWorker(engine)
      const chat = { options: { conversation: 'c' } }
      const told: string[] = []
      const hear = (news: ConversationNews): void =>
        void told.push(
          news.type === 'standing'
            ? `standing ${news.info?.turns ?? 'new'} ${news.lastTurn} [${news.jobs.map((job) => `${job.id} ${job.state}`)}]`
            : `${news.type} ${'job' in news ? (typeof news.job === 'string' ? news.job : `${news.job.id} ${news.job.state}`) : ''}`,
        )
      const take = (): string[] => told.splice(0)
      const stop = engine.conversations.watch('acme', 'c', hear)
      expect(take()).toEqual(['standing new null []'])
      for (const [tenant, conversation] of [
        ['acme', 'd'],
        ['other', 'c'],
      ] as const) {
        await runJob(engine, worker, { tenant, options: { conversation } })
        await engine.conversations.rename(tenant, conversation, 'x')
      }
      expect(take()).toEqual([])
      const a = await submit(engine, chat)
      await eventually(async () => expect(told).toHaveLength(1))
      expect(take()).toEqual([`submitted ${a.id} queued`])
      const lease = await worker.one(a)
      const b = await submit(engine, chat)
      await engine.queue.finish(lease, DONE)
      await eventually(async () => expect(told).toHaveLength(2))
      expect(take()).toEqual([`submitted ${b.id} queued`, `ended ${a.id} done`])
      // What is told is there already
      engine.conversations.watch('acme', 'c', hear)()
      expect(take()).toEqual([`standing 1 ${a.id} [${b.id} queued]`])
      await engine.queue.cancel(b.id)
      await engine.conversations.rename('acme', 'c', 'name')
      await engine.queue.erase(b.id)
      await engine.conversations.truncate('acme', 'c', 0)
      await engine.conversations.delete('acme', 'c')
      expect(take()).toEqual([`ended ${b.id} canceled`, 'renamed ', `erased ${b.id}`, 'truncated ', 'deleted '])
      stop()
      await runJob(engine, worker, chat)
      expect(take()).toEqual([])
    },
  },
  {
    name: 'after a restart a watcher is told of the jobs that had not ended, in their order; an erased tenant is told',
    needs: 'kill',
    async run(open) {
      const before = await open()
      const chat = { options: { conversation: 'c' } }
      const ids = [await submit(before.engine, chat), await submit(before.engine, chat)].map((job) => job.id)
      const { engine } = await before.reopen('kill')
      const told: ConversationNews[] = []
      engine.conversations.watch('acme', 'c', (news) => void told.push(news))
      expect(told).toMatchObject([{ type: 'standing', jobs: ids.map((id) => ({ id })), more: false }])
      await engine.eraseTenant('acme')
      expect(told.slice(1).map(({ type }) => type)).toEqual(['ended', 'ended', 'deleted'])
    },
  },
]
