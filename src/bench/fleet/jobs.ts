/**
 * Jobs a second from submit to end, and what a waiting one costs Redis: Sluice's Redis engine beside BullMQ, both as
 * libraries, in processes of their own, on a fresh Redis each; nothing runs but the queue, as each job ends at once.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { join } from 'node:path'
import { ended, pause, ROOT } from '../targets.ts'
import { cpuNs } from '../tools.ts'
import type { Bench } from './machine.ts'
import { CORES } from './machine.ts'
import type { Go, Task } from './protocol.ts'
import { BenchRedis } from './redis.ts'

export interface JobsShown {
  readonly perS: number
  /** CPU of a job, µs: of Redis, and of all processes together. */
  readonly redisUs: number
  readonly processesUs: number
  /** Of Redis, for a job that waits. */
  readonly waitingBytes: number
}

export interface JobsCandidate {
  readonly name: string
  readonly script: string
  readonly args: readonly string[]
  readonly workers: number
  readonly block: number
}

const SLOTS = 200
const IN_FLIGHT = 256
const BYTES = 365
const WARM_UP = 10_000
const JOBS = 20_000
const WAITING = 20_000
/** A run that has not ended by then never will. */
const WITHIN_MS = 60_000

export function jobsCandidates(bullmq: string | null): readonly JobsCandidate[] {
  const script = join(ROOT, 'test/redis/job-load.ts')
  const sluice = (workers: number, block: number): JobsCandidate => ({
    name: `**Sluice**, workers: ${workers}, ${block === 1 ? 'one by one' : `blocks of ${block}`}`,
    ...{ script, args: [], workers, block },
  })
  const other = (name: string, block: number): JobsCandidate[] =>
    bullmq === null ? [] : [{ name, script: join(import.meta.dirname, 'bullmq.ts'), args: [bullmq], workers: 1, block }]
  return [
    sluice(1, 1),
    sluice(2, 1),
    sluice(1, 64),
    ...other('BullMQ, `add`', 1),
    ...other('BullMQ, `addBulk` of 64', 64),
  ]
}

/** A child that can be told what to do. */
class Child {
  readonly process: ChildProcess
  /** Submitted, or ended. */
  count = 0

  constructor({ script, args }: JobsCandidate) {
    this.process = fork(script, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  }

  async open(task: Task): Promise<void> {
    this.process.send(task)
    await new Promise<void>((ready, failed) => {
      this.process.once('exit', (code) => failed(new Error(`${this.process.spawnfile} ended with ${code}`)))
      this.process.on('message', (message: 'ready' | number) => {
        if (message === 'ready') ready()
        else this.count += message
      })
    })
  }

  cpuUs(): number {
    return cpuNs(this.process.pid!) / 1000
  }
}

export async function measureJobs(bench: Bench, candidate: JobsCandidate): Promise<JobsShown> {
  const waitingBytes = await memory(bench, candidate)
  const shown = await run(bench, candidate, candidate.workers, async (submitter, workers, redis) => {
    const total = (): number => workers.reduce((sum, { count }) => sum + count, 0)
    const until = async (count: number): Promise<void> => {
      const lateAt = performance.now() + WITHIN_MS
      while (total() < count) {
        if (performance.now() > lateAt) throw new Error(`${candidate.name}: ${total()} of ${count} jobs ended`)
        await pause(2)
      }
    }
    const go = (jobs: number): Go => ({ jobs, inFlight: IN_FLIGHT, block: candidate.block })
    submitter.process.send(go(WARM_UP))
    await until(WARM_UP)
    const all = [submitter, ...workers]
    const processesUs = (): number => all.reduce((sum, child) => sum + child.cpuUs(), 0)
    const [startedAt, redisUs, ownUs] = [performance.now(), redis.cpuUs(), processesUs()]
    submitter.process.send(go(JOBS))
    await until(WARM_UP + JOBS)
    return {
      perS: JOBS / ((performance.now() - startedAt) / 1000),
      redisUs: (redis.cpuUs() - redisUs) / JOBS,
      processesUs: (processesUs() - ownUs) / JOBS,
    }
  })
  return { ...shown, waitingBytes }
}

/** Nobody works. */
const memory = (bench: Bench, candidate: JobsCandidate): Promise<number> =>
  run(bench, candidate, 0, async (submitter, _, redis) => {
    const before = await redis.usedBytes()
    submitter.process.send({ jobs: WAITING, inFlight: IN_FLIGHT, block: candidate.block } satisfies Go)
    const lateAt = performance.now() + WITHIN_MS
    while (submitter.count < WAITING) {
      if (performance.now() > lateAt) throw new Error(`${candidate.name} does not take ${WAITING} jobs`)
      await pause(10)
    }
    // What is in buffers is no job's
    await pause(1_500)
    return ((await redis.usedBytes()) - before) / WAITING
  })

async function run<T>(
  { server, fsync, priority }: Bench,
  candidate: JobsCandidate,
  workers: number,
  measure: (submitter: Child, workers: readonly Child[], redis: BenchRedis) => Promise<T>,
): Promise<T> {
  const redis = await BenchRedis.start(server, fsync, CORES.redis, priority)
  const children: Child[] = []
  try {
    const open = async (role: Task['role']): Promise<Child> => {
      const child = new Child(candidate)
      children.push(child)
      await child.open({ role, port: redis.port, fsync, slots: SLOTS, bytes: BYTES })
      return child
    }
    const submitter = await open('submit')
    const working: Child[] = []
    for (let i = 0; i < workers; i++) working.push(await open('work'))
    return await measure(submitter, working, redis)
  } finally {
    await Promise.all(children.map(({ process }) => ended(process, 'SIGKILL')))
    await redis.stop()
  }
}
