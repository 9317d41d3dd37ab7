/** Publishes jobs to a pool of Sluice through Kafka: node publish.ts HOST:PORT [TOPIC] [MODEL] */
import { randomUUID } from 'node:crypto'
import { compatibilityPartitioner, ProduceAcks, Producer, stringSerializers } from '@platformatic/kafka'

const [broker = '127.0.0.1:9092', topic = 'sluice.text', model = 'demo'] = process.argv.slice(2)
const producer = new Producer({
  clientId: 'orders',
  bootstrapBrokers: [broker],
  serializers: stringSerializers,
  acks: ProduceAcks.ALL,
  idempotent: true,
  // Where every other client puts a key
  partitioner: (message, key) => compatibilityPartitioner(message, Buffer.from(key ?? '')),
})

const lane = 'order-42'
for (const question of ['Name a river.', 'Name another river.']) {
  const job = {
    // Names the job: published twice, it is still one
    id: randomUUID(),
    // Jobs of a lane run one after the other…
    lane,
    request: { model, messages: [{ role: 'user', content: question }] },
  }
  // …in the order of their key's partition
  const { offsets } = await producer.send({ messages: [{ topic, key: lane, value: JSON.stringify(job) }] })
  console.log(job.id, offsets?.map(({ topic, partition, offset }) => `${topic}:${partition}:${offset}`).join())
}
await producer.close()
