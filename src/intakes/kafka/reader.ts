/**
 * One member of a consumer group, of one topic: hands on what is there in the order of each partition, and commits how
 * far all of it has a verdict. What comes again (after a kill, a rebalance, a commit that was lost) is for its taker to
 * tell by its id: each member reads a partition in order from what was committed, so that when a message is handed on
 * for the first time, all before it have been.
 */
import type { Consumer, Message as Got, MessagesStream } from '@platformatic/kafka'
import type { Clock } from '../../core/clock.ts'
import { clientOptions, inTime, type Kafka, type KafkaAddress, REQUEST_MS } from './connection.ts'
import { type Place, Progress } from './progress.ts'
import { until, within } from './until.ts'

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
  readonly topic: string
  readonly group: string
  /** How many messages are without a verdict at most. */
  readonly window: number
  /** Of one fetch; a larger message comes alone. */
  readonly fetchBytes: number
  /** A member that is not heard of for so long has lost its partitions. */
  readonly sessionMs: number
  /** Called in order, without waiting. Resolves at its verdict: it may be committed. Rejects: it is to come again. */
  readonly take: (message: Read) => Promise<void>
  /** Its partitions are counted so often: those that were added are read once the group has met again. */
  readonly partitionsMs?: number
  /** Why nothing is read; null: it is again. Told when it changes. */
  readonly onTurn: (error: unknown) => void
}

type Bytes = Consumer<Buffer, Buffer, Buffer, Buffer>
type Stream = MessagesStream<Buffer, Buffer, Buffer, Buffer>
type Message = Got<Buffer, Buffer, Buffer, Buffer>

/** One membership, until it fails. */
interface Session {
  readonly consumer: Bytes
  readonly progress: Progress
  readonly signal: AbortSignal
  readonly fail: (error: unknown) => void
  committing: Promise<void> | null
}

const FIRST_RETRY_MS = 100
const MAX_RETRY_MS = 3_000
const HEARTBEATS = 5
/** A heartbeat tells who joins or leaves: nothing is taken from when the first one knows until the last one does. */
const HEARTBEAT_MS = 500
/** How long a fetch waits at the broker where there is nothing. */
const FETCH_WAIT_MS = 1_000
const JOIN_MS = 90_000
/** Beyond the time that joining a group may take. */
const JOINING_MS = 5_000
const CLOSE_MS = 2_000
const COMMIT_MS = 3 * REQUEST_MS
const PARTITIONS_MS = 30_000

export class Reader {
  readonly #options: ReaderOptions
  readonly #stop = new AbortController()
  /** No more is handed on. */
  readonly #drain = new AbortController()
  /** By place: without a verdict, also those of a membership that is over. */
  readonly #held = new Map<string, { readonly publishedAtMs: number; readonly verdict: Promise<void> }>()
  #session: Session | null = null
  #sessions = 0
  #failures = 0
  #isAway = true
  #running: Promise<void> | null = null
  #freed = (): void => {}

  constructor(options: ReaderOptions) {
    this.#options = options
  }

  get isUp(): boolean {
    return !this.#isAway
  }

  /** What is handed on, until its verdict is carried out. */
  get held(): number {
    return this.#held.size
  }

