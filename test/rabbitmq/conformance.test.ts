import { afterAll, beforeAll, describe } from 'vitest'
import { conformIntake } from '../conformance/intake.ts'
import { RabbitRig } from './rig.ts'
import { NO_RABBITMQ, RabbitServer } from './server.ts'

describe.skipIf(NO_RABBITMQ)('RabbitMQ as an intake', () => {
  let server: RabbitServer
  beforeAll(async () => {
    server = await RabbitServer.start()
  }, 90_000)
  afterAll(() => server?.remove())
  conformIntake(async () => new RabbitRig(server))
})
