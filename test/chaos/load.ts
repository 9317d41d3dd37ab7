/**
 * Clients of every kind, as they should be: they submit over HTTP and WebSocket until they are acknowledged, follow in
 * every dialect, are cut off and resume, retry and cancel, while servers die. What they see is written down.
 */

import { STOPPED } from './check-reader.ts'
import { Http } from './client.ts'
import type { Acked, Answer, Reader, Seen } from './history.ts'
import { KEY, pause } from './server.ts'
import { isOpen, readOnce, submitOnce } from './socket.ts'

const LANES = 12
export const CONVERSATION = 'conversation'
const JOBS_PER_SOCKET = 8
const MAX_TO_READ = 200
const POST_EVERY_MS = 300

export interface LoadOptions {
  /** Where a client connects to, asked at each connection: of a fleet, any gateway. */
  readonly url: () => string
  readonly random: (below: number) => number
  /** How long a client waits for a sign of life, ms. */
  readonly patienceMs: number
  /** Several gateways give ids, and a batch that is sent twice may come in by two of them. */
  readonly isFleet: boolean
  /** Clients of each kind. */
  readonly writers: number
  readonly followers: number
  readonly sockets: number
  readonly streamers: number
  readonly askers: number
  /** Who submit job after job without a key; absent: none. */
  readonly posters?: number
  /** The model of a job of so many tokens. */
  readonly model: (tokens: number) => string
  /** Tokens of the next job. */
  readonly tokens: () => number
  /** Whether writers may submit more, at the moment. */
  readonly mayWrite: () => boolean
}

/** What is to be tried again: no answer, or an error that says so. */
const isPassing = (status: number): boolean => status === 0 || status === 429 || status === 503 || status === 507

export class Load {
  readonly acked: Acked[] = []
  readonly readers: Reader[] = []
  readonly answers: Answer[] = []
  resumes = 0
  /** Acknowledged jobs without a key. */
  posted = 0
  readonly #options: LoadOptions
  readonly #http: Http
  readonly #toRead: Acked[] = []
  readonly #places = new Map<string, number>()
  #work: Promise<unknown> = Promise.resolve()
  #stopping = false
  #over = false
  #keys = 0

  constructor(options: LoadOptions) {
    this.#options = options
    this.#http = new Http(options.url, KEY, options.patienceMs)
  }

