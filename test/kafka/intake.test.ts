/** A whole Sluice with Kafka in front: what is submitted through it, and what other programs publish. */
import { execFile, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { checkKafka } from '../../src/cli/checks.ts'
import { run } from '../../src/cli/run.ts'
import { systemClock as clock } from '../../src/core/clock.ts'
import { loadKafka } from '../../src/intakes/kafka/connection.ts'
import { deadTopicOf, HEADERS, topicOf } from '../../src/intakes/kafka/names.ts'
import { Sender } from '../../src/intakes/kafka/sender.ts'
import { ensureTopics } from '../../src/intakes/kafka/topics.ts'
import { DEEP } from '../depth.ts'
import { startTestApp, type TestApp } from '../front/app.ts'
import { addressOf, readAll } from './reading.ts'
import { KafkaServer, NO_KAFKA } from './server.ts'

const EXAMPLES = join(import.meta.dirname, '../../examples/kafka')
const KAFKA_DEFAULTS = {
  partitions: 3,
  replicas: null,
  tls: false,
  username: null,
  password: null,
  events: false,
  createTopics: true,
  maxMessageBytes: 900 << 10,
}
const QUICK = 'demo: tokens=2 delay=1 ttft=1'
/** An interpreter that has the package: named by SLUICE_TEST_PYTHON, or python3. */
const PYTHON = [process.env['SLUICE_TEST_PYTHON'], 'python3'].find(
  (name) => name !== undefined && spawnSync(name, ['-c', 'import kafka']).status === 0,
)

let prefixes = 0
let prefix = ''
let server: KafkaServer
let app: TestApp | undefined

async function start(more: object = {}): Promise<void> {
  app = await startTestApp({}, {
    models: [
      { name: 'words', provider: 'demo', pool: 'text' },
      { name: 'pictures', provider: 'demo', pool: 'image' },
      { name: 'demo', provider: 'demo', pool: 'chat' },
    ],
    intakes: {
      kafka: { brokers: [server.broker], prefix, partitions: 3, session_timeout_ms: '2s', confirm_timeout_ms: '3s' },
      publishers: { tenants: ['default'] },
    },
    pools: [
      { name: 'text', intake: 'kafka' },
      { name: 'image', intake: 'kafka' },
    ],
    ...more,
  } as Record<string, unknown>)
}

async function call(path: string, body?: unknown): Promise<{ status: number; body: any }> {
  const response = await fetch(`http://127.0.0.1:${app!.port}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${app!.key}`, 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, body: text.startsWith('{') ? JSON.parse(text) : text }
}

const asking = (text: string, model = 'words') => ({ model, messages: [{ role: 'user', content: text }] })

async function until<T>(get: () => T | Promise<T>, isIt: (value: T) => boolean): Promise<T> {
  for (let left = 1_200; ; left--) {
    const value = await get()
    if (isIt(value)) return value
    if (left === 0) throw new Error(`not within 60 s: ${JSON.stringify(value).slice(0, 2_000)}`)
    await new Promise((go) => setTimeout(go, 50))
  }
}

const jobs = async (query = ''): Promise<any[]> => (await call(`/v1/jobs?limit=1000${query}`)).body.data
const isDone = ({ state }: { readonly state: string }): boolean => state === 'done'

async function topicsOf(...pools: readonly string[]): Promise<void> {
  const topics = pools.flatMap((pool) => [
    { name: topicOf(prefix, pool), partitions: 3 },
    { name: deadTopicOf(prefix, pool), partitions: 1 },
  ])
  await ensureTopics(await loadKafka(), addressOf(server.port), topics, { creates: true, replicas: 1 }, clock)
}

/** As another program would. */
async function publish(pool: string, messages: ReadonlyArray<object | string>, key: string | null): Promise<void> {
  const sender = new Sender({ kafka: await loadKafka(), address: addressOf(server.port), clock, onCut: () => {} })
  const values = messages.map((message) => (typeof message === 'string' ? message : JSON.stringify(message)))
  for (let from = 0; from < values.length; from += 500) {
    const batch = values.slice(from, from + 500)
    const topic = topicOf(prefix, pool)
    const error = await sender.send(batch.map((value) => ({ topic, key, value: Buffer.from(value), headers: {} })))
    if (error !== null) throw error
  }
  await sender.close()
}

describe.skipIf(NO_KAFKA)('Kafka in front', () => {
  beforeAll(async () => {
    server = await KafkaServer.start()
    prefix = `front-${++prefixes}`
  }, 120_000)
  afterEach(async () => {
    await app?.stop()
    app = undefined
    prefix = `front-${++prefixes}`
  })
  afterAll(() => server?.remove())

  it('a replay up to now, through the same topic, repeats no replay', async () => {
    await start()
    const own = await call('/v1/jobs', { request: asking(QUICK) })
    await publish(
      'text',
      [1, 2, 3].map((n) => ({ id: `m${n}`, tenant: 'default', request: asking(QUICK) })),
      null,
    )
    await until(jobs, (all) => all.length === 4 && all.every(isDone))
    let text = ''
    const print = (line: string): void => {
      text += `${line}\n`
    }
    const replay = (): Promise<number> => {
      text = ''
      const at = ['--url', `http://127.0.0.1:${app!.port}`, '--key', app!.key]
      const broker = ['--kafka-brokers', server.broker, '--kafka-prefix', prefix]
      return run(['replay', '--from', '1h', ...broker, ...at], { print, write: print, note: print })
    }
    expect([await replay(), text]).toEqual([0, '4 submitted, 0 refused, as "1h now same".\n'])
    expect([await replay(), text]).toEqual([0, '4 submitted, 0 refused, as "1h now same".\n'])
    const all = await jobs()
    expect(all.length).toBe(8)
    expect(
      all
        .map(({ metadata }) => metadata?.replay_of)
        .filter(Boolean)
        .sort(),
    ).toEqual([own.body.id, 'm1', 'm2', 'm3'])
  })

  it('a job is accepted at the confirm, becomes the same job, and is answered', async () => {
    await start()
    const { status, body } = await call('/v1/jobs', { request: asking(QUICK), metadata: { a: 'b' } })
    expect(status).toBe(202)
    expect(body).toMatchObject({ state: 'queued', pool: 'text', metadata: { a: 'b' } })
    await until(
      () => call(`/v1/jobs/${body.id}`),
      ({ body }) => isDone(body),
    )
    expect((await jobs()).length).toBe(1)
    const [message] = await readAll(server.port, topicOf(prefix, 'text'))
    expect(message.headers.get(HEADERS.id)).toBe(body.id)
  })

  it('what others publish: each pool sees its own; what can be no job is dead, with its reason', async () => {
    await start()
    await publish(
      'text',
      ['no JSON', { id: 't1', request: asking(QUICK) }, { id: 't2', tenant: 'victim', request: asking(QUICK) }],
      'k',
    )
    await publish(
      'image',
      [{ id: 'p1', request: asking(QUICK, 'pictures') }, { request: asking(QUICK, 'pictures') }],
      'k',
    )
    const all = await until(jobs, (found) => found.length === 3 && found.every(isDone))
    expect(all.map(({ pool, model }) => `${pool} ${model}`).sort()).toEqual([
      'image pictures',
      'image pictures',
      'text words',
    ])
    const letters = await until(
      () => readAll(server.port, deadTopicOf(prefix, 'text')),
      ({ length }) => length === 2,
    )
    expect(letters.map(({ headers }) => headers.get(HEADERS.code))).toEqual(['invalid_json', 'forbidden'])
    expect(letters[1].headers.get(HEADERS.from)).toMatch(/^front-\d+\.text:\d:2$/)
    expect(Buffer.from(letters[0].value).toString()).toBe('no JSON')
  })

  it('doctor tells of the cluster and its topics, and makes none; where it is away, why', async () => {
    const config = (more: object = {}) =>
      ({
        intakes: {
          kafka: { ...KAFKA_DEFAULTS, brokers: [server.broker], prefix, ...more },
          publishers: { tenants: [] },
        },
        pools: [{ name: 'text', intake: 'kafka' }],
      }) as never
    const [cluster, topic, dead] = await checkKafka(config())
    expect(cluster).toMatchObject({ verdict: 'ok', detail: `Kafka at ${server.broker}, 1 broker` })
    expect(topic).toMatchObject({
      verdict: 'note',
      detail: expect.stringContaining(`${topicOf(prefix, 'text')}: it is missing; the start of Sluice makes it`),
    })
    expect((await checkKafka(config({ createTopics: false })))[1]).toMatchObject({ verdict: 'failed' })
    expect(dead.detail).toContain(deadTopicOf(prefix, 'text'))
    await topicsOf('text')
    const [, made] = await checkKafka(config())
    expect(made.detail).toMatch(/3 partitions, 1 replica \(min.insync.replicas 1\), kept for 7 days; one replica/)
    const [tight] = (await checkKafka(config({ maxMessageBytes: 2 ** 26 }))).slice(1)
    expect(tight.detail).toContain('max.message.bytes')
    const [away] = await checkKafka(config({ brokers: ['127.0.0.1:1'] }))
    expect(away).toMatchObject({ verdict: 'failed', detail: expect.stringContaining('intakes.kafka.brokers') })
  })

  it('a batch that would fill the memory is buried without being inflated, and stops nobody', async () => {
    await start()
    const kafka = await loadKafka()
    const producer = new kafka.Producer({ clientId: 'bomb', bootstrapBrokers: [server.broker] })
    const topic = topicOf(prefix, 'text')
    const good = (id: string) => ({
      topic,
      partition: 0,
      value: Buffer.from(JSON.stringify({ id, request: asking(QUICK) })),
    })
    try {
      const bomb = { topic, partition: 0, value: Buffer.alloc(200 << 20, 0x78) }
      await producer.send({ messages: [good('before')] as never, acks: -1 })
      await producer.send({ messages: [bomb] as never, acks: -1, compression: 'zstd' })
      await producer.send({ messages: [good('after')] as never, acks: -1, compression: 'gzip' })
    } finally {
      await producer.close(true)
    }
    const [dead] = await until(
      () => readAll(server.port, deadTopicOf(prefix, 'text')),
      (all) => all.length === 1,
    )
    expect(dead.headers.get(HEADERS.code)).toBe('body_too_large')
    expect(dead.headers.get(HEADERS.from)).toBe(`${topic}:0:1`)
    const all = await until(jobs, (found) => found.length === 2 && found.every(isDone))
    expect(all.map(({ message }) => message.message).sort()).toEqual(['after', 'before'])
  }, 60_000)

  it('dead letters whose topic is gone are stored once it is made anew; submits go on meanwhile', async () => {
    await start()
    const kafka = await loadKafka()
    const dead = deadTopicOf(prefix, 'text')
    const admin = new kafka.Admin({ clientId: 'test', bootstrapBrokers: [server.broker] })
    try {
      await admin.deleteTopics({ topics: [dead] })
    } finally {
      await admin.close()
    }
    await publish(
      'text',
      Array.from({ length: 40 }, (_, i) => `garbage ${i}`),
      'k',
    )
    for (let i = 0; i < 5; i++) expect((await call('/v1/jobs', { request: asking(QUICK) })).status).toBe(202)
    const letters = await until(
      () => readAll(server.port, dead).catch(() => []),
      (all) => all.length >= 40,
    )
    expect(new Set(letters.map(({ headers }) => headers.get(HEADERS.from))).size).toBe(40)
    await until(jobs, (found) => found.length === 5 && found.every(isDone))
  }, 60_000)

  it('what is published while Sluice is down is done once it is up, in the order of its lane', async () => {
    const count = DEEP ? 5_000 : 500
    await topicsOf('text', 'image')
    const messages = Array.from({ length: count }, (_, n) => ({
      id: `m${n}`,
      request: asking('demo: tokens=1 delay=0 ttft=0'),
    }))
    await publish('text', messages, null)
    await publish(
      'text',
      Array.from({ length: 20 }, (_, n) => ({
        id: `l${n}`,
        lane: 'l',
        request: asking(QUICK),
        metadata: { n: `${n}` },
      })),
      'l',
    )
    await start({ queue: { max_queued_per_tenant: 100 } })
    let most = 0
    await until(
      async () => {
        const stats = (await (await app!.admin('/admin/stats')).json().catch(() => ({}))) as Record<string, number>
        const held = Object.entries(stats).filter(([series]) => series.startsWith('intake_held{'))
        most = Math.max(
          most,
          held.reduce((sum, [, count]) => sum + count, 0),
        )
        return (await jobs('&lane=l')).filter(isDone).length
      },
      (done) => done === 20,
    )
    // All of them: the list has no more than 1,000
    await until(
      async () => (await call('/v1/usage')).body.total.attempts,
      (attempts) => attempts === count + 20,
    )
    const lane = (await jobs('&lane=l')).toReversed()
    expect(lane.map(({ metadata }) => Number(metadata.n))).toEqual(Array.from({ length: 20 }, (_, n) => n))
    // Two pools, each with its window
    expect(most).toBeLessThanOrEqual(512)
  })

  it("a lane's order is kept over a broker that is killed; meanwhile a submit is refused", async () => {
    await start()
    const ids: string[] = []
    const submit = async (): Promise<void> => {
      const { body } = await until(
        () => call('/v1/jobs', { request: asking(QUICK), lane: 'l', metadata: { n: `${ids.length}` } }),
        ({ status }) => status === 202,
      )
      ids.push(body.id)
    }
    for (let n = 0; n < 10; n++) await submit()
    await server.kill()
    const away = await until(
      () => call('/v1/jobs', { request: asking(QUICK), lane: 'l' }),
      ({ status }) => status === 503,
    )
    expect(away.body.error.code).toBe('intake_unavailable')
    await server.restart()
    for (let n = 0; n < 10; n++) await submit()
    const all = await until(
      async () => (await jobs('&lane=l')).filter(({ metadata }) => metadata.n !== undefined),
      (found) => found.length === 20 && found.every(isDone),
    )
    expect(all.toReversed().map(({ id }) => id)).toEqual(ids)
  })

  it('the examples publish jobs', async () => {
    await start()
    const run = promisify(execFile)
    const topic = topicOf(prefix, 'text')
    const { stdout } = await run(process.execPath, [join(EXAMPLES, 'publish.ts'), server.broker, topic, 'words'])
    expect(stdout.trim().split('\n').length).toBe(2)
    if (PYTHON !== undefined) {
      const python = await run(PYTHON, [join(EXAMPLES, 'publish.py'), server.broker, topic, 'words'])
      // One lane, one partition, whoever publishes
      expect(
        new Set([...stdout.matchAll(/:(\d+):/g), ...python.stdout.matchAll(/:(\d+):/g)].map(([, p]) => p)).size,
      ).toBe(1)
    }
    const all = await until(jobs, (found) => found.length === (PYTHON === undefined ? 2 : 4) && found.every(isDone))
    expect(new Set(all.map(({ lane }) => lane))).toEqual(new Set(['order-42']))
  })
})
