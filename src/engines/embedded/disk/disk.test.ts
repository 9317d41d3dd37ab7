/** The disk's own threads, on real files. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { type Disk, openDisk } from './disk.ts'
import { openFolder } from './schema.ts'

const undo: Array<() => unknown> = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

test('a sync does not wait for a checkpoint', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-disk-'))
  undo.push(() => rmSync(dir, { recursive: true }))
  const { db, files, release } = openFolder(dir)
  undo.push(() => release())
  db.exec('PRAGMA synchronous = NORMAL; CREATE TABLE filler (x TEXT)')
  const told: string[] = []
  let next = (): void => {}
  const happened = async (n: number): Promise<void> => {
    while (told.length < n) await new Promise<void>((done) => (next = done))
  }
  const tell = (what: string): void => {
    told.push(what)
    next()
  }
  const disk: Disk = openDisk(files!, {
    synced: () => tell('synced'),
    checkpointed: () => tell('checkpointed'),
    hold: () => tell('hold'),
    release: () => tell('release'),
    failed: (detail) => tell(detail),
  })
  undo.push(() => disk.close())
  disk.checkpoint() // its thread runs
  await happened(1)
  for (let i = 0; i < 40; i++) db.prepare('INSERT INTO filler VALUES (?)').run('x'.repeat(1 << 20))
  disk.sync()
  await happened(2)
  disk.checkpoint()
  disk.sync()
  await happened(4)
  expect(told).toEqual(['checkpointed', 'synced', 'synced', 'checkpointed'])
})
