/**
 * Kafka as an intake: a topic for each pool, and one for its dead letters. PROTOCOL.md says what others may publish,
 * docs/engines.md what survives what. Reading is apart from publishing: a member of the pool's group for each pool.
 */
import type { Clock } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'
import type { Delivery, Intake, Take, Verdict } from '../../core/ports/intake.ts'
import { lasting } from '../lasting.ts'
import { type KafkaAddress, loadKafka, whyAway as whyOf } from './connection.ts'
import { MAX_BATCH_BYTES, TOO_LARGE } from './inflate.ts'
import { deadTopicOf, HEADERS, idOf, topicOf } from './names.ts'
import { PublishError, Publisher } from './publisher.ts'
import { type Read, Reader } from './reader.ts'
import type { Message } from './sender.ts'
import { ensureTopics, type TopicOptions } from './topics.ts'
import { until } from './until.ts'

const NO_VALUE = new Uint8Array()
const TOO_LARGE_TO_READ: Verdict = {
  kind: 'dead',
  code: 'body_too_large',
  reason: `It came in a compressed batch of more than ${MAX_BATCH_BYTES >> 20} MiB, which is not inflated.`,
}

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
const [BURY_AGAIN_MS, MAX_BURY_MS] = [500, 30_000]
const FIRST_RETRY_MS = 200
const MAX_RETRY_MS = 5_000

/** Dead letters of a pool that were not stored at once. */
interface Burials {
  last: Promise<void>
  isStuck: boolean
  readonly tell: (error: SluiceError | null) => void
}

const unavailable = (why?: string): SluiceError =>
  new SluiceError('intake_unavailable', why === undefined ? {} : { message: why.endsWith('.') ? why : `${why}.` })

/**
 * Resolves when the brokers have answered, or have failed to: what is away at the start may come later. Rejects with
 * config_invalid for topics that are missing and may not be made, and where the package is not installed.
 */
