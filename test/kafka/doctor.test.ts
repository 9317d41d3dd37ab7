/** What `sluice doctor` says of a Kafka: of one that is there, that asks for TLS and a user, and that is away. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Check, checkKafka } from '../../src/cli/checks.ts'
import { systemClock as clock } from '../../src/core/clock.ts'
import { type Kafka, loadKafka } from '../../src/intakes/kafka/connection.ts'
import { ensureTopics } from '../../src/intakes/kafka/topics.ts'
import { addressOf } from './reading.ts'
import { KafkaServer, NO_KAFKA } from './server.ts'

const USER = { username: 'sluice', password: 'a-canary-of-a-password' }
const SETTINGS = {
  prefix: 'sluice',
  createTopics: true,
  partitions: 12,
  replicas: 1,
  tls: false,
  caFile: null,
  certFile: null,
  keyFile: null,
  saslMechanism: 'SCRAM-SHA-512',
  username: null,
  password: null,
  maxMessageBytes: 900_000,
  events: false,
}
const secret = (text: string) => ({ reveal: () => text })
const user = (password: string) => ({ username: USER.username, password: secret(password) })

/** As the configuration has them. */
function check(broker: string, more: object = {}, pools: readonly string[] = ['text']): Promise<readonly Check[]> {
  return checkKafka({
    intakes: { kafka: { ...SETTINGS, brokers: broker === '' ? [] : [broker], ...more } },
    pools: [...pools.map((name) => ({ name, intake: 'kafka' })), { name: 'direct', intake: 'direct' }],
  } as any)
}

async function failure(broker: string, more: object = {}): Promise<string> {
  const beganMs = performance.now()
  const checks = await check(broker, more)
  expect(performance.now() - beganMs).toBeLessThan(11_000)
  expect(checks).toEqual([{ name: 'intakes.kafka', verdict: 'failed', detail: expect.any(String) }])
  expect(checks[0].detail).toContain(`Kafka at ${broker}`)
  expect(checks[0].detail).not.toContain('canary')
  return checks[0].detail
}

