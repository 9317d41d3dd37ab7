/**
 * Restores a backup onto a small disk, made larger and larger, and tells what came of each try: portable.test.ts (e2e).
 * Arguments: the backup, and where the disk is mounted.
 */
import { execFileSync } from 'node:child_process'
import { createReadStream, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { restore } from '../../src/app/portable.ts'
import { loadConfig } from '../../src/config/load.ts'
import { SluiceError } from '../../src/core/errors.ts'
import { folderSide } from './sides.ts'

const [FIRST_KIB, MOST_KIB, STEP_KIB] = [40, 2_400, 40]
const [, , file, disk] = process.argv
const { config } = loadConfig({ env: {}, flags: { 'data-dir': join(disk, 'data') } })

let whole = 0
for (let kib = FIRST_KIB; kib <= MOST_KIB && whole < 3; kib += STEP_KIB) {
  execFileSync('mount', ['-o', `remount,size=${kib}k`, disk])
  let code: string | null = null
  try {
    await restore(config, createReadStream(file), file, () => {})
  } catch (error) {
    code = SluiceError.from(error).code
  }
  const left = readdirSync(disk)
  let jobs: number | null = null
  if (code === null) {
    whole++
    // Nothing that it may have left beside the database is needed
    execFileSync('mount', ['-o', 'remount,size=64m', disk])
    const held = await folderSide(join(disk, 'data')).held()
    const waiting = held.sources.find(({ kind }) => kind.name === 'waiting_jobs')!
    jobs = 0
    for await (const _ of waiting.read()) jobs++
    await held.close()
  }
  console.log(JSON.stringify({ kib, code, left, jobs }))
  rmSync(join(disk, 'data'), { recursive: true, force: true })
}
