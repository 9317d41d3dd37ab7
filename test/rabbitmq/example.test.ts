/** PROTOCOL.md's example in Node, on a real RabbitMQ: a message that no pool takes is no success. */
import { spawnSync } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'amqplib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { NO_RABBITMQ, RabbitServer } from './server.ts'

describe.skipIf(NO_RABBITMQ)("PROTOCOL.md's example in Node", () => {
  const file = join(import.meta.dirname, `example-${process.pid}.mjs`)
  let server: RabbitServer
  beforeAll(async () => {
    server = await RabbitServer.start()
    const connection = await connect(server.url)
    const channel = await connection.createChannel()
    await channel.assertExchange('sluice', 'topic', { durable: true })
    await channel.assertQueue('sluice.text', { durable: true })
    await channel.bindQueue('sluice.text', 'sluice', 'text.#')
    await connection.close()
  }, 90_000)
  afterAll(async () => {
    rmSync(file, { force: true })
    await server?.remove()
  })

  it.each([
    ['text.report', 0, ''],
    ['nobody.report', 1, 'No pool has this routing key'],
  ])('%s', (key, status, said) => {
    const text = readFileSync(join(import.meta.dirname, '../../PROTOCOL.md'), 'utf8')
    const example = /```js\n(\/\/ npm install amqplib\n[^`]+)```/.exec(text)![1]
    expect(example).toContain("'text.report'")
    writeFileSync(file, example.replace('text.report', key))
    const ran = spawnSync(process.execPath, [file], {
      env: { ...process.env, RABBITMQ_URL: server.url },
      encoding: 'utf8',
      timeout: 60_000,
    })
    expect([ran.status, ran.stderr]).toEqual([status, expect.stringContaining(said)])
  })
})
