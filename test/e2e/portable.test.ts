/** `sluice backup`, `restore` and `migrate` with real servers, as operators use them. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { eventually } from '../conformance/harness.ts'
import { bareEnvironment } from '../environment.ts'
import { NO_REDIS, RedisServer } from '../redis/server.ts'
import { ADMIN_KEY, call, KEY } from './fleet.ts'
import { BIN, freshFolder, killAll, removeFolders, type Started, serve } from './serve.ts'

const dir = mkdtempSync(join(tmpdir(), 'sluice-e2e-portable-'))
const config = join(dir, 'sluice.yaml')
writeFileSync(config, 'models:\n  - { name: demo, provider: demo }\n')
const undo: Array<() => unknown> = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
  killAll()
})
afterAll(() => {
  removeFolders()
  rmSync(dir, { recursive: true, force: true })
})

interface Ran {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

const backupEnvironment = () => ({ ...bareEnvironment(), SLUICE_ADMIN_KEY: ADMIN_KEY, SLUICE_CONFIG: config })

const sluice = (args: readonly string[], env: Record<string, string> = {}): Promise<Ran> =>
  ran([process.execPath, BIN, ...args], { ...backupEnvironment(), ...env })

/** Where this user may mount a file system of its own, which only the program sees. */
const CAN_LIMIT = process.platform === 'linux' && spawnSync('unshare', ['-rm', 'true']).status === 0
/** With a file system of that size at `path`. */
const limited = (path: string, size: string, command: readonly string[], env: NodeJS.ProcessEnv): Promise<Ran> => {
  const mount = 'path=$1 size=$2; shift 2; mount -t tmpfs -o size=$size none "$path" && exec "$@"'
  return ran(['unshare', '-rm', 'sh', '-c', mount, 'sh', path, size, ...command], env)
}

function ran([program, ...args]: readonly string[], env: NodeJS.ProcessEnv): Promise<Ran> {
  return new Promise((done) => {
    const child = spawn(program, args, { env })
    let [out, err] = ['', '']
    child.stdout.on('data', (d: Buffer) => {
      out += d.toString()
    })
    child.stderr.on('data', (d: Buffer) => {
      err += d.toString()
    })
    child.on('close', (code) => done({ code, out, err }))
  })
}

async function started(folder: string, env: Record<string, string> = {}, args: readonly string[] = []) {
  const process = serve({
    folder,
    args: ['--admin-port', '0', ...args],
    env: { SLUICE_KEY: KEY, SLUICE_ADMIN_KEY: ADMIN_KEY, SLUICE_CONFIG: config, ...env },
  })
  const { url, admin_url: admin } = await process.ready()
  return { process, url, admin, stop: () => stopped(process) }
}

async function stopped({ child, ended }: Started): Promise<void> {
  child.kill('SIGTERM')
  expect(await ended).toBe(0)
}

const messages = [{ role: 'user', content: 'hello' }]
async function submit(url: string, more: object = {}): Promise<string> {
  const answer = await call(url, '/v1/jobs', { body: { request: { model: 'demo', messages }, ...more } })
  return ((await answer.json()) as { id: string }).id
}
async function result(url: string, id: string): Promise<string> {
  return (await call(url, `/v1/jobs/${id}?wait_ms=20000`)).text()
}
const events = (url: string, id: string, headers: Record<string, string>): Promise<Response> =>
  fetch(`${url}/v1/jobs/${id}/events`, { headers: { authorization: `Bearer ${KEY}`, ...headers } })
/** Whether a reader with this cursor is told that what it has is void. */
const isTold = async (url: string, id: string, cursor: string): Promise<boolean> =>
  /^event: ?gap$/m.test(await (await events(url, id, { 'last-event-id': cursor })).text())
/** In its events' ids. */
const epochOf = async (url: string, id: string): Promise<number> =>
  Number(/^id: ?(\d+)-\d+$/m.exec(await (await events(url, id, {})).text())![1])

