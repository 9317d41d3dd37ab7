/** The topic of events: what other programs are told of jobs, also over a broker that was away. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock as clock } from '../../src/core/clock.ts'
import type { Fact } from '../../src/core/facts.ts'
import { loadKafka } from '../../src/intakes/kafka/connection.ts'
import { Events } from '../../src/intakes/kafka/events.ts'
import { ensureTopics } from '../../src/intakes/kafka/topics.ts'
import { eventually } from '../conformance/harness.ts'
import { startTestApp, type TestApp } from '../front/app.ts'
import { request, send } from '../front/wire.ts'
import { addressOf, readAll } from './reading.ts'
import { KafkaServer, NO_KAFKA } from './server.ts'

describe.skipIf(NO_KAFKA)('events of jobs in Kafka', () => {
  let server: KafkaServer
  let app: TestApp | undefined
  beforeAll(async () => {
    server = await KafkaServer.start()
  }, 120_000)
  afterAll(async () => {
    await app?.stop()
    await server?.remove()
  })

  const events = async (topic: string): Promise<readonly any[]> => {
    const all = (await readAll(server.port, topic)).map(({ key, value }) => ({
      key,
      ...JSON.parse(Buffer.from(value).toString()),
    }))
    return all.toSorted((a, b) => a.seq - b.seq)
  }
  const ask = async (content: string): Promise<void> => {
    const body = JSON.stringify({ model: 'demo', messages: [{ role: 'user', content }] })
    const headers = { authorization: `Bearer ${app!.key}` }
    const answer = await send(app!.port, request('POST', '/v1/chat/completions', headers, body))
    expect(answer.status).toBe(200)
  }

  it('tell the life of a job and what it used, in its order, and nothing of its text', async () => {
    app = await startTestApp({}, { intakes: { kafka: { brokers: [server.broker], events: true, prefix: 'own' } } })
    await ask('A secret wish. demo: tokens=3')
    let got: readonly any[] = []
    await eventually(async () => {
      got = await events('own-events')
      expect(got.map(({ type }) => type)).toContain('job.ended')
    })
    // One that runs at once has begun before its client is told of it
    expect(new Set(got.slice(0, 2).map(({ type }) => type))).toEqual(new Set(['job.accepted', 'job.started']))
    expect(got.slice(2).map(({ type }) => type)).toEqual(['attempt.ended', 'job.ended'])
    expect(got.map(({ seq }) => seq)).toEqual([1, 2, 3, 4])
    const [{ job, source }] = got
    expect(job).toMatch(/^job_/)
    for (const each of got) {
      expect(each).toMatchObject({ key: job, job, source, tenant: 'default', model: 'demo' })
      expect(Math.abs(Date.parse(each.at) - Date.now())).toBeLessThan(60_000)
    }
    expect(got[3]).toMatchObject({
      state: 'done',
      error: null,
      usage: { completion_tokens: 3 },
      timing: { attempts: 1 },
    })
    expect(JSON.stringify(got)).not.toMatch(/secret|wish/)
  })

  it('wait while the broker is away, and cost nobody anything', async () => {
    await server.kill()
    await ask('demo: tokens=1')
    await eventually(() => expect(app!.log.join('\n')).toContain("events can't be sent to Kafka"))
    await server.restart()
    await eventually(() => expect(app!.log.join('\n')).toContain('events reach Kafka again'))
    await eventually(async () => {
      const seqs = new Set((await events('own-events')).map(({ seq }) => seq))
      expect([...seqs]).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
    })
    await app!.stop()
    app = undefined
  })

  it('that do not fit while it is away are dropped, the oldest first, and that is told', async () => {
    const kafka = await loadKafka()
    const address = addressOf(server.port)
    await ensureTopics(kafka, address, [{ name: 'few', partitions: 1 }], { creates: true, replicas: 1 }, clock)
    const turns: unknown[] = []
    const feed = new Events({
      onStop: () => {},
      kafka,
      address,
      clock,
      topic: 'few',
      source: 'src_1',
      jitter: () => 0,
      maxWaitingBytes: 20_000,
      maxBatchBytes: 4_000,
      onTurn: (error, dropped) => turns.push([error === null, dropped > 0]),
    })
    await server.kill()
    const returned = (attempt: number): Fact => ({
      type: 'job-returned',
      job: 'job_1',
      tenant: 'acme',
      keyId: 'key_1',
      model: 'demo',
      requestId: null,
      trace: null,
      attempt,
      delayMs: 0,
      atMs: 0,
    })
    for (let n = 1; n <= 500; n++) feed.observe(returned(n))
    await eventually(() => expect(turns).toEqual([[false, true]]))
    const [, , waiting] = feed.metrics
    expect(waiting.kind === 'gauge' && waiting.read()).toBeLessThanOrEqual(20_000)
    await server.restart()
    await eventually(() =>
      expect(turns).toEqual([
        [false, true],
        [true, true],
      ]),
    )
    await feed.stop(10_000)
    const got = await events('few')
    const told = got.at(-1)
    expect(told).toMatchObject({ type: 'events.dropped', seq: 501, source: 'src_1' })
    // The newest are all there, and what is missing is as many as were told
    const numbers = [...new Set(got.slice(0, -1).map(({ seq }) => seq))]
    expect(numbers.slice(-50)).toEqual(Array.from({ length: 50 }, (_, i) => 451 + i))
    expect(500 - numbers.length).toBe(told.dropped)
  })
})