export async function openKafka(options: KafkaOptions): Promise<Intake> {
  const { address, prefix, pools, partitions, clock, jitter, window, sessionMs } = options
  const kafka = await loadKafka()
  const why = (error: unknown): string => whyOf(error, address)
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
  const publisherOf = (onTurn: (error: unknown) => void): Publisher =>
    new Publisher({
      kafka,
      address,
      clock,
      jitter,
      confirmMs: options.confirmTimeoutMs,
      maxWaitingBytes: MAX_WAITING_BYTES,
      maxMessageBytes: options.maxMessageBytes,
      onTurn,
    })
  const publisher = publisherOf((error) => change('publisher', error === null ? null : unavailable(why(error))))
  /** Of dead letters: where theirs can't be stored, nobody else waits for them. */
  let letters: Promise<Publisher> | null = null
  const store = async (letter: Message): Promise<void> => {
    letters ??= (async () => {
      const own = publisherOf(() => {})
      await own.open()
      return own
    })()
    await (await letters).publish(letter)
  }

  /** Rejects for what no time mends, at the start. */
  async function ensure(isStart: boolean): Promise<void> {
    try {
      await ensureTopics(kafka, address, topics, options.topics, clock)
      hasTopics = true
      change('topics', null)
    } catch (error) {
      if (error instanceof SluiceError && isStart) throw error
      change('topics', unavailable(error instanceof SluiceError ? error.message : why(error)))
    }
  }
  async function ensureLater(): Promise<void> {
    for (let tries = 0; !hasTopics && !stop.signal.aborted; tries++) {
      const ms = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(tries, 10)) * (0.5 + jitter() / 2)
      await until(stop.signal, (done) => clock.after(ms, done))
      await ensure(false)
    }
  }

  const tellOf = (pool: string) =>
    lasting<SluiceError>(clock, (error) => {
      if (!stop.signal.aborted) options.onPool?.(pool, error)
    })
  const burials = new Map(
    pools.map((pool): readonly [string, Burials] => [
      pool,
      { last: Promise.resolve(), isStuck: false, tell: tellOf(pool) },
    ]),
  )
  /** Of submits that the user may not publish. */
  const denials = new Map(pools.map((pool) => [pool, tellOf(pool)] as const))

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
    const bare = (): void => {
      letter = { ...letter, value: NO_VALUE, headers: { ...headers, [HEADERS.bytes]: String(value.length) } }
    }
    try {
      return await store(letter)
    } catch (error) {
      // With what is told of it, it is larger than the topic takes: where it stands is enough
      const { kind } = error as PublishError
      if (kind === 'too_large' || kind === 'refused') bare()
    }
    // One at a time from now on: those that can't be stored take the publisher from nobody
    const turn = burials.get(pool)!.last.then(() => untilBuried(pool, () => letter, bare))
    burials.get(pool)!.last = turn.catch(() => {})
    return turn
  }

  /** Rejects when the intake is closed. */
  async function untilBuried(pool: string, letter: () => Message, bare: () => void): Promise<void> {
    const { tell } = burials.get(pool)!
    for (let tries = 0; !stop.signal.aborted; tries++)
      try {
        await store(letter())
        burials.get(pool)!.isStuck = false
        tell(null)
        return
      } catch (error) {
        const { kind } = error as PublishError
        if ((kind === 'too_large' || kind === 'refused') && letter().value.length > 0) {
          bare()
          continue
        }
        burials.get(pool)!.isStuck = true
        tell(unavailable(`dead letters can't be stored in ${deadTopicOf(prefix, pool)}, and wait: ${why(error)}`))
        // Perhaps its topic is gone
        if (hasTopics) await ensure(false)
        const ms = Math.min(MAX_BURY_MS, BURY_AGAIN_MS * 2 ** Math.min(tries, 10))
        await until(stop.signal, (done) => clock.after(ms * (0.5 + jitter() / 2), done))
      }
    throw new Error('the intake is closed')
  }

  const intake: Intake = {
    name: 'kafka',
    async publish({ pool, key, id, payload }) {
      const message = { topic: topicOf(prefix, pool), key, value: payload, headers: { [HEADERS.id]: id } }
      const tell = denials.get(pool)!
      try {
        await publisher.publish(message)
        tell(null)
      } catch (error) {
        const refusal = refusalOf(error as PublishError, options.maxMessageBytes, why)
        if ((error as PublishError).kind === 'denied') tell(refusal)
        throw refusal
      }
    },
    consume(take: Take) {
      reads = pools.map((pool) => {
        const topic = topicOf(prefix, pool)
        const turn = tellOf(pool)
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
            turn(error === null ? null : unavailable(`nothing of ${topic} can be read, ${why(error)}`)),
          take: async (read) => {
            const id = idOf(read)
            const delivery: Delivery = { pool, id, payload: read.value }
            const verdict = read.headers.has(TOO_LARGE) ? TOO_LARGE_TO_READ : await take(delivery)
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
      const stuck = pools.find((pool) => burials.get(pool)!.isStuck)
      if (stuck !== undefined)
        return { ok: false, error: unavailable(`dead letters of the pool "${stuck}" can't be stored`) }
      return { ok: true }
    },
    reconnects: () => reads.reduce((sum, { reconnects }) => sum + reconnects, publisher.reconnects),
    held: () => new Map(pools.map((pool, i) => [pool, reads[i]?.held ?? 0])),
    async drain(withinMs) {
      await Promise.all(reads.map((reader) => reader.drain(withinMs)))
      await Promise.all(reads.map((reader) => reader.close()))
    },
    async close() {
      if (stop.signal.aborted) return
      await intake.drain(0)
      stop.abort()
      await Promise.all([publisher.close(options.confirmTimeoutMs), (await letters)?.close(options.confirmTimeoutMs)])
    },
  }
  return intake
}

function refusalOf(error: PublishError, maxMessageBytes: number, why: (error: unknown) => string): SluiceError {
  if (!(error instanceof PublishError)) return SluiceError.from(error)
  switch (error.kind) {
    case 'too_large':
      return new SluiceError('body_too_large', {
        message: `A job of this pool is at most ${maxMessageBytes} bytes long (intakes.kafka.max_message_bytes).`,
      })
    case 'refused':
      return new SluiceError('invalid_request', { message: `Kafka does not take this message (${error.message}).` })
    case 'denied':
      return unavailable(why(error))
    default:
      return unavailable(`Kafka cannot be used now: ${error.message}`)
  }
}
