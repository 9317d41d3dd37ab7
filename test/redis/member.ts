/**
 * A process of a fleet, as its test starts it: reads a line of JSON for each thing that it is to do, and answers with
 * one. Its arguments: the address of Redis, JSON.
 */
import { createInterface } from 'node:readline'
import type { Engine } from '../../src/core/ports/engine.ts'
import { DONE, submit, TestWorker } from '../conformance/harness.ts'
import { Engines } from './engines.ts'

export type Task = { readonly do: 'submit' } | { readonly do: 'work' } | { readonly do: 'get'; readonly id: string }

const engines = new Engines(JSON.parse(process.argv[2]))
const tell = (told: object): void => void process.stdout.write(`${JSON.stringify(told)}\n`)

/** Takes one job, and ends it. */
async function work(engine: Engine): Promise<object> {
  const lease = await worker!.one()
  engine.log.open(lease).append(['{"a":1}'], 1, true)
  return { id: lease.job.id, ...(await engine.work.finish(lease, DONE)) }
}

let worker: TestWorker | null = null
async function run(engine: Engine, task: Task): Promise<object> {
  worker ??= new TestWorker(engine)
  if (task.do === 'submit') return { id: (await submit(engine)).id }
  if (task.do === 'work') return work(engine)
  return { state: (await engine.jobs.get(task.id))?.state ?? null }
}

try {
  const engine = await engines.open()
  tell({ ready: true, health: engine.health().ok })
  for await (const line of createInterface({ input: process.stdin })) tell(await run(engine, JSON.parse(line) as Task))
  await engines.close()
} catch (error) {
  tell({ failed: (error as Error).message })
  process.exit(1)
}
