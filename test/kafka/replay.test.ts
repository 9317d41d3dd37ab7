/** `sluice replay`, on a real broker and a real server. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Output } from '../../src/cli/command.ts'
import { run } from '../../src/cli/run.ts'
import { systemClock as clock } from '../../src/core/clock.ts'
import type { Intake } from '../../src/core/ports/intake.ts'
import { clientOptions, loadKafka } from '../../src/intakes/kafka/connection.ts'
import { openKafka } from '../../src/intakes/kafka/kafka.ts'
import { startTestApp, type TestApp } from '../front/app.ts'
import { addressOf } from './reading.ts'
import { KafkaServer, NO_KAFKA } from './server.ts'

interface Job {
  readonly id: string
  readonly model: string
  readonly priority: string
  readonly lane: string | null
  readonly metadata: Readonly<Record<string, string>>
}

describe.skipIf(NO_KAFKA)('sluice replay', () => {
  let server: KafkaServer
  let app: TestApp
  let intake: Intake
  let from = ''
  let to = ''
  beforeAll(async () => {
    server = await KafkaServer.start()
    app = await startTestApp()
    intake = await openKafka({
      address: addressOf(server.port),
      prefix: 'sluice',
      pools: ['text'],
      partitions: 3,
      topics: { creates: true, replicas: 1 },
      window: 10,
      sessionMs: 2_000,
      confirmTimeoutMs: 10_000,
      maxMessageBytes: 900_000,
      clock,
      jitter: Math.random,
      onChange: () => {},
    })
    const publish = (id: string, payload: string | object): Promise<void> =>
      intake.publish({
        pool: 'text',
        key: null,
        id,
        payload: Buffer.from(typeof payload === 'string' ? payload : JSON.stringify(payload)),
      })
    const pause = (): Promise<void> => new Promise((go) => setTimeout(go, 20))
    const request = { model: 'demo', messages: [{ role: 'user', content: 'demo: tokens=2' }] }
    await publish('too-early', { request })
    await pause()
    from = new Date().toISOString()
    await pause()
    for (let n = 0; n < 5; n++)
      await publish(`m${n}`, { request, tenant: 'acme', lane: 'chat', metadata: { page: `${n}` } })
    await publish('turn', { request, tenant: 'acme', conversation: 'c' })
    await publish('garbage', 'no JSON')
    const draft = { tenant: 'beta', kind: 'chat', options: { pool: 'text' } }
    await publish(
      'own',
      `sluice1 ${'x'.repeat(43)}\n${JSON.stringify({ type: 'job', id: 'job_own', draft })}\n${JSON.stringify(request)}`,
    )
    await publish('cancel', `sluice1 ${'x'.repeat(43)}\n${JSON.stringify({ type: 'cancel', id: 'job_own' })}\n`)
    // One that its publisher dates back lies among them
    const kafka = await loadKafka()
    const producer = new kafka.Producer<Buffer, Buffer, Buffer, Buffer>(clientOptions(addressOf(server.port)))
    const value = Buffer.from(JSON.stringify({ id: 'old', request }))
    const messages = [0, 1, 2].map((partition) => ({ topic: 'sluice.text', partition, value, timestamp: 1_000n }))
    await producer.send({ messages })
    await producer.close()
    for (let n = 5; n < 8; n++) await publish(`m${n}`, { request, tenant: 'acme', metadata: { page: `${n}` } })
    await pause()
    to = new Date().toISOString()
    await pause()
    await publish('too-late', { request })
  }, 120_000)
  afterAll(async () => {
    await intake?.close()
    await app?.stop()
    await server?.remove()
  })

  async function replay(...more: readonly string[]): Promise<{ readonly code: number; readonly text: string }> {
    let text = ''
    const print = (line: string): void => {
      text += `${line}\n`
    }
    const out: Output = { print, write: print, note: print }
    const flags = ['--kafka-brokers', server.broker, '--url', `http://127.0.0.1:${app.port}`, '--key', app.key]
    return { code: await run(['replay', '--from', from, '--to', to, ...flags, ...more], out), text }
  }
  const jobs = async (): Promise<readonly Job[]> => {
    const headers = { authorization: `Bearer ${app.key}` }
    const listed = await fetch(`http://127.0.0.1:${app.port}/v1/jobs?limit=100`, { headers })
    return ((await listed.json()) as { data: Job[] }).data
  }

  it('says what there is, and submits nothing, in a dry run', async () => {
    const { code, text } = await replay('--dry-run', '--json')
    expect(code).toBe(0)
    expect(JSON.parse(text)).toEqual({
      jobs: 9,
      conversation_turns: 1,
      replays: 0,
      others: 2,
      models: { demo: 9 },
      tenants: { acme: 8, beta: 1 },
    })
    expect((await replay('--dry-run')).text).toContain('9 jobs would be submitted')
    expect(await jobs()).toEqual([])
  })

  it('of several tenants one is to be chosen', async () => {
    const { code, text } = await replay()
    expect(code).toBe(2)
    expect(text).toContain('Of several tenants (')
    expect(await jobs()).toEqual([])
  })

  it('submits them as new jobs, to another model, marked; again it goes on and doubles nothing', async () => {
    expect(await replay('--tenant', 'acme', '--model', 'talks', '--name', 'try')).toEqual({
      code: 0,
      text: '8 submitted, 0 refused, as "try".\n',
    })
    const made = await jobs()
    expect(made.map(({ metadata }) => metadata['replay_of']).sort()).toEqual(
      Array.from({ length: 8 }, (_, n) => `m${n}`),
    )
    for (const { metadata, model, priority, lane } of made) {
      expect({ model, priority, lane }).toEqual({ model: 'talks', priority: 'low', lane: null })
      expect(metadata).toEqual({ replay: 'try', replay_of: `m${metadata['page']}`, page: metadata['page'] })
    }
    await replay('--tenant', 'acme', '--model', 'talks', '--name', 'try')
    expect((await jobs()).length).toBe(8)
    await replay('--tenant', 'beta')
    expect((await jobs()).map(({ metadata, model }) => [metadata['replay_of'], model])).toContainEqual([
      'job_own',
      'demo',
    ])
  })

  it('what is missing or wrong is told', async () => {
    expect(await replay('--to', '2020-01-01')).toMatchObject({ code: 2 })
    expect((await replay('--pool', 'none')).text).toContain("The topic sluice.none can't be read")
    expect((await replay('--from', 'yesterday')).text).toContain('--from needs a time with its zone')
    expect((await replay('--from', '2026-02-31T00:00:00Z')).text).toContain('--from needs a time with its zone')
    expect((await replay('--model', 'no such', '--tenant', 'acme')).text).toContain('refused')
  })
})
