/**
 * How long things take: one fault at a time, with calls at a steady pace on gateways that are not hit, and streams on
 * all, each reader of which goes on at another gateway when it loses its own.
 */
import { Http } from '../client.ts'
import type { Acked, Seen, UpstreamCall } from '../history.ts'
import { KEY, pause } from '../server.ts'
import type { Random } from './events.ts'
import { startAgain } from './events.ts'
import type { Fleet } from './fleet.ts'
import type { FleetNode } from './node.ts'
import type { Slowdown } from './slowdown.ts'

const STREAMS = 12
const TOKEN_MS = 30
const CALL_EVERY_MS = 50
const CALL_PATIENCE_MS = 15_000
const BEFORE_MS = 500
const AFTER_MS = 4_000
/** Heartbeats come each second. */
const READER_PATIENCE_MS = 3_000

export const FAULTS = ['kill coordinator', 'stop coordinator', 'kill gateway', 'kill worker'] as const
export type Fault = (typeof FAULTS)[number]

export interface Times {
  readonly fault: Fault
  readonly node: string
  /** From the fault to the acceptance of the first call that was made after it, ms. */
  readonly acceptMs: number
  /** How much slower than alone a process was meanwhile. */
  readonly slowdown: number
  /** Calls that were not accepted, of so many. */
  readonly failed: number
  readonly calls: number
  /** From the fault to the next event, of readers whose gateway died; at another gateway. */
  readonly resumeMs: readonly number[]
  /** From the fault to the next attempt's first event, of jobs whose worker died. */
  readonly goOnMs: readonly number[]
  /** The longest silence of a stream that the fault is no concern of. */
  readonly silenceMs: number
}

interface Arrival {
  readonly atMs: number
  /** By which it came. */
  readonly gateway: FleetNode
  readonly event: string
}

/** A job that streams, and its reader: what came when. */
class Stream {
  readonly key: string
  readonly arrivals: Arrival[] = []
  gateway: FleetNode
  job = ''
  #last = ''
  #isOver = false
  readonly #fleet: Fleet
  readonly #random: Random

  constructor(key: string, gateway: FleetNode, fleet: Fleet, random: Random) {
    this.key = key
    this.gateway = gateway
    this.#fleet = fleet
    this.#random = random
  }

  async run(tokens: number): Promise<void> {
    const http = new Http(() => this.gateway.url, KEY, READER_PATIENCE_MS)
    const request = {
      model: `mock-n${tokens}-d${TOKEN_MS}`,
      user: this.key,
      messages: [{ role: 'user', content: '-' }],
    }
    const submit = { request, idempotency_key: this.key }
    while (this.job === '' && !this.#isOver) {
      const answer = await http.call('POST', '/v1/jobs', submit).catch(() => null)
      if (answer?.status === 202 || answer?.status === 200) this.job = answer.json.id
      else await this.#elsewhere()
    }
    const on = ({ id, event }: Seen): void => {
      this.arrivals.push({ atMs: performance.now(), gateway: this.gateway, event })
      this.#last = id
      if (event === 'end') this.#isOver = true
    }
    while (!this.#isOver) {
      const headers: Record<string, string> = this.#last === '' ? {} : { 'last-event-id': this.#last }
      await http.events('GET', `/v1/jobs/${this.job}/events`, undefined, headers, on)
      if (!this.#isOver) await this.#elsewhere()
    }
    http.close()
  }

  stop(): void {
    this.#isOver = true
  }

  /** The first event after a time that is so, by how much. */
  nextAfter(atMs: number, isMeant: (arrival: Arrival) => boolean): number {
    return (this.arrivals.find((each) => each.atMs > atMs && isMeant(each))?.atMs ?? Infinity) - atMs
  }

  longestSilence(fromMs: number, toMs: number): number {
    const seen = this.arrivals.map(({ atMs }) => atMs).filter((at) => at >= fromMs && at <= toMs)
    return seen.reduce((most, at, i) => Math.max(most, at - (i === 0 ? fromMs : seen[i - 1])), 0)
  }

  async #elsewhere(): Promise<void> {
    const others = this.#fleet.gateways.filter((each) => each !== this.gateway)
    this.gateway = others[this.#random(others.length)]
    await pause(10)
  }
}

interface Call {
  readonly sentMs: number
  acceptedMs: number
}

const CALL_TOKENS = 2

/** Submits at a steady pace at gateways other than `hit`, until it is stopped. */
class Calls {
  readonly made: Call[] = []
  readonly #pending: Array<Promise<void>> = []
  readonly #timer: NodeJS.Timeout
  readonly #http: Http[]
  readonly #acked: Acked[]

