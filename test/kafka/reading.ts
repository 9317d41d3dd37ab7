/** All that a topic has, for tests. */
import { clientOptions, type KafkaAddress, loadKafka } from '../../src/intakes/kafka/connection.ts'
import { type Read, readOf } from '../../src/intakes/kafka/reader.ts'

export const addressOf = (port: number): KafkaAddress => ({ brokers: [`127.0.0.1:${port}`], tls: null, sasl: null })

let groups = 0

/** In the order of each partition; what is there when it is called. */
export async function readAll(port: number, topic: string): Promise<readonly Read[]> {
  const kafka = await loadKafka()
  const options = { ...clientOptions(addressOf(port)), groupId: `reading-${++groups}` }
  const consumer = new kafka.Consumer<Buffer, Buffer, Buffer, Buffer>(options)
  try {
    const ends = (await consumer.listOffsets({ topics: [topic] })).get(topic)!
    const left = new Set(ends.flatMap((end, partition) => (end > 0n ? [partition] : [])))
    const got: Read[] = []
    if (left.size === 0) return got
    const stream = await consumer.consume({
      topics: [topic],
      mode: 'manual',
      offsets: ends.map((_, partition) => ({ topic, partition, offset: 0n })),
      maxWaitTime: 100,
    })
    for await (const message of stream) {
      got.push(readOf(message))
      if (message.offset >= ends[message.partition] - 1n) left.delete(message.partition)
      if (left.size === 0) break
    }
    return got
  } finally {
    await consumer.close(true)
  }
}
