/**
 * Jobs that other programs publish while Sluice is down: all are done once it is up, and the broker holds the backlog.
 * `node test/rabbitmq/main.ts [JOBS]` measures it with 50,000 jobs; the suite tries fewer.
 */
import { readFileSync } from 'node:fs'
import { connect } from 'amqplib'
import { type Server, startServer } from '../e2e/server.ts'
import type { RabbitServer } from './server.ts'

const CONFIG = `
models:
  - { name: words, provider: demo, pool: text }
intakes:
  publishers: { tenants: [default] }
pools:
  - { name: text, intake: rabbitmq }
queue: { max_queued_per_tenant: 500 }
log: { level: silent }
`
const LANES = 20
const MOST_MS = 540_000

export interface Outcome {
  readonly published: number
  readonly publishMs: number
  readonly done: number
  readonly doneMs: number
  /** Jobs of a lane that ended before one that was published earlier. */
  readonly outOfOrder: number
  readonly doubled: number
  /** Of the server: before, and the most while it worked the backlog off. */
  readonly restMb: number
  readonly mostMb: number
  /** The most jobs that it held at once, in line and running. */
  readonly mostHeld: number
}

function memoryMb(pid: number): number {
  try {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024
  } catch {
    return 0
  }
}

/** Sluice is killed, `n` jobs are published, it starts again. `meanwhile`: once some of them are done. */
export async function workOff(
  rabbit: RabbitServer,
  n: number,
  meanwhile?: (server: Server) => Promise<void>,
): Promise<Outcome> {
  let publishMs = 0
  const server = await startServer(CONFIG, { SLUICE_RABBITMQ_URL: rabbit.url })
  try {
    const ask = async (path: string): Promise<any> =>
      (await fetch(`${server.url}${path}`, { headers: { authorization: `Bearer ${server.key}` } })).json()
    const restMb = memoryMb(server.pid)
    const connection = await connect(rabbit.url)
    const channel = await connection.createConfirmChannel()
    // It takes nothing any more; what is on its way to it dies with it
    process.kill(server.pid, 'SIGSTOP')
    const began = performance.now()
    for (let i = 0; i < n; i++) {
      const job = {
        id: `m${i}`,
        lane: `lane ${i % LANES}`,
        metadata: { n: String(i) },
        request: { model: 'words', messages: [{ role: 'user', content: 'demo: tokens=1 delay=1 ttft=1' }] },
      }
      channel.publish('sluice', 'text.bulk', Buffer.from(JSON.stringify(job)), { persistent: true })
      if (i % 500 === 499) await channel.waitForConfirms()
    }
    await channel.waitForConfirms()
    publishMs = performance.now() - began
    await connection.close()
    await server.crash()
    const up = performance.now()
    let [mostMb, mostHeld, idle] = [0, 0, 0]
    // A broker that is killed meanwhile answers nobody for a while
    const waiting = (): Promise<number> => readyIn(rabbit).catch(() => 1)
    let disturbing = meanwhile === undefined ? null : meanwhile(server)
    while (idle < 3 && performance.now() - up < MOST_MS) {
      await new Promise((go) => setTimeout(go, 300))
      // One that is killed meanwhile answers nobody
      const held = await ask('/v1/jobs?state=queued,waiting,delayed,leased&limit=1000').then(
        ({ data }) => data?.length ?? 1,
        () => 1,
      )
      mostMb = Math.max(mostMb, memoryMb(server.pid))
      mostHeld = Math.max(mostHeld, held)
      idle = held === 0 && (await waiting()) === 0 ? idle + 1 : 0
      if (idle === 3 && disturbing !== null) {
        await disturbing
        disturbing = null
        idle = 0
      }
    }
    const doneMs = performance.now() - up
    const { outOfOrder, doubled, count } = await checked(ask)
    return { published: n, publishMs, done: count, doneMs, outOfOrder, doubled, restMb, mostMb, mostHeld }
  } finally {
    await server.stop()
  }
}

type Ask = (path: string) => Promise<any>

/** Of all pages. */
async function* jobs(ask: Ask): AsyncGenerator<any> {
  for (let before = ''; ; ) {
    const page = await ask(`/v1/jobs?limit=1000${before === '' ? '' : `&before=${before}`}`)
    yield* page.data
    if (!page.has_more) return
    before = page.data.at(-1).id
  }
}

async function readyIn(rabbit: RabbitServer): Promise<number> {
  const connection = await connect(rabbit.url)
  try {
    return (await (await connection.createChannel()).checkQueue('sluice.text')).messageCount
  } finally {
    await connection.close()
  }
}

async function checked(ask: Ask): Promise<{ outOfOrder: number; doubled: number; count: number }> {
  const lanes = new Map<string, number[]>()
  const seen = new Set<string>()
  let [doubled, count] = [0, 0]
  for await (const { state, lane, metadata } of jobs(ask)) {
    if (state !== 'done') continue
    count++
    if (seen.has(metadata.n)) doubled++
    seen.add(metadata.n)
    lanes.set(lane, [...(lanes.get(lane) ?? []), Number(metadata.n)])
  }
  // The list is the newest first, by acceptance
  let outOfOrder = 0
  for (const lane of lanes.values()) for (let i = 1; i < lane.length; i++) if (lane[i] > lane[i - 1]) outOfOrder++
  return { outOfOrder, doubled, count }
}
