/**
 * npm run bench -- intakes [--rounds 3] [--jobs 200] [--burst 2000] [--json]
 *
 * What a broker in front adds: a submit until it is accepted, one at a time, beside the broker's bare confirm and a
 * submit that goes directly; and jobs a second of a burst until all are done. All on one server, in turn; medians.
 * RabbitMQ and Kafka, where they are there (SLUICE_TEST_RABBITMQ, SLUICE_TEST_KAFKA).
 */
import { parseArgs } from 'node:util'
import { connect } from 'amqplib'
import { systemClock as clock } from '../../../src/core/clock.ts'
import { loadKafka } from '../../../src/intakes/kafka/connection.ts'
import { Sender } from '../../../src/intakes/kafka/sender.ts'
import { ensureTopics } from '../../../src/intakes/kafka/topics.ts'
import { startServer } from '../../e2e/server.ts'
import { addressOf } from '../../kafka/reading.ts'
import { KafkaServer, NO_KAFKA } from '../../kafka/server.ts'
import { NO_RABBITMQ, RabbitServer } from '../../rabbitmq/server.ts'
import { median, quantile } from '../report.ts'

const { values } = parseArgs({
  args: process.argv.slice(3),
  options: {
    rounds: { type: 'string', default: '3' },
    jobs: { type: 'string', default: '200' },
    burst: { type: 'string', default: '2000' },
    json: { type: 'boolean', default: false },
  },
})
const [rounds, jobs, burst] = [values.rounds, values.jobs, values.burst].map(Number)
const AT_ONCE = 50

if (NO_RABBITMQ && NO_KAFKA) throw new Error('no broker here: set SLUICE_TEST_RABBITMQ, or SLUICE_TEST_KAFKA')
if (NO_RABBITMQ) console.error('Without RabbitMQ: set SLUICE_TEST_RABBITMQ.')
if (NO_KAFKA) console.error('Without Kafka: set SLUICE_TEST_KAFKA.')
const rabbit = NO_RABBITMQ ? null : await RabbitServer.start()
const kafka = NO_KAFKA ? null : await KafkaServer.start()
const brokers = [...(rabbit === null ? [] : ['rabbitmq']), ...(kafka === null ? [] : ['kafka'])]
const server = await startServer(
  // JSON is YAML
  JSON.stringify({
    models: [
      { name: 'direct', provider: 'demo' },
      ...brokers.map((broker) => ({ name: broker, provider: 'demo', pool: broker })),
    ],
    pools: brokers.map((broker) => ({ name: broker, intake: broker })),
    ...(kafka !== null && { intakes: { kafka: { brokers: [kafka.broker] } } }),
    log: { level: 'silent' },
  }),
  rabbit === null ? {} : { SLUICE_RABBITMQ_URL: rabbit.url },
)
const headers = { authorization: `Bearer ${server.key}`, 'content-type': 'application/json' }
const bodyOf = (model: string): string =>
  JSON.stringify({ request: { model, messages: [{ role: 'user', content: 'demo: tokens=1 delay=1 ttft=1' }] } })

async function submit(model: string): Promise<void> {
  const response = await fetch(`${server.url}/v1/jobs`, { method: 'POST', headers, body: bodyOf(model) })
  await response.text()
  if (response.status !== 202) throw new Error(`answered ${response.status}`)
}

const open = async (): Promise<number> => {
  const response = await fetch(`${server.url}/v1/jobs?state=queued,waiting,delayed,leased&limit=1`, { headers })
  return ((await response.json()) as { data: unknown[] }).data.length
}

async function times(ask: () => Promise<void>): Promise<number[]> {
  const all: number[] = []
  for (let i = 0; i < jobs; i++) {
    const began = performance.now()
    await ask()
    all.push(performance.now() - began)
  }
  return all
}

