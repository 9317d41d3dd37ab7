/**
 * What a token costs on its way through the log in Redis: CPU of the process that writes it (less what making it up
 * costs), of Redis, and of the process that follows it.
 *
 *   node test/redis/log-load.ts [--streams 300,1000] [--rate 50] [--seconds 10] [--gather 60] [--fsync everysec]
 *
 * --rate: tokens a second of each stream; --gather: ms between two reads of an upstream, as when the loop is busy (0:
 * each token by itself).
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { parseArgs } from 'node:util'
import { systemClock } from '../../src/core/clock.ts'
import type { JobId } from '../../src/core/job.ts'
import type { LogWriter } from '../../src/core/ports/log.ts'
import type { Bytes } from '../../src/core/record.ts'
import { LogFleet, type LogProcess } from './log-fleet.ts'
import { RedisServer } from './server.ts'

interface Task {
  readonly role: 'worker' | 'gateway'
  readonly port: number
  readonly jobs: readonly JobId[]
  readonly rate: number
  readonly gatherMs: number
}

interface Measured {
  readonly cpuUs: number
  readonly tokens: number
  /** Of the load alone, µs a token; only the worker's. */
  readonly madeUpUs?: number
  readonly lagsMs?: readonly number[]
}

const TICK_MS = 5
const WARM_UP_MS = 2_000
const BASELINE_MS = 2_000
/** One token of so many tells when it was made. */
const SAMPLED = 50

const [HEAD, TAIL] = [
  '{"id":"chatcmpl-MOCK000000000000000000000000","object":"chat.completion.chunk","created":1700000000,' +
    '"model":"mock-model-2025","service_tier":"default","system_fingerprint":"fp_0123456789","choices":[{"index":0,' +
    '"delta":{"content":" ',
  '"},"logprobs":null,"finish_reason":null}]}',
]

const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms))

// ---------------------------------------------------------------- the children

/** Streams that bring their tokens every `gatherMs`, each at a moment of its own. */
class Load {
  tokens = 0
  readonly stop: () => void

  constructor({ jobs, rate, gatherMs }: Task, write: (stream: number, records: readonly Bytes[]) => void) {
    const everyMs = Math.max(gatherMs, 1_000 / rate)
    const tokens = Math.round((everyMs * rate) / 1_000)
    const dueMono = jobs.map((_, i) => systemClock.monoMs() + (everyMs * i) / jobs.length)
    this.stop = systemClock.every(TICK_MS, () => {
      const now = systemClock.monoMs()
      for (let i = 0; i < dueMono.length; i++)
        for (; dueMono[i] <= now; dueMono[i] += everyMs) {
          const records: Bytes[] = []
          for (let t = 0; t < tokens; t++) records.push(`${HEAD}${Date.now()}.${++this.tokens % 1_000}${TAIL}`)
          write(i, records)
        }
    })
  }
}

/** From now on until the parent says so. */
async function measure(tokens: () => number): Promise<Measured> {
  const [cpu, before] = [process.cpuUsage(), tokens()]
  await once(process, 'message')
  const { user, system } = process.cpuUsage(cpu)
  return { cpuUs: user + system, tokens: tokens() - before }
}

async function work(task: Task, worker: LogProcess): Promise<Measured> {
  const forgotten = new Load(task, () => {})
  await sleep(BASELINE_MS / 2)
  const timer = measure(() => forgotten.tokens)
  await sleep(BASELINE_MS)
  process.emit('message', null, undefined)
  const alone = await timer
  forgotten.stop()
  const writers: readonly LogWriter[] = await Promise.all(task.jobs.map((id) => worker.begin(id, 1)))
  const load = new Load(task, (i, records) => writers[i].append(records, records.length, false))
  process.send!('ready')
  await once(process, 'message')
  const measured = await measure(() => load.tokens)
  load.stop()
  return { ...measured, madeUpUs: alone.cpuUs / alone.tokens }
}

