/** Conversations in Redis, driven by what commits call: the functions of lua/conversations.lua. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { jobOrder, systemIds } from '../../src/core/ids.ts'
import type { ConversationNews } from '../../src/core/ports/conversations.ts'
import { RedisConversations } from '../../src/engines/redis/conversations/conversations.ts'
import { ConversationLimits } from '../../src/engines/redis/conversations/limits.ts'
import { turnRangeOf } from '../../src/engines/redis/conversations/turn.ts'
import type { Answers } from '../../src/engines/redis/protocol/messages.ts'
import { writeEnd, writeLive } from '../../src/engines/redis/protocol/rows.ts'
import { type ConversationLimitOptions, UNLIMITED } from '../../src/engines/shared/conversation-limits.ts'
import { draft } from '../conformance/words.ts'
import { openParts, type Parts } from './parts.ts'
import { FaultProxy } from './proxy.ts'
import { NO_REDIS, RedisServer } from './server.ts'

const opened: Array<() => unknown> = []
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close()
})

const LUA = join(import.meta.dirname, '../../src/engines/redis/lua')
const read = (file: string): string => readFileSync(join(LUA, `${file}.lua`), 'utf8')
const VERBS = `local PUBLISH, NUMSUB = 'PUBLISH', 'NUMSUB'\n${read('prelude')}${read('conversations')}`
const ids = systemIds()
const say = (text: string): string => `{ "model": "m", "messages" : [{"role":"user","content":"${text}"}], "n": 1 }`
const answer = (text: string): string => `{"role":"assistant","content":"${text}"}`

interface Known {
  readonly seq: number
  readonly conversation: string
  readonly tenant: string
}

/** A gateway, and what a coordinator would do. */
class Fleet {
  readonly #parts: Parts
  readonly conversations: RedisConversations
  #seq = 0
  /** Each gateway draws its own. */
  orderOf = (seq: number): number => seq
  /** Not ended. */
  readonly live = new Map<string, Known>()

  constructor(parts: Parts, through: Parts = parts) {
    this.#parts = parts
    const look = async (asked: readonly string[]): Promise<Answers['look']> =>
      asked
        .filter((id) => this.live.has(id))
        .map((id) => ({ id, state: 'queued', attempts: 0, place: { position: 1, tokensAhead: 0 } }))
    this.conversations = new RedisConversations(through, look, (id) => this.erase(id))
    opened.push(() => this.conversations.close())
  }

  async #do(verb: string, ...args: string[]): Promise<void> {
    const names = args.map((_, i) => `ARGV[${i + 1}]`).join(', ')
    const { client } = this.#parts.commands
    await client.eval(`${VERBS}\n${verb}(${names})`, 1, this.#parts.names.shard, ...args)
  }

