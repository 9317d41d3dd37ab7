/** Routes that the configuration no longer has, on a real RabbitMQ. */
import { connect } from 'amqplib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import type { Intake } from '../../src/core/ports/intake.ts'
import { openRabbitmq } from '../../src/intakes/rabbitmq/rabbitmq.ts'
import { FaultProxy } from '../redis/proxy.ts'
import { NO_RABBITMQ, RabbitServer } from './server.ts'

const MESSAGES = 200

describe.skipIf(NO_RABBITMQ)('routes of RabbitMQ', () => {
  let server: RabbitServer
  let exchange = ''
  let exchanges = 0
  const opened: Intake[] = []
  beforeAll(async () => {
    server = await RabbitServer.start()
  }, 90_000)
  afterAll(async () => {
    await Promise.all(opened.map((intake) => intake.close()))
    await server?.remove()
  })

  const next = (): void => {
    exchange = `routes${++exchanges}`
  }

  async function open(pools: Record<string, string[]>, { url = server.url, mark = 'own' } = {}) {
    const unbound: string[] = []
    const shared: string[] = []
    const intake = await openRabbitmq({
      url,
      heartbeatMs: 2_000,
      exchange,
      pools: Object.entries(pools).map(([pool, routes]) => ({ pool, routes })),
      window: 100,
      confirmTimeoutMs: 3_000,
      maxMessageBytes: 1 << 20,
      clock: systemClock,
      jitter: Math.random,
      onChange: () => {},
      mark,
      onShared: (queues) => void shared.push(...queues),
      onUnbound: (routes) => void unbound.push(...routes),
    })
    opened.push(intake)
    return { intake, unbound, shared }
  }

  /** Which of them no queue took. */
  async function publish(route: string, messages: number): Promise<number> {
    const connection = await connect(server.url)
    const channel = await connection.createConfirmChannel()
    let returned = 0
    channel.on('return', () => returned++)
    for (let i = 0; i < messages; i++) channel.publish(exchange, route, Buffer.from(`${i}`), { mandatory: true })
    await channel.waitForConfirms()
    await connection.close()
    return returned
  }

  async function counts(...queues: string[]): Promise<number[]> {
    const connection = await connect(server.url)
    const channel = await connection.createChannel()
    const found: number[] = []
    for (const queue of queues) found.push((await channel.checkQueue(`${exchange}.${queue}`)).messageCount)
    await connection.close()
    return found
  }

  it('one that is moved to another pool is only that one’s, whatever was bound before', async () => {
    next()
    const first = await open({ image: ['image.*'], text: ['text.#'] })
    await first.intake.close()
    const second = await open({ image: ['img.*'], text: ['text.#', 'image.*'] })
    expect(second.unbound).toEqual([`image.* of ${exchange}.image`])
    expect(await publish('image.cat', MESSAGES)).toBe(0)
    await expect.poll(() => counts('image', 'text')).toEqual([0, MESSAGES])
    await second.intake.close()
    // Nothing has changed: nothing is done
    expect((await open({ image: ['img.*'], text: ['text.#', 'image.*'] })).unbound).toEqual([])
    await expect.poll(() => counts('bindings')).toEqual([1])
  })

  it('a message of a pool that is gone is returned, and its queue need not be there', async () => {
    next()
    await (await open({ image: ['image.*'], text: ['text.#'], old: ['old'] })).intake.close()
    const connection = await connect(server.url)
    await (await connection.createChannel()).deleteQueue(`${exchange}.old`)
    await connection.close()
    const { unbound, intake } = await open({ text: ['text.#'] })
    expect(unbound.sort()).toEqual([`image.* of ${exchange}.image`, `old of ${exchange}.old`])
    expect(await publish('image.cat', 2)).toBe(2)
    expect(await publish('text.a', 2)).toBe(0)
    await intake.close()
  })

  it('a route that was moved is found where no list was kept', async () => {
    next()
    await (await open({ image: ['image.*'], text: ['text.#'] })).intake.close()
    await expect.poll(() => counts('bindings')).toEqual([1])
    const connection = await connect(server.url)
    await (await connection.createChannel()).deleteQueue(`${exchange}.bindings`)
    await connection.close()
    await open({ image: ['img.*'], text: ['text.#', 'image.*'] })
    await publish('image.cat', 3)
    await expect.poll(() => counts('image', 'text')).toEqual([0, 3])
  })

  it('lists of processes that started at once are put together; what is no list is nothing', async () => {
    next()
    await (await open({ image: ['image.*'] })).intake.close()
    const connection = await connect(server.url)
    const channel = await connection.createConfirmChannel()
    for (const text of [
      'no list',
      'null',
      '{"of":"own","bindings":[null,{"queue":1}]}',
      JSON.stringify({ of: 'own', bindings: [{ queue: `${exchange}.none`, route: 'x' }] }),
    ])
      channel.publish('', `${exchange}.bindings`, Buffer.from(text), { persistent: true })
    await channel.waitForConfirms()
    await connection.close()
    const { unbound } = await open({ image: ['img.*'] })
    expect(unbound.sort()).toEqual([`image.* of ${exchange}.image`, `x of ${exchange}.none`])
    await expect.poll(() => counts('bindings')).toEqual([1])
  })

  it('what another Sluice has bound stays; one that shares a queue is told', async () => {
    next()
    const other = await open({ text: ['text.#'], more: ['more'] }, { mark: 'other' })
    const beside = await open({ image: ['image.*'] })
    expect([beside.unbound, beside.shared]).toEqual([[], []])
    expect(await publish('more', 1)).toBe(0)
    const both = await open({ image: ['image.*'], text: ['text.#'] })
    expect([both.unbound, both.shared]).toEqual([[], [`${exchange}.text`]])
    expect((await open({ image: ['image.*'], text: ['text.#'] })).shared).toEqual([])
    expect((await open({ text: ['text.#'] }, { mark: 'other' })).shared).toEqual([`${exchange}.text`])
    expect(await publish('image.a', 1)).toBe(0)
    await Promise.all([other, beside].map(({ intake }) => intake.close()))
  })

  it('a process of before that connects again takes nothing off', async () => {
    next()
    const proxy = await FaultProxy.start(server.port)
    const before = await open({ text: ['text.#'] }, { url: `amqp://guest:guest@127.0.0.1:${proxy.port}` })
    const after = await open({ text: ['text.#', 'more'] })
    proxy.drop()
    await expect.poll(() => before.intake.reconnects(), { timeout: 20_000 }).toBe(1)
    expect(await publish('more', 1)).toBe(0)
    expect(before.unbound).toEqual([])
    await Promise.all([before, after].map(({ intake }) => intake.close()))
    await proxy.close()
  })
})
