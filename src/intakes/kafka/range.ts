/** What a topic holds of a time: read once, from its first message to its last, by no group. */
import type { Consumer } from '@platformatic/kafka'
import { type Clock, sleep } from '../../core/clock.ts'
import { clientOptions, inTime, type Kafka, type KafkaAddress, REQUEST_MS } from './connection.ts'
import { type Read, readOf } from './reader.ts'

export interface Range {
  /** As their publishers dated them, ms since 1970; `toMs` is not among them. */
  readonly fromMs: number
  readonly toMs: number
}

const ANSWER_MS = 3 * REQUEST_MS
const FETCH_WAIT_MS = 500
const FETCH_BYTES = 4 * 2 ** 20
/** More than this is not held while the reader of this is busy. */
const HELD = 500
/** Nothing more comes: what is left are marks of transactions, or was removed meanwhile. */
const SILENT_MS = 5_000

/** In the order of each partition. Rejects with the client's error. */
export async function* readRange(
  kafka: Kafka,
  address: KafkaAddress,
  topic: string,
  { fromMs, toMs }: Range,
  clock: Clock,
): AsyncGenerator<Read> {
  // A group of this name is never made, as nothing is joined or committed
  const consumer: Consumer<Buffer, Buffer, Buffer, Buffer> = new kafka.Consumer({
    ...clientOptions(address),
    groupId: 'sluice-replay',
    autocommit: false,
  })
  consumer.on('error', () => {})
  try {
    const offsetsAt = async (timestamp?: number): Promise<readonly bigint[]> => {
      const asked = { topics: [topic], ...(timestamp !== undefined && { timestamp: BigInt(timestamp) }) }
      return (await inTime(clock, ANSWER_MS, consumer.listOffsets(asked))).get(topic) ?? []
    }
    const [first, last, ends] = [await offsetsAt(fromMs), await offsetsAt(toMs), await offsetsAt()]
    // None is so late: up to the end
    const until = ends.map((end, partition) => (last[partition] >= 0n ? last[partition] : end))
    const left = new Set(until.flatMap((end, at) => (first[at] >= 0n && first[at] < end ? [at] : [])))
    if (left.size === 0) return
    const opened = consumer.consume({
      topics: [topic],
      mode: 'manual',
      offsets: until.map((end, partition) => ({
        topic,
        partition,
        offset: left.has(partition) ? first[partition] : end,
      })),
      maxWaitTime: FETCH_WAIT_MS,
      maxBytes: FETCH_BYTES,
      highWaterMark: HELD,
    })
    const stream = await inTime(clock, ANSWER_MS, opened)
    const messages = stream[Symbol.asyncIterator]()
    try {
      while (left.size > 0) {
        const next = await Promise.race([messages.next(), sleep(clock, SILENT_MS)])
        if (next === undefined || next.done === true) return
        const { partition, offset } = next.value
        if (offset >= until[partition] - 1n) left.delete(partition)
        const read = readOf(next.value)
        if (offset < until[partition] && read.publishedAtMs >= fromMs && read.publishedAtMs < toMs) yield read
      }
    } finally {
      stream.destroy()
    }
  } finally {
    await inTime(clock, ANSWER_MS, consumer.close(true)).catch(() => {})
  }
}