it('a backup of a server that streams, restored beside it: results are there, later text is told', async () => {
  const original = await started(freshFolder())
  const done = await submit(original.url)
  const before = await result(original.url, done)
  // One streams while the backup is made, and one waits
  const streams = await submit(original.url, { conversation: 'c' })
  const lane = { tenant: 'default', lane: 'held' }
  await call(original.admin, '/admin/pause', { key: ADMIN_KEY, body: lane })
  const waits = await submit(original.url, { lane: 'held' })
  const file = join(dir, 'one.backup')
  const asked = ['backup', file, '--admin-url', original.admin]
  const made = await sluice(asked)
  expect([made.code, made.err]).toEqual([0, expect.stringMatching(/Saved in .*one\.backup/)])
  expect(made.out).toMatch(/^SECTION +ITEMS +BYTES$/m) // no digests: nothing is compared
  expect(made.out).toMatch(/^SECTION +ITEMS/)
  expect(statSync(file).mode & 0o777).toBe(0o600)
  expect(readdirSync(dir).sort()).toEqual(['one.backup', 'sluice.yaml'])
  expect(await sluice(asked)).toMatchObject({ code: 2, err: expect.stringMatching(/exists: --force replaces it/) })
  expect((await sluice([...asked, '--force', '--json'])).code).toBe(0)
  const folderAt = await sluice(['backup', dir, '--force', '--admin-url', original.admin])
  expect(folderAt).toMatchObject({ code: 2, err: expect.stringMatching(/no regular file/) })
  expect(readdirSync(dir).sort()).toEqual(['one.backup', 'sluice.yaml'])

  const folder = freshFolder()
  expect(await sluice(['restore', join(dir, 'none'), '--data-dir', folder])).toMatchObject({
    code: 1,
    err: expect.stringMatching(/none can't be read \(ENOENT\)/),
  })
  expect(await sluice(['restore', file, '--data-dir', folder])).toMatchObject({ code: 0 })
  expect(await sluice(['restore', file, '--data-dir', folder])).toMatchObject({
    code: 2,
    err: expect.stringMatching(/is not empty/),
  })
  const copy = await started(folder)
  expect(await result(copy.url, done)).toBe(before)
  for (const { url, admin } of [original, copy]) {
    expect(await result(url, streams)).toMatch(/"state":"done"/)
    await call(admin, '/admin/resume', { key: ADMIN_KEY, body: lane })
    expect(await result(url, waits)).toMatch(/"state":"done"/)
  }
  // The text of each is its own: a cursor of the other is told
  const [here, there] = [await epochOf(original.url, waits), await epochOf(copy.url, waits)]
  expect(here).not.toBe(there)
  expect(await isTold(copy.url, waits, `${here}-2`)).toBe(true)
  expect(await isTold(original.url, waits, `${there}-2`)).toBe(true)
  expect(await isTold(original.url, waits, `${here}-2`)).toBe(false)
  await Promise.all([original.stop(), copy.stop()])
})

it('a folder at rest is backed up without a server, which is refused where one runs', async () => {
  const [folder, copy, file] = [freshFolder(), freshFolder(), join(dir, 'rest.backup')]
  const first = await started(folder)
  const done = await submit(first.url)
  const before = await result(first.url, done)
  const asked = ['backup', file, '--stopped', '--data-dir', folder]
  expect(await sluice(asked)).toMatchObject({ code: 5, err: expect.stringMatching(/in use|used/) })
  expect(existsSync(file)).toBe(false)
  await first.stop()
  expect(await sluice(asked)).toMatchObject({ code: 0 })
  expect(await sluice(['restore', file, '--data-dir', copy])).toMatchObject({ code: 0 })
  const second = await started(copy)
  expect(await result(second.url, done)).toBe(before)
  await second.stop()
  rmSync(file)
})

it('a server that is gone, or another one, is told, and no file is left', async () => {
  const file = join(dir, 'none.backup')
  const away = await sluice(['backup', file, '--admin-url', 'http://127.0.0.1:1'])
  expect([away.code, existsSync(file)]).toEqual([3, false])
  const { admin, stop } = await started(freshFolder())
  const refused = await sluice(['backup', file, '--admin-url', admin], {
    SLUICE_ADMIN_KEY: 'not-the-admin-key-0123456',
  })
  expect(refused.code).toBe(4)
  const nowhere = await sluice(['backup', join(dir, 'no', 'folder'), '--admin-url', admin])
  expect([nowhere.code, nowhere.err]).toEqual([1, expect.stringMatching(/can't be written \(ENOENT\)/)])
  expect(readdirSync(dir).filter((name) => name.startsWith('none'))).toEqual([])
  await stop()
})

/** An admin listener whose backup never ends. */
async function endless(): Promise<{ readonly url: string; readonly asked: () => boolean }> {
  let isAsked = false
  const server = createServer((_, response) => {
    isAsked = true
    response.writeHead(200, { 'content-type': 'application/octet-stream' }).write('sluice 1\n')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  undo.push(
    () => server.closeAllConnections(),
    () => server.close(),
  )
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked: () => isAsked }
}

it('a backup that is interrupted leaves nothing; what a killed one left, the next one removes', async () => {
  const { url, asked } = await endless()
  const folder = join(dir, 'killed')
  mkdirSync(folder)
  const file = join(folder, 'one.backup')
  const begin = () => spawn(process.execPath, [BIN, 'backup', file, '--admin-url', url], { env: backupEnvironment() })
  const left = (): readonly string[] => readdirSync(folder)
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGKILL'] as const) {
    const child = begin()
    await eventually(() => expect([asked(), left().length]).toEqual([true, 1]))
    child.kill(signal)
    await once(child, 'exit')
    if (signal !== 'SIGKILL') expect([signal, left()]).toEqual([signal, []])
  }
  const [partial] = left()
  expect(partial).toMatch(/^one\.backup\.partial_/)
  writeFileSync(join(folder, 'other.backup.partial_1'), 'of another file')
  const { admin, stop } = await started(freshFolder())
  // It may be one that is under way
  expect((await sluice(['backup', file, '--admin-url', admin])).code).toBe(0)
  expect(left()).toContain(partial)
  const longAgo = new Date(Date.now() - 3_600_000)
  for (const name of left()) utimesSync(join(folder, name), longAgo, longAgo)
  expect((await sluice(['backup', file, '--force', '--admin-url', admin])).code).toBe(0)
  expect(left().toSorted()).toEqual(['one.backup', 'other.backup.partial_1'])
  await stop()
})

it('a backup that is missing, none at all, damaged or cut leaves no folder, or the one that was there', async () => {
  const { url, admin, stop } = await started(freshFolder())
  await result(url, await submit(url))
  const file = join(dir, 'whole.backup')
  expect((await sluice(['backup', file, '--admin-url', admin])).code).toBe(0)
  await stop()
  const whole = readFileSync(file)
  const damaged = Buffer.from(whole)
  damaged[damaged.length - 100] ^= 1
  const made = (name: string, bytes: Buffer | string): string => {
    writeFileSync(join(dir, name), bytes)
    return join(dir, name)
  }
  const BAD: ReadonlyArray<readonly [file: string, message: RegExp]> = [
    [join(dir, 'none'), /none can't be read \(ENOENT\)/],
    [dir, /can't be read \(EISDIR\)/],
    [made('empty', ''), /is no backup of Sluice/],
    [made('text', 'hello, this is no backup'), /is no backup of Sluice/],
    [made('damaged', damaged), /is damaged at byte \d+, or was cut short/],
    [made('cut', whole.subarray(0, whole.length - 20)), /was cut short/],
  ]
  const there = freshFolder()
  mkdirSync(there, { recursive: true })
  writeFileSync(join(there, 'mine'), '')
  for (const [bad, message] of BAD) {
    const into = join(dir, 'deep', 'er', 'new')
    const ran = await sluice(['restore', bad, '--data-dir', into])
    expect([ran.code === 0, ran.err]).toEqual([false, expect.stringMatching(message)])
    expect(existsSync(join(dir, 'deep'))).toBe(false)
    await sluice(['restore', bad, '--data-dir', there])
    expect(readdirSync(there).filter((name) => name !== 'owner.lock')).toEqual(['mine'])
  }
})

describe.skipIf(!CAN_LIMIT)('on a disk that is full', () => {
  it('a backup is no file at all, and its message tells why', async () => {
    const { url, admin, stop } = await started(freshFolder())
    for (let n = 0; n < 20; n++) await submit(url, { metadata: { filler: 'x'.repeat(500) } })
    const small = mkdtempSync(join(tmpdir(), 'sluice-small-'))
    undo.push(() => rmSync(small, { recursive: true }))
    const script = `"$@"; code=$?; ls -A ${small}; exit $code`
    const args = [process.execPath, BIN, 'backup', join(small, 'f'), '--admin-url', admin]
    const ran = await limited(small, '8k', ['sh', '-c', script, 'sh', ...args], backupEnvironment())
    expect(ran).toEqual({
      code: 1,
      out: '',
      err: expect.stringMatching(/There is no room for .*f \(ENOSPC\): free some/),
    })
    await stop()
  })

  it('a folder is restored whole, or not at all, wherever the disk is full', async () => {
    const { url, admin, stop } = await started(freshFolder(), { SLUICE_WORKERS_DRAIN_MS: '100' })
    // None of them ends before its backup
    const filler = `${'x'.repeat(20_000)} demo: tokens=9000 delay=100`
    for (let n = 0; n < 20; n++)
      await call(url, '/v1/jobs', {
        body: { request: { model: 'demo', messages: [{ role: 'user', content: `${n} ${filler}` }] }, lane: 'l' },
      })
    const file = join(dir, 'large.backup')
    expect((await sluice(['backup', file, '--admin-url', admin])).code).toBe(0)
    await stop()
    const small = mkdtempSync(join(tmpdir(), 'sluice-small-'))
    undo.push(() => rmSync(small, { recursive: true }))
    const child = join(import.meta.dirname, '../portable/full-disk.ts')
    const ran = await limited(small, '64k', [process.execPath, child, file, small], backupEnvironment())
    expect([ran.code, ran.err]).toEqual([0, ''])
    const tries = ran.out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    const [full, whole] = [tries.filter(({ code }) => code !== null), tries.filter(({ code }) => code === null)]
    expect(full.length).toBeGreaterThan(5)
    for (const one of full) expect(one).toMatchObject({ code: 'storage_full', left: [] })
    expect(whole.length).toBeGreaterThan(0)
    for (const one of whole) expect(one).toMatchObject({ jobs: 20 })
  })
})

describe.skipIf(NO_REDIS)('migrate', () => {
  it('takes a stopped server to Redis and back, and refuses while either side is used', async () => {
    const redis = await RedisServer.start()
    undo.push(() => redis.remove())
    const folder = freshFolder()
    const first = await started(folder)
    const id = await submit(first.url)
    const before = JSON.parse(await result(first.url, id)) as object
    const to = (name: string, dataDir: string, ...more: string[]) =>
      sluice(['migrate', '--to', name, '--data-dir', dataDir, ...more], { SLUICE_REDIS_URL: redis.url })
    expect(await to('redis', folder)).toMatchObject({ code: 5, err: expect.stringMatching(/in use by another Sluice/) })
    await first.stop()
    expect(await sluice(['migrate', '--to', 'redis', '--data-dir', folder])).toMatchObject({ code: 2 })
    expect(await sluice(['migrate'])).toMatchObject({ code: 2, err: expect.stringMatching(/Where to\?/) })
    const dry = await to('redis', folder, '--dry-run')
    expect([dry.code, dry.err]).toEqual([0, expect.stringMatching(/Nothing was moved/)])
    const told = JSON.parse((await to('redis', folder, '--json')).out) as { sections: Array<{ items: number }> }
    expect(told).toMatchObject({
      dry_run: false,
      was_there: false,
      damaged: [],
      to: `Redis at 127.0.0.1:${redis.port}`,
    })
    expect(JSON.parse((await to('redis', folder, '--json')).out)).toMatchObject({ was_there: true })

    const fleet = await started(freshFolder(), { SLUICE_REDIS_URL: redis.url })
    expect(JSON.parse(await result(fleet.url, id))).toEqual(before)
    const next = await submit(fleet.url)
    await result(fleet.url, next)
    const back = freshFolder()
    expect(await to('embedded', back)).toMatchObject({ code: 5, err: expect.stringMatching(/has a process that runs/) })
    expect((await sluice(['backup', join(dir, 'fleet'), '--admin-url', fleet.admin])).err).toMatch(/RDB or AOF/)
    await fleet.stop()
    expect(await to('redis', folder)).toMatchObject({ code: 2, err: expect.stringMatching(/is not empty/) })
    expect(await to('embedded', back)).toMatchObject({ code: 0 })
    const last = await started(back)
    expect(JSON.parse(await result(last.url, id))).toEqual(before)
    expect(await result(last.url, next)).toMatch(/"state":"done"/)
    await last.stop()
  })
})
