/** Held by every engine: the Files port. */
import { expect } from 'vitest'
import type { Files, NewFile, StoredFile } from '../../src/core/ports/files.ts'
import { MAX_FILE_CHUNK_BYTES } from '../../src/core/ports/files.ts'
import { type Case, eventually } from './harness.ts'

const make = (more: Partial<NewFile> = {}): NewFile => ({
  tenant: 'acme',
  user: null,
  purpose: 'batch',
  name: 'requests "é".jsonl',
  type: 'application/jsonl',
  expiresAtMs: null,
  ...more,
})

/** Bytes that tell where they stand. */
export const patterned = (bytes: number, seed = 0): Uint8Array =>
  Uint8Array.from({ length: bytes }, (_, i) => (i * 31 + (i >> 8) * 17 + (i >> 16) * 5 + seed) & 0xff)

export async function readBytes(files: Files, id: string, start = 0, end = Infinity): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of files.read(id, start, end)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

async function filled(files: Files, bytes: Uint8Array, more: Partial<NewFile> = {}): Promise<StoredFile> {
  const { id } = await files.create(make(more))
  for (let at = 0; at < bytes.length; at += MAX_FILE_CHUNK_BYTES)
    expect(await files.append(id, at, bytes.subarray(at, at + MAX_FILE_CHUNK_BYTES))).not.toBeNull()
  return (await files.seal(id))!
}

const idsOf = (files: readonly StoredFile[]): readonly string[] => files.map(({ id }) => id)

