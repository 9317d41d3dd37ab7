/** The disk's own threads, on real files. */
import { spawn, spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { type Disk, openDisk } from './disk.ts'
import { openFolder } from './schema.ts'

const hasPrlimit = spawnSync('prlimit', ['--version']).status === 0
const undo: Array<() => unknown> = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

function canOpen(path: string): boolean {
  try {
    closeSync(openSync(path, 'r'))
    return true
  } catch {
    return false
  }
}

async function open() {
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
  return { db, disk, told, happened }
}

// On a busy machine a checkpoint may be quicker by chance
test('a sync does not wait for a checkpoint', { retry: 2 }, async () => {
  const { db, disk, told, happened } = await open()
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

test('a close waits for the sync that runs', async () => {
  const { db, disk, told } = await open()
  db.exec("INSERT INTO filler VALUES ('x')")
  disk.sync()
  await disk.close()
  expect(told).toEqual(['synced'])
})

test('a sync whose files are gone is a failure, and nothing else is told of it', async () => {
  const { db, disk, told } = await open()
  db.exec("INSERT INTO filler VALUES ('x')")
  rmSync(`${db.location()}-wal`)
  disk.sync()
  await disk.close() // after the sync
  expect(told).toEqual([expect.stringMatching(/sluice\.db-wal was deleted, moved or replaced/)])
})

test('a long WAL starts over, each time that it is long', async () => {
  const { db, disk, told, happened } = await open()
  const row = db.prepare('INSERT INTO filler VALUES (?)')
  for (let round = 1; round <= 2; round++) {
    for (let i = 0; i < 50; i++) row.run('x'.repeat(1 << 20))
    disk.checkpoint()
    await happened(round * 5 - 2)
    disk.held()
    await happened(round * 5)
    expect(told.slice(-5)).toEqual(['checkpointed', 'checkpointed', 'hold', 'checkpointed', 'release'])
  }
  // The second round went into the same file
  expect(statSync(`${db.location()}-wal`).size).toBeLessThan(60 << 20)
})

test.skipIf(!hasPrlimit)('a checkpoint that finds no descriptors is tried again with the next', async () => {
  const { disk, told, happened } = await open()
  disk.sync()
  await happened(1)
  // What is open stays open, and nothing new can be opened. A shell lifts it again: we could not even start one
  const before = /open files +(\d+)/.exec(readFileSync('/proc/self/limits', 'utf8'))![1]
  const limit = (soft: string): string => `prlimit --pid ${process.pid} --nofile=${soft}:`
  const shell = spawn('sh', ['-c', `${limit('3')}; sleep 2; ${limit(before)}`], { stdio: 'ignore' })
  const lifted = new Promise((done) => shell.once('exit', done))
  while (canOpen('/')) await new Promise((done) => setTimeout(done, 5))
  disk.checkpoint()
  await lifted
  disk.checkpoint()
  await happened(2)
  expect(told).toEqual(['synced', 'checkpointed'])
})
