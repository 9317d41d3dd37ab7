/** What a RabbitMQ is told of, and what goes on, where something at it is full or was taken away. */
import { connect } from 'amqplib'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import type { SluiceError } from '../../src/core/errors.ts'
import type { Intake, Take } from '../../src/core/ports/intake.ts'
import { openRabbitmq } from '../../src/intakes/rabbitmq/rabbitmq.ts'
import { NO_RABBITMQ, RabbitServer } from './server.ts'

const LONG = { timeout: 60_000, interval: 100 }
const DEAD: Take = async () => ({ kind: 'dead', code: 'invalid_request', reason: 'no job' })

describe.skipIf(NO_RABBITMQ)('RabbitMQ in trouble', () => {
  let server: RabbitServer
  let exchange = ''
  let exchanges = 0
  let intake: Intake
  const told: Array<string | null> = []
  const toldOfPool: Array<string | null> = []
  beforeAll(async () => {
    server = await RabbitServer.start()
  }, 90_000)
  afterAll(() => server?.remove())
  beforeEach(async () => {
    exchange = `trouble${++exchanges}`
    told.length = 0
    toldOfPool.length = 0
    const message = (error: SluiceError | null): string | null => error?.message ?? null
    intake = await openRabbitmq({
      url: server.url,
      heartbeatMs: 10_000,
      exchange,
      pools: ['text', 'other'].map((pool) => ({ pool, routes: [`${pool}.#`] })),
      window: 20,
      confirmTimeoutMs: 3_000,
      maxMessageBytes: 1 << 20,
      clock: systemClock,
      mark: 'own',
      jitter: Math.random,
      onChange: (error) => void told.push(message(error)),
      onPool: (pool, error) => void toldOfPool.push(error === null ? null : `${pool}: ${error.message}`),
    })
  })
  afterEach(() => intake.close())

  const publish = (n: number, pool = 'text'): Promise<void> =>
    intake.publish({ pool, key: null, id: `${pool}${n}`, payload: Buffer.from(`${n}`) })

  async function onChannel<T>(use: (channel: Awaited<ReturnType<typeof open>>['channel']) => Promise<T>): Promise<T> {
    const { connection, channel } = await open()
    try {
      return await use(channel)
    } finally {
      await connection.close()
    }
  }
  async function open() {
    const connection = await connect(server.url)
    return { connection, channel: await connection.createConfirmChannel() }
  }

  it('a full dead queue is told, and what it does not take is held; submits go on; then all are stored', async () => {
    await server.control('set_policy', 'full', `${exchange}.text.dead`, '{"max-length":1,"overflow":"reject-publish"}')
    for (let n = 0; n < 80; n++) await publish(n)
    intake.consume(DEAD)
    // RabbitMQ counts a little behind: it may take some more than its limit
    await expect.poll(() => toldOfPool, LONG).toHaveLength(1)
    expect(toldOfPool[0]).toMatch(new RegExp(`^text: Dead letters can't be stored in "${exchange}.text.dead"`))
    expect(intake.held().get('text')).toBe(20)
    expect(intake.health()).toMatchObject({ ok: false, error: { message: expect.stringContaining('Dead letters') } })
    for (let n = 0; n < 20; n++) await publish(n, 'other')
    expect(told).toEqual([null])
    // The policy is taken off: a channel that has seen the queue full goes on refusing in some versions
    await server.control('clear_policy', 'full')
    await expect.poll(() => intake.held().get('text'), LONG).toBe(0)
    await expect.poll(() => toldOfPool.at(-1), LONG).toBe(null)
    await expect.poll(() => intake.health(), LONG).toEqual({ ok: true })
    const stored = await onChannel(async (channel) => {
      let n = 0
      while ((await channel.get(`${exchange}.text.dead`, { noAck: true })) !== false) n++
      return n
    })
    expect(stored).toBeGreaterThanOrEqual(80)
  }, 150_000)

  it('one that takes nothing, as its memory is full, is told, and its end', async () => {
    await publish(0)
    await server.control('set_vm_memory_high_watermark', '0.000001')
    await expect(publish(1)).rejects.toMatchObject({ code: 'intake_unavailable' })
    await expect.poll(() => told, LONG).toEqual([null, expect.stringContaining('takes nothing')])
    expect(intake.health()).toMatchObject({ ok: false, error: { message: expect.stringContaining('memory') } })
    await server.control('set_vm_memory_high_watermark', '0.4')
    await expect.poll(() => told, LONG).toHaveLength(3)
    expect(told[2]).toBe(null)
    await publish(2)
  }, 90_000)

  it('a queue that is gone is named, and made again; so is an exchange, a little later', async () => {
    await publish(0)
    await onChannel((channel) => channel.deleteQueue(`${exchange}.text`))
    await expect(publish(1)).rejects.toMatchObject({ message: expect.stringContaining(`"${exchange}.text"`) })
    await expect.poll(() => told, LONG).toHaveLength(3)
    expect(told[1]).toContain(`"${exchange}.text"`)
    await publish(2)
    await onChannel((channel) => channel.deleteExchange(exchange))
    await expect
      .poll(
        () =>
          onChannel((channel) => channel.on('error', () => {}) && channel.checkExchange(exchange)).then(
            () => true,
            () => false,
          ),
        {
          timeout: 60_000,
          interval: 2_000,
        },
      )
      .toBe(true)
  }, 90_000)
})
