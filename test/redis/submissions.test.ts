/** How work comes in over Redis: beside a coordinator that does what a test says. */
import { afterEach, describe, expect, it } from 'vitest'
import { systemIds } from '../../src/core/ids.ts'
import type { JobDraft, JobId } from '../../src/core/job.ts'
import type { Submitted } from '../../src/core/ports/submissions.ts'
import { type Ground, openGround } from '../../src/engines/redis/bus/ground.ts'
import { RedisJobs } from '../../src/engines/redis/jobs/jobs.ts'
import { RedisPresence } from '../../src/engines/redis/jobs/presence.ts'
import { RedisSubmissions } from '../../src/engines/redis/jobs/submissions.ts'
import { RedisKeys } from '../../src/engines/redis/keys.ts'
import { type Command, readCommands, type Submit } from '../../src/engines/redis/protocol/commands.ts'
import type { Message, SubmitAnswer } from '../../src/engines/redis/protocol/messages.ts'
import { writeLive } from '../../src/engines/redis/protocol/rows.ts'
import { eventually, leapClock } from '../conformance/harness.ts'
import { draft } from '../conformance/words.ts'
import { FaultProxy } from './proxy.ts'
import { NO_REDIS, RedisServer } from './server.ts'

const opened: Array<() => unknown> = []
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close()
})

/** Reads the inbox, and answers when it is told to. */
class Inbox {
  readonly commands: Command[] = []
  readonly #ground: Ground
  #last = '0'

  constructor(ground: Ground) {
    this.#ground = ground
  }

  async read(): Promise<readonly Command[]> {
    const { commands, names } = this.#ground
    const entries = await commands.client.xrange(names.inbox(), `(${this.#last}`, '+')
    for (const [id, fields] of entries) {
      this.#last = id
      for (const entry of fields.filter((_, i) => i % 2 === 1)) this.commands.push(...readCommands(entry, () => {}))
    }
    return this.commands
  }

  async submits(n: number): Promise<readonly Submit[]> {
    const found = (): readonly Submit[] =>
      this.commands.filter((command): command is Submit => command.type === 'submit')
    await eventually(async () => {
      await this.read()
      expect(found().length).toBe(n)
    })
    return found()
  }

  /** A coordinator acts, and would have answered. */
  async announce(): Promise<void> {
    const { bus, commands, names } = this.#ground
    const heard = new Promise<void>((done) => bus.onControl(() => done()))
    await commands.publish(names.control(), '{"type":"coordinator","host":"h","term":"1.h"}')
    await heard
  }

  async answer({ from, n }: Command, is: unknown): Promise<void> {
    const message: Message = { type: 'answer', n, is }
    await this.#ground.commands.client.publish(this.#ground.names.process(from), JSON.stringify([message]))
  }

  /** Stores it as accepted, as a commit would. */
  async store({ from, items }: Submit): Promise<readonly SubmitAnswer[]> {
    const { client } = this.#ground.commands
    const { names } = this.#ground
    return Promise.all(
      items.map(async ({ id, facts, bodyBytes }, i): Promise<SubmitAnswer> => {
        const row = { id, seq: i + 1, acceptedAtMs: 5, epoch: 1, from, bodyBytes, facts }
        await client.hset(names.live(), id, writeLive(row))
        await client.persist(names.body(id))
        const place = { position: 1, tokensAhead: 0 }
        return { kind: 'accepted', id, seq: row.seq, epoch: 1, acceptedAtMs: 5, state: 'queued', attempts: 0, place }
      }),
    )
  }
}

async function setup(maxPendingBytes?: number) {
  const server = await RedisServer.start()
  opened.push(() => server.remove())
  const proxy = await FaultProxy.start(server.port)
  opened.push(() => proxy.close())
  const clock = leapClock()
  const through = await openGround({ url: proxy.url }, clock, systemIds(), () => {})
  const ground = await openGround({ url: server.url }, leapClock(), systemIds(), () => {})
  opened.push(through.close, ground.close)
  const keys = await RedisKeys.open(through)
  opened.push(() => keys.close())
  const jobs = new RedisJobs(through, async () => {})
  const presence = new RedisPresence(through)
  const logs = { expected: [] as JobId[], followed: [] as JobId[] }
  const reading = {
    expect: (id: JobId) => void logs.expected.push(id),
    granted: (id: JobId) => void logs.followed.push(id),
    missing: async () => null,
  }
  const submissions = new RedisSubmissions(through, jobs, presence, reading, keys, maxPendingBytes)
  opened.push(
    () => jobs.stop(),
    () => presence.close(),
    () => submissions.close(),
  )
  const inbox = new Inbox(ground)
  const bodies = async (): Promise<number> => {
    const [names] = [await ground.commands.client.keys(`${ground.names.shard}:b:*`)]
    return names.length
  }
  return { server, proxy, clock, ground, keys, submissions, inbox, bodies, through, logs }
}

const kinds = (results: readonly Submitted[]): readonly string[] =>
  results.map((result) => (result.kind === 'refused' ? result.error.code : result.kind))

