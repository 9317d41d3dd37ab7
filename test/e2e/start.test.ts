/** What a start costs is what it loads: each module is found, read, compiled and run before the first request. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, afterEach, expect, it } from 'vitest'
import { BIN, killAll, removeFolders, serve } from './serve.ts'
import type { Seen } from './start-watch.ts'

const dir = mkdtempSync(join(tmpdir(), 'sluice-start-'))
const seenBy = (name: string): Seen => JSON.parse(readFileSync(join(dir, name), 'utf8')) as Seen
const watched = (name: string): Record<string, string> => ({
  NODE_OPTIONS: `--import ${pathToFileURL(join(import.meta.dirname, 'start-watch.ts')).href}`,
  SLUICE_TEST_SEEN: join(dir, name),
})
afterEach(killAll)
afterAll(() => {
  removeFolders()
  rmSync(dir, { recursive: true })
})

it('loads nothing that it does not need', async () => {
  const server = serve({ env: watched('server') })
  await server.ready()
  server.child.kill('SIGTERM')
  await server.ended
  const { loaded, builtin } = seenBy('server')
  const packages = loaded.map((url) => /\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1]).filter(Boolean)
  // No file to parse, no socket to open, no other engine
  expect([...new Set(packages)]).toEqual(['zod'])
  expect(loaded.filter((url) => /\/zod\/.*\/locales\/(?!en\.)/.test(url))).toEqual([])
  // The one that is in use
  expect(loaded.filter((url) => url.includes('/routing/providers/') && url.includes('adapter'))).toEqual([
    expect.stringContaining('/demo/'),
  ])
  expect(loaded.filter((url) => /\/(bench|mock|engines\/redis)\//.test(url))).toEqual([])
  // Node's fetch and its WebSocket
  expect(builtin.filter((name) => name.includes('undici'))).toEqual([])
})

it('loads TLS for the first connection that needs it, whatever its models speak to', async () => {
  const file = join(dir, 'sluice.yaml')
  const model = { name: '*', provider: 'openai-compatible', base_url: 'http://127.0.0.1:9/v1' }
  writeFileSync(file, JSON.stringify({ models: [model] }))
  const server = serve({ args: ['--config', file], env: watched('called') })
  await server.ready()
  server.child.kill('SIGTERM')
  await server.ended
  const { loaded, builtin } = seenBy('called')
  expect(loaded.some((url) => url.includes('/routing/providers/http/'))).toBe(true)
  expect(builtin.filter((name) => /\b_?tls(_wrap)?$/.test(name))).toEqual([])
})

it('keeps what it compiled beside its packages, for its threads too, unless the environment names a place', () => {
  const version = (name: string, env: Record<string, string>): Seen => {
    execFileSync(process.execPath, [BIN, 'version'], { env: { ...watched(name), ...env } })
    return seenBy(name)
  }
  const own = join(import.meta.dirname, '../../node_modules/.cache/sluice')
  const { cache, threadsCache } = version('own', {})
  expect(cache).toContain(own)
  expect(threadsCache).toBe(own)
  expect(version('named', { NODE_COMPILE_CACHE: join(dir, 'cache') }).cache).toContain(join(dir, 'cache'))
  expect(version('none', { NODE_DISABLE_COMPILE_CACHE: '1' }).cache).toBeUndefined()
})
