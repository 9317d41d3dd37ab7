/** Everything that an engine holds is moved to the other one, and back, and nothing can be told apart. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { SluiceError } from '../../src/core/errors.ts'
import type { Engine } from '../../src/core/ports/engine.ts'
import { Connection } from '../../src/engines/redis/client/connection.ts'
import { Names } from '../../src/engines/redis/client/names.ts'
import { intakeSecretOf, secretText } from '../../src/engines/shared/intake-secret.ts'
import { partsOf } from '../../src/engines/shared/portable/parts.ts'
import { receive } from '../../src/engines/shared/portable/transfer.ts'
import { DONE, eventually, runJob, submit, TestWorker } from '../conformance/harness.ts'
import { DEEP } from '../depth.ts'
import { RedisCluster } from '../redis/cluster.ts'
import { NO_REDIS, RedisServer } from '../redis/server.ts'
import { body, chunk, HOUR_MS, MOVE_CASES, message } from './cases.ts'
import { portrait, putFile } from './portrait.ts'
import { folderSide, move, redisSide, removeFolder, type Side } from './sides.ts'

const TENANTS = ['acme', 'umbrella']
let redis: RedisServer
const undo: Array<() => unknown> = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

function folder(): ReturnType<typeof folderSide> {
  const side = folderSide()
  undo.push(() => removeFolder(side))
  return side
}

/** Something of each kind, in every state that a job can be in while nobody runs it. */
async function populate(engine: Engine): Promise<void> {
  const worker = new TestWorker(engine, 'w1', ['text'])
  const sent = { kind: 'failed', retry: false } as const
  // Ended: done, with a long log; failed; canceled; with a key; in a conversation with instructions and an answer
  await runJob(
    engine,
    worker,
    {},
    Array.from({ length: 300 }, (_, i) => chunk(`word ${i}`)),
  )
  await runJob(engine, worker, { options: { idempotencyKey: 'once' }, metadata: { b: '1', a: '2' } }, ['{"a":1}'])
  const failed = await submit(engine, {
    user: 'ü',
    requestId: 'req_1',
    admissionMs: 1.25,
    shownAs: { include_usage: true },
  })
  await engine.work.finish(await worker.one(failed), { ...sent, error: new SluiceError('provider_rejected') })
  const canceled = await submit(engine)
  await engine.jobs.cancel(canceled.id)
  const chat = { conversation: 'chat/1' }
  await runJob(
    engine,
    worker,
    { options: chat, body: body(message('be brief', 'system'), message('hällo')) },
    [chunk('hi')],
    { ...DONE, answer: message('hi', 'assistant') },
  )
  await runJob(engine, worker, { options: chat, body: body(message('more')) }, [chunk('…')], DONE)
  await engine.conversations.rename('acme', 'chat/1', 'A name')
  await runJob(engine, worker, { tenant: 'umbrella', options: { conversation: 'other' } }, [chunk('x')])

  // Waiting: with attempts behind them, a delay, a lane in order, a paused tenant, a conversation's next turn
  const again = await submit(engine, { options: { lane: 'retried', deadlineMs: 2 * HOUR_MS } })
  const lease = await worker.one(again)
  engine.log.open(lease).append([chunk('half'), chunk('an answer')], 2, true)
  engine.log.open(lease).noteFirstText(12)
  await engine.work.finish(lease, {
    kind: 'failed',
    // A short delay would end between two portraits on a busy machine
    error: new SluiceError('provider_unreachable', { retryAfterMs: HOUR_MS }),
    retry: true,
  })
  await submit(engine, { options: { delayMs: HOUR_MS, deadlineMs: 2 * HOUR_MS } })
  await engine.operations.pause({ tenant: 'umbrella' })
  await engine.operations.pause({ lane: 'l', tenant: 'acme' })
  for (let i = 0; i < 5; i++) await submit(engine, { options: { lane: 'l' } })
  for (let i = 0; i < 3; i++) await submit(engine, { tenant: 'umbrella', options: { priority: 'high' } })
  await submit(engine, { options: chat, body: body(message('and then')) })
  await submit(engine, { options: { idempotencyKey: 'waits' }, session: 's', onDisconnect: 'cancel' } as object)

  await engine.intakeSecret(() => intakeSecretOf(engine.sharedSecret ?? 'own'))
  await engine.keys.add({ id: 'key_1', tenant: 'acme', name: 'a', hint: 'sk-a', createdAtMs: 5 }, 'digest-1')
  await engine.keys.add(
    { id: 'key_2', tenant: 'umbrella', name: '', hint: 'sk-b', createdAtMs: 6, expiresAtMs: 4e12 },
    'digest-2',
  )
  await engine.keys.revoke('key_1', 77)
  await engine.keys.rotate('key_2', { digest: 'digest-3', hint: 'sk-c', nowMs: 8, endsAtMs: 9 })
  const dates = { createdAtMs: 1, changedAtMs: 2 }
  const disabled = { running: 'cut', queued: 'keep', reason: 'r', atMs: 3 } as const
  const acme = {
    kind: 'tenant',
    id: 'acme',
    label: 'A',
    models: ['a*'],
    limits: { concurrent: 1 },
    disabled: null,
  } as const
  await engine.tenants.change('tenant', 'acme', () => ({ ...acme, ...dates }))
  const model = { kind: 'model', id: 'm', label: '', models: null, limits: null, disabled } as const
  await engine.tenants.change('model', 'm', () => ({ ...model, ...dates }))
  for (const atMs of [1, 2]) {
    const told = { atMs, from: '', requestId: 'r', action: 'a', target: 't', tenant: null }
    await engine.audit.add({ ...told, before: {}, after: { b: atMs } })
  }
  const document = { tenant: 'acmé', body: { text: 'é "quoted" \\' }, expiresAtMs: null } as const
  for (let n = 0; n < 150; n++)
    await engine.documents.put({ ...document, kind: 'batch', id: `batch_${n}`, dueAtMs: n }, 0)
  await engine.documents.put({ ...document, kind: 'batch', id: 'batch_1', dueAtMs: 7 }, 1)
  await engine.documents.put({ ...document, kind: 'webhook_endpoint', id: 'a-b', dueAtMs: null, expiresAtMs: 4e12 }, 0)
  await engine.documents.put({ ...document, kind: 'file', tenant: '', id: 'F', dueAtMs: null }, 0)
  await putFile(engine, 600_001)
  await putFile(engine, 262_144)
  await putFile(engine, 0)
}