async function follow({ jobs }: Task, { logs }: LogProcess): Promise<Measured> {
  let tokens = 0
  let lagsMs: number[] = []
  const listen = (_firstSeq: number, records: readonly Bytes[]): void => {
    tokens += records.length
    if (tokens % SAMPLED < records.length) lagsMs.push(Date.now() - Number.parseInt(records[0].slice(HEAD.length), 10))
  }
  await Promise.all(jobs.map((job) => logs.follow(job, listen).ready))
  process.send!('ready')
  await once(process, 'message')
  lagsMs = []
  const measured = await measure(() => tokens)
  return { ...measured, lagsMs }
}

async function child(task: Task): Promise<void> {
  const fleet = new LogFleet(task.port)
  const member = await fleet.join(`redis://127.0.0.1:${task.port}`)
  process.send!(await (task.role === 'worker' ? work : follow)(task, member))
  fleet.close()
  process.disconnect()
}

// ---------------------------------------------------------------- the parent

async function start(task: Task): Promise<ChildProcess> {
  const started = fork(import.meta.filename, [], { env: { ...process.env, LOG_LOAD: JSON.stringify(task) } })
  await once(started, 'message')
  return started
}

async function redisCpuUs(fleet: LogFleet): Promise<number> {
  const info = await fleet.redis.info('cpu')
  const seconds = (name: string): number => Number(new RegExp(`${name}:([\\d.]+)`).exec(info)![1])
  return 1e6 * (seconds('used_cpu_user') + seconds('used_cpu_sys'))
}

const quantile = (sorted: readonly number[], q: number): number => sorted[Math.floor((sorted.length - 1) * q)] ?? 0

async function run(streams: number, rate: number, seconds: number, gatherMs: number, fsync: 'everysec' | 'always') {
  const server = await RedisServer.start({ appendfsync: fsync })
  const fleet = new LogFleet(server.port)
  try {
    const jobs = await Promise.all(Array.from({ length: streams }, () => fleet.accept()))
    const task = { port: server.port, jobs, rate, gatherMs }
    const children = [await start({ ...task, role: 'gateway' }), await start({ ...task, role: 'worker' })]
    await sleep(WARM_UP_MS)
    for (const each of children) each.send('begin')
    const before = await redisCpuUs(fleet)
    await sleep(seconds * 1_000)
    const redis = (await redisCpuUs(fleet)) - before
    const results = children.map((each) => once(each, 'message'))
    for (const each of children) each.send('end')
    const [[gateway], [worker]] = (await Promise.all(results)) as [[Measured], [Measured]]
    const lags = gateway.lagsMs!.toSorted((a, b) => a - b)
    const us = ({ cpuUs, tokens }: Measured): number => cpuUs / tokens
    console.log(
      [
        `${streams} streams, ${Math.round(worker.tokens / seconds)} tokens/s:`,
        `worker ${(us(worker) - worker.madeUpUs!).toFixed(2)} µs a token`,
        `(and ${worker.madeUpUs!.toFixed(2)} to make it),`,
        `Redis ${(redis / worker.tokens).toFixed(2)}, gateway ${us(gateway).toFixed(2)};`,
        `lag p50 ${quantile(lags, 0.5)} ms, p99 ${quantile(lags, 0.99)} ms`,
      ].join(' '),
    )
  } finally {
    fleet.close()
    await server.remove()
  }
}

const given = process.env['LOG_LOAD']
if (given !== undefined) await child(JSON.parse(given) as Task)
else {
  const { values } = parseArgs({
    options: {
      streams: { type: 'string', default: '300,1000' },
      rate: { type: 'string', default: '50' },
      seconds: { type: 'string', default: '10' },
      gather: { type: 'string', default: '60' },
      fsync: { type: 'string', default: 'everysec' },
    },
  })
  const [rate, seconds, gather] = [values.rate, values.seconds, values.gather].map(Number)
  for (const streams of values.streams.split(',').map(Number))
    await run(streams, rate, seconds, gather, values.fsync as 'everysec' | 'always')
}
