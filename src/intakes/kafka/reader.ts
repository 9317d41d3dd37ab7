/**
 * One member of a consumer group: hands on what the topics have, in the order of each partition, and commits how far it
 * got once that is somebody else's. What is handed on twice (after a kill, a rebalance, a commit that was lost) is for
 * the receiver to tell by its id: each member reads a partition in order from what was committed, so that the first
 * time a message is handed on, all before it have been.
 */
import type { Consumer, MessagesStream, Message as Record } from '@platformatic/kafka'
import type { Clock } from '../../core/clock.ts'
import { counter, gauge, type NumberSource } from '../../core/numbers.ts'
import { clientOptions, inTime, type Kafka, type KafkaAddress, REQUEST_MS, reasonOf } from './connection.ts'

/** A message as it was read. */
export interface Read {
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  /** Of its publisher, ms since 1970. */
  readonly publishedAtMs: number
  /** Null: none, or no UTF-8. */
  readonly key: string | null
  readonly value: Uint8Array
  readonly headers: ReadonlyMap<string, string>
}

export interface ReaderOptions {
  readonly kafka: Kafka
  readonly address: KafkaAddress
  readonly clock: Clock
  readonly jitter: () => number
  readonly topics: readonly string[]
  readonly group: string
  /** How many messages, and how many bytes of them, are handed on at once. */
  readonly window: number
  readonly windowBytes: number
  /** A member that is not heard of for so long has lost its partitions. */
  readonly sessionMs: number
  /**
   * Resolves when all of them are somebody else's: they may be committed. Waits as long as that takes; rejects once
   * `signal` is aborted, and then nothing is committed.
   */
  readonly take: (messages: readonly Read[], signal: AbortSignal) => Promise<void>
  readonly onTurn: (works: boolean, reason: string) => void
}

type Bytes = Consumer<Buffer, Buffer, Buffer, Buffer>
type Stream = MessagesStream<Buffer, Buffer, Buffer, Buffer>
type Got = Record<Buffer, Buffer, Buffer, Buffer>

const FIRST_RETRY_MS = 100
const MAX_RETRY_MS = 5_000
const HEARTBEATS = 5
/** How long a fetch waits at the broker where there is nothing. */
const FETCH_WAIT_MS = 1_000
const JOIN_MS = 90_000
const JOINING_MS = 5_000
const CLOSE_MS = 2_000
const COMMIT_MS = 3 * REQUEST_MS

export class Reader implements NumberSource {
  readonly #options: ReaderOptions
  readonly #stop = new AbortController()
  #consumer: Bytes | null = null
  #failures = 0
  #held = 0
  #running: Promise<void> | null = null
  readonly #rejoined = counter('intake_rebalances', 'Times that this process was given its partitions')
  readonly #reconnects = counter('intake_reconnects', 'Times that reading began anew after a failure')
  readonly metrics