async function portraitOf(side: Side) {
  const { engine, close } = await side.open()
  try {
    // What waits in a broker was signed with it
    const intake = secretText(await engine.intakeSecret(() => intakeSecretOf(engine.sharedSecret ?? 'none')))
    return { ...(await portrait(engine, TENANTS)), intake }
  } finally {
    await close()
  }
}

/** What must hold whichever way it goes. */
const BOTH_WAYS: ReadonlyArray<readonly [string, () => Side, () => Side]> = [
  ['from a folder to Redis', () => folder(), () => redisSide(redis)],
  ['from Redis to a folder', () => redisSide(redis), () => folder()],
]

describe.skipIf(NO_REDIS)('moving between engines', () => {
  beforeAll(async () => {
    redis = await RedisServer.start({ appendfsync: 'everysec' })
  })
  afterAll(() => redis?.remove())

  it('a text and a request that are larger than what a script may bring arrive whole', async () => {
    const [from, shard, back] = [folder(), redisSide(redis), folder()]
    const { engine, close } = await from.open()
    const texts = Array.from({ length: 100 }, (_, i) => chunk(`${i} ${'é'.repeat(20_000)}`))
    const worker = new TestWorker(engine, 'w1', ['text'])
    for (let n = 0; n < 3; n++) await runJob(engine, worker, { body: body(message('x'.repeat(1_500_000))) }, texts)
    await close()
    const before = await portraitOf(from)
    await move(from, shard)
    expect(await portraitOf(shard)).toEqual(before)
    await move(shard, back)
    expect(await portraitOf(back)).toEqual(before)
  })

  it('keeps all that can be seen, from a folder to Redis and back', async () => {
    const [from, shard, back] = [folder(), redisSide(redis), folder()]
    const { engine, close } = await from.open()
    await populate(engine)
    await eventually(async () => expect((await engine.operations.depth()).leased).toBe(0))
    await close()
    const before = await portraitOf(from)
    expect(before.jobs.length).toBe(19)
    const counts = await move(from, shard)
    expect(counts.map(({ section, items }) => [section, items])).toEqual([
      ['counters', 1],
      ['epochs', 1],
      ['intake', 1],
      ['keys', 3],
      ['tenants', 2],
      ['audit', 2],
      ['file_bytes', 4],
      ['documents', 155],
      ['pauses', 2],
      ['limit_windows', 0],
      ['limit_levels', 0],
      ['usage_sums', 2],
      ['usage', 5],
      ['conversations', 2],
      ['turns', 3],
      ['ended_jobs', 7],
      ['waiting_jobs', 12],
    ])
    const connection = new Connection({ url: redis.url })
    await connection.open()
    const names = new Names(shard.prefix)
    // Else each process would read all of them again every few seconds
    expect(await connection.client.mget(names.keysVersion(), names.tenantsVersion())).toEqual(['1', '1'])
    connection.close()
    expect(await portraitOf(shard)).toEqual(before)
    await move(shard, back)
    expect(await portraitOf(back)).toEqual(before)
  })

  for (const [way, from, to] of BOTH_WAYS)
    describe(way, () => {
      for (const { name, run } of MOVE_CASES) it(name, () => run(from(), to()))
    })
})

