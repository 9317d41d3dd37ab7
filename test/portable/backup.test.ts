/** A backup of a running engine, and its copy, which goes on beside the original: neither takes the other's cursors. */
import { afterEach, expect, it } from 'vitest'
import { decoded } from '../../src/engines/shared/portable/file.ts'
import { receive } from '../../src/engines/shared/portable/transfer.ts'
import { DONE, draft, eventually, readAll, runJob, submit, TestWorker } from '../conformance/harness.ts'
import { portrait } from './portrait.ts'
import { folderSide, type Process, removeFolder, type Side } from './sides.ts'

const undo: Array<() => unknown> = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

function folder(): ReturnType<typeof folderSide> {
  const side = folderSide()
  undo.push(() => removeFolder(side))
  return side
}

async function opened(side: Side): Promise<Process> {
  const process = await side.open()
  undo.push(() => process.close())
  return process
}

async function copyOf({ engine }: Process, chunks = engine.backup()): Promise<Side> {
  const side = folder()
  const filling = (await side.filling())!
  await receive(decoded(chunks, 'the backup'), filling).finally(() => filling.close())
  return side
}

it('holds one moment: what streams on is not in it, and what was committed is', async () => {
  const original = await opened(folder())
  const { engine } = original
  const worker = new TestWorker(engine)
  await runJob(engine, worker, { options: { conversation: 'c' } })
  const job = await submit(engine)
  const writer = engine.log.open(await worker.one(job))
  let n = 0
  const stream = async (): Promise<void> => {
    writer.append([`{"n":${++n}}`], 1, false)
    await writer.flushed()
  }
  for (let i = 0; i < 20; i++) await stream()
  const shownBefore = n
  const chunks = engine.backup()[Symbol.asyncIterator]()
  const first = await chunks.next()
  for (let i = 0; i < 20; i++) await stream()
  const later = await submit(engine)
  async function* rest(): AsyncGenerator<Uint8Array> {
    yield first.value as Uint8Array
    for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) yield next.value
  }
  const copy = await opened(await copyOf(original, rest()))
  expect(await copy.engine.jobs.get(later.id)).toBeNull()
  const { records } = await readAll(copy.engine, job.id)
  expect(records.length).toBeGreaterThanOrEqual(shownBefore)
  expect(records.length).toBeLessThanOrEqual(n)
  expect(records).toEqual(Array.from(records, (_, i) => `{"n":${i + 1}}`))
  await engine.work.finish(worker.taken.at(-1)!, DONE)
})

it('a copy holds what the original did', async () => {
  const side = folder()
  const original = await opened(side)
  const { engine } = original
  const worker = new TestWorker(engine)
  for (let i = 0; i < 5; i++) await runJob(engine, worker, { options: { conversation: 'c' } })
  for (let i = 0; i < 5; i++) await submit(engine, { options: { lane: 'l' } })
  const copy = await opened(await copyOf(original))
  expect(await portrait(copy.engine, ['acme'])).toEqual(await portrait(engine, ['acme']))
})

it('original and copy run on: a cursor of one is good at the other for what both had, and told beyond', async () => {
  const original = await opened(folder())
  const { engine } = original
  const worker = new TestWorker(engine)
  const job = await submit(engine)
  const lease = await worker.one(job)
  const writer = engine.log.open(lease)
  writer.append(['{"both":1}', '{"both":2}'], 2, true)
  await writer.flushed()
  const copy = await opened(await copyOf(original))
  // The original's attempt goes on, and the copy makes another one
  writer.append(['{"original":3}'], 1, true)
  await engine.work.finish(lease, DONE)
  const again = await new TestWorker(copy.engine).one(job)
  expect(again.attempt).toBe(lease.attempt + 1)
  const other = copy.engine.log.open(again)
  other.append(['{"copy":3}'], 1, true)
  await copy.engine.work.finish(again, DONE)
  const [here, there] = [await readAll(engine, job.id), await readAll(copy.engine, job.id)]
  expect([here.records[2], there.records[2]]).toEqual(['{"original":3}', '{"copy":3}'])
  // Cursors: "<epoch of the record>-<seq>"
  expect(there.epoch).not.toBe(here.epoch)
  expect(await copy.engine.log.commonWith(job.id, here.epoch)).toBe(2)
  expect(await engine.log.commonWith(job.id, (await copy.engine.log.head(job.id))!.epoch)).toBe(0)
  // What is new has an id of its own on each
  const [a, b] = [await submit(engine, draft() as object), await submit(copy.engine, draft() as object)]
  expect(a.id).not.toBe(b.id)
  expect(await copy.engine.jobs.get(a.id)).toBeNull()
  expect(await engine.jobs.get(b.id)).toBeNull()
})

it('one at a time; one that nobody reads on leaves nothing, and a stop does not wait for it', async () => {
  const side = folder()
  const { engine, close } = await side.open()
  for (let i = 0; i < 20; i++) await submit(engine, { body: `{"messages":"${'x'.repeat(200_000)}"}` })
  const chunks = engine.backup()[Symbol.asyncIterator]()
  await chunks.next()
  await expect(engine.backup()[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'overloaded' })
  await chunks.return?.()
  const next = engine.backup()[Symbol.asyncIterator]()
  await next.next()
  await close()
  await eventually(() => expect(next.next()).rejects.toMatchObject({ code: 'draining' }))
  const held = await side.held() // nobody has it
  await held.close()
})