  constructor(options: ReaderOptions) {
    this.#options = options
    this.metrics = [
      this.#rejoined,
      this.#reconnects,
      gauge('intake_held', 'Messages that were read, and are not yet jobs', () => this.#held),
    ]
  }

  /** Begins to read, and does until `close`. */
  start(): void {
    this.#running ??= this.#run()
  }

  async #run(): Promise<void> {
    const { clock, jitter, onTurn } = this.#options
    const { signal } = this.#stop
    while (!signal.aborted) {
      try {
        await this.#read()
      } catch (error) {
        if (!signal.aborted && this.#failures === 0) onTurn(false, reasonOf(error))
      }
      await this.#leave()
      if (signal.aborted) break
      this.#reconnects.add()
      const ms = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(this.#failures++, 10))
      await until(signal, (done) => clock.after(ms * (0.5 + jitter() / 2), done))
    }
  }

  /** One membership, until it fails. */
  async #read(): Promise<void> {
    const { kafka, address, clock, topics, group, window, windowBytes, sessionMs } = this.#options
    const consumer: Bytes = new kafka.Consumer({
      ...clientOptions(address),
      groupId: group,
      autocommit: false,
      sessionTimeout: sessionMs,
      rebalanceTimeout: sessionMs,
      // To join may take as long as that
      requestTimeout: sessionMs + JOINING_MS,
      heartbeatInterval: Math.floor(sessionMs / HEARTBEATS),
    })
    this.#consumer = consumer
    consumer.on('consumer:group:join', () => this.#rejoined.add())
    const end = new AbortController()
    let failed: unknown = null
    const fail = (error: unknown): void => {
      failed ??= error
      end.abort()
    }
    consumer.on('error', fail)
    consumer.on('consumer:heartbeat:stalled', () => fail(new Error('no heartbeat reaches the group')))
    const opened = consumer.consume({
      topics: [...topics],
      mode: 'committed',
      fallbackMode: 'earliest',
      highWaterMark: window,
      maxBytes: windowBytes,
      maxBytesPerPartition: windowBytes,
      maxWaitTime: FETCH_WAIT_MS,
    })
    const stream = await inTime(clock, JOIN_MS, unlessAborted(opened, this.#stop.signal))
    const over = (): void => end.abort()
    this.#stop.signal.addEventListener('abort', over, { once: true })
    stream.on('error', fail)
    stream.once('close', over)
    try {
      if (this.#failures > 0) this.#options.onTurn(true, '')
      while (!end.signal.aborted) {
        const got = await this.#some(stream, end.signal)
        if (got.length > 0) await this.#handOn(consumer, got, end.signal)
      }
      if (failed !== null) throw failed
      if (!this.#stop.signal.aborted) throw new Error('the stream of messages has ended')
    } finally {
      this.#stop.signal.removeEventListener('abort', over)
      stream.destroy()
    }
  }

  /** What is there, up to the window; none once the signal is aborted. Waits for the first. */
  async #some(stream: Stream, signal: AbortSignal): Promise<readonly Got[]> {
    const { window, windowBytes } = this.#options
    const got: Got[] = []
    let bytes = 0
    while (!signal.aborted) {
      const next = stream.read() as Got | null
      if (next !== null) {
        got.push(next)
        bytes += next.value?.length ?? 0
        if (got.length < window && bytes < windowBytes) continue
      }
      if (got.length > 0) return got
      await until(signal, (done) => {
        stream.on('readable', done)
        return () => stream.off('readable', done)
      })
    }
    return []
  }

  async #handOn(consumer: Bytes, got: readonly Got[], signal: AbortSignal): Promise<void> {
    const { take, clock } = this.#options
    this.#held = got.length
    try {
      await take(got.map(readOf), signal)
      this.#failures = 0
      const last = new Map<string, Got>()
      for (const each of got) last.set(`${each.topic}/${each.partition}`, each)
      const offsets = [...last.values()].map(({ topic, partition, offset, leaderEpoch }) => ({
        topic,
        partition,
        offset: offset + 1n,
        leaderEpoch,
      }))
      await inTime(clock, COMMIT_MS, consumer.commit({ offsets }))
    } finally {
      this.#held = 0
    }
  }

  async #leave(): Promise<void> {
    const consumer = this.#consumer
    this.#consumer = null
    if (consumer !== null) await inTime(this.#options.clock, CLOSE_MS, consumer.close(true)).catch(() => {})
  }

  /** Leaves the group; what was not yet taken is another's. In bounded time, if `take` ends at its signal. */
  async close(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }
}

/** As the promise; rejects at the signal's abort. */
async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  await until(signal, (done) => {
    promise.then(done, done)
    return () => {}
  })
  signal.throwIfAborted()
  return promise
}

/** Waits for `done` of what `begin` began, or the signal's abort; then what was begun is canceled. */
function until(signal: AbortSignal, begin: (done: () => void) => () => void): Promise<void> {
  return new Promise((done) => {
    const over = (): void => {
      signal.removeEventListener('abort', over)
      cancel()
      done()
    }
    const cancel = begin(over)
    signal.addEventListener('abort', over)
    if (signal.aborted) over()
  })
}

const utf8 = new TextDecoder('utf-8', { fatal: true })
function textOf(bytes: Uint8Array | null | undefined): string | null {
  if (bytes === null || bytes === undefined) return null
  try {
    return utf8.decode(bytes)
  } catch {
    return null
  }
}

const NOTHING = new Uint8Array(0)

function readOf({ topic, partition, offset, timestamp, key, value, headers }: Got): Read {
  const texts = new Map<string, string>()
  for (const [name, text] of headers) texts.set(textOf(name) ?? '', textOf(text) ?? '')
  return {
    topic,
    partition,
    offset,
    publishedAtMs: Number(timestamp),
    key: textOf(key),
    value: value ?? NOTHING,
    headers: texts,
  }
}
