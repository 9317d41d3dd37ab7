/**
 * Kafka as an intake: a topic for each pool, and one for its dead letters. PROTOCOL.md says what others may publish,
 * docs/engines.md what survives what. Reading is apart from publishing: a member of the pool's group for each pool.
 */
import type { Clock } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'
import type { Delivery, Intake, Take, Verdict } from '../../core/ports/intake.ts'
import { lasting } from '../lasting.ts'
import { type KafkaAddress, loadKafka, reasonOf } from './connection.ts'
import { deadTopicOf, HEADERS, idOf, topicOf } from './names.ts'
import { PublishError, Publisher } from './publisher.ts'
import { type Read, Reader } from './reader.ts'
import type { Message } from './sender.ts'
import { ensureTopics, type TopicOptions } from './topics.ts'
import { until } from './until.ts'

const NO_VALUE = new Uint8Array()

export interface KafkaOptions {
  readonly address: KafkaAddress
  /** All names of topics and groups begin with it. */
  readonly prefix: string
  readonly pools: readonly string[]
  /** Of a pool's topic, where it is made: as many processes can take from it at a time. */
  readonly partitions: number
  readonly topics: TopicOptions
  readonly window: number
  readonly sessionMs: number
  readonly confirmTimeoutMs: number
  readonly maxMessageBytes: number
  readonly clock: Clock
  readonly jitter: () => number
  /** It went away (with the reason), or is back (null). */
  readonly onChange: (error: SluiceError | null) => void
  /** For some time nothing of this pool could be taken (with the reason), or it is again (null). */
  readonly onPool?: (pool: string, error: SluiceError | null) => void
}

const MAX_WAITING_BYTES = 64 * 2 ** 20
const FETCH_BYTES = 4 * 2 ** 20
const MAX_REASON = 500
const BURY_AGAIN_MS = 500
const FIRST_RETRY_MS = 200
const MAX_RETRY_MS = 5_000

const unavailable = (why?: string): SluiceError =>
  new SluiceError('intake_unavailable', why === undefined ? {} : { message: `Kafka cannot be used now: ${why}.` })

/**
 * Resolves when the brokers have answered, or have failed to: what is away at the start may come later. Rejects with
 * config_invalid for topics that are missing and may not be made, and where the package is not installed.
 */