  constructor(fleet: Fleet, hit: FleetNode, acked: Acked[]) {
    this.#acked = acked
    this.#http = fleet.gateways.filter((each) => each !== hit).map((each) => new Http(each.url, KEY, CALL_PATIENCE_MS))
    this.#timer = setInterval(() => this.#pending.push(this.#call()), CALL_EVERY_MS)
  }

  async #call(): Promise<void> {
    const call: Call = { sentMs: performance.now(), acceptedMs: Infinity }
    const http = this.#http[this.made.length % this.#http.length]
    this.made.push(call)
    const key = `call-${calls++}`
    const request = { model: `mock-n${CALL_TOKENS}`, user: key, messages: [{ role: 'user', content: key }] }
    const answer = await http.call('POST', '/v1/jobs', { request }).catch(() => null)
    if (answer?.status !== 202) return
    const atMs = performance.now()
    call.acceptedMs = atMs
    const { id } = answer.json as { id: string }
    this.#acked.push({ id, key, tokens: CALL_TOKENS, lane: null, place: 0, ackedAtMs: atMs, canceled: false })
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await Promise.all(this.#pending)
    for (const http of this.#http) http.close()
  }
}

let rounds = 0
let calls = 0

/** `acked`: takes what was acknowledged. */
export async function measure(
  fleet: Fleet,
  fault: Fault,
  random: Random,
  acked: Acked[],
  control: Slowdown,
): Promise<Times> {
  const round = rounds++
  const lastMs = BEFORE_MS + AFTER_MS + 2_000
  const tokens = Math.ceil(lastMs / TOKEN_MS)
  const { gateways, workers } = fleet
  const streams = Array.from(
    { length: STREAMS },
    (_, i) => new Stream(`stream-${round}-${i}`, gateways[i % gateways.length], fleet, random),
  )
  const read = Promise.all(streams.map((stream) => stream.run(tokens)))
  const hit = fault.endsWith('coordinator')
    ? await fleet.coordinator()
    : (fault === 'kill gateway' ? gateways : workers)[random(3)]
  if (hit === null) throw new Error('nobody coordinates')
  const submits = new Calls(fleet, hit, acked)
  while (streams.some(({ arrivals }) => arrivals.length === 0)) await pause(20)
  await pause(BEFORE_MS)
  const workerOf = await workersOf(fleet, streams)
  const wereAt = new Map(streams.map((stream) => [stream, stream.gateway]))

  const atMs = performance.now()
  const reached = fault === 'stop coordinator' ? fleet.isolate(hit) : null
  if (fault === 'stop coordinator') hit.suspend()
  else await hit.kill()
  await pause(AFTER_MS)
  const toMs = performance.now()
  await submits.stop()
  if (fault === 'stop coordinator') hit.resume()
  else await startAgain(hit)
  reached?.()
  await Promise.race([read, pause(lastMs)])
  for (const stream of streams) stream.stop()

  const cutOff = streams.filter((stream) => wereAt.get(stream) === hit)
  const orphaned = streams.filter((stream) => workerOf.get(stream) === hit.name && wereAt.get(stream) !== hit)
  const untouched = streams.filter((stream) => workerOf.get(stream) !== hit.name && wereAt.get(stream) !== hit)
  const after = submits.made.filter(({ sentMs }) => sentMs >= atMs)
  const acceptMs = Math.min(...after.map(({ acceptedMs }) => acceptedMs)) - atMs
  return {
    fault,
    node: hit.name,
    acceptMs,
    slowdown: control.between(atMs, atMs + Math.min(AFTER_MS, Math.max(1_000, acceptMs))),
    failed: submits.made.filter(({ acceptedMs }) => acceptedMs === Infinity).length,
    calls: submits.made.length,
    resumeMs:
      fault === 'stop coordinator'
        ? []
        : cutOff.map((stream) => stream.nextAfter(atMs, ({ gateway }) => gateway !== hit)),
    // Whoever was stopped is back at about the end of its lease
    goOnMs:
      fault === 'stop coordinator'
        ? []
        : orphaned.map((stream) => stream.nextAfter(atMs, ({ event }) => event === 'attempt')),
    silenceMs: Math.max(...untouched.map((stream) => stream.longestSilence(atMs - BEFORE_MS, toMs))),
  }
}

/** Which worker runs each, by the path of its call. */
async function workersOf({ upstream }: Fleet, streams: readonly Stream[]): Promise<Map<Stream, string>> {
  const http = new Http(upstream.url, '')
  const calls = (await http.call('GET', '/calls')).json as UpstreamCall[]
  http.close()
  const paths = new Map(calls.map(({ user, path = '' }) => [user, path.split('/')[1]]))
  return new Map(streams.map((stream) => [stream, paths.get(stream.key) ?? '']))
}
