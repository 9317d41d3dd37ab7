import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Names } from './names.ts'
import { type Folder, openFolder } from './schema.ts'

let dir: string
let opened: Folder
let names: Names
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sluice-names-'))
  opened = openFolder(dir)
  names = new Names(opened.files!)
})
afterEach(() => {
  opened.release()
  rmSync(dir, { recursive: true, force: true })
})

/** Until one look at the folder is enough. */
async function known(): Promise<void> {
  while (names.expectStill()) await sleep(1)
}

test('files are looked at one by one only while something in their folder changes', async () => {
  await known()
  expect(names.expectStill()).toBe(false)
  writeFileSync(join(dir, 'another'), '')
  expect(names.expectStill()).toBe(true)
  await known()
})

test('nor is a look enough before the clock of the file system must have ticked', () => {
  for (let i = 0; i < 3; i++) expect(names.expectStill()).toBe(true)
})

test.each<[string, () => void]>([
  ['sluice.db is gone', () => rmSync(join(dir, 'sluice.db'))],
  ['sluice.db-wal is another file', () => replace('sluice.db-wal')],
  ['owner.lock is another file', () => replace('owner.lock')],
  ['the folder is gone', () => renameSync(dir, `${dir}-moved`)],
])('%s: the very next look tells', async (_name, harm) => {
  await known()
  harm()
  expect(() => names.expectStill()).toThrow('was deleted, moved or replaced while the server ran')
  expect(() => names.expectStill()).toThrow('was deleted, moved or replaced while the server ran')
  rmSync(`${dir}-moved`, { recursive: true, force: true })
})

function replace(name: string): void {
  writeFileSync(join(dir, 'new'), readFileSync(join(dir, name)))
  renameSync(join(dir, 'new'), join(dir, name))
}
