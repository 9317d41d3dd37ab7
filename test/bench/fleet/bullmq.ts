/** A child of the measurement of jobs: BullMQ, its queue or its worker. Argument: its folder. */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { requestOf, serve } from './protocol.ts'

interface BullMq {
  readonly Queue: new (
    name: string,
    options: object,
  ) => {
    waitUntilReady(): Promise<unknown>
    add(name: string, data: unknown, options: object): Promise<unknown>
    addBulk(jobs: ReadonlyArray<{ name: string; data: unknown; opts: object }>): Promise<unknown>
  }
  readonly Worker: new (
    name: string,
    run: () => Promise<void>,
    options: object,
  ) => {
    waitUntilReady(): Promise<unknown>
    on(event: 'completed', fn: () => void): void
  }
}

const folder = process.argv[2]
const { Queue, Worker } = createRequire(join(folder, 'package.json'))('.') as BullMq
const NAME = 'jobs'
/** Ended ones are kept for an hour, as Sluice keeps them for its retention. */
const OPTIONS = { removeOnComplete: { age: 3600 } }

serve(async ({ role, port, slots, bytes }, ended) => {
  const connection = { host: '127.0.0.1', port, maxRetriesPerRequest: null }
  if (role === 'work') {
    const worker = new Worker(NAME, async () => {}, { connection, concurrency: slots })
    worker.on('completed', ended)
    await worker.waitUntilReady()
    return async () => {}
  }
  const queue = new Queue(NAME, { connection })
  await queue.waitUntilReady()
  const data = (n: number): unknown => ({ body: requestOf(n, bytes) })
  return async (count, from) => {
    if (count === 1) await queue.add('job', data(from), OPTIONS)
    else
      await queue.addBulk(
        Array.from({ length: count }, (_, i) => ({ name: 'job', data: data(from + i), opts: OPTIONS })),
      )
  }
})