describe('doctor: a Kafka that is away', () => {
  let silent: Server
  const sockets = new Set<Socket>()
  beforeAll(async () => {
    silent = createServer((socket) => sockets.add(socket.on('error', () => {})))
    await new Promise<void>((up) => silent.listen(0, '127.0.0.1', up))
  })
  afterAll(() => {
    for (const socket of sockets) socket.destroy()
    silent.close()
  })

  it('is not asked for where none is used', async () => {
    expect(await check('')).toEqual([])
  })

  it('refuses connections, or has no such name', async () => {
    expect(await failure('127.0.0.1:1')).toMatch(/can't be reached.*intakes\.kafka\.brokers/)
    expect(await failure('nowhere.invalid:9092')).toMatch(/not found.*intakes\.kafka\.brokers/)
  })

  it.each([false, true])('accepts, and never answers (TLS: %s)', { timeout: 30_000 }, async (tls) => {
    const { port } = silent.address() as AddressInfo
    expect(await failure(`127.0.0.1:${port}`, { tls })).toContain('does not answer')
  })

  it('has a file of certificates that is not there', async () => {
    const [only] = await check('127.0.0.1:1', { tls: true, caFile: '/nowhere.pem' })
    expect(only).toMatchObject({ verdict: 'failed', detail: expect.stringContaining('ca_file') })
  })
})

const NO_OPENSSL = spawnSync('openssl', ['version']).status !== 0

describe.skipIf(NO_KAFKA || NO_OPENSSL)('doctor: a Kafka that is there', { timeout: 60_000 }, () => {
  let dir = ''
  let cert = ''
  let server: KafkaServer
  let kafka: Kafka
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'sluice-kafka-doctor-'))
    cert = join(dir, 'cert.pem')
    const [key, keystore] = [join(dir, 'key.pem'), join(dir, 'both.pem')]
    const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1', '-days', '2']
    const made = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', cert, ...subject]
    execFileSync('openssl', made, { stdio: 'ignore' })
    writeFileSync(keystore, readFileSync(key, 'utf8') + readFileSync(cert, 'utf8'))
    kafka = await loadKafka()
    server = await KafkaServer.start({
      links: 1,
      secured: { ...USER, keystore },
      config: {
        // Who comes with a user may do nothing
        'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
        'super.users': 'User:ANONYMOUS',
      },
    })
  }, 120_000)
  afterAll(async () => {
    await server?.remove()
    rmSync(dir, { recursive: true })
  })

  const secured = (): string => `127.0.0.1:${server.securedPort}`
  const details = async (...args: Parameters<typeof check>) =>
    (await check(...args)).map(({ verdict, detail }) => `${verdict} ${detail}`)
  async function names(): Promise<readonly string[]> {
    const admin = new kafka.Admin({ clientId: 'test', bootstrapBrokers: [server.broker] })
    try {
      const groups = await admin.listGroups()
      return [...(await admin.listTopics()), ...groups.keys()].toSorted()
    } finally {
      await admin.close()
    }
  }
  const make = (name: string, partitions: number) =>
    ensureTopics(kafka, addressOf(server.port), [{ name, partitions }], { creates: true, replicas: 1 }, clock)

  it('tells which topics are missing, and makes none of them', async () => {
    const before = await names()
    expect(await details(server.broker, { prefix: 'none', events: true })).toEqual([
      `ok Kafka at ${server.broker}, 1 broker`,
      'note topic none.text: it is missing; the start of Sluice makes it, with 12 partitions and 1 replica',
      'note topic none-dead.text: it is missing; the start of Sluice makes it, with 1 partition and 1 replica',
      'note topic none-events: it is missing; the start of Sluice makes it, with 12 partitions and 1 replica',
    ])
    expect(await details(server.broker, { prefix: 'none', createTopics: false })).toContainEqual(
      expect.stringMatching(/^failed topic none\.text: it is missing: make it/),
    )
    expect(await details(server.broker, { prefix: 'none', replicas: 3 })).toContainEqual(
      expect.stringMatching(/^failed topic none\.text: .*too few brokers/),
    )
    expect(await names()).toEqual(before)
  })

  it('tells of those that are there', async () => {
    await make('there.text', 3)
    await make('there-dead.text', 1)
    const admin = new kafka.Admin({ clientId: 'test', bootstrapBrokers: [server.broker] })
    const set = (name: string, value: string) => ({ name, value, configOperation: 0 }) as const
    const configs = [set('min.insync.replicas', '2'), set('retention.ms', '3600000'), set('cleanup.policy', 'compact')]
    await admin.incrementalAlterConfigs({
      resources: [{ resourceType: kafka.ConfigResourceTypes.TOPIC, resourceName: 'there-dead.text', configs }],
    })
    await admin.close()
    const [, text, dead] = await details(server.broker, { prefix: 'there' })
    expect(text).toMatch(
      /^note topic there\.text: 3 partitions, 1 replica \(min.insync.replicas 1\), kept for 7 days; one/,
    )
    expect(dead).toMatch(/^failed .* kept for 1 h; .*lower it to 1; .*compact/)
  })

  it('tells what a user may not do', async () => {
    await make('denied.text', 1)
    const more = { prefix: 'denied', tls: true, caFile: cert, ...user(USER.password) }
    expect(await details(secured(), more)).toEqual([
      expect.stringContaining(`ok Kafka at ${secured()}`),
      expect.stringMatching(/^failed topic denied\.text: it is missing, or hidden from this user/),
      expect.stringMatching(/^failed topic denied-dead\.text: it is missing, or hidden from this user/),
    ])
  })

  it.each<[string, () => object, RegExp]>([
    ['a wrong password', () => ({ tls: true, caFile: cert, ...user('a-wrong-canary') }), /does not accept the user/],
    [
      'another mechanism',
      () => ({ tls: true, caFile: cert, ...user(USER.password), saslMechanism: 'PLAIN' }),
      /sasl_mechanism/,
    ],
    ['no user', () => ({ tls: true, caFile: cert }), /ask for a user/],
    ['a certificate that nobody vouches for', () => ({ tls: true, ...user(USER.password) }), /ca_file/],
    ['no TLS', () => user(USER.password), /intakes\.kafka\.tls/],
    ['neither', () => ({}), /intakes\.kafka\.tls/],
  ])('where it asks for TLS and a user: %s', async (_name, more, words) => {
    expect(await failure(secured(), more())).toMatch(words)
  })

  it('where it asks for neither', async () => {
    expect(await failure(server.broker, { tls: true, caFile: cert })).toMatch(/intakes\.kafka\.tls says \(true\)/)
    expect(await failure(server.broker, user(USER.password))).toContain('asks for no user')
  })

  it('a broker that can be asked, and not be reached at the address that it tells', async () => {
    const [link] = server.links
    await link.close()
    expect(await details(`127.0.0.1:${server.linkPorts[0]}`)).toEqual([
      expect.stringMatching(/^ok Kafka at/),
      expect.stringMatching(new RegExp(`^failed 127\\.0\\.0\\.1:${link.port}, where .* advertised.listeners$`)),
    ])
  })
})
