/**
 * node test/kafka/measure.ts [MESSAGES]: what Kafka in front costs. How long until all that was published while Sluice
 * was down is done, and how soon a submit is accepted: through Kafka, without it, and beside a bare produce. Broker,
 * server and clients share this machine. SLUICE_TEST_KAFKA as for the tests.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock as clock } from '../../src/core/clock.ts'
import { loadKafka } from '../../src/intakes/kafka/connection.ts'
import { Sender } from '../../src/intakes/kafka/sender.ts'
import { ensureTopics } from '../../src/intakes/kafka/topics.ts'
import { freePort } from '../free-port.ts'
import { addressOf } from './reading.ts'
import { KafkaServer } from './server.ts'

const messages = Number(process.argv[2] ?? 50_000)
const [SUBMITS, CLIENTS, ROUNDS, ASKED] = [4_000, 64, 3, 300]
const ROOT = join(import.meta.dirname, '../..')
const KEY = `sk-sluice-${'k'.repeat(32)}`
const sleep = (ms: number): Promise<void> => new Promise((go) => setTimeout(go, ms))
const request = (model: string) => ({
  model,
  messages: [{ role: 'user', content: 'demo: tokens=1 delay=0 ttft=0' }],
})

const server = await KafkaServer.start()
const [kafka, address] = [await loadKafka(), addressOf(server.port)]
const topics = ['sluice.text', 'bare'].map((name) => ({ name, partitions: 12 }))
await ensureTopics(kafka, address, topics, { creates: true, replicas: 1 }, clock)
const sender = new Sender({ kafka, address, clock, onCut: () => {} })
async function produce(topic: string, values: readonly object[]): Promise<void> {
  const bytes = values.map((value) => Buffer.from(JSON.stringify(value)))
  const error = await sender.send(bytes.map((value) => ({ topic, key: null, value, headers: {} })))
  if (error !== null) throw error
}

let beganMs = performance.now()
const took = (): number => Math.round(performance.now() - beganMs)
for (let from = 0; from < messages; from += 500) {
  const count = Math.min(500, messages - from)
  await produce(
    'sluice.text',
    Array.from({ length: count }, (_, i) => ({ id: `m${from + i}`, request: request('words') })),
  )
}
console.log(`${messages} published in ${took()} ms`)

const dir = mkdtempSync(join(tmpdir(), 'sluice-measure-'))
const port = await freePort()
// JSON is YAML
writeFileSync(
  join(dir, 'sluice.yaml'),
  JSON.stringify({
    port,
    admin: { port: 0 },
    data_dir: join(dir, 'data'),
    key: { env: 'MEASURED_KEY' },
    log: { level: 'warn' },
    models: ['words', 'direct'].map((name) => ({
      name,
      provider: 'demo',
      pool: name === 'words' ? 'text' : 'direct',
    })),
    intakes: { kafka: { brokers: [server.broker] }, publishers: { tenants: ['default'] } },
    pools: [{ name: 'text', intake: 'kafka' }],
  }),
)
const sluice = spawn(process.execPath, ['bin/sluice.js', 'serve', '--config', join(dir, 'sluice.yaml')], {
  cwd: ROOT,
  env: { ...process.env, MEASURED_KEY: KEY },
  stdio: ['ignore', 'ignore', 'inherit'],
})
async function call(path: string, body?: object): Promise<any> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  if (response.status >= 300) throw new Error(await response.text())
  return response.json()
}
while (
  !(await fetch(`http://127.0.0.1:${port}/readyz`).then(
    ({ ok }) => ok,
    () => false,
  ))
)
  await sleep(50)

beganMs = performance.now()
const residentMb = (): number =>
  Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${sluice.pid}/status`, 'utf8'))![1]) / 1_024)
let peakMb = residentMb()
while ((await call('/v1/usage')).total.attempts < messages) {
  peakMb = Math.max(peakMb, residentMb())
  await sleep(200)
}
console.log(
  `all done ${took()} ms after its start: ${Math.round((messages / took()) * 1_000)} a second, ${peakMb} MB at most`,
)

const waysOf = {
  'bare produce': () => produce('bare', [{ request: request('words') }]),
  'through Kafka': () => call('/v1/jobs', { request: request('words') }),
  'without an intake': () => call('/v1/jobs', { request: request('direct') }),
}
const ways = Object.entries(waysOf)
const times = new Map<string, number[]>(ways.map(([name]) => [name, []]))
// In turn, so that all meet the same neighbours
for (let n = 0; n < ASKED; n++)
  for (const [name, ask] of ways) {
    const from = performance.now()
    await ask()
    times.get(name)!.push(performance.now() - from)
  }
for (const [name, all] of times) {
  const sorted = all.toSorted((a, b) => a - b)
  const at = (share: number): string => sorted[Math.floor(sorted.length * share)].toFixed(1)
  console.log(`${name}: confirmed after ${at(0.5)} ms (median), ${at(0.95)} ms (p95)`)
}
for (let round = 0; round < ROUNDS; round++)
  for (const [name, ask] of ways.slice(1)) {
    let left = SUBMITS
    beganMs = performance.now()
    const client = async (): Promise<void> => {
      while (left-- > 0) await ask()
    }
    await Promise.all(Array.from({ length: CLIENTS }, client))
    console.log(`${name}: ${Math.round((SUBMITS / took()) * 1_000)} accepted a second, ${CLIENTS} clients`)
  }

const ended = new Promise((done) => sluice.once('exit', done))
sluice.kill('SIGTERM')
await ended
await sender.close()
await server.remove()
rmSync(dir, { recursive: true, force: true })