export const fileCases: readonly Case[] = [
  {
    name: 'a file is read as it was written, from the front to the back, in any range; once sealed nothing is added',
    async run(open) {
      const { engine } = await open()
      const { files } = engine
      const file = await files.create(make({ user: 'ann', expiresAtMs: 4e12 }))
      expect(file).toMatchObject({ ...make({ user: 'ann', expiresAtMs: 4e12 }), bytes: 0, sealed: false })
      expect(Math.abs(file.createdAtMs - engine.wallMs())).toBeLessThan(60_000)
      expect(await files.get(file.id)).toEqual(file)
      expect((await readBytes(files, file.id)).length).toBe(0)
      const bytes = patterned(MAX_FILE_CHUNK_BYTES + 300_000)
      const steps = [1, 262_143, 1, 262_144, 99_999, 700_000]
      let at = 0
      for (const step of steps) {
        // Whoever wrote it may write over it
        const chunk = Buffer.from(bytes.subarray(at, at + step))
        expect(await files.append(file.id, at, chunk)).toEqual({ ...file, bytes: at + chunk.length })
        chunk.fill(0)
        at += chunk.length
        expect(await readBytes(files, file.id)).toEqual(Buffer.from(bytes.subarray(0, at)))
      }
      for (const [from, to] of [
        [0, 1],
        [262_143, 262_146],
        [5, 5],
        [100_000, 1_200_000],
        [at - 1, at],
        [at - 3, at + 9],
        [at, at + 1],
      ])
        expect(await readBytes(files, file.id, from, to)).toEqual(Buffer.from(bytes.subarray(from, Math.min(to, at))))
      const facts = { purpose: 'vision', name: 'b', type: 'image/png', expiresAtMs: null }
      expect(await files.seal(file.id, facts)).toEqual({ ...file, ...facts, bytes: at, sealed: true })
      expect(await files.append(file.id, at, bytes.subarray(0, 9))).toBeNull()
      expect(await files.seal(file.id, { name: 'c' })).toEqual({ ...file, ...facts, bytes: at, sealed: true })
      expect(await readBytes(files, file.id)).toEqual(Buffer.from(bytes.subarray(0, at)))
    },
  },
  {
    name: 'of writers at one place one succeeds, and its bytes are there, whoever was slower',
    async run(open) {
      const { files } = (await open()).engine
      const { id } = await files.create(make())
      const expected: Uint8Array[] = []
      for (let round = 0, at = 0; round < 4; round++) {
        const chunks = Array.from({ length: 6 }, (_, n) => patterned(200_000 - n * 1_000, round * 10 + n))
        const written = await Promise.all(chunks.map((chunk) => files.append(id, at, chunk)))
        const won = written.flatMap((file, n) => (file === null ? [] : [n]))
        expect(won).toHaveLength(1)
        expected.push(chunks[won[0]])
        at += chunks[won[0]].length
        expect((await files.get(id))?.bytes).toBe(at)
        expect(await readBytes(files, id)).toEqual(Buffer.concat(expected))
      }
      expect(await files.append(id, 0, patterned(5))).toBeNull()
      expect(await files.append(id, 5e6, patterned(5))).toBeNull()
    },
  },
  {
    name: 'what is gone is not found, not written and not sealed; whoever reads it meanwhile is told',
    async run(open) {
      const { files } = (await open()).engine
      const gone = { code: 'file_not_found' }
      expect(await files.get('file-nothing')).toBeNull()
      expect(await files.append('file-nothing', 0, patterned(5))).toBeNull()
      expect(await files.seal('file-nothing')).toBeNull()
      expect(await files.remove('file-nothing')).toBe(false)
      await expect(readBytes(files, 'file-nothing')).rejects.toMatchObject(gone)
      const { id } = await filled(files, patterned(2_000_000))
      const reading = files.read(id, 0, 2_000_000)[Symbol.asyncIterator]()
      expect((await reading.next()).done).toBe(false)
      expect(await files.remove(id)).toBe(true)
      expect(await files.remove(id)).toBe(false)
      await expect(
        (async () => {
          while (!(await reading.next()).done);
        })(),
      ).rejects.toMatchObject(gone)
      expect(await files.get(id)).toBeNull()
      expect(await files.list({ tenant: 'acme', limit: 10 })).toEqual([])
    },
  },
  {
    name: 'lists are of one tenant, the newest first, page by page, of one user and purpose where that is asked',
    async run(open) {
      const { files } = (await open()).engine
      const made: string[] = []
      for (let n = 0; n < 9; n++) {
        made.unshift((await files.create(make({ user: n % 2 ? 'ann' : null, purpose: n % 3 ? 'batch' : 'vision' }))).id)
        await new Promise((done) => setTimeout(done, 3))
      }
      await files.create(make({ tenant: 'globex' }))
      expect(idsOf(await files.list({ tenant: 'acme', limit: 100 }))).toEqual(made)
      expect(idsOf(await files.list({ tenant: 'acme', limit: 4 }))).toEqual(made.slice(0, 4))
      expect(idsOf(await files.list({ tenant: 'acme', limit: 4, before: made[3] }))).toEqual(made.slice(4, 8))
      expect(await files.list({ tenant: 'acme', limit: 100, user: 'ann' })).toHaveLength(4)
      expect(await files.list({ tenant: 'acme', limit: 100, user: 'ann', purpose: 'vision' })).toHaveLength(1)
      expect(await files.list({ tenant: 'acm', limit: 100 })).toEqual([])
    },
  },
  {
    name: 'what was made by a job is found by it, whoever made it and however much, and is removed alone',
    async run(open) {
      const { files } = (await open()).engine
      const acceptedAtMs = 1_790_000_000_000.25
      const job = { id: `job_${'0'.repeat(25)}1`, tenant: 'acme', acceptedAtMs }
      const others = [
        { ...job, id: `job_${'0'.repeat(25)}2` },
        { ...job, id: `job_${'0'.repeat(26)}` },
        { ...job, tenant: 'globex' },
      ]
      const bytes = patterned(300_000)
      const kept: string[] = []
      for (const by of others) kept.push((await filled(files, bytes, { tenant: by.tenant, job: by })).id)
      kept.push((await filled(files, bytes, { name: `${job.id}.wav`, purpose: 'media' })).id)
      const made: string[] = []
      for (let n = 0; n < 35; n++) made.push((await files.create(make({ job }))).id)
      const whole = await filled(files, bytes, { job })
      expect(whole.job).toBe(job.id)
      expect(await files.get(whole.id)).toEqual(whole)
      await files.removeMade(job)
      for (const id of [...made, whole.id]) expect(await files.get(id)).toBeNull()
      for (const id of kept) expect(await readBytes(files, id)).toEqual(Buffer.from(bytes))
      await files.removeMade(job)
    },
  },
  {
    name: 'one that expires is not shown any more, and makes room',
    async run(open) {
      const { engine, clock } = await open({ files: { tenantBytes: 300_000 } })
      const { files } = engine
      const soon = await filled(files, patterned(200_000), { expiresAtMs: Math.floor(engine.wallMs()) + 5_000 })
      const { id } = await files.create(make())
      const full = { code: 'storage_full' }
      await expect(files.append(id, 0, patterned(200_000))).rejects.toMatchObject(full)
      clock.sleep(6_000)
      // Before anybody has removed it
      expect(await files.get(soon.id)).toBeNull()
      expect(idsOf(await files.list({ tenant: 'acme', limit: 10 }))).toEqual([id])
      await eventually(async () => {
        clock.leap(11_000)
        await expect(readBytes(files, soon.id)).rejects.toMatchObject({ code: 'file_not_found' })
        expect(await files.append(id, 0, patterned(200_000))).not.toBeNull()
      })
      expect(idsOf(await files.list({ tenant: 'acme', limit: 10 }))).toEqual([id])
    },
  },
  {
    name: 'no file, and no tenant, takes more than its cap; others write on, and what is removed makes room',
    async run(open) {
      const { files } = (await open({ files: { bytes: 1_000, tenantBytes: 1_500, tenantFiles: 4 } })).engine
      const full = { code: 'storage_full' }
      const { id } = await files.create(make())
      await expect(files.append(id, 0, patterned(1_001))).rejects.toMatchObject(full)
      expect(await files.append(id, 0, patterned(1_000))).not.toBeNull()
      await expect(files.append(id, 1_000, patterned(1))).rejects.toMatchObject(full)
      const second = await files.create(make())
      await expect(files.append(second.id, 0, patterned(501))).rejects.toMatchObject(full)
      expect(await files.append(second.id, 0, patterned(500))).not.toBeNull()
      await files.create(make())
      await files.create(make())
      await expect(files.create(make())).rejects.toMatchObject(full)
      expect((await files.get(id))?.bytes).toBe(1_000)
      await filled(files, patterned(900), { tenant: 'globex' })
      expect(await files.remove(id)).toBe(true)
      expect(await files.append(second.id, 500, patterned(500))).not.toBeNull()
      await files.create(make())
    },
  },
  {
    name: 'what was told as written is there after a kill in the middle of a write, and the file goes on from there',
    needs: 'kill',
    async run(open) {
      for (const isTold of [false, true]) {
        let opened = await open()
        const before = opened.engine.files
        const { id } = await before.create(make())
        expect(await before.append(id, 0, patterned(700_000))).not.toBeNull()
        const cut = before.append(id, 700_000, patterned(900_000, 1)).catch(() => null)
        // A reader may have seen the new length by then
        while (isTold && (await before.get(id))?.bytes === 700_000) await new Promise((next) => setImmediate(next))
        opened = await opened.reopen('kill')
        await cut
        const { files } = opened.engine
        const { bytes } = (await files.get(id))!
        expect(isTold ? [1_600_000] : [700_000, 1_600_000]).toContain(bytes)
        const whole = Buffer.concat([patterned(700_000), patterned(900_000, 1)]).subarray(0, bytes)
        expect(await readBytes(files, id)).toEqual(whole)
        expect(await files.append(id, bytes, patterned(1_000, 2))).not.toBeNull()
        expect(await readBytes(files, id)).toEqual(Buffer.concat([whole, patterned(1_000, 2)]))
        await files.seal(id)
        opened = await opened.reopen('kill')
        expect(await opened.engine.files.get(id)).toMatchObject({ bytes: bytes + 1_000, sealed: true })
        expect((await readBytes(opened.engine.files, id)).length).toBe(bytes + 1_000)
      }
    },
  },
  {
    name: 'what was told as written is there after a power loss',
    needs: 'power',
    async run(open) {
      const first = await open()
      const file = await filled(first.engine.files, patterned(1_200_000))
      const { files } = (await first.reopen('power')).engine
      expect(await files.get(file.id)).toEqual(file)
      expect(await readBytes(files, file.id)).toEqual(Buffer.from(patterned(1_200_000)))
    },
  },
  {
    name: 'an erased tenant has no files; others keep theirs',
    async run(open) {
      const { engine } = await open()
      const { files } = engine
      const own: string[] = []
      for (let n = 0; n < 3; n++) own.push((await filled(files, patterned(300_000))).id)
      const theirs = await filled(files, patterned(300_000), { tenant: 'globex' })
      await engine.eraseTenant('acme')
      expect(await files.list({ tenant: 'acme', limit: 10 })).toEqual([])
      for (const id of own) {
        expect(await files.get(id)).toBeNull()
        await expect(readBytes(files, id)).rejects.toMatchObject({ code: 'file_not_found' })
      }
      expect(await readBytes(files, theirs.id)).toEqual(Buffer.from(patterned(300_000)))
    },
  },
  {
    name: 'of two processes of a fleet that write at one place one succeeds; each reads what the other wrote',
    needs: 'fleet',
    async run(open) {
      const a = await open()
      const b = await a.beside!()
      const { id } = await a.engine.files.create(make())
      const expected: Uint8Array[] = []
      for (let round = 0, at = 0; round < 8; round++) {
        const chunks = [patterned(150_000, 2 * round), patterned(140_000, 2 * round + 1)]
        const written = await Promise.all([a, b].map(({ engine }, n) => engine.files.append(id, at, chunks[n])))
        const won = written[0] === null ? 1 : 0
        expect(written[1 - won]).toBeNull()
        expected.push(chunks[won])
        at = written[won]!.bytes
      }
      for (const { engine } of [a, b]) expect(await readBytes(engine.files, id)).toEqual(Buffer.concat(expected))
      expect(await b.engine.files.remove(id)).toBe(true)
      expect(await a.engine.files.get(id)).toBeNull()
    },
  },
]
