/** What becomes of bytes whose document is gone, and of a document whose bytes are: in each engine's own place. */
import { existsSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openParts } from '../redis/parts.ts'
import { NO_REDIS, RedisServer } from '../redis/server.ts'
import { embedded } from './embedded.ts'
import { patterned, readBytes } from './files.ts'
import { eventually, type Opened } from './harness.ts'
import { redis } from './redis.ts'

const NEW = { tenant: 'acme', user: null, purpose: 'batch', name: 'a', type: 'text/plain', expiresAtMs: null }

async function written({ engine }: Opened, bytes: number, expiresAtMs: number | null = null): Promise<string> {
  const { id } = await engine.files.create({ ...NEW, expiresAtMs })
  await engine.files.append(id, 0, patterned(bytes))
  return id
}

const damaged = { code: 'file_damaged' }

describe('embedded: files', () => {
  it('a file that lost bytes is told as damaged, and hurts no other', async () => {
    const opened = await embedded('process')()
    try {
      const { files } = opened.engine
      const [short, gone, good] = [await written(opened, 9_000), await written(opened, 9_000), await written(opened, 9)]
      truncateSync(join(opened.dir, 'files', short), 8_999)
      rmSync(join(opened.dir, 'files', gone))
      for (const id of [short, gone]) await expect(readBytes(files, id)).rejects.toMatchObject(damaged)
      expect((await readBytes(files, short, 0, 8_999)).length).toBe(8_999)
      await expect(files.append(gone, 9_000, patterned(1))).rejects.toMatchObject(damaged)
      expect((await readBytes(files, good)).length).toBe(9)
      for (const id of [short, gone]) expect(await files.remove(id)).toBe(true)
    } finally {
      await opened.close()
    }
  })

  it('a sweep removes bytes of no document and of an expired one; those beyond the length are never read', async () => {
    const opened = await embedded('process')()
    try {
      const { engine, clock, dir } = opened
      const id = await written(opened, 5_000)
      const expiring = await written(opened, 5_000, Math.floor(engine.wallMs()) + 1_000)
      const folder = join(dir, 'files')
      writeFileSync(join(folder, 'file-nobodys'), 'x')
      writeFileSync(join(folder, id), Buffer.concat([patterned(5_000), Buffer.from('left by a kill')]))
      expect((await readBytes(engine.files, id)).length).toBe(5_000)
      await engine.files.append(id, 5_000, patterned(3, 7))
      expect(await readBytes(engine.files, id, 4_999)).toEqual(
        Buffer.concat([patterned(5_000).subarray(4_999), patterned(3, 7)]),
      )
      await eventually(async () => {
        clock.leap(61_000)
        await new Promise((done) => setTimeout(done, 20))
        expect(readdirSync(folder)).toEqual([id])
      })
      expect(existsSync(join(folder, expiring))).toBe(false)
      await engine.files.remove(id)
      expect(readdirSync(folder)).toEqual([])
    } finally {
      await opened.close()
    }
  })
})

describe.skipIf(NO_REDIS)('Redis: files', () => {
  it('a lost segment is told as damaged; removed, expired and erased files leave no key', async () => {
    const server = await RedisServer.start({ appendfsync: null })
    const open = redis(
      async () => ({
        address: { url: server.url },
        port: server.port,
        crash: async () => {},
        remove: async () => {},
      }),
      'memory',
    )
    const opened = await open()
    const parts = await openParts({ url: server.url })
    try {
      const { engine, clock } = opened
      const { client } = parts.commands
      const keys = (): Promise<string[]> => client.keys('*}:file:*')
      const id = await written(opened, 600_000)
      expect(await keys()).toHaveLength(3)
      await client.del((await keys()).find((key) => key.endsWith(':1'))!)
      await expect(readBytes(engine.files, id)).rejects.toMatchObject(damaged)
      expect((await readBytes(engine.files, id, 0, 262_144)).length).toBe(262_144)
      await engine.files.remove(id)
      expect(await keys()).toEqual([])
      await written(opened, 600_000, Math.floor(engine.wallMs()) + 1_000)
      await eventually(async () => {
        clock.leap(11_000)
        await new Promise((done) => setTimeout(done, 20))
        expect(await keys()).toEqual([])
      })
      await written(opened, 600_000)
      await engine.eraseTenant('acme')
      expect(await keys()).toEqual([])
    } finally {
      parts.close()
      await opened.close()
      await server.remove()
    }
  })
})
