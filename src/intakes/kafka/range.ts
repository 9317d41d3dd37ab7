/** What a topic holds of a time: read once, from its first message to its last, by no group. */
import type { Consumer, Message } from '@platformatic/kafka'
import type { Clock } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'
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
const LOOK_MS = 500
/** A broker that stops, or a new leader, takes its time. */
const SILENT_MS = 60_000

/** In the order of each partition. Rejects with intake_unavailable where not all of it came, or the client's error. */
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
      // What was removed meanwhile is passed over, and no more
      fallbackMode: 'earliest',
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
    for await (const message of upTo(stream, topic, until, left, clock)) {
      const read = readOf(message)
      if (read.publishedAtMs >= fromMs && read.publishedAtMs < toMs) yield read
    }
  } finally {
    await inTime(clock, ANSWER_MS, consumer.close(true)).catch(() => {})
  }
}

/** A stream of the client's: how far it has fetched, by "topic:partition". */
export interface Fetching<M> extends AsyncIterable<M> {
  readonly offsetsToFetch: ReadonlyMap<string, bigint>
  destroy(error?: Error): unknown
}

type Fetched = Pick<Message, 'partition' | 'offset'>

/**
 * What comes of the partitions `left`, before `until` of each; the stream is then destroyed. Its end is where it has
 * fetched so far, whatever comes: the last ones may be marks of transactions. A silence is none.
 */
export async function* upTo<M extends Fetched>(
  stream: Fetching<M>,
  topic: string,
  until: readonly bigint[],
  left: Set<number>,
  clock: Clock,
): AsyncGenerator<M> {
  const end = new Error('the end')
  // Null: nothing is waited for, as who reads is busy
  let waitsSince: number | null = null
  const stop = clock.every(LOOK_MS, () => {
    if (waitsSince === null || clock.monoMs() - waitsSince < LOOK_MS) return
    const at = (partition: number): bigint => stream.offsetsToFetch.get(`${topic}:${partition}`) ?? 0n
    const missing = [...left].find((partition) => at(partition) < until[partition])
    if (missing === undefined) stream.destroy(end)
    else if (clock.monoMs() - waitsSince >= SILENT_MS) stream.destroy(silent(topic, missing, at(missing)))
  })
  const messages = stream[Symbol.asyncIterator]()
  try {
    while (left.size > 0) {
      waitsSince = clock.monoMs()
      const next = await messages.next()
      waitsSince = null
      if (next.done === true) throw new Error('the client reads no more')
      const { partition, offset } = next.value
      if (offset >= until[partition] - 1n) left.delete(partition)
      if (offset < until[partition]) yield next.value
    }
  } catch (error) {
    if (error !== end) throw error
  } finally {
    stop()
    stream.destroy()
  }
}

const silent = (topic: string, partition: number, offset: bigint): SluiceError =>
  new SluiceError('intake_unavailable', {
    message: `Kafka fell silent: nothing came of ${topic} (partition ${partition}, offset ${offset}) for a minute.`,
  })
