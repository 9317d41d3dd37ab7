import { afterAll, beforeAll, describe } from 'vitest'
import { conformIntake } from '../conformance/intake.ts'
import { KafkaRig, LINKS } from './rig.ts'
import { KafkaServer, NO_KAFKA } from './server.ts'

describe.skipIf(NO_KAFKA)('Kafka as an intake', () => {
  let server: KafkaServer
  beforeAll(async () => {
    server = await KafkaServer.start({ links: LINKS })
  }, 120_000)
  afterAll(() => server?.remove())
  conformIntake(async () => new KafkaRig(server))
})
