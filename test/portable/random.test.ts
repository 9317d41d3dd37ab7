/** Random histories, over two gateways where there are two, are moved there and back: nothing can be told apart. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SluiceError } from '../../src/core/errors.ts'
import type { Engine } from '../../src/core/ports/engine.ts'
import type { Lease, Outcome } from '../../src/core/ports/work.ts'
import { DONE, draft, pass, settled, TestWorker } from '../conformance/harness.ts'
import { depth } from '../depth.ts'
import { random } from '../random.ts'
import { NO_REDIS, RedisServer } from '../redis/server.ts'
import { body, chunk, message } from './cases.ts'
import { portrait } from './portrait.ts'
import { folderSide, move, type Process, redisSide, removeFolder, type Side } from './sides.ts'

const TENANTS = ['acme', 'umbrella', 'ü']
const NAMES = ['a', 'a/b', 'ä/"', 'c']
const STEPS = depth(25, 12)
const RETRY_CAP_MS = 1_100

let redis: RedisServer

type Random = (below: number) => number
const oneOf = <T>(of: readonly T[], r: Random): T => of[r(of.length)]

/** Some steps of clients, workers and operators, each at one of the processes. */
async function live(engines: readonly Engine[], r: Random, mark: string): Promise<void> {
  const workers = engines.map((engine, i) => new TestWorker(engine, `${mark}${i}`))
  for (let step = 0; step < STEPS; step++) {
    const engine = oneOf(engines, r)
    const tenant = oneOf(TENANTS, r)
    switch (r(8)) {
      case 0:
      case 1:
      case 2:
        await submitSome(engine, tenant, r, `${mark}${step}`)
        break
      case 3:
      case 4:
        for (const lease of await oneOf(workers, r).lease(1 + r(3))) await run(engines, lease, r)
        break
      case 5: {
        const [job] = await engine.jobs.list({ limit: 1, tenant })
        if (job !== undefined) await (r(2) === 0 ? engine.jobs.cancel(job.id) : engine.jobs.erase(job.id))
        break
      }
      case 6:
        if (r(2) === 0) await engine.operations.pause({ tenant, lane: oneOf(NAMES, r) })
        else await engine.conversations.rename(tenant, oneOf(NAMES, r), `name ${step}`)
        break
      default:
        await engine.keys.add(
          { id: `key_${mark}${step}`, tenant, name: '', hint: 'h', createdAtMs: step },
          `digest ${mark}${step}`,
        )
        if (r(3) === 0) await engine.keys.revoke(`key_${mark}${step}`, step)
    }
  }
  for (const worker of workers) await worker.leave()
  for (const engine of engines) await settled(engine)
}

async function submitSome(engine: Engine, tenant: string, r: Random, mark: string): Promise<void> {
  const name = oneOf(NAMES, r)
  const where = [{}, { lane: name }, { conversation: name }, { idempotencyKey: `${mark}-${name}` }]
  const drafts = Array.from({ length: 1 + r(3) }, (_, i) =>
    draft({
      tenant,
      body: body(...(r(3) === 0 ? [message('be brief', 'system')] : []), message(`${mark} ${i} ä`)),
      bodyHash: `${mark} ${i}`,
      ...(r(4) === 0 && { user: `user ${r(3)}`, metadata: { z: '1', a: mark } }),
      options: { ...oneOf(where, r), ...(r(6) === 0 && { delayMs: 3_600_000 }), priority: oneOf(['high', 'low'], r) },
    }),
  )
  await engine.submissions.submit(drafts)
}

async function run(engines: readonly Engine[], lease: Lease, r: Random): Promise<void> {
  const outcomes: readonly Outcome[] = [
    DONE,
    { ...DONE, answer: message('an answer', 'assistant') },
    { kind: 'released' },
    { kind: 'failed', error: new SluiceError('provider_unreachable'), retry: true },
    { kind: 'failed', error: new SluiceError('provider_rejected'), retry: false },
  ]
  for (const engine of engines)
    try {
      const writer = engine.log.open(lease)
      writer.append(
        Array.from({ length: r(40) }, (_, i) => chunk(`${'x'.repeat(r(200))} ${i}`)),
        1,
        r(2) === 0,
      )
      await writer.flushed()
      await engine.work.finish(lease, oneOf(outcomes, r))
      return
    } catch {
      // It is the other process's
    }
}

async function seen(side: Side): Promise<unknown> {
  const { engine, close } = await side.open()
  return portrait(engine, TENANTS).finally(close)
}

async function history(side: Side, processes: number, r: Random, mark: string): Promise<void> {
  const opened: Process[] = []
  for (let i = 0; i < processes; i++) opened.push(await side.open())
  await live(
    opened.map(({ engine }) => engine),
    r,
    mark,
  )
  for (const process of opened.splice(1)) await process.close()
  // A retry that is still delayed joins the line later than one that is ready when a process starts
  await pass(opened[0], RETRY_CAP_MS)
  await opened[0].close()
}

const AT_ONCE = 5

describe.skipIf(NO_REDIS)('random histories', () => {
  beforeAll(async () => {
    redis = await RedisServer.start({ appendfsync: 'everysec' })
  })
  afterAll(() => redis?.remove())

  const seeds = Array.from({ length: depth(30, 1) }, (_, i) => i + 1)
  // Most of each is waiting
  for (let from = 0; from < seeds.length; from += AT_ONCE)
    describe(`${AT_ONCE} at once`, () => {
      it.concurrent.each(seeds.slice(from, from + AT_ONCE))('seed %i: folder, Redis, folder, Redis', async (seed) => {
        const r = random(seed)
        const folders = [folderSide(), folderSide()]
        const sides: readonly Side[] = [folders[0], redisSide(redis), folders[1], redisSide(redis)]
        try {
          for (const [i, side] of sides.entries()) {
            await history(side, i % 2 === 0 ? 1 : 2, r, `${'abcd'[i]}`)
            const next = sides[i + 1]
            if (next === undefined) return
            const before = await seen(side)
            await move(side, next)
            expect(await seen(next)).toEqual(before)
          }
        } finally {
          for (const folder of folders) removeFolder(folder)
        }
      })
    })
})