export async function openKafka(options: KafkaOptions): Promise<Intake> {
  const { address, prefix, pools, partitions, clock, jitter, window, sessionMs } = options
  const kafka = await loadKafka()
  const stop = new AbortController()
  const topics = pools.flatMap((pool) => [
    { name: topicOf(prefix, pool), partitions },
    { name: deadTopicOf(prefix, pool), partitions: 1 },
  ])
  /** Of the publisher, and of the topics. */
  const reasons: { publisher: SluiceError | null; topics: SluiceError | null } = {
    publisher: unavailable(),
    topics: null,
  }
  const whyAway = (): SluiceError | null => reasons.topics ?? reasons.publisher
  let isTold = false
  let hasTopics = false
  let reads: readonly Reader[] = []
  const change = (reason: keyof typeof reasons, error: SluiceError | null): void => {
    const before = whyAway()
    reasons[reason] = error
    const after = whyAway()
    // At the start nobody has been told of anything
    if (isTold ? (before === null) === (after === null) : reason === 'topics' && error === null) return
    isTold = true
    options.onChange(after)
  }
  const publisher = new Publisher({
    kafka,
    address,
    clock,
    jitter,
    confirmMs: options.confirmTimeoutMs,
    maxWaitingBytes: MAX_WAITING_BYTES,
    maxMessageBytes: options.maxMessageBytes,
    onTurn: (error) => change('publisher', error === null ? null : unavailable(reasonOf(error))),
  })

  /** Rejects for what no time mends, at the start. */
  async function ensure(isStart: boolean): Promise<void> {
    try {
      await ensureTopics(kafka, address, topics, options.topics, clock)
      hasTopics = true
      change('topics', null)
    } catch (error) {
      if (error instanceof SluiceError && isStart) throw error
      change('topics', unavailable(error instanceof SluiceError ? error.message : reasonOf(error)))
    }
  }
  async function ensureLater(): Promise<void> {
    for (let tries = 0; !hasTopics && !stop.signal.aborted; tries++) {
      const ms = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(tries, 10)) * (0.5 + jitter() / 2)
      await until(stop.signal, (done) => clock.after(ms, done))
      await ensure(false)
    }
  }

  await ensure(true)
  void ensureLater()
  await publisher.open()

  async function bury(read: Read, pool: string, id: string, verdict: Verdict & { kind: 'dead' }): Promise<void> {
    const { topic, partition, offset, key, value } = read
    const headers = {
      [HEADERS.id]: id,
      [HEADERS.code]: verdict.code,
      [HEADERS.reason]: verdict.reason.slice(0, MAX_REASON),
      [HEADERS.from]: `${topic}:${partition}:${offset}`,
    }
    let letter: Message = { topic: deadTopicOf(prefix, pool), key, value, headers }
    while (!stop.signal.aborted)
      try {
        return await publisher.publish(letter)
      } catch (error) {
        // With what is told of it, it is larger than the topic takes: where it stands is enough
        const { kind } = error as PublishError
        if ((kind === 'too_large' || kind === 'refused') && letter.value.length > 0) {
          letter = { ...letter, value: NO_VALUE, headers: { ...headers, [HEADERS.bytes]: String(value.length) } }
          continue
        }
        await until(stop.signal, (done) => clock.after(BURY_AGAIN_MS, done))
      }
    throw new Error('the intake is closed')
  }

  const intake: Intake = {
    name: 'kafka',
    async publish({ pool, key, id, payload }) {
      const message = { topic: topicOf(prefix, pool), key, value: payload, headers: { [HEADERS.id]: id } }
      await publisher.publish(message).catch((error: PublishError) => {
        throw refusalOf(error, options.maxMessageBytes)
      })
    },
    consume(take: Take) {
      reads = pools.map((pool) => {
        const topic = topicOf(prefix, pool)
        const turn = lasting<SluiceError>(clock, (error) => {
          if (!stop.signal.aborted) options.onPool?.(pool, error)
        })
        const reader = new Reader({
          kafka,
          address,
          clock,
          jitter,
          topic,
          group: topic,
          window,
          fetchBytes: FETCH_BYTES,
          sessionMs,
          onTurn: (error) =>
            turn(error === null ? null : unavailable(`nothing of ${topic} can be read, ${reasonOf(error)}`)),
          take: async (read) => {
            const id = idOf(read)
            const delivery: Delivery = { pool, id, payload: read.value }
            const verdict = await take(delivery)
            if (verdict.kind === 'dead') await bury(read, pool, id, verdict)
          },
        })
        reader.start()
        return reader
      })
    },
    health() {
      const why = whyAway()
      if (why !== null || stop.signal.aborted) return { ok: false, error: why ?? unavailable() }
      if (!hasTopics || !reads.every(({ isUp }) => isUp)) return { ok: false, error: unavailable() }
      return { ok: true }
    },
    reconnects: () => reads.reduce((sum, { reconnects }) => sum + reconnects, publisher.reconnects),
    async drain(withinMs) {
      await Promise.all(reads.map((reader) => reader.drain(withinMs)))
      await Promise.all(reads.map((reader) => reader.close()))
    },
    async close() {
      if (stop.signal.aborted) return
      await intake.drain(0)
      stop.abort()
      await publisher.close(options.confirmTimeoutMs)
    },
  }
  return intake
}

function refusalOf(error: PublishError, maxMessageBytes: number): SluiceError {
  if (!(error instanceof PublishError)) return SluiceError.from(error)
  switch (error.kind) {
    case 'too_large':
      return new SluiceError('body_too_large', {
        message: `A job of this pool is at most ${maxMessageBytes} bytes long (intakes.kafka.max_message_bytes).`,
      })
    case 'refused':
      return new SluiceError('invalid_request', { message: `Kafka does not take this message (${error.message}).` })
    default:
      return unavailable(error.message)
  }
}