/** Jobs a second, from the first submit until none is left. */
async function pace(model: string): Promise<number> {
  const done = await endedCount()
  const began = performance.now()
  let left = burst
  const client = async (): Promise<void> => {
    while (left-- > 0) await submit(model)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, client))
  while ((await endedCount()) - done < burst) await new Promise((go) => setTimeout(go, 10))
  return (burst / (performance.now() - began)) * 1_000
}

async function endedCount(): Promise<number> {
  const response = await fetch(`${server.adminUrl}/admin/stats`, {
    headers: { authorization: `Bearer ${server.adminKey}` },
  })
  return Number(/"jobs_done":\s*(\d+)/.exec(await response.text())![1])
}

const NAMES: Readonly<Record<string, string>> = { rabbitmq: 'RabbitMQ', kafka: 'Kafka' }
/** What each broker takes alone, and how it is let go. */
const bare = new Map<string, () => Promise<void>>()
const closing: Array<() => Promise<unknown>> = []

if (rabbit !== null) {
  const connection = await connect(rabbit.url)
  const channel = await connection.createConfirmChannel()
  await channel.assertQueue('bare', { durable: true, arguments: { 'x-queue-type': 'quorum' } })
  const send = (): Promise<void> =>
    new Promise((done) => {
      channel.sendToQueue('bare', Buffer.from(bodyOf('bare')), { persistent: true }, () => done())
    })
  bare.set('rabbitmq', send)
  closing.push(() => connection.close())
}
if (kafka !== null) {
  const [client, address] = [await loadKafka(), addressOf(kafka.port)]
  const topics = [{ name: 'bare', partitions: 12 }]
  await ensureTopics(client, address, topics, { creates: true, replicas: 1 }, clock)
  const sender = new Sender({ kafka: client, address, clock, onCut: () => {} })
  bare.set('kafka', async () => {
    const value = Buffer.from(bodyOf('bare'))
    const error = await sender.send([{ topic: 'bare', key: null, value, headers: {} }])
    if (error !== null) throw error
  })
  closing.push(() => sender.close())
}

const found: Record<string, { ms: number[]; rate: number[] }> = {}
const row = (name: string) => (found[name] ??= { ms: [], rate: [] })
const DIRECT = 'submit, directly'
for (let round = 0; round <= rounds; round++) {
  const measured: Record<string, number[]> = {}
  const rates: Record<string, number> = {}
  for (const broker of brokers) {
    measured[`${NAMES[broker]}'s bare confirm`] = await times(bare.get(broker)!)
    measured[`submit, through ${NAMES[broker]}`] = await times(() => submit(broker))
  }
  measured[DIRECT] = await times(() => submit('direct'))
  for (const broker of brokers) rates[`submit, through ${NAMES[broker]}`] = await pace(broker)
  rates[DIRECT] = await pace('direct')
  while ((await open()) > 0) await new Promise((go) => setTimeout(go, 50))
  // The first round warms up
  if (round === 0) continue
  for (const [name, ms] of Object.entries(measured)) row(name).ms.push(...ms)
  for (const [name, rate] of Object.entries(rates)) row(name).rate.push(rate)
}
for (const close of closing) await close()
await server.stop()
await rabbit?.remove()
await kafka?.remove()

const rows = Object.entries(found).map(([name, { ms, rate }]) => ({
  name,
  p50: median(ms),
  p99: quantile(
    ms.toSorted((a, b) => a - b),
    0.99,
  ),
  jobsPerSecond: rate.length === 0 ? null : median(rate),
}))
if (values.json) console.log(JSON.stringify(rows))
else {
  console.log('| | accepted p50 | p99 | jobs/s, submitted to done |\n| --- | --- | --- | --- |')
  for (const { name, p50, p99, jobsPerSecond } of rows)
    console.log(`| ${name} | ${p50.toFixed(2)} ms | ${p99.toFixed(1)} ms | ${jobsPerSecond?.toFixed(0) ?? ''} |`)
}
