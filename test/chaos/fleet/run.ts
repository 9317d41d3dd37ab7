/**
 * The fleet's oracle: clients of every kind work through all gateways while processes, links and Redis fail. What they
 * saw is checked offline: 0 lost (or, where a fail-over lost it, told), 0 doubled, 0 out of order.
 */
import type { LedgerPage } from '../../../src/core/ports/ledger.ts'
import { Connection } from '../../../src/engines/redis/client/connection.ts'
import { Names } from '../../../src/engines/redis/client/names.ts'
import { RedisLedger } from '../../../src/engines/redis/ledger.ts'
import { random as seeded } from '../../random.ts'
import type { UsageLeft } from '../check-usage.ts'
import { check } from '../checker.ts'
import { Http } from '../client.ts'
import { readFinals, readTurns } from '../finals.ts'
import type { History, UpstreamCall } from '../history.ts'
import { Load } from '../load.ts'
import { KEY, pause } from '../server.ts'
import type { IntakeName } from './broker.ts'
import { deckOf, EVENTS, type Event, INTAKE_EVENTS, type Random, Targets, upgrades } from './events.ts'
import { Fleet } from './fleet.ts'
import { Slowdown } from './slowdown.ts'
import type { Fsync } from './store.ts'
import { FAULTS, measure, type Times } from './times.ts'
import { acceptLimit, tooSlow } from './verdict.ts'

/** Of a client, where heartbeats come each second. */
const PATIENCE_MS = 5_000
/** After the last event every reader must reach its end within this. */
const READ_ON_MS = 60_000
/** And every job that is acknowledged must be there. */
const OWNED_MS = 15_000
const AT_ONCE = 2
const PAUSE_MS = 1_000
const PAGE = 1_000
/** Rounds until one is as fast as promised. */
const TRIES = 3

export interface FleetOptions {
  readonly events: number
  readonly jobs: number
  readonly seed: number
  /** How often each fault is measured. */
  readonly rounds: number
  /** How safe Redis is, and what is asked of it: `power` or `process`. */
  readonly fsync?: Fsync
  /** For every process, to plant a fault. */
  readonly env?: Readonly<Record<string, string>>
  /** Which events there are; all by default. */
  readonly only?: readonly Event[]
  /** Sources of the version that the fleet begins with: its nodes are upgraded one by one. */
  readonly before?: string
  /** In front of its pool; absent: jobs come directly. */
  readonly intake?: IntakeName
  /** Told each line of the event log. */
  readonly log: (line: string) => void
}

export interface FleetReport {
  /** How often each happened. */
  readonly events: ReadonlyMap<string, number>
  readonly acked: number
  /** Those without a key among them: with a broker in front, acknowledged before they are owned. */
  readonly posted: number
  readonly readers: number
  readonly answers: number
  readonly seen: number
  readonly resumes: number
  /** Acknowledged in the last second before a fail-over, and gone: told by a 404. */
  readonly toldLost: number
  /** Readers that were told that what they had been shown was lost. */
  readonly toldGaps: number
  readonly seconds: number
  readonly times: readonly Times[]
  readonly wrong: readonly string[]
}

export async function runFleet(options: FleetOptions): Promise<FleetReport> {
  const { events, jobs, seed, rounds, fsync, env, before, intake, log } = options
  const { only = intake === undefined ? EVENTS : INTAKE_EVENTS } = options
  const random = seeded(seed)
  const startedMs = performance.now()
  const [fleet, control] = await Promise.all([Fleet.start(env, fsync, before, intake), Slowdown.start()])
  const at = (): string => ((performance.now() - startedMs) / 1_000).toFixed(1)
  try {
    const pace = new Pace(jobs, events)
    const load = loadOf(fleet, seeded(seed + 1), () => pace.allows(load.acked.length))
    load.start()
    await fleet.broker?.settled()
    const times: Times[] = []
    for (const fault of rounds > 0 ? FAULTS : []) {
      const found: Times[] = []
      // Whatever else this machine does may make a round slow
      while (found.length < rounds || (tooSlow(found).length > 0 && found.length < TRIES)) {
        const one = await measure(fleet, fault, random, load.acked, control)
        found.push(one)
        log(
          `${at()} s  measured: ${fault} (${one.node}), accepted after ${Math.round(one.acceptMs)} ms, where ` +
            `${Math.round(acceptLimit(one))} may be (slowed down ${one.slowdown.toFixed(2)} times)`,
        )
      }
      times.push(...found)
    }
    pace.begin()
    const deck = deckOf(events, random, only)
    if (before !== undefined) spread(deck, upgrades(fleet))
    const counts = await happen(fleet, deck, random, (line) => {
      pace.over++
      log(`${at()} s  ${line}`)
    })
    pace.over = events
    while (load.acked.length < jobs) await pause(100)
    await load.stop(READ_ON_MS)
    log(`${at()} s  all is over: ${load.acked.length} jobs acknowledged`)

    const { acked, readers, answers } = load
    const history = await historyOf(fleet, load, before === undefined)
    const { finals } = history
    log(`${at()} s  read: ${finals.size} jobs`)
    return {
      events: counts,
      acked: acked.length,
      posted: load.posted,
      readers: readers.length,
      answers: answers.length,
      seen: readers.reduce((n, { seen }) => n + seen.length, 0),
      resumes: load.resumes,
      toldLost: acked.filter(({ id }) => !finals.has(id)).length,
      toldGaps: readers.filter(
        ({ seen, refused }) => refused === 'cursor_stale' || seen.some(({ event }) => event === 'gap'),
      ).length,
      seconds: (performance.now() - startedMs) / 1_000,
      times,
      wrong: check(history),
    }
  } finally {
    control.stop()
    await fleet.remove()
  }
}

