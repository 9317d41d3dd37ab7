/**
 * Jobs a second from submit to end, and what a waiting one costs Redis: Sluice's Redis engine beside BullMQ, both as
 * libraries, in processes of their own, on a fresh Redis each; nothing runs but the queue, as each job ends at once.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { join } from 'node:path'
import { ended, pause, ROOT } from '../targets.ts'
import { busiest, cpuNs } from '../tools.ts'
import type { Bench } from './machine.ts'
import { CORES } from './machine.ts'
import type { Go, Task } from './protocol.ts'
import { BenchRedis } from './redis.ts'

export interface JobsShown {
  readonly perS: number
  /** CPU of a job, µs: of Redis, and of all processes together. */
  readonly redisUs: number
  readonly processesUs: number
  /** Of a core, of the busiest thread: of Redis, and of all processes. */
  readonly redisBusy: number
  readonly processesBusy: number
  /** Of Redis, for a job that waits. */
  readonly waitingBytes: number
}

export interface JobsCandidate {
  readonly name: string
  readonly script: string
  readonly args: readonly string[]
  readonly submitters: number
  readonly workers: number
  readonly block: number
  /** Of all submitters: submitted, and not yet accepted. */
  readonly inFlight: number
}

/** Processes that submit, and that work. */
export interface JobsShape {
  readonly submitters: number
  readonly workers: number
}

const SLOTS = 200
const BYTES = 365
const WARM_UP = 10_000
const JOBS = 20_000
const WAITING = 20_000
/** A run that has not ended by then never will. */
const WITHIN_MS = 60_000

/** All shapes with each number in flight, one by one and in blocks. */
export function jobsCandidates(
  bullmq: string | null,
  shapes: readonly JobsShape[],
  inFlight: readonly number[],
): readonly JobsCandidate[] {
  const all = shapes.flatMap((shape) =>
    inFlight.flatMap((most) => [1, 64].map((block) => ({ ...shape, block, inFlight: most }))),
  )
  const of = ({ submitters, workers, inFlight: most }: (typeof all)[number]): string =>
    `${submitters} + ${workers} processes, ${most} in flight`
  const sluice = all.map((each) => ({
    name: `**Sluice**, ${each.block === 1 ? 'one by one' : `blocks of ${each.block}`}, ${of(each)}`,
    ...{ script: join(ROOT, 'test/redis/job-load.ts'), args: [], ...each },
  }))
  if (bullmq === null) return sluice
  const other = all.map((each) => ({
    name: `BullMQ, ${each.block === 1 ? '`add`' : `\`addBulk\` of ${each.block}`}, ${of(each)}`,
    ...{ script: join(import.meta.dirname, 'bullmq.ts'), args: [bullmq], ...each },
  }))
  return [...sluice, ...other]
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
  const shown = await run(bench, candidate, candidate.workers, async (submitters, workers, redis) => {
    const total = (): number => workers.reduce((sum, { count }) => sum + count, 0)
    const until = async (count: number): Promise<void> => {
      const lateAt = performance.now() + WITHIN_MS
      while (total() < count) {
        if (performance.now() > lateAt) throw new Error(`${candidate.name}: ${total()} of ${count} jobs ended`)
        await pause(2)
      }
    }
    const go = (jobs: number): void => submitAll(submitters, candidate, jobs)
    go(WARM_UP)
    await until(WARM_UP)
    const all = [...submitters, ...workers]
    const processesUs = (): number => all.reduce((sum, child) => sum + child.cpuUs(), 0)
    const [startedAt, redisUs, ownUs] = [performance.now(), redis.cpuUs(), processesUs()]
    const [redisBusy, processesBusy] = [busiest([redis.pid]), busiest(all.map((child) => child.process.pid!))]
    go(JOBS)
    await until(WARM_UP + JOBS)
    return {
      redisBusy: redisBusy(),
      processesBusy: processesBusy(),
      perS: JOBS / ((performance.now() - startedAt) / 1000),
      redisUs: (redis.cpuUs() - redisUs) / JOBS,
      processesUs: (processesUs() - ownUs) / JOBS,
    }
  })
  return { ...shown, waitingBytes }
}

/** Each submits its part. */
function submitAll(submitters: readonly Child[], { block, inFlight }: JobsCandidate, jobs: number): void {
  const part = { jobs: jobs / submitters.length, inFlight: inFlight / submitters.length, block } satisfies Go
  for (const { process } of submitters) process.send(part)
}

/** Nobody works. */
const memory = (bench: Bench, candidate: JobsCandidate): Promise<number> =>
  run(bench, { ...candidate, submitters: 1 }, 0, async (submitters, _, redis) => {
    const before = await redis.usedBytes()
    submitAll(submitters, candidate, WAITING)
    const lateAt = performance.now() + WITHIN_MS
    while (submitters[0].count < WAITING) {
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
  measure: (submitters: readonly Child[], workers: readonly Child[], redis: BenchRedis) => Promise<T>,
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
    const submitting: Child[] = []
    for (let i = 0; i < candidate.submitters; i++) submitting.push(await open('submit'))
    const working: Child[] = []
    for (let i = 0; i < workers; i++) working.push(await open('work'))
    return await measure(submitting, working, redis)
  } finally {
    await Promise.all(children.map(({ process }) => ended(process, 'SIGKILL')))
    await redis.stop()
  }
}