describe.skipIf(NO_REDIS)('Redis: submissions', () => {
  it('stores requests before the command that submits them; what is refused leaves nothing', async () => {
    const { submissions, inbox, ground, bodies } = await setup()
    const drafts: readonly JobDraft[] = [draft({ body: 'one ü' }), draft({ body: 'two', options: { pool: 'p' } })]
    const submitting = submissions.submit(drafts)
    const [submit] = await inbox.submits(1)
    expect(await ground.commands.client.get(ground.names.body(submit.items[0].id))).toBe('one ü')
    expect(submit.items[1]).toMatchObject({ facts: { options: { pool: 'p' } }, bodyBytes: 3, isRetry: false })
    const [accepted] = await inbox.store(submit)
    const refused = { kind: 'refused', error: { code: 'queue_full', message: 'm', retryAfterMs: 7 } }
    await inbox.answer(submit, [accepted, refused])
    const results = await submitting
    expect(results).toMatchObject([
      { kind: 'accepted', job: { id: submit.items[0].id, state: 'queued', epoch: 1, acceptedAtMs: 5 } },
      { kind: 'refused', error: { code: 'queue_full', retryAfterMs: 7 } },
    ])
    await eventually(async () => expect(await bodies()).toBe(1))
    expect(await ground.commands.client.ttl(ground.names.body(submit.items[0].id))).toBe(-1)
  })

  it('many submits of one turn share an entry, in their order', async () => {
    const { submissions, inbox, ground } = await setup()
    const all = Array.from({ length: 20 }, (_, i) => submissions.submit([draft({ model: `m${i}` })]))
    const submits = await inbox.submits(20)
    expect(submits.map(({ items }) => items[0].facts.model)).toEqual(Array.from({ length: 20 }, (_, i) => `m${i}`))
    const ids = submits.map(({ items }) => items[0].id)
    expect(ids).toEqual(ids.toSorted())
    expect(await ground.commands.client.xlen(ground.names.inbox())).toBeLessThan(3)
    for (const submit of submits) await inbox.answer(submit, await inbox.store(submit))
    expect((await Promise.all(all)).flatMap(kinds)).toEqual(Array.from({ length: 20 }, () => 'accepted'))
  })

  it('the log of a plain POST is followed from its accept on, where the coordinator can do that', async () => {
    const { submissions, inbox, logs } = await setup()
    const plain = draft({ options: { onDisconnect: 'cancel' } })
    const all = [submissions.submit([plain]), submissions.submit([plain]), submissions.submit([draft()])]
    const [first, earlier, other] = await inbox.submits(3)
    const [id] = first.items.map((item) => item.id)
    expect(logs).toEqual({ expected: [id, earlier.items[0].id], followed: [] })
    expect([first.follows, earlier.follows, other.follows]).toEqual([true, true, undefined])
    const [accepted] = await inbox.store(first)
    await inbox.answer(first, [{ ...accepted, follows: true }])
    // One of an earlier version
    await inbox.answer(earlier, await inbox.store(earlier))
    await inbox.answer(other, await inbox.store(other))
    expect((await Promise.all(all)).flatMap(kinds)).toEqual(['accepted', 'accepted', 'accepted'])
    expect(logs.followed).toEqual([id])
  })

  it('a lost answer is asked for again, under the same id and without the request', async () => {
    const { submissions, inbox, clock, ground } = await setup()
    const submitting = submissions.submit([draft()])
    const [first] = await inbox.submits(1)
    const answers = await inbox.store(first)
    clock.leap(1_700)
    // Nobody has read the inbox: there is no use in another entry
    await ground.commands.client.ping()
    expect((await inbox.submits(1)).length).toBe(1)
    await inbox.announce()
    clock.leap(200)
    const [, again] = await inbox.submits(2)
    expect(again).toEqual({ ...first, re: true })
    expect(await ground.commands.client.ttl(ground.names.body(first.items[0].id))).toBe(-1)
    await inbox.answer(again, answers)
    expect(kinds(await submitting)).toEqual(['accepted'])
  })

  it('without a coordinator it is refused and leaves nothing, unless it was accepted and its answer lost', async () => {
    const { submissions, inbox, clock, bodies } = await setup()
    const lost = submissions.submit([draft()])
    const [submit] = await inbox.submits(1)
    await inbox.store(submit)
    const ignored = submissions.submit([draft(), draft()])
    const [, other] = await inbox.submits(2)
    expect(other.untilMs).toBeLessThan(Date.now() + 11_000)
    clock.leap(16_000)
    expect(await lost).toMatchObject([{ kind: 'accepted', job: { id: submit.items[0].id } }])
    expect(kinds(await ignored)).toEqual(['storage_unavailable', 'storage_unavailable'])
    expect(await bodies()).toBe(1)
  })

  it('what was accepted after its client was refused is canceled', async () => {
    const { submissions, inbox, clock, proxy } = await setup()
    const [taken, not] = [submissions.submit([draft()]), submissions.submit([draft()])]
    const submits = await inbox.submits(2)
    await inbox.store(submits[0])
    proxy.cut()
    clock.leap(16_000)
    expect(kinds([...(await taken), ...(await not)])).toEqual(['storage_unavailable', 'storage_unavailable'])
    proxy.heal()
    await eventually(async () => {
      clock.leap(1_000)
      const cancels = (await inbox.read()).filter((command) => command.type === 'cancel')
      expect(cancels.map(({ id }) => id)).toEqual([submits[0].items[0].id])
    })
  })

  it('a submit under a key that was revoked before it was stored is refused; others of its turn are not', async () => {
    const { submissions, keys, inbox, bodies } = await setup()
    await keys.add({ id: 'k1', tenant: 'acme', name: 'n', hint: 'h', createdAtMs: 1 }, 'd1')
    await keys.add({ id: 'k2', tenant: 'acme', name: 'n', hint: 'h', createdAtMs: 1 }, 'd2')
    await keys.revoke('k1', 5)
    const [refused, taken] = [
      submissions.submit([draft({ keyId: 'k1' })]),
      submissions.submit([draft({ keyId: 'k2' })]),
    ]
    const [submit] = await inbox.submits(1)
    expect(submit.items[0].facts.keyId).toBe('k2')
    await inbox.answer(submit, await inbox.store(submit))
    expect(kinds([...(await refused), ...(await taken)])).toEqual(['invalid_api_key', 'accepted'])
    expect(await bodies()).toBe(1)
  })

  it('a reserved id is taken though its key was revoked since: it was valid at the door', async () => {
    const { submissions, keys, inbox } = await setup()
    await keys.add({ id: 'k1', tenant: 'acme', name: 'n', hint: 'h', createdAtMs: 1 }, 'd1')
    const ids = await submissions.reserve(1)
    await keys.revoke('k1', 5)
    const taken = submissions.submit([draft({ keyId: 'k1' })], ids)
    const [submit] = await inbox.submits(1)
    await inbox.answer(submit, await inbox.store(submit))
    expect(kinds(await taken)).toEqual(['accepted'])
  })

  it('a reserved id that was refused keeps its request: another process may have it accepted', async () => {
    const { submissions, inbox, ground, through } = await setup()
    const ids = await submissions.reserve(1)
    const refused = submissions.submit([draft({ body: 'text' })], ids)
    const [submit] = await inbox.submits(1)
    await inbox.answer(submit, [{ kind: 'refused', error: { code: 'queue_full', message: 'm' } }])
    expect(kinds(await refused)).toEqual(['queue_full'])
    // What would be sent has reached Redis by then
    await through.commands.client.ping()
    expect(await ground.commands.client.get(ground.names.body(ids[0]))).toBe('text')
  })

  it('bytes that wait are bounded, and a large one alone is not refused', async () => {
    const { submissions, inbox } = await setup(1_000)
    const body = Buffer.alloc(1_001, ' ')
    const large = submissions.submit([draft({ body })])
    expect(kinds(await submissions.submit([draft()]))).toEqual(['storage_unavailable'])
    const [submit] = await inbox.submits(1)
    await inbox.answer(submit, await inbox.store(submit))
    expect(kinds(await large)).toEqual(['accepted'])
    const after = submissions.submit([draft()])
    const [, next] = await inbox.submits(2)
    await inbox.answer(next, await inbox.store(next))
    expect(kinds(await after)).toEqual(['accepted'])
  })

  it('a redrive is not held against the key of the job that failed', async () => {
    const { submissions, inbox, ground, keys } = await setup()
    await keys.add({ id: 'k1', tenant: 'acme', name: 'n', hint: 'h', createdAtMs: 1 }, 'd1')
    await keys.revoke('k1', 5)
    const id = 'job_00000000000000000000000001'
    const { body: _body, isRetry: _retry, ...facts } = draft({ keyId: 'k1' })
    const live = writeLive({ id, seq: 1, acceptedAtMs: 1, epoch: 1, from: 'p', bodyBytes: 4, facts })
    await ground.commands.client.set(ground.names.row(id), `9 1 1\n${live}\n{"n":1,"t":2,"state":"failed"}`)
    await ground.commands.client.set(ground.names.body(id), 'text')
    const redriving = submissions.redrive(id, null)
    const [submit] = await inbox.submits(1)
    expect(submit.items[0]).toMatchObject({ facts: { redriveOf: id }, bodyBytes: 4 })
    await inbox.answer(submit, await inbox.store(submit))
    expect(await redriving).toMatchObject({ kind: 'accepted' })
    expect(await submissions.redrive('job_00000000000000000000000002', null)).toBeNull()
    // That of a caller is
    await keys.add({ id: 'k2', tenant: 'acme', name: 'n', hint: 'h', createdAtMs: 1 }, 'd2')
    const byCaller = submissions.redrive(id, { keyId: 'k2' })
    const [, second] = await inbox.submits(2)
    expect(second.items[0]).toMatchObject({ facts: { keyId: 'k2', redriveOf: id } })
    await inbox.answer(second, await inbox.store(second))
    expect(await byCaller).toMatchObject({ kind: 'accepted', job: { keyId: 'k2' } })
    expect(await submissions.redrive(id, { keyId: 'k1' })).toMatchObject({
      kind: 'refused',
      error: { code: 'invalid_api_key' },
    })
  })
})