describe.skipIf(NO_REDIS)('moving to a cluster of Redis, and back', () => {
  let cluster: RedisCluster
  beforeAll(async () => {
    cluster = await RedisCluster.start({ appendfsync: 'everysec' })
  })
  afterAll(() => cluster?.remove())

  it('keeps all that can be seen; a try that was cut is begun anew, and what is there is never mixed', async () => {
    const [from, shard, back] = [folder(), redisSide(cluster), folder()]
    const { engine, close } = await from.open()
    await populate(engine)
    await eventually(async () => expect((await engine.operations.depth()).leased).toBe(0))
    await close()
    const before = await portraitOf(from)
    const cut = move(from, shard, { item: (section) => cutAt('waiting_jobs', section) })
    await expect(cut).rejects.toThrow('cut')
    await move(from, shard)
    expect(await portraitOf(shard)).toEqual(before)
    expect(await shard.filling()).toBeNull()
    const { close: stop } = await shard.open()
    await expect(move(shard, back)).rejects.toMatchObject({ code: 'in_use' })
    await stop()
    await move(shard, back)
    expect(await portraitOf(back)).toEqual(before)
  })

  for (const { name, run } of MOVE_CASES) {
    it.skipIf(!DEEP)(name, () => run(folder(), redisSide(cluster)))
    it.skipIf(!DEEP)(`${name}, and back`, () => run(redisSide(cluster), folder()))
  }

  it('a slot that moves to another node breaks it off, and the next try goes there', async () => {
    const [from, shard] = [folder(), redisSide(cluster)]
    const { engine, close } = await from.open()
    await populate(engine)
    await close()
    const before = await portraitOf(from)
    const filling = (await shard.filling())!
    const owner = await cluster.ownerOf('{s0}')
    await cluster.move('{s0}', (owner + 1) % 3, async () => {})
    const held = await from.held()
    await expect(receive(partsOf(held.sources), filling)).rejects.toMatchObject({ code: 'storage_unavailable' })
    await held.close()
    await filling.close()
    await eventually(async () => void (await move(from, shard)))
    expect(await portraitOf(shard)).toEqual(before)
  })
})

function cutAt(last: string, section: string): null {
  if (section === last) throw new Error('cut')
  return null
}