  async accept(conversation: string, body = say('hello'), tenant = 'acme', at = 1_000): Promise<string> {
    const seq = ++this.#seq
    const id = ids.job(this.orderOf(seq))
    const { client } = this.#parts.commands
    const { body: bytes, isRetry: _retry, ...facts } = draft({ tenant, body, options: { conversation } })
    const turn = turnRangeOf(bytes)
    const row = { id, seq, acceptedAtMs: at, epoch: 1, from: 'p', bodyBytes: bytes.length }
    await client.set(this.#parts.names.body(id), Buffer.from(bytes))
    await client.hset(this.#parts.names.live(), id, writeLive({ ...row, facts: { ...facts, ...(turn && { turn }) } }))
    const place = '{"position":1,"tokensAhead":0}'
    await this.#do('conversation_accepted', id, tenant, conversation, String(seq), String(at), 'queued', place)
    this.live.set(id, { seq, conversation, tenant })
    return id
  }

  async end(id: string, text: string | null = null, state: 'done' | 'canceled' = 'done', at = 2_000): Promise<void> {
    const { seq, conversation, tenant } = this.live.get(id)!
    const { client } = this.#parts.commands
    const { names } = this.#parts
    if (text !== null) await client.set(names.answer(id, 1), text)
    const live = await client.hget(names.live(), id)
    await client.set(names.row(id), `1 1 1\n${live}\n${writeEnd({ attempts: 1, end: { state }, endedAtMs: at })}`)
    await this.#do('conversation_ended', id, tenant, conversation, String(seq), state, String(at), '1')
    await client.hdel(names.live(), id)
    this.live.delete(id)
    this.#ended.set(id, { conversation, tenant })
  }
  readonly #ended = new Map<string, Omit<Known, 'seq'>>()

  async erase(id: string): Promise<void> {
    if (this.live.has(id)) await this.end(id, null, 'canceled')
    const { conversation, tenant } = this.#ended.get(id)!
    await this.conversations.eraseTurn(tenant, conversation, id)
  }

  async turn(conversation: string, body?: string, text = answer('a'), tenant = 'acme', at?: number): Promise<string> {
    const id = await this.accept(conversation, body, tenant, at)
    await this.end(id, text, 'done', at)
    return id
  }

  async jobs(conversation: string, tenant = 'acme'): Promise<readonly string[]> {
    const page = await this.conversations.turns(tenant, conversation, { from: 'oldest', limit: 1_000, maxBytes: 1e9 })
    return page!.turns.map(({ job }) => job)
  }
}

async function fleet(): Promise<Fleet & { readonly parts: Parts; readonly server: RedisServer }> {
  const server = await RedisServer.start({ appendfsync: null })
  opened.push(() => server.remove())
  const parts = await partsOf(server.url)
  return Object.assign(new Fleet(parts), { parts, server })
}

async function partsOf(url: string): Promise<Parts> {
  const parts = await openParts({ url })
  opened.push(() => parts.close())
  return parts
}

describe.skipIf(NO_REDIS)('Redis: conversations', () => {
  it('a turn is what was sent and answered, byte for byte, and nothing of an answer is left elsewhere', async () => {
    const { conversations, parts, ...all } = await fleet().then((it) => ({ ...bound(it), parts: it.parts }))
    const body = '{"messages":[1], "x": "é", "messages" : [ {"role":"user","content":"é\\u0000 🦥"} ]}'
    const id = await all.turn('c', body, answer('ß'))
    const page = await conversations.turns('acme', 'c', { from: 'newest', limit: 9, maxBytes: 1e6 })
    const messages = '[ {"role":"user","content":"é\\u0000 🦥"} ]'
    expect(page).toEqual({ turns: [{ job: id, state: 'done', messages, answer: answer('ß') }], more: false })
    expect(await conversations.get('acme', 'c')).toEqual({
      id: 'c',
      name: null,
      turns: 1,
      createdAtMs: 1_000,
      updatedAtMs: 2_000,
    })
    expect(await parts.commands.client.keys('*:a:*')).toEqual([])
  })

  it('a request that is gone, or has no messages, ends its job all the same', async () => {
    const { conversations, parts, ...all } = await fleet().then((it) => ({ ...bound(it), parts: it.parts }))
    const gone = await all.accept('c')
    await parts.commands.client.del(parts.names.body(gone))
    await all.end(gone)
    await all.turn('c', '{"input":"no messages"}')
    const page = await conversations.turns('acme', 'c', { from: 'oldest', limit: 9, maxBytes: 1e6 })
    expect(page!.turns.map(({ messages }) => messages)).toEqual(['[]', '[]'])
  })

  it('names reach no other keys: lengths, colons, slashes, braces, line breaks', async () => {
    const all = await fleet()
    const names: Array<[string, string]> = [
      ['a', 'b:c'],
      ['a:b', 'c'],
      ['a', '1:a:b'],
      ['é', 'x/{s1}'],
      ['a', 'x/y\nz'],
      ['a', ''],
    ]
    for (const [tenant, id] of names) await all.turn(id, say(`${tenant} ${id.length}`), answer('a'), tenant)
    for (const [tenant, id] of names) {
      expect((await all.jobs(id, tenant)).length).toBe(1)
      expect((await all.conversations.list(tenant, { limit: 9 })).conversations.map((one) => one.id)).toContain(id)
    }
    expect((await all.conversations.list('a', { limit: 9, scope: 'x/' })).conversations.length).toBe(1)
    for (const [tenant, id] of names) expect(await all.conversations.delete(tenant, id)).toBe(true)
    for (const key of await all.parts.commands.client.keys('*'))
      expect(key, key).toMatch(/^\{s0\}:(b|r|cx|cv|cb|l|jobs):?/)
    expect(await all.parts.commands.client.hlen(all.parts.names.conversationBytes())).toBe(0)
  })

  it('a place in the turns holds when its turn is gone, also when nothing of it is known any more', async () => {
    const all = await fleet()
    const [a, b, c, d, e] = [
      await all.turn('c'),
      await all.turn('c'),
      await all.turn('c'),
      await all.turn('c'),
      await all.turn('c'),
    ]
    await all.erase(b)
    await all.erase(d)
    const after = async (from: 'newest' | 'oldest', beyond: string): Promise<readonly string[]> =>
      (await all.conversations.turns('acme', 'c', { from, beyond, limit: 9, maxBytes: 1e6 }))!.turns.map((t) => t.job)
    for (const forget of [false, true]) {
      if (forget)
        for (const key of await all.parts.commands.client.keys('*:cx:*')) await all.parts.commands.client.del(key)
      expect(await after('newest', d)).toEqual([c, a])
      expect(await after('newest', b)).toEqual([a])
      expect(await after('oldest', b)).toEqual([c, e])
      expect(await after('oldest', d)).toEqual([e])
      expect(await after('newest', ids.job(0))).toEqual([])
      expect(await after('oldest', ids.job(99))).toEqual([])
      expect(jobOrder(a)).toBeLessThan(jobOrder(e)!)
    }
  })

  it('a place whose turn is gone holds among ids of two gateways, which are not in order', async () => {
    const all = await fleet()
    all.orderOf = (seq) => (seq % 2 === 0 ? seq + 64 : seq)
    const [a, b, c, d] = [await all.turn('c'), await all.turn('c'), await all.turn('c'), await all.turn('c')]
    await all.erase(b)
    const range = { limit: 9, maxBytes: 1e6, beyond: b } as const
    const after = async (from: 'newest' | 'oldest'): Promise<readonly string[]> =>
      (await all.conversations.turns('acme', 'c', { ...range, from }))!.turns.map(({ job }) => job)
    expect([await after('newest'), await after('oldest')]).toEqual([[a], [c, d]])
  })

  it('a page is bounded in bytes whatever it is asked for; a damaged turn is left empty and told', async () => {
    const all = await fleet()
    const big = 'x'.repeat(5 << 19)
    const jobs: string[] = []
    for (let i = 0; i < 5; i++) jobs.push(await all.turn('c', say(big)))
    const range = { from: 'newest', limit: 1_000, maxBytes: 1 << 30 } as const
    const page = (await all.conversations.turns('acme', 'c', range))!
    expect([page.turns.map(({ job }) => job), page.more]).toEqual([jobs.slice(2).reverse(), true])
    const rest = (await all.conversations.turns('acme', 'c', { ...range, beyond: jobs[2] }))!
    expect([rest.turns.map(({ job }) => job), rest.more]).toEqual([jobs.slice(0, 2).reverse(), false])
    await all.parts.commands.client.hset('{s0}:cm:4:acme:c', jobs[4], 'done 99')
    const damaged = (await all.conversations.turns('acme', 'c', { ...range, limit: 1 }))!
    expect(damaged.turns).toEqual([{ job: jobs[4], state: 'failed', messages: '[]', answer: null }])
    expect(all.parts.facts).toMatchObject([{ type: 'store-warned', code: 'row_damaged' }])
  })

  it('watchers at two gateways are told the same, in order; after a cut, the state', async () => {
    const all = await fleet()
    const proxy = await FaultProxy.start(all.server.port)
    opened.push(() => proxy.close())
    const other = new Fleet(all.parts, await partsOf(proxy.url))
    const told: [string[], string[]] = [[], []]
    const text = (news: ConversationNews): string =>
      news.type === 'standing'
        ? `standing ${news.info?.name ?? null} ${news.info?.turns ?? 'none'} [${news.jobs.map((job) => job.id)}]`
        : `${news.type} ${'job' in news ? (typeof news.job === 'string' ? news.job : news.job.id) : ''}`
    const stop = all.conversations.watch('acme', 'c', (news) => void told[0].push(text(news)))
    other.conversations.watch('acme', 'c', (news) => void told[1].push(text(news)))
    await expect.poll(() => told).toEqual([['standing null none []'], ['standing null none []']])
    const id = await all.accept('c')
    await all.conversations.rename('acme', 'c', 'x')
    await all.end(id)
    await all.erase(id)
    await all.conversations.truncate('acme', 'c', 0)
    const all1 = ['standing null none []', `submitted ${id}`, 'renamed ', `ended ${id}`, `erased ${id}`, 'truncated ']
    await expect.poll(() => told).toEqual([all1, all1])
    proxy.cut()
    await all.conversations.rename('acme', 'c', 'y')
    proxy.heal()
    await expect.poll(() => told[1].slice(all1.length)).toEqual(['standing y 0 []'])
    await expect.poll(() => told[0].slice(all1.length)).toEqual(['renamed '])
    await all.conversations.delete('acme', 'c')
    await expect.poll(() => told.map((each) => each.at(-1))).toEqual(['deleted ', 'deleted '])
    stop()
    await all.turn('c')
    await expect.poll(() => told[1].length).toBe(all1.length + 4)
    expect(told[0].length).toBe(all1.length + 2)
  })

  it('who begins to watch while changes come misses none and hears none twice', async () => {
    const all = await fleet()
    const seen: string[][] = []
    for (let n = 0; n < 60; n++) {
      const renamed = all.conversations.rename('acme', 'c', String(n))
      if (n === 0) await all.accept('c')
      const mine: string[] = []
      seen.push(mine)
      all.conversations.watch('acme', 'c', (news) => {
        if (news.type === 'standing') mine.push(news.info?.name ?? '-')
        else if (news.type === 'renamed') mine.push(news.name)
      })
      await renamed
    }
    await expect.poll(() => seen.map((mine) => mine.at(-1))).toEqual(seen.map(() => '59'))
    for (const mine of seen) {
      const numbers = mine.filter((name) => name !== '-').map(Number)
      expect(numbers).toEqual(numbers.map((_, i) => numbers[0] + i))
    }
  })

  it('a channel leaves with its last watcher', async () => {
    const all = await fleet()
    const channels = (): Promise<unknown> => all.parts.commands.client.pubsub('CHANNELS', '*:cn:*')
    const stops = ['a', 'a', 'b'].map((id) => all.conversations.watch('acme', id, () => {}))
    await expect.poll(channels).toHaveLength(2)
    for (const stop of stops) stop()
    await expect.poll(channels).toEqual([])
    all.conversations.watch('acme', 'a', () => {})()
    await expect.poll(channels).toEqual([])
  })

  const limits = (all: Fleet & { readonly parts: Parts }, options: Partial<ConversationLimitOptions>, now = 0) =>
    new ConversationLimits({ ...all.parts, time: { nowMs: () => now } }, all.conversations, {
      ...UNLIMITED,
      ...options,
    })

  it('limits: a conversation loses its oldest turns, a tenant the conversations that rest longest', async () => {
    const all = await fleet()
    const jobs: string[] = []
    for (let i = 0; i < 5; i++) jobs.push(await all.turn('c', say('x'.repeat(1_000))))
    await limits(all, { turns: 3 }).sweep(() => false)
    expect(await all.jobs('c')).toEqual(jobs.slice(2))
    expect((await all.conversations.get('acme', 'c'))?.turns).toBe(3)
    const last = await all.turn('c', say('x'.repeat(1_000)))
    await limits(all, { bytes: 10 }).sweep(() => false)
    expect(await all.jobs('c')).toEqual([last])

    await all.turn('d', say('x'.repeat(1_000)))
    const busy = await all.accept('c')
    await all.turn('e', say('x'.repeat(1_000)))
    await limits(all, { tenantBytes: 3_000 }).sweep(() => false)
    // c rests longest, but a job of it needs its turns
    expect((await all.conversations.list('acme', { limit: 9 })).conversations.map(({ id }) => id)).toEqual(['e', 'c'])
    expect(await all.jobs('c')).toEqual([last])
    await all.end(busy)
  })

  it('limits: conversations that rest for too long are deleted, unless a job of them has not ended', async () => {
    const all = await fleet()
    await all.turn('old', undefined, answer('a'), 'acme', 1_000)
    await all.turn('busy', undefined, answer('a'), 'acme', 1_000)
    await all.accept('busy')
    await all.turn('young', undefined, answer('a'), 'acme', 50_000)
    await all.turn('old', undefined, answer('a'), 'other', 1_000)
    await limits(all, { maxAgeMs: 30_000 }, 60_000).sweep(() => false)
    expect((await all.conversations.list('acme', { limit: 9 })).conversations.map(({ id }) => id).sort()).toEqual([
      'busy',
      'young',
    ])
    expect(await all.conversations.get('other', 'old')).toBeNull()
  })

  it('limits: what a sweep that died had begun is looked at by the next', async () => {
    const all = await fleet()
    for (let i = 0; i < 3; i++) await all.turn('c')
    let asked = 0
    await limits(all, { turns: 1 }).sweep(() => ++asked > 1)
    const grown = all.parts.names.grownConversations()
    await all.parts.commands.client.smove(grown, `${grown}:now`, '4:acme:c')
    await limits(all, { turns: 1 }).sweep(() => false)
    expect((await all.jobs('c')).length).toBe(1)
    expect(await all.parts.commands.client.exists(grown, `${grown}:now`)).toBe(0)
  })

  it('an erased tenant leaves nothing, and others keep theirs', async () => {
    const all = await fleet()
    for (const id of ['a', 'b/c', 'd']) await all.turn(id)
    await all.accept('e')
    await all.turn('a', undefined, undefined, 'other')
    await all.conversations.removeTenant('acme')
    expect((await all.conversations.list('acme', { limit: 9 })).conversations).toEqual([])
    expect(await all.jobs('a', 'other')).toHaveLength(1)
    expect((await all.parts.commands.client.keys('*4:acme*')).filter((key) => !key.includes(':cx:'))).toEqual([])
  })
})

/** Its methods by name. */
const bound = (it: Fleet) => ({
  conversations: it.conversations,
  turn: it.turn.bind(it),
  accept: it.accept.bind(it),
  end: it.end.bind(it),
})
