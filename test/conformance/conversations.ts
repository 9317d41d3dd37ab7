/** Held by every engine: the Conversations port. Its turns are written by Work.finish. */
import { expect } from 'vitest'
import { SluiceError } from '../../src/core/errors.ts'
import type { Job } from '../../src/core/job.ts'
import type { ConversationNews } from '../../src/core/ports/conversations.ts'
import { type Case, DONE, eventually, readConversation, runJob, submit, TestWorker } from './harness.ts'

const say = (text: string): string => `{ "model": "m", "messages" : [{"role":"user","content":"${text}"}], "n": 1 }`
const answer = (text: string): string => `{"role":"assistant","content":"${text}"}`

export const conversationCases: readonly Case[] = [
  {
    name: 'each job adds its turn when it ends: its messages as they were sent, and its answer',
    async run(open) {
      const { engine } = await open()
      const worker = new TestWorker(engine)
      expect(await readConversation(engine, 'acme', 'c')).toBeNull()
      const chat = { options: { conversation: 'c' } }
      const a = await runJob(engine, worker, { ...chat, body: say('one é') }, [], { ...DONE, answer: answer('eins') })
      const b = await runJob(engine, worker, { ...chat, body: say('two') }, [], {
        kind: 'failed',
        error: new SluiceError('provider_error'),
        retry: false,
        answer: answer('half'),
      })
      const c = await submit(engine, { ...chat, body: say('three') })
      await engine.jobs.cancel(c.id)
      const d = await runJob(engine, worker, { ...chat, body: say('four') }, [], { kind: 'canceled' })
      const { info, turns } = (await readConversation(engine, 'acme', 'c'))!
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
      await engine.work.finish(lease, { kind: 'released' })
      expect((await readConversation(engine, 'acme', 'c'))?.turns).toEqual([])
      await engine.work.finish(await worker.one(job), DONE)
      expect((await readConversation(engine, 'acme', 'c'))?.turns.length).toBe(1)
    },
  },
  {
    name: 'a conversation exists from its first submit on: it can be named, cut and deleted',
    async run(open) {
      const { engine } = await open()
      const { conversations } = engine
      await submit(engine, { options: { conversation: 'c' } })
      const [listed] = (await conversations.list('acme', { limit: 10 })).conversations
      expect(listed).toMatchObject({ id: 'c', name: null, turns: 0 })
      expect(await conversations.rename('acme', 'c', 'My chat')).toBe(true)
      expect(await conversations.truncate('acme', 'c', 1)).toBe(true)
      expect(await readConversation(engine, 'acme', 'c')).toMatchObject({ info: { name: 'My chat' }, turns: [] })
      expect(await conversations.delete('acme', 'c')).toBe(true)
      expect(await conversations.get('acme', 'c')).toBeNull()
    },
  },
  {
    name: 'a deletion cancels and erases what was accepted before it, and nothing after',
    async run(open) {
      const { engine } = await open()
      const { conversations, jobs, work } = engine
      const worker = new TestWorker(engine)
      const chat = { options: { conversation: 'c' } }
      const first = await runJob(engine, worker, { ...chat, body: say('one') }, [], { ...DONE, answer: answer('eins') })
      await conversations.rename('acme', 'c', 'My chat')
      const [running, waiting] = [await submit(engine, chat), await submit(engine, chat)]
      const lease = await worker.one(running)
      const deleted = conversations.delete('acme', 'c')
      const later = await submit(engine, { ...chat, body: say('anew') })
      await eventually(async () => expect(worker.revocations).toMatchObject([{ job: running.id, reason: 'canceled' }]))
      await work.finish(lease, { kind: 'canceled', answer: answer('half') })
      expect(await deleted).toBe(true)
      expect([await jobs.get(running.id), await jobs.get(waiting.id)]).toEqual([null, null])
      expect((await jobs.get(first.id))?.state).toBe('done')
      expect(await readConversation(engine, 'acme', 'c')).toMatchObject({ info: { name: null }, turns: [] })
      await work.finish(await worker.one(later), { ...DONE, answer: answer('neu') })
      expect((await readConversation(engine, 'acme', 'c'))?.turns).toMatchObject([{ job: later.id }])
      expect(await conversations.delete('acme', 'c')).toBe(true)
      expect(await conversations.delete('acme', 'c')).toBe(false)
    },
  },
  {
    name: 'a truncation counts jobs that have not ended as the turns that they will be',
    async run(open) {
      const { engine } = await open()
      const { conversations, jobs, work } = engine
      const worker = new TestWorker(engine)
      const chat = { options: { conversation: 'c' } }
      const first = await runJob(engine, worker, chat, [], { ...DONE, answer: answer('eins') })
      const [running, second, third] = [
        await submit(engine, chat),
        await submit(engine, chat),
        await submit(engine, chat),
      ]
      await jobs.cancel(second.id) // its turn is there before the one of the job before it
      const lease = await worker.one(running)
      expect(await conversations.truncate('acme', 'c', 2)).toBe(true)
      // What has ended stays as a job, without its turn
      expect([(await jobs.get(second.id))?.state, await jobs.get(third.id)]).toEqual(['canceled', null])
      await work.finish(lease, { ...DONE, answer: answer('zwei') })
      const { turns } = (await readConversation(engine, 'acme', 'c'))!
      expect(turns.map(({ job }) => job)).toEqual([first.id, running.id])
      const last = await submit(engine, chat)
      expect(await conversations.truncate('acme', 'c', 1)).toBe(true)
      expect(await jobs.get(last.id)).toBeNull()
      expect((await readConversation(engine, 'acme', 'c'))?.turns).toMatchObject([{ job: first.id }])
    },
  },
  {
    name: 'an expired job leaves its turn too',
    async run(open) {
      const { engine, clock } = await open()
      await submit(engine, { body: say('late'), options: { conversation: 'c', deadlineMs: 10_000 } })
      clock.leap(10_100)
      await eventually(async () =>
        expect((await readConversation(engine, 'acme', 'c'))?.turns).toMatchObject([
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
      await engine.work.finish(lease, DONE)
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
      expect((await readConversation(engine, 'a', 'c'))?.turns.length).toBe(1)
      expect(await readConversation(engine, 'c', 'c')).toBeNull()
      expect(await engine.conversations.delete('c', 'c')).toBe(false)
      expect(await engine.conversations.rename('c', 'c', 'x')).toBe(false)
      expect(await engine.conversations.truncate('c', 'c', 0)).toBe(false)
      expect(await engine.conversations.delete('a', 'c')).toBe(true)
      expect(await readConversation(engine, 'b', 'c')).not.toBeNull()
    },
  },
  {
    name: 'turns come in pages, from either end, by count and by bytes',
    async run(open) {
      const { engine } = await open()
      const worker = new TestWorker(engine)
      const { conversations } = engine
      const all: string[] = []
      for (const n of [1, 2, 3, 4, 5]) {
        const body = say(n === 3 ? 'x'.repeat(5_000) : `${n}`)
        all.push((await runJob(engine, worker, { options: { conversation: 'c' }, body })).id)
      }
      const [a, b, c, d, e] = all
      const page = async (from: 'newest' | 'oldest', limit: number, maxBytes: number, beyond?: string) => {
        const range = { from, limit, maxBytes, ...(beyond === undefined ? {} : { beyond }) }
        const { turns, more } = (await conversations.turns('acme', 'c', range))!
        return [turns.map(({ job }) => job), more]
      }
      expect(await page('newest', 2, 1 << 20)).toEqual([[e, d], true])
      expect(await page('newest', 2, 1 << 20, d)).toEqual([[c, b], true])
      expect(await page('newest', 2, 1 << 20, b)).toEqual([[a], false])
      expect(await page('newest', 2, 1 << 20, a)).toEqual([[], false])
      expect(await page('oldest', 3, 1 << 20)).toEqual([[a, b, c], true])
      expect(await page('oldest', 3, 1 << 20, c)).toEqual([[d, e], false])
      // The large one ends a page, and comes alone
      expect(await page('newest', 9, 2_000)).toEqual([[e, d], true])
      expect(await page('newest', 9, 2_000, d)).toEqual([[c], true])
      expect(await page('oldest', 9, 2_000, b)).toEqual([[c], true])
      expect(await conversations.turns('acme', 'none', { from: 'newest', limit: 9, maxBytes: 1 })).toBeNull()
      // A place stays one when its turn is gone
      await engine.jobs.erase(d)
      expect(await page('newest', 2, 1 << 20, d)).toEqual([[c, b], true])
      expect((await conversations.get('acme', 'c'))?.turns).toBe(4)
    },
  },
  {
    name: 'the list comes in pages, the newest turn first',
    async run(open) {
      const { engine } = await open()
      const worker = new TestWorker(engine)
      for (const id of ['x', 'ann/y', 'z', 'ann/é', 'x', 'v'])
        await runJob(engine, worker, { options: { conversation: id } })
      const pages = async (limit: number, scope?: string): Promise<string[][]> => {
        const found: string[][] = []
        for (let after: string | null | undefined; after !== null; ) {
          const range = { limit, ...(scope === undefined ? {} : { scope }), ...(after === undefined ? {} : { after }) }
          const page = await engine.conversations.list('acme', range)
          found.push(page.conversations.map(({ id }) => id))
          after = page.next
        }
        return found
      }
      expect(await pages(2)).toEqual([['v', 'x'], ['ann/é', 'z'], ['ann/y']])
      expect(await pages(5)).toEqual([['v', 'x', 'ann/é', 'z', 'ann/y']])
      expect(await pages(1, 'ann/')).toEqual([['ann/é'], ['ann/y']])
      expect(await pages(9, 'an/')).toEqual([[]])
      await expect(engine.conversations.list('acme', { limit: 1, after: 'x' })).rejects.toMatchObject({
        code: 'cursor_invalid',
      })
    },
  },
  {
    name: 'the instructions that a conversation began with are kept apart, as long as their turn is not erased',
    async run(open) {
      const { engine } = await open()
      const worker = new TestWorker(engine)
      const { conversations } = engine
      const asked = async (messages: object[]) =>
        (
          await runJob(engine, worker, {
            options: { conversation: 'c' },
            body: JSON.stringify({ model: 'm', messages }),
          })
        ).id
      const told = async (): Promise<unknown> => JSON.parse((await conversations.instructions('acme', 'c')) ?? 'null')
      const brief = { role: 'system', content: 'brief' }
      const user = { role: 'user', content: 'hello' }
      expect(await told()).toBeNull()
      const first = await asked([brief, { role: 'developer', content: 'no jokes' }, user, brief])
      await asked([user])
      expect(await told()).toEqual([brief, { role: 'developer', content: 'no jokes' }])
      await engine.jobs.erase(first)
      expect(await told()).toBeNull()
      await conversations.truncate('acme', 'c', 0)
      await asked([{ ...brief, content: 'long' }, user])
      expect(await told()).toEqual([{ role: 'system', content: 'long' }])
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
      const ids = async (limit: number) =>
        (await engine.conversations.list('acme', { limit })).conversations.map((c) => [c.id, c.turns])
      expect(await ids(10)).toEqual([
        ['z', 1],
        ['x', 3],
        ['y', 1],
      ])
      expect(await ids(1)).toEqual([['z', 1]])
      for (const id of ['ann/x', 'ann%/x', 'an_/x']) await runJob(engine, worker, { options: { conversation: id } })
      expect(
        (await engine.conversations.list('acme', { limit: 10, scope: 'ann/' })).conversations.map((c) => c.id),
      ).toEqual(['ann/x'])
      expect(
        (await engine.conversations.list('acme', { limit: 10, scope: 'an_/' })).conversations.map((c) => c.id),
      ).toEqual(['an_/x'])
      expect(await engine.conversations.rename('acme', 'x', 'My chat')).toBe(true)
      expect((await readConversation(engine, 'acme', 'x'))?.info.name).toBe('My chat')
      const turns = (await readConversation(engine, 'acme', 'x'))!.turns
      expect(await engine.conversations.truncate('acme', 'x', 5)).toBe(true)
      expect((await readConversation(engine, 'acme', 'x'))!.turns).toEqual(turns)
      expect(await engine.conversations.truncate('acme', 'x', 1)).toBe(true)
      expect((await readConversation(engine, 'acme', 'x'))!.turns).toEqual(turns.slice(0, 1))
      expect(await engine.conversations.truncate('acme', 'x', 0)).toBe(true)
      expect(await readConversation(engine, 'acme', 'x')).toMatchObject({
        info: { turns: 0, name: 'My chat' },
        turns: [],
      })
      expect(await engine.conversations.delete('acme', 'x')).toBe(true)
      expect(await readConversation(engine, 'acme', 'x')).toBeNull()
      expect(await engine.conversations.delete('acme', 'x')).toBe(false)
      await runJob(engine, worker, { options: { conversation: 'x' } })
      expect((await readConversation(engine, 'acme', 'x'))?.info).toMatchObject({ turns: 1, name: null })
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
            ? `standing ${news.info?.turns ?? 'new'} ${news.lastTurn} ` +
                `[${news.jobs.map((job) => `${job.id} ${job.state}`)}]`
            : `${news.type} ${'job' in news ? shown(news.job) : ''}`,
        )
      const shown = (job: string | Job): string => (typeof job === 'string' ? job : `${job.id} ${job.state}`)
      const take = (): string[] => told.splice(0)
      const stop = engine.conversations.watch('acme', 'c', hear)
      await eventually(() => expect(told).toHaveLength(1))
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
      await engine.work.finish(lease, DONE)
      await eventually(async () => expect(told).toHaveLength(2))
      expect(take()).toEqual([`submitted ${b.id} queued`, `ended ${a.id} done`])
      // What is told is there already
      const stopAgain = engine.conversations.watch('acme', 'c', hear)
      await eventually(() => expect(told).toHaveLength(1))
      stopAgain()
      expect(take()).toEqual([`standing 1 ${a.id} [${b.id} queued]`])
      await engine.jobs.cancel(b.id)
      await engine.conversations.rename('acme', 'c', 'name')
      await engine.jobs.erase(b.id)
      await engine.conversations.truncate('acme', 'c', 0)
      await engine.conversations.delete('acme', 'c')
      await eventually(() => expect(told).toHaveLength(5))
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
      await eventually(() => expect(told).toHaveLength(1))
      expect(told).toMatchObject([{ type: 'standing', jobs: ids.map((id) => ({ id })), more: false }])
      await engine.eraseTenant('acme')
      await eventually(() => expect(told.at(-1)?.type).toBe('deleted'))
      expect(told.slice(1).map(({ type }) => type)).toEqual(['ended', 'ended', 'deleted'])
    },
  },
]
