/** The rig of the intakes' suite on a real RabbitMQ: one broker for all cases, an exchange for each. */
import { connect } from 'amqplib'
import { systemClock } from '../../src/core/clock.ts'
import type { Intake } from '../../src/core/ports/intake.ts'
import { deadQueueOf } from '../../src/intakes/rabbitmq/names.ts'
import { openRabbitmq } from '../../src/intakes/rabbitmq/rabbitmq.ts'
import type { DeadLetter, IntakeOptions, Rig } from '../conformance/intake.ts'
import { FaultProxy } from '../redis/proxy.ts'
import type { RabbitServer } from './server.ts'

let exchanges = 0

export class RabbitRig implements Rig {
  readonly #server: RabbitServer
  readonly #exchange = `test${++exchanges}`
  /** One a process: a process that dies is one whose connections are cut, and stay so. */
  readonly #proxies = new Map<Intake, FaultProxy>()

  constructor(server: RabbitServer) {
    this.#server = server
  }

  async open({ pools, window }: IntakeOptions): Promise<Intake> {
    const proxy = await FaultProxy.start(this.#server.port)
    const intake = await openRabbitmq({
      url: `amqp://guest:guest@127.0.0.1:${proxy.port}`,
      heartbeatMs: 2_000,
      exchange: this.#exchange,
      pools: pools.map((pool) => ({ pool, routes: [`${pool}.#`] })),
      window,
      confirmTimeoutMs: 3_000,
      maxMessageBytes: 1 << 20,
      clock: systemClock,
      mark: 'own',
      jitter: Math.random,
      onChange: () => {},
    })
    this.#proxies.set(intake, proxy)
    return intake
  }

  async crash(intake: Intake): Promise<void> {
    await this.#proxies.get(intake)!.close()
  }

  async killBroker(): Promise<void> {
    // One queue in twenty that 3.10 declared less than a second before a kill never gets a leader again
    await new Promise((go) => setTimeout(go, 2_000))
    await this.#server.kill()
  }

  startBroker(): Promise<void> {
    return this.#server.restart()
  }

  async cut(): Promise<void> {
    for (const proxy of this.#proxies.values()) proxy.drop()
  }

  async dead(pool: string): Promise<readonly DeadLetter[]> {
    const connection = await connect(this.#server.url)
    try {
      const channel = await connection.createChannel()
      const letters: DeadLetter[] = []
      for (;;) {
        const message = await channel.get(deadQueueOf(this.#exchange, pool))
        if (message === false) break
        const headers = message.properties.headers ?? {}
        const [code, reason] = [String(headers['x-sluice-code']), String(headers['x-sluice-reason'])]
        letters.push({ payload: message.content.toString(), code, reason })
      }
      return letters
    } finally {
      // What was read goes back
      await connection.close()
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#proxies.keys()].map((intake) => intake.close()))
    for (const proxy of this.#proxies.values()) await proxy.close()
  }
}