/** About as long as an event takes, with the pause before the next one. */
const EVENT_MS = 4_000

/** Spreads the jobs evenly over the events, however long these take. */
class Pace {
  over = 0
  readonly #jobs: number
  readonly #events: number
  #startedMs = performance.now()
  #allowed = 0
  #seenMs = performance.now()

  constructor(jobs: number, events: number) {
    this.#jobs = jobs
    this.#events = events
  }

  begin(): void {
    this.#startedMs = performance.now()
  }

  allows(acked: number): boolean {
    const now = performance.now()
    const left = this.#events - this.over
    const eventMs = this.over === 0 ? EVENT_MS : (now - this.#startedMs) / this.over
    if (left === 0) this.#allowed = this.#jobs
    else this.#allowed += ((now - this.#seenMs) * Math.max(0, this.#jobs - this.#allowed)) / (left * eventMs)
    this.#seenMs = now
    return acked < this.#allowed
  }
}

function loadOf({ gateways, broker }: Fleet, random: Random, mayWrite: () => boolean): Load {
  return new Load({
    url: () => gateways[random(gateways.length)].url,
    random,
    patienceMs: PATIENCE_MS,
    isFleet: true,
    writers: 4,
    followers: 16,
    sockets: 4,
    streamers: 6,
    askers: 3,
    // What is acknowledged before it is owned has no key
    posters: broker === null ? 0 : 3,
    // Long enough to be running when something happens, now and then
    tokens: () => (random(10) === 0 ? 40 + random(120) : 2 + random(10)),
    model: (tokens) => `mock-n${tokens}-d${tokens > 12 ? 20 + random(30) : 1 + random(4)}-f${random(8)}`,
    mayWrite,
  })
}

/** Evenly among the others. */
function spread(deck: Event[], more: readonly Event[]): void {
  const step = (deck.length + more.length) / (more.length + 1)
  for (const [i, event] of more.entries()) deck.splice(Math.round((i + 1) * step), 0, event)
}

/** Runs the events, two at a time at most. Returns how often each happened. */
async function happen(
  fleet: Fleet,
  deck: readonly Event[],
  random: Random,
  told: (line: string) => void,
): Promise<Map<string, number>> {
  const counts = new Map<string, number>()
  const targets = new Targets(fleet, random)
  const running = new Map<Event, Promise<void>>()
  const mayBegin = ({ of }: Event): boolean =>
    running.size < (of === 'all' ? 1 : AT_ONCE) &&
    [...running.keys()].every((other) => of === 'node' || other.of !== of)
  const failed: unknown[] = []
  for (const card of deck) {
    const event = { ...card }
    while (!mayBegin(event) || [...running.keys()].some(({ of }) => of === 'all')) await Promise.race(running.values())
    const run = event
      .run(fleet, targets, random)
      .then(
        (detail) => told(`${event.name}: ${detail}`),
        (error: unknown) => void failed.push(error),
      )
      .finally(() => running.delete(event))
    running.set(event, run)
    counts.set(event.name, (counts.get(event.name) ?? 0) + 1)
    // Now and then the next one begins before this one is over
    if (random(3) > 0) await run
    await pause(random(PAUSE_MS))
    if (failed.length > 0) throw failed[0]
  }
  await Promise.all(running.values())
  if (failed.length > 0) throw failed[0]
  return counts
}

/** What clients saw, and what is stored in the end. */
async function historyOf(fleet: Fleet, load: Load, records: boolean): Promise<History> {
  const { acked, readers, answers } = load
  const { store, upstream, gateways, isolated, broker } = fleet
  const http = new Http(() => gateways[0].url, KEY)
  const ids = [...acked.map(({ id }) => id), ...[...readers, ...answers].map(({ job }) => job)]
  const finals = await readFinals(http, [...new Set(ids)])
  // What waits in the broker is shown by who published it alone, and as queued
  for (const giveUpAt = performance.now() + OWNED_MS; broker !== null && performance.now() < giveUpAt; ) {
    const left = ids.filter((id) => (finals.get(id)?.log.length ?? 0) === 0)
    if (left.length === 0) break
    for (const [id, final] of await readFinals(http, left)) finals.set(id, final)
  }
  const turns = await readTurns(http, load.conversations)
  const calls = (await new Http(upstream.url, '').call('GET', '/calls')).json as UpstreamCall[]
  http.close()
  // Its clock counts from another moment than the driver's
  const shiftMs = upstream.originMs - performance.timeOrigin
  return {
    acked,
    readers,
    answers,
    finals,
    turns,
    calls: calls.map((call) => ({
      ...call,
      startMs: call.startMs + shiftMs,
      endMs: call.endMs === null ? null : call.endMs + shiftMs,
    })),
    isFleet: true,
    losses: store.losses,
    isolated,
    ...(records && { usage: await usageOf(store.port) }),
  }
}

/** As Redis has it: all of the fleet write into one ledger. */
async function usageOf(port: number): Promise<UsageLeft> {
  const commands = new Connection({ url: `redis://127.0.0.1:${port}` })
  try {
    await commands.open()
    const ledger = new RedisLedger({ names: new Names(), commands })
    const records = await allOf((after) => ledger.records({}, after, PAGE))
    return { records, sums: await allOf((after) => ledger.sums({}, after, PAGE)) }
  } finally {
    commands.close()
  }
}

async function allOf<T>(read: (after: string | null) => Promise<LedgerPage<T>>): Promise<readonly T[]> {
  const items: T[] = []
  for (let after: string | null = null; ; ) {
    const page: LedgerPage<T> = await read(after)
    items.push(...page.items)
    after = page.next
    if (after === null) return items
  }
}