  /** Memberships after the first one. */
  get reconnects(): number {
    return Math.max(0, this.#sessions - 1)
  }

  /** Begins to read, and does until `close`. */
  start(): void {
    this.#running ??= this.#run()
  }

  async #run(): Promise<void> {
    const { clock, jitter } = this.#options
    const { signal } = this.#stop
    while (!signal.aborted) {
      const why = await this.#read().catch((error: unknown) => error)
      if (signal.aborted) break
      this.#turn(why)
      const ms = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(this.#failures++, 10))
      await until(signal, (done) => clock.after(ms * (0.5 + jitter() / 2), done))
    }
  }

  #turn(error: unknown): void {
    if (this.#isAway === (error !== null) && this.#failures > 0) return
    this.#isAway = error !== null
    this.#options.onTurn(error)
  }

  /** One membership. Resolves with why it is over. */
  async #read(): Promise<unknown> {
    const { kafka, address, clock, group, topic, window, fetchBytes, sessionMs } = this.#options
    const consumer: Bytes = new kafka.Consumer({
      ...clientOptions(address),
      groupId: group,
      autocommit: false,
      // Who comes or goes moves as few partitions as it can
      protocols: [{ name: 'cooperative-sticky', version: 1 }],
      sessionTimeout: sessionMs,
      rebalanceTimeout: sessionMs,
      requestTimeout: sessionMs + JOINING_MS,
      heartbeatInterval: Math.min(HEARTBEAT_MS, Math.floor(sessionMs / HEARTBEATS)),
    })
    const end = new AbortController()
    let failed: unknown = null
    const fail = (error: unknown): void => {
      failed ??= error
      end.abort()
    }
    const stop = (): void => end.abort()
    this.#stop.signal.addEventListener('abort', stop)
    consumer.on('error', fail)
    consumer.on('consumer:heartbeat:stalled', () => fail(new Error('no heartbeat reaches the group')))
    let stream: Stream | null = null
    const session: Session = { consumer, progress: new Progress(), signal: end.signal, fail, committing: null }
    try {
      const opened = consumer.consume({
        topics: [topic],
        mode: 'committed',
        fallbackMode: 'earliest',
        highWaterMark: window,
        maxBytes: fetchBytes,
        maxBytesPerPartition: fetchBytes,
        maxWaitTime: FETCH_WAIT_MS,
      })
      stream = await inTime(clock, JOIN_MS, within(opened, this.#stop.signal))
      stream.on('error', fail)
      stream.once('close', () => fail(new Error('the stream of messages has ended')))
      this.#session = session
      this.#sessions++
      this.#turn(null)
      void this.#watchPartitions(session)
      await this.#handOn(stream, session)
    } catch (error) {
      fail(error)
    } finally {
      this.#session = null
      this.#stop.signal.removeEventListener('abort', stop)
      await inTime(clock, CLOSE_MS, session.committing ?? Promise.resolve()).catch(() => {})
      stream?.destroy()
      await inTime(clock, CLOSE_MS, consumer.close(true)).catch(() => {})
    }
    return failed
  }

  /** Ends the session when there are more than it began with. */
  async #watchPartitions({ consumer, signal, fail }: Session): Promise<void> {
    const { clock, topic, partitionsMs = PARTITIONS_MS } = this.#options
    const count = async (): Promise<number | null> => {
      const asked = consumer.metadata({ topics: [topic], forceUpdate: true })
      const found = await inTime(clock, REQUEST_MS, asked).catch(() => null)
      return found?.topics.get(topic)?.partitionsCount ?? null
    }
    let known = await count()
    while (!signal.aborted) {
      await until(signal, (done) => clock.after(partitionsMs, done))
      if (signal.aborted) return
      const now = await count()
      if (now !== null && known !== null && now > known) return fail(new Error(`${topic} has more partitions`))
      known ??= now
    }
  }

  async #handOn(stream: Stream, session: Session): Promise<void> {
    const { signal } = session
    let wake = (): void => {}
    // For good: without a listener the stream would no longer fetch
    stream.on('readable', () => wake())
    this.#freed = () => wake()
    while (!signal.aborted && !this.#drain.signal.aborted) {
      const hasRoom = this.#held.size < this.#options.window
      const message = hasRoom ? (stream.read() as Message | null) : null
      if (message !== null) this.#hold(message, session)
      else
        await until(signal, (done) => {
          wake = done
          return () => {}
        })
    }
    await until(signal, () => () => {})
  }

  #hold(message: Message, session: Session): void {
    const done = session.progress.begin(message)
    if (done === null) return
    const place = `${message.topic}/${message.partition}/${message.offset}`
    const publishedAtMs = Number(message.timestamp)
    const before = this.#held.get(place)
    const verdict = before?.publishedAtMs === publishedAtMs ? before.verdict : this.#options.take(readOf(message))
    if (before?.verdict !== verdict) {
      const held = { publishedAtMs, verdict }
      this.#held.set(place, held)
      const free = (): void => {
        if (this.#held.get(place) === held) this.#held.delete(place)
        this.#freed()
      }
      verdict.then(free, free)
    }
    verdict.then(
      () => {
        done()
        this.#failures = 0
        if (this.#session === session) this.#commit(session)
      },
      // It comes again, to another membership
      (error: unknown) => {
        if (!this.#drain.signal.aborted) session.fail(error)
      },
    )
  }

  #commit(session: Session): void {
    if (session.committing !== null) return
    session.committing = this.#commitAll(session).finally(() => {
      session.committing = null
    })
  }

  async #commitAll({ consumer, progress, fail }: Session): Promise<void> {
    const { clock } = this.#options
    // Verdicts of this turn share a commit
    await new Promise<void>((next) => clock.soon(next))
    for (let due = progress.due(); due.length > 0; due = progress.due()) {
      const offsets = due.map(({ topic, partition, offset, leaderEpoch }: Place) => ({
        topic,
        partition,
        offset: offset + 1n,
        leaderEpoch,
      }))
      try {
        await inTime(clock, COMMIT_MS, consumer.commit({ offsets }))
      } catch (error) {
        return fail(error)
      }
    }
  }

  /** Hands on nothing more, and waits for the verdicts of what is held. */
  async drain(withinMs: number): Promise<void> {
    this.#drain.abort()
    this.#freed()
    const { clock } = this.#options
    const all = Promise.allSettled([...this.#held.values()].map(({ verdict }) => verdict))
    await inTime(clock, withinMs, all).catch(() => {})
  }

  /** Commits what has its verdict, and leaves the group: the rest is another's. In bounded time. Safe to repeat. */
  async close(): Promise<void> {
    this.#drain.abort()
    // What has its verdict is about to be committed
    await new Promise<void>((next) => this.#options.clock.soon(next))
    this.#stop.abort()
    await this.#running
  }
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

export function readOf({ topic, partition, offset, timestamp, key, value, headers }: Message): Read {
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
