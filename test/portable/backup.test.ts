/** A backup of a running engine, and its copy, which goes on beside the original: neither takes the other's cursors. */
import { readdirSync, rmSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import type { Item } from '../../src/core/ports/portable.ts'
import { decoded } from '../../src/engines/shared/portable/file.ts'
import { FILE_BYTES } from '../../src/engines/shared/portable/file-bytes.ts'
import { receive } from '../../src/engines/shared/portable/transfer.ts'
import { DONE, draft, eventually, readAll, runJob, submit, TestWorker } from '../conformance/harness.ts'
import { bytesOf, portrait, putFile } from './portrait.ts'
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

it('a copy has the bytes of files, and files that are written on', async () => {
  const original = await opened(folder())
  const [whole, open] = [await putFile(original.engine, 1_300_001), await putFile(original.engine, 500_000)]
  const copy = await opened(await copyOf(original))
  for (const file of [whole, open]) {
    expect(await copy.engine.files.get(file.id)).toEqual(file)
    const [there, here] = [await bytesOf(copy.engine, file), await bytesOf(original.engine, file)]
    expect([there.length, there.equals(here)]).toEqual([file.bytes, true])
  }
  const grown = await copy.engine.files.append(open.id, open.bytes, Buffer.from('more'))
  expect((await bytesOf(copy.engine, grown!)).subarray(open.bytes).toString()).toBe('more')
})

it('a file that has lost bytes is left out, with its document; so is one that is deleted meanwhile', async () => {
  const side = folder()
  const original = await opened(side)
  const { engine } = original
  const [torn, lost, kept] = [await putFile(engine, 300_001), await putFile(engine, 11), await putFile(engine, 7)]
  truncateSync(join(side.dir, 'files', torn.id), 300_000)
  rmSync(join(side.dir, 'files', lost.id))
  const copy = await opened(await copyOf(original))
  expect((await copy.engine.files.list({ tenant: 'acme', limit: 10 })).map(({ id }) => id)).toEqual([kept.id])
  expect(await engine.files.get(torn.id)).not.toBeNull()
})

it('a backup whose pieces of a file are not all there is refused, and leaves nothing', async () => {
  const original = await opened(folder())
  await putFile(original.engine, 600_001)
  const backup: Uint8Array[] = []
  for await (const chunk of original.engine.backup()) backup.push(chunk)
  async function* chunks() {
    yield* backup
  }
  const without = async (drop: (item: Item) => boolean): Promise<unknown> => {
    const side = folder()
    const filling = (await side.filling())!
    async function* parts() {
      for await (const part of decoded(chunks(), 'the backup')) if ('section' in part || !drop(part.item)) yield part
    }
    const error = await receive(parts(), filling)
      .catch((thrown: unknown) => thrown)
      .finally(() => filling.close())
    expect(readdirSync(side.dir).filter((name) => name !== 'owner.lock')).toEqual([])
    return error
  }
  for (const at of [0, 262_144, 524_288])
    expect(await without(({ value }) => 'at' in value && value.at === at)).toMatchObject({ code: 'storage_failed' })
})

it("one that was made before backups had files' bytes is restored: its files are there, and damaged", async () => {
  const original = await opened(folder())
  const file = await putFile(original.engine, 11)
  const side = folder()
  const filling = (await side.filling())!
  let section = ''
  async function* parts() {
    for await (const part of decoded(original.engine.backup(), 'the backup')) {
      if ('section' in part) section = part.section
      if (section !== 'file_bytes') yield part
    }
  }
  await receive(parts(), filling).finally(() => filling.close())
  const copy = await opened(side)
  expect(await copy.engine.files.get(file.id)).toEqual(file)
  await expect(bytesOf(copy.engine, file)).rejects.toMatchObject({ code: 'file_damaged' })
})

it("a file's id is no path", () => {
  for (const id of ['file-../../x', '../file-1', 'file-', 'file-a/b', ''])
    expect(FILE_BYTES.fits({ id, at: 0 }, Buffer.from('x')), id).toBe(false)
  expect(FILE_BYTES.fits({ id: 'file-a_B-1', at: 262_144 }, Buffer.from('x'))).toBe(true)
  expect(FILE_BYTES.fits({ id: 'file-a', at: 1 }, Buffer.from('x'))).toBe(false)
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
