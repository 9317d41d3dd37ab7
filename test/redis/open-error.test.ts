/** What keeps a process from its Redis: the message names the setting to look at, and never the password. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkRedis } from '../../src/cli/checks.ts'
import { systemClock } from '../../src/core/clock.ts'
import { SluiceError } from '../../src/core/errors.ts'
import { systemIds } from '../../src/core/ids.ts'
import { openGround } from '../../src/engines/redis/bus/ground.ts'
import { examineRedis } from '../../src/engines/redis/client/check.ts'
import type { RedisAddress } from '../../src/engines/redis/client/connection.ts'
import { freePort } from '../free-port.ts'
import { NO_REDIS, RedisServer } from './server.ts'

const PASSWORD = 'pw-71c3e0'

async function refusal(address: RedisAddress): Promise<SluiceError> {
  try {
    const ground = await openGround(address, systemClock, systemIds(), () => {})
    ground.close()
  } catch (error) {
    expect(error).toBeInstanceOf(SluiceError)
    const { message, stack } = error as SluiceError
    expect(message + stack + inspect(error, { depth: 0 })).not.toContain(PASSWORD)
    return error as SluiceError
  }
  throw new Error('it was let in')
}

describe.skipIf(NO_REDIS)('Redis: what keeps a process from it', () => {
  let open: RedisServer
  let locked: RedisServer
  const dir = mkdtempSync(join(tmpdir(), 'sluice-tls-'))
  beforeAll(async () => {
    ;[open, locked] = await Promise.all([RedisServer.start(), RedisServer.start({ config: { requirepass: PASSWORD } })])
  })
  afterAll(async () => {
    await Promise.all([open?.remove(), locked?.remove()])
    rmSync(dir, { recursive: true, force: true })
  })

  it('nobody is there', async () => {
    const port = await freePort()
    expect(await refusal({ url: `redis://:${PASSWORD}@127.0.0.1:${port}` })).toMatchObject({
      code: 'storage_unavailable',
      message:
        `Redis at 127.0.0.1:${port} refuses connections. Is it running? ` +
        'Its address: engine.redis.url (SLUICE_REDIS_URL).',
    })
    expect((await refusal({ url: 'redis://no-such-host.invalid' })).message).toContain('this host is not found')
  })

  it('a password is missing, or wrong', async () => {
    const at = `127.0.0.1:${locked.port}`
    expect(await refusal({ url: locked.url })).toMatchObject({
      code: 'config_invalid',
      message: expect.stringMatching(`^Redis at ${at} wants a password: put it into engine.redis.url`),
    })
    expect(await refusal({ url: `redis://:${PASSWORD}x@${at}` })).toMatchObject({
      code: 'config_invalid',
      message: expect.stringContaining('does not accept the user and password in engine.redis.url'),
    })
  })

  it('a database, a cluster or TLS is not what it seems', async () => {
    expect(await refusal({ url: `${open.url}/99` })).toMatchObject({
      code: 'config_invalid',
      message: expect.stringContaining('has no database with the number'),
    })
    await expect(examineRedis({ url: open.url, nodes: [`127.0.0.1:${open.port}`] }, 'power')).rejects.toMatchObject({
      code: 'config_invalid',
      message: expect.stringContaining('This is no node of a cluster: leave out engine.redis.nodes'),
    })
    const { message } = await refusal({ url: open.url.replace('redis:', 'rediss:') })
    expect(message).toContain('If it does not speak TLS, write redis:// instead of rediss://')
  })

  it('a certificate is not trusted, or TLS is wanted', async ({ skip }) => {
    const [key, cert, port] = [join(dir, 'key.pem'), join(dir, 'cert.pem'), await freePort()]
    let tls: RedisServer
    try {
      const subject = ['-subj', '/CN=localhost', '-days', '2', '-keyout', key, '-out', cert]
      execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', ...subject], { stdio: 'ignore' })
      const files = { 'tls-cert-file': cert, 'tls-key-file': key, 'tls-ca-cert-file': cert }
      tls = await RedisServer.start({ config: { ...files, 'tls-port': String(port), 'tls-auth-clients': 'no' } })
    } catch {
      return skip('no openssl, or a Redis without TLS')
    }
    expect(await refusal({ url: `rediss://127.0.0.1:${port}` })).toMatchObject({
      code: 'config_invalid',
      message: expect.stringContaining('its certificate is not trusted (DEPTH_ZERO_SELF_SIGNED_CERT)'),
    })
    expect((await refusal({ url: `redis://127.0.0.1:${port}` })).message).toContain('Does it want TLS?')
    await tls.remove()
  })

  it('sluice doctor has a line for each server, and for each thing that it can not keep', async () => {
    const settings = { url: open.url, nodes: [], prefix: '', allowDataLoss: false }
    const name = 'engine.redis'
    const server = expect.stringMatching(
      /:\d+: \S+ \d.*maxmemory-policy noeviction, appendonly yes, appendfsync always$/,
    )
    expect(await checkRedis(settings, 'power')).toEqual([
      { name, verdict: 'ok', detail: server },
      // It would start
      { name, verdict: 'note', detail: expect.stringContaining('maxmemory is 0, no limit') },
    ])
    const lossy = await RedisServer.start({
      appendfsync: 'everysec',
      maxmemoryPolicy: 'allkeys-lru',
      config: { maxmemory: '1gb' },
    })
    const at = { ...settings, url: lossy.url }
    const losses = (verdict: string) => [
      expect.objectContaining({ verdict: 'ok' }),
      { name, verdict, detail: expect.stringContaining('Set "maxmemory-policy noeviction"') },
      { name, verdict, detail: expect.stringContaining('Set "appendfsync always", or "durability: process"') },
    ]
    expect(await checkRedis(at, 'power')).toEqual(losses('failed'))
    expect(await checkRedis({ ...at, allowDataLoss: true }, 'power')).toEqual(losses('note'))
    await lossy.remove()
    expect(await checkRedis(at, 'power')).toEqual([
      { name, verdict: 'failed', detail: expect.stringContaining('refuses connections') },
    ])
  })
})
