/**
 * How fast a fleet is coordinated, on a Redis of its own; no test. `node test/redis/measure-coordinator.ts [waiting]`:
 * accepted jobs a second, jobs a second end to end, and a takeover with that many waiting (100,000 by default).
 */
import { DONE } from '../conformance/words.ts'
import { TestFleet, type TestProcess } from './fleet.ts'
import { RedisServer } from './server.ts'

const waiting = Number(process.argv[2] ?? 100_000)
const redis = await RedisServer.start({ appendfsync: 'everysec' })
const fleet = new TestFleet(redis.url)
const seconds = (since: number): number => (performance.now() - since) / 1_000
const cpuOf = async (gateway: TestProcess): Promise<number> => {
  const info = await gateway.ground.commands.client.info('cpu')
  return Number(/used_cpu_user:(\S+)/.exec(info)![1]) + Number(/used_cpu_sys:(\S+)/.exec(info)![1])
}

try {
  const first = await fleet.thread()
  const gateway = await fleet.process()
  await gateway.ground.bus.ask({ type: 'hello' })

  // End to end: 256 in flight, half of them in lanes, 50 tenants
  const jobs = 10_000
  let ended = 0
  const worker = gateway.worker(256)
  const { leased } = worker
  worker.leased = (leases) => {
    leased.call(worker, leases)
    for (const lease of leases) void gateway.work.finish(lease, DONE).then(() => ended++)
  }
  let startedMono = performance.now()
  let cpu = await cpuOf(gateway)
  let submitted = 0
  await Promise.all(
    Array.from({ length: 256 }, async () => {
      while (submitted < jobs) {
        const n = submitted++
        const options = n % 2 === 0 ? { lane: `l${n % 1_000}` } : {}
        await gateway.submit({ tenant: `t${n % 50}`, options, body: '{"m":1}'.padEnd(365) })
      }
    }),
  )
  while (ended < jobs) await new Promise((turned) => setTimeout(turned, 5))
  const took = seconds(startedMono)
  console.log(`${Math.round(jobs / took)} jobs/s end to end; Redis ${us((await cpuOf(gateway)) - cpu, jobs)} µs a job`)
  worker.attachment.resize(0)

  startedMono = performance.now()
  cpu = await cpuOf(gateway)
  for (let n = 0; n < waiting; n += 500)
    await gateway.submit(
      ...Array.from({ length: 500 }, (_, i) => ({
        tenant: `t${i % 50}`,
        body: '{"m":1}'.padEnd(365),
        ...(i % 2 === 0 && { options: { lane: `l${(n + i) % 5_000}` } }),
      })),
    )
  console.log(`${Math.round(waiting / seconds(startedMono))} accepted/s in blocks of 500`)
  const memory = await gateway.ground.commands.client.info('memory')
  console.log(
    `Redis: ${Math.round(Number(/used_memory:(\d+)/.exec(memory)![1]) / waiting)} bytes a waiting job, in all`,
  )

  await fleet.thread()
  startedMono = performance.now()
  first.kill()
  await gateway.submit({})
  console.log(`killed to accepted with ${waiting} waiting: ${Math.round(1_000 * seconds(startedMono))} ms`)
} finally {
  await fleet.close()
  await redis.remove()
}

function us(cpuSeconds: number, count: number): number {
  return Math.round((cpuSeconds * 1e6) / count)
}