  start(): void {
    const { writers, followers, sockets, streamers, askers, posters = 0 } = this.#options
    const many = (n: number, client: (i: number) => Promise<void>) => Array.from({ length: n }, (_, i) => client(i))
    this.#work = Promise.all([
      ...many(writers, (i) => this.#write(i)),
      ...many(followers, () => this.#follow()),
      ...many(sockets, () => this.#followOverSocket()),
      ...many(streamers, () => this.#stream()),
      ...many(askers, () => this.#ask()),
      ...many(posters, (i) => this.#post(i)),
    ])
  }

  /** Nothing more is submitted; every reader has so long to reach its end. */
  async stop(withinMs: number): Promise<void> {
    this.#stopping = true
    await Promise.race([this.#work, pause(withinMs)])
    this.#over = true
    this.#http.close()
  }

  get conversations(): readonly string[] {
    return [...this.#places.keys()].filter((lane) => lane.startsWith(CONVERSATION))
  }

  // ------------------------------------------------------------ who submits

  async #write(writer: number): Promise<void> {
    const { random, mayWrite } = this.#options
    const pickLane = (): string => (random(2) === 0 ? CONVERSATION : 'lane')
    while (!this.#stopping) {
      if (!mayWrite()) {
        await pause(20)
        continue
      }
      // A lane belongs to one writer, so that its order of acknowledgement is known
      const wanted = Array.from({ length: 5 + random(25) }, () => ({
        key: `key-${this.#keys++}`,
        tokens: this.#options.tokens(),
        lane: random(3) === 0 ? `${pickLane()}-${writer * LANES + random(LANES)}` : null,
      }))
      const { ids, tries } = await this.#submit(wanted)
      // What was sent twice to a fleet may have come in by two ways, in any order
      const isOneTry = tries === 1 || !this.#options.isFleet
      const first = new Map(this.#places)
      for (const { key, tokens, lane } of wanted) {
        const own = ids.get(key)
        if (own === undefined) break
        const last = lane === null ? 0 : (this.#places.get(lane) ?? 0)
        const place = isOneTry || lane === null ? last : (first.get(lane) ?? 0)
        if (lane !== null) this.#places.set(lane, last + 1)
        // More than one id is a fault, which the checker finds
        for (const { id, atMs } of own) {
          const job: Acked = { id, key, tokens, lane, place, ackedAtMs: atMs, canceled: false }
          this.acked.push(job)
          if (this.#toRead.length < MAX_TO_READ && random(4) === 0) this.#toRead.push(job)
        }
      }
      if (this.acked.length > 0 && random(4) === 0) {
        const job = this.acked[this.acked.length - 1 - random(Math.min(20, this.acked.length))]
        job.canceled = true
        const answer = await this.#http.call('POST', `/v1/jobs/${job.id}/cancel`).catch(() => null)
        if (answer?.status === 202 && answer.json.state === 'canceled') job.canceledAtMs = performance.now()
      }
      await pause(random(30))
    }
  }

  /** Not acknowledged: the same again, with the same keys, until it is; by either door, whichever it was before. */
  async #submit(
    wanted: ReadonlyArray<{ readonly key: string; readonly tokens: number; readonly lane: string | null }>,
  ) {
    const { random, url, model, patienceMs } = this.#options
    const jobs = wanted.map(({ key, tokens, lane }) => ({
      idempotency_key: key,
      ...(lane === null ? {} : lane.startsWith(CONVERSATION) ? { conversation: lane } : { lane }),
      request: { model: model(tokens), user: key, messages: [{ role: 'user', content: key }] },
    }))
    const ids = new Map<string, Array<{ readonly id: string; readonly atMs: number }>>()
    const acknowledged = (key: string, id: string): void => {
      const own = ids.get(key) ?? []
      if (own.some((each) => each.id === id)) return
      ids.set(key, [...own, { id, atMs: performance.now() }])
    }
    let tries = 0
    while (ids.size < wanted.length) {
      const before = ids.size
      tries++
      if (random(2) === 0) {
        const left = jobs.filter(({ idempotency_key }) => !ids.has(idempotency_key))
        const cutAt = random(3) === 0 ? 200 + random(3_000) : Infinity
        await submitOnce(url(), KEY, left, acknowledged, cutAt, patienceMs)
      } else {
        const answer = await this.#http.call('POST', '/v1/jobs', { jobs }).catch(() => null)
        if (answer?.status === 202 || answer?.status === 200)
          for (const [i, { object, id }] of (answer.json.data as Array<{ object: string; id: string }>).entries())
            if (object === 'job') acknowledged(wanted[i].key, id)
      }
      if (ids.size === before) {
        if (this.#stopping) break
        await pause(20)
      }
    }
    return { ids, tries }
  }

  /**
   * Without a key, at a steady pace: where no answer came nobody can know whether it is a job. Its log is read in the
   * end only.
   */
  async #post(poster: number): Promise<void> {
    const { random, tokens, model } = this.#options
    while (!this.#stopping) {
      const key = `post-${this.#keys++}`
      const count = tokens()
      const kind = [null, 'lane', CONVERSATION][random(3)]
      const lane = kind === null ? null : `${kind}-post-${poster}-${random(3)}`
      const where = lane === null ? {} : { [kind!]: lane }
      const request = { model: model(count), user: key, messages: [{ role: 'user', content: key }] }
      const answer = await this.#http.call('POST', '/v1/jobs', { ...where, request }).catch(() => null)
      if (answer?.status === 202) {
        const place = lane === null ? 0 : (this.#places.get(lane) ?? 0)
        if (lane !== null) this.#places.set(lane, place + 1)
        const { id } = answer.json as { id: string }
        this.acked.push({ id, key, tokens: count, lane, place, ackedAtMs: performance.now(), canceled: false })
        this.posted++
      }
      await pause(random(POST_EVERY_MS))
    }
  }

  /** A plain JSON call under an idempotency key, repeated until it is answered. */
  async #ask(): Promise<void> {
    const { random, tokens, model } = this.#options
    while (!this.#stopping) {
      const key = `ask-${this.#keys++}`
      const count = tokens()
      const body = {
        model: model(count),
        user: key,
        messages: [{ role: 'user', content: key }],
        sluice: { idempotency_key: key, deadline_ms: 600_000 },
      }
      while (!this.#over) {
        const sentAtMs = performance.now()
        const answer = await this.#http.call('POST', '/v1/chat/completions', body).catch(() => null)
        if (answer === null || isPassing(answer.status)) {
          await pause(10 + random(40))
          continue
        }
        const { status, json, headers } = answer
        const text = status === 200 ? json.choices[0].message.content : json.error.code
        const job = String(headers['sluice-job'])
        this.answers.push({ job, key, tokens: count, text, status, sentAtMs, atMs: performance.now() })
        break
      }
      await pause(50 + random(400))
    }
  }

  // ------------------------------------------------------------ who reads

  async #follow(): Promise<void> {
    const { random } = this.#options
    while (!this.#stopping) {
      const job = this.#toRead.shift()
      if (job === undefined) {
        await pause(10)
        continue
      }
      const reader: Reader = { job: job.id, dialect: random(2) === 0 ? 'native' : 'chat', seen: [], complete: false }
      this.readers.push(reader)
      const path = `/v1/jobs/${job.id}/events?dialect=${reader.dialect}`
      while (!this.#over && !(await this.#readOn(reader, path, random(3) === 0 ? 200 + random(3_000) : Infinity)))
        await pause(5 + random(20))
    }
  }

  /** One connection. True: it is over for this reader. */
  async #readOn(reader: Reader, path: string, cutAfterBytes: number): Promise<boolean> {
    const { seen } = reader
    const last = seen.at(-1)?.id ?? ''
    const headers: Record<string, string> = last === '' ? {} : { 'last-event-id': last }
    const on = (event: Seen): void => void seen.push(event)
    const { status, ended, code } = await this.#http.events('GET', path, undefined, headers, on, cutAfterBytes)
    if (status === 204 || (status === 200 && ended && isOver(seen.at(-1)))) reader.complete = true
    // Chat says a restart as an error event; what ended otherwise before it said anything has its own status
    else if (status >= 400 && !isPassing(status)) reader.refused = code ?? String(status)
    else this.resumes++
    return reader.complete || reader.refused !== undefined
  }

  /** Many jobs on one connection, all resumed in the hello of the next. */
  async #followOverSocket(): Promise<void> {
    const { random, url, patienceMs } = this.#options
    const mine: Reader[] = []
    const take = (): Reader | null => {
      const job = this.#toRead.shift()
      if (job === undefined) return null
      const reader: Reader = { job: job.id, dialect: 'socket', seen: [], complete: false }
      this.readers.push(reader)
      mine.push(reader)
      return reader
    }
    while (!this.#over && (!this.#stopping || mine.some(isOpen))) {
      mine.splice(0, mine.length, ...mine.filter(isOpen))
      while (!this.#stopping && mine.length < JOBS_PER_SOCKET && take() !== null);
      if (mine.length === 0) {
        await pause(10)
        continue
      }
      const cutAt = random(2) === 0 ? 300 + random(10_000) : Infinity
      const more = (): Reader | null => (this.#stopping ? null : take())
      if (await readOnce(url(), KEY, mine, cutAt, more, patienceMs)) continue
      this.resumes++
      await pause(5 + random(20))
    }
  }

  /** Plain chat streams: resumed by their location, and by the SDKs' retry when that is not known. */
  async #stream(): Promise<void> {
    const { random } = this.#options
    while (!this.#stopping) {
      const key = `chat-${this.#keys++}`
      const body = {
        model: `mock-n${5 + random(30)}-d${1 + random(5)}-f5`,
        stream: true,
        user: key,
        messages: [{ role: 'user', content: key }],
      }
      const reader: Reader & { job: string } = { job: '', dialect: 'chat', seen: [], complete: false }
      let path: string | null = null
      for (let tries = 0; !this.#stopping; tries++) {
        if (path !== null && reader.seen.length > 0) {
          if (await this.#readOn(reader, path, Infinity)) break
        } else {
          const retry: Record<string, string> = tries === 0 ? {} : { 'x-stainless-retry-count': '1' }
          const cutAt = random(4) === 0 ? 300 + random(5_000) : Infinity
          const on = (event: Seen): void => void reader.seen.push(event)
          const answer = await this.#http.events('POST', '/v1/chat/completions', body, retry, on, cutAt)
          // Where the first one has failed meanwhile, this is another job
          path = (answer.headers['location'] as string | undefined) ?? path
          if (answer.status >= 400 && !isPassing(answer.status)) break
          reader.complete = isOver(reader.seen.at(-1))
          if (reader.complete) break
          this.resumes++
        }
        await pause(10 + random(30))
      }
      if (path === null || reader.seen.length === 0) continue
      reader.job = path.split('/')[3]
      // Those that were still reading when all was stopped did not go on
      this.readers.push(reader)
      if (!reader.complete && this.#stopping) reader.refused ??= STOPPED
    }
  }
}

const isOver = (event: Seen | undefined): boolean =>
  event !== undefined && (event.event === 'end' || event.data === '[DONE]' || event.data.startsWith('{"error"'))
