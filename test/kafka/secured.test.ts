/** Brokers that ask for TLS and a user. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { systemClock as clock } from '../../src/core/clock.ts'
import type { SluiceError } from '../../src/core/errors.ts'
import type { Intake } from '../../src/core/ports/intake.ts'
import { openKafka } from '../../src/intakes/kafka/kafka.ts'
import { KafkaServer, NO_KAFKA } from './server.ts'

const NO_OPENSSL = spawnSync('openssl', ['version']).status !== 0
const USER = { username: 'sluice', password: 'a-canary-of-a-password' }

describe.skipIf(NO_KAFKA || NO_OPENSSL)('Kafka with TLS and SASL', () => {
  let dir = ''
  let cert = ''
  let server: KafkaServer
  let intake: Intake | null = null
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'sluice-kafka-tls-'))
    cert = join(dir, 'cert.pem')
    const [key, keystore] = [join(dir, 'key.pem'), join(dir, 'both.pem')]
    const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1', '-days', '2']
    const made = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', cert, ...subject]
    execFileSync('openssl', made, { stdio: 'ignore' })
    writeFileSync(keystore, readFileSync(key, 'utf8') + readFileSync(cert, 'utf8'))
    server = await KafkaServer.start({ secured: { ...USER, keystore } })
  }, 120_000)
  afterEach(async () => {
    await intake?.close()
    intake = null
  })
  afterAll(async () => {
    await server?.remove()
    rmSync(dir, { recursive: true })
  })

  async function open(password: string, ca: string | null): Promise<readonly (SluiceError | null)[]> {
    const changes: (SluiceError | null)[] = []
    intake = await openKafka({
      address: {
        brokers: [`127.0.0.1:${server.securedPort}`],
        tls: { ca, cert: null, key: null },
        sasl: { mechanism: 'SCRAM-SHA-512', username: USER.username, password },
      },
      prefix: 'secured',
      pools: ['text'],
      partitions: 1,
      topics: { creates: true, replicas: 1 },
      window: 10,
      sessionMs: 2_000,
      confirmTimeoutMs: 1_000,
      maxMessageBytes: 900_000,
      clock,
      jitter: Math.random,
      onChange: (error) => changes.push(error),
    })
    return changes
  }
  const message = { pool: 'text', key: null, id: 'm', payload: Buffer.from('x') }

  it('lets its user publish and read', async () => {
    await open(USER.password, readFileSync(cert, 'utf8'))
    await intake!.publish(message)
    const got = await new Promise((seen) =>
      intake!.consume(async ({ payload }) => {
        seen(Buffer.from(payload).toString())
        return { kind: 'owned' }
      }),
    )
    expect(got).toBe('x')
    expect(intake!.health()).toEqual({ ok: true })
  })

  it.each([
    ['a wrong password', 'a-wrong-canary', true, /AUTHENTICATION|authentication/i],
    ['a certificate that nobody vouches for', USER.password, false, /SELF_SIGNED|certificate/i],
  ])('%s is told, without the password', async (_name, password, isTrusted, why) => {
    const changes = await open(password, isTrusted ? readFileSync(cert, 'utf8') : null)
    await expect(intake!.publish(message)).rejects.toMatchObject({ code: 'intake_unavailable' })
    const health = intake!.health()
    expect(health.ok).toBe(false)
    const told =
      JSON.stringify([health, changes.map((error) => error?.message)]) + (health.ok ? '' : health.error.message)
    expect(told).toMatch(why)
    expect(told).not.toContain('canary')
  })
})
