import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { embedded } from '../../test/conformance/embedded.ts'
import { type App, startApp } from '../app.ts'
import { loadConfig } from '../config/load.ts'
import { systemClock } from '../core/clock.ts'
import { systemIds } from '../core/ids.ts'
import { digestOf } from '../gateway/caller/api-key.ts'
import { givenKey } from './keys.ts'

const nothing = (): void => {}
const dir = mkdtempSync(join(tmpdir(), 'sluice-first-key-'))
afterEach(() => rmSync(dir, { recursive: true, force: true }))

const ADMIN_KEY = 'an-admin-key-of-the-tests-0123456789'

async function start(port: number, keyOnStart?: string, notes: string[] = []): Promise<App> {
  const file = join(dir, 'sluice.yaml')
  mkdirSync(dir, { recursive: true })
  writeFileSync(file, JSON.stringify({ port, admin: { port: 0 }, data_dir: join(dir, 'data'), durability: 'process' }))
  const { config } = loadConfig({ file, env: { SLUICE_ADMIN_KEY: ADMIN_KEY } })
  const warn = (_fact: object, message?: string): void => void notes.push(message ?? '')
  const log = { writes: () => true, debug: nothing, info: nothing, warn, error: nothing }
  const options = { log, configAgain: () => config, ...(keyOnStart !== undefined && { keyOnStart }) }
  for (;;)
    try {
      return await startApp(config, options)
    } catch (error) {
      // On a busy machine the one before is left while it closes its store
      if (!String(error).includes('locked')) throw error
      await new Promise((done) => setTimeout(done, 50))
    }
}

/** What a server that was started with the key says about it. */
async function withKey(key: string, use: (app: App) => Promise<void>): Promise<readonly string[]> {
  const notes: string[] = []
  const app = await start(0, key, notes)
  try {
    await use(app)
  } finally {
    await app.stop()
  }
  return notes.filter((note) => note.includes('SLUICE_KEY'))
}
const status = async (app: App, key: string): Promise<number> =>
  (await fetch(`${app.publicUrl}/v1/models`, { headers: { authorization: `Bearer ${key}` } })).status
// biome-ignore lint/suspicious/noExplicitAny: whatever the API answers
async function admin(app: App, method: string, path: string, body: object = {}): Promise<any> {
  const headers = { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json' }
  const sent = method === 'GET' ? {} : { body: JSON.stringify(body) }
  return (await fetch(`${app.adminUrl}${path}`, { method, headers, ...sent })).json()
}
const idOf = async (app: App): Promise<string> => (await admin(app, 'GET', '/admin/keys')).data.at(-1).id

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

it('SLUICE_KEY is replaced by another one, whatever name the first has got meanwhile', async () => {
  const notes = await withKey('first-secret-of-a-start', async (app) => {
    expect(await status(app, 'first-secret-of-a-start')).toBe(200)
    await admin(app, 'PATCH', `/admin/keys/${await idOf(app)}`, { name: 'ours' })
    expect((await admin(app, 'GET', '/admin/keys')).data.at(-1).hint).toBe('…')
  })
  expect(notes).toEqual([])
  // The same again
  expect(await withKey('first-secret-of-a-start', async () => {})).toEqual([])
  const changed = await withKey('second-secret-of-a-start', async (app) => {
    expect(await status(app, 'second-secret-of-a-start')).toBe(200)
    expect(await status(app, 'first-secret-of-a-start')).toBe(401)
  })
  expect(changed).toEqual([expect.stringContaining('is revoked')])
  expect(changed.join('')).not.toContain('first')
  expect(await withKey('first-secret-of-a-start', async () => {})).toEqual([expect.stringContaining('was revoked')])
})

it('a start says why the SLUICE_KEY that it was given is refused: it has expired, or was rotated', async () => {
  let id = ''
  await withKey('secret-that-expires', async (app) => {
    id = await idOf(app)
    await admin(app, 'PATCH', `/admin/keys/${id}`, { expires_in_ms: 1 })
  })
  const expired = await withKey('secret-that-expires', async (app) => {
    expect(await status(app, 'secret-that-expires')).toBe(401)
    await admin(app, 'PATCH', `/admin/keys/${id}`, { expires_in_ms: null })
    await admin(app, 'POST', `/admin/keys/${id}/rotate`, { overlap_ms: 3_600_000 })
  })
  expect(expired).toEqual([expect.stringMatching(new RegExp(`expired.*${id}`))])
  let newest = ''
  const replaced = await withKey('secret-that-expires', async (app) => {
    expect(await status(app, 'secret-that-expires')).toBe(200)
    newest = (await admin(app, 'POST', `/admin/keys/${id}/rotate`)).key
  })
  expect(replaced).toEqual([expect.stringMatching(/rotated.*until \d{4}-/)])
  const ended = await withKey('secret-that-expires', async (app) => {
    expect(await status(app, 'secret-that-expires')).toBe(401)
    expect(await status(app, newest)).toBe(200)
  })
  expect(ended).toEqual([expect.stringMatching(/rotated.*no more/)])
  // The newest one is the same key: nothing is revoked
  expect(await withKey(newest, async (app) => expect(await status(app, newest)).toBe(200))).toEqual([])
})

it('a key that an older version has stored as given is known by its name, and marked', async () => {
  const { engine, close } = await embedded('memory')()
  const old = { id: 'k', tenant: 'default', name: 'given at the start', hint: 'h', createdAtMs: 1 }
  await engine.keys.add(old, digestOf('old-secret'))
  expect(await givenKey(engine.keys, 'old-secret', systemClock, systemIds())).toEqual([])
  expect(engine.keys.get('k')).toEqual({ ...old, seeded: true })
  await engine.keys.change('k', (key) => ({ ...key, name: 'ours' }))
  expect(await givenKey(engine.keys, 'new-secret', systemClock, systemIds())).toHaveLength(1)
  expect(engine.keys.get('k')?.revokedAtMs).toBeDefined()
  await close()
})
