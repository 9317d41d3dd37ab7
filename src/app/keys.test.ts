import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { type App, startApp } from '../app.ts'
import { loadConfig } from '../config/load.ts'

const nothing = (): void => {}
const dir = mkdtempSync(join(tmpdir(), 'sluice-first-key-'))
afterEach(() => rmSync(dir, { recursive: true, force: true }))

function start(port: number): Promise<App> {
  const file = join(dir, 'sluice.yaml')
  writeFileSync(file, JSON.stringify({ port, admin: { port: 0 }, data_dir: join(dir, 'data'), durability: 'process' }))
  const { config } = loadConfig({ file, env: {} })
  const log = { debug: nothing, info: nothing, warn: nothing, error: nothing }
  return startApp(config, { log, configAgain: () => config })
}

it('a start that fails makes no key: nobody would be shown it, nor the next start make another', async () => {
  const taken = createServer().listen(0, '127.0.0.1')
  await new Promise((listening) => taken.once('listening', listening))
  const { port } = taken.address() as { port: number }
  await expect(start(port)).rejects.toMatchObject({ code: 'EADDRINUSE' })
  taken.close()
  const app = await start(0)
  await app.stop()
  expect(app.createdKey).toMatch(/^sk-sluice-/)
  const again = await start(0)
  await again.stop()
  expect(again.createdKey).toBe(null)
})
