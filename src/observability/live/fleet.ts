/**
 * The nodes of a fleet, as the page of one of them shows them: while somebody looks, all others are asked once a second
 * for what has changed, and copies are kept (copies.ts). Sums are of what is here; a node that does not answer is
 * silent, and its last figures are left out. A job's readers and curves are asked for when it is looked at.
 */
import { type Clock, sleep } from '../../core/clock.ts'
import type { JobId } from '../../core/job.ts'
import { isRecord, type JsonRecord } from '../../core/json.ts'
import type { NodeRow } from '../../core/live.ts'
import type { About, Peer, Peers } from '../../core/ports/peers.ts'
import { History } from '../history/history.ts'
import { sumOf } from '../history/sum.ts'
import { mergeTraces, type PackedTrace, packTrace, shifted } from '../traces/merged.ts'
import type { Trace, TraceBook } from '../traces/traces.ts'
import { Copy, type Own, tellSince, type Vitals, vitalsOf } from './copies.ts'
import { FleetTraces } from './fleet-traces.ts'
import type { Nodes } from './live.ts'
import type { View } from './now-pages.ts'
import { emptyTallies } from './watchers.ts'

const VERSION = 1
/** After its last word, as the page tells it, too. */
const SILENT_MS = 3_000
/** One that is not listed any more has left, if it tells nothing either. */
const LEFT_MS = 2_000
/** Of an answer; the rest is asked for at once. */
const MAX_ITEMS_CHARS = 128 * 1024
/** More nodes are listed as silent: a copy takes up to 3 MB. */
export const MAX_COPIES = 64
/** The first picture waits for the others for no longer. */
const BEGIN_MS = 1_000
const BEGIN_LOOK_MS = 25
const JOB_MS = 1_000
/** Between two machines' clocks, less can't be told. */
const SAME_MS = 10

export interface FleetParts {
  readonly clock: Clock
  readonly peers: Peers
  readonly about: About
  /** There are no others, and never will be. */
  readonly isAlone: boolean
  /** By the clock of the store. */
  readonly storeMs: () => number
  readonly own: Own
  /** How this node is now. */
  readonly vitals: () => Omit<Vitals, 'name' | 'role' | 'skewMs' | 'startAtMs' | 'outs'>
}

interface Node {
  copy: Copy
  name: string
  role: NodeRow['role']
  /** When it told something last; when it was first listed, where it has told nothing yet. */
  heardMono: number
  absentMs: number
}

interface AskedJob {
  readonly waits: Set<string>
  readonly parts: PackedTrace[]
  readonly done: () => void
  readonly trace: Promise<Trace | null>
}

export class Fleet implements Nodes {
  readonly traces: TraceBook
  readonly #fleetTraces: FleetTraces
  readonly #parts: FleetParts
  readonly #nodes = new Map<string, Node>()
  readonly #asked = new Map<JobId, AskedJob>()
  /** What nodes had told of attempts that they didn't end, and are gone: nobody else knows of it. */
  readonly #left = new Copy()
  #isLooked = false
  #nothing: History | null = null

  constructor(parts: FleetParts) {
    const { peers, about, own, isAlone } = parts
    this.#parts = parts
    this.#fleetTraces = new FleetTraces(own.traces, () => [...this.#copies()])
    this.traces = isAlone ? own.traces : this.#fleetTraces
    peers.join({
      about,
      answer: (question) => orNull(() => this.#answer(question)),
      heard: (from, answer) => void orNull(() => this.#heard(from, answer)),
    })
  }

  get lateMs(): number {
    return this.#nodes.size === 0 ? 0 : SILENT_MS
  }

  async begin(): Promise<void> {
    const { clock } = this.#parts
    const wasLooked = this.#isLooked
    this.#isLooked = true
    if (wasLooked) return
    const untilMono = clock.monoMs() + BEGIN_MS
    await Promise.race([this.look(), sleep(clock, BEGIN_MS)])
    const isWaiting = () => [...this.#nodes.values()].some(({ copy, absentMs }) => !copy.isWhole && absentMs === 0)
    while (this.#isLooked && isWaiting() && clock.monoMs() < untilMono) await sleep(clock, BEGIN_LOOK_MS)
  }

  end(): void {
    this.#isLooked = false
    this.#nodes.clear()
    this.#left.jobs.clear()
  }

  /** Asks all others what has changed. */
  async look(): Promise<void> {
    try {
      this.#listed(await this.#ask(null))
    } catch {} // the store is away: they become silent
  }

  /** With readers and curves. Null: nobody knows it. */
  whole(job: JobId): Promise<Trace | null> {
    if (this.#parts.isAlone) return Promise.resolve(this.traces.get(job))
    // Pages that look at the same ask once
    const asked = this.#asked.get(job)
    if (asked !== undefined) return asked.trace
    const parts: PackedTrace[] = []
    const waits = new Set([...this.#nodes].flatMap(([id, node]) => (this.#isSilent(node) ? [] : [id])))
    let done = (): void => {}
    const told = new Promise<void>((resolve) => {
      done = resolve
    })
    if (waits.size === 0) done()
    else this.#parts.peers.ask(JSON.stringify({ v: VERSION, t: 'job', job })).catch(done)
    const trace = Promise.race([told, sleep(this.#parts.clock, JOB_MS)]).then(() => {
      this.#asked.delete(job)
      if (waits.size > 0) this.#fleetTraces.touch(job)
      const own = this.#parts.own.traces.get(job)
      const silent = [...this.#nodes.values()].filter((node) => this.#isSilent(node)).map(({ copy }) => copy)
      const untold = [...silent, this.#left].flatMap(({ jobs }) => jobs.get(job) ?? [])
      const told = own === null ? parts : [packTrace(own, true), ...parts]
      return mergeTraces([...told, ...untold]) ?? this.traces.get(job)
    })
    this.#asked.set(job, { waits, parts, done, trace })
    return trace
  }

  rows(): readonly NodeRow[] {
    const { about, vitals } = this.#parts
    const rows: NodeRow[] = [{ id: about.name, role: about.role, coordinates: vitals().coordinates, silentMs: 0 }]
    for (const [id, node] of this.#nodes) {
      const isTaken = rows.some((row) => row.id === node.name)
      rows.push({
        id: isTaken ? `${node.name} ${id}` : node.name,
        role: node.role,
        coordinates: !this.#isSilent(node) && node.copy.vitals?.coordinates === true,
        silentMs: Math.round(this.#silentMs(node)),
      })
    }
    return rows
  }

  view(name: string | null): View {
    const { own, about } = this.#parts
    const rows = name === null ? [] : this.rows().slice(1)
    const others = [...this.#nodes].filter(
      ([, node], nth) => (name === null || rows[nth].id === name) && node.copy.isWhole && !this.#isSilent(node),
    )
    const isOwn = name === null || name === about.name
    const histories = [...(isOwn ? [own.history] : []), ...others.map(([, { copy }]) => copy.history!)]
    if (histories.length === 0) {
      this.#nothing ??= new History(this.#parts.clock.wallMs())
      return { key: 'none', history: this.#nothing, tallies: [emptyTallies()] }
    }
    return {
      key: [isOwn ? '' : 'only', ...others.map(([id]) => id)].join(),
      history: sumOf(histories),
      tallies: [...(isOwn ? [own.tallies] : []), ...others.map(([, { copy }]) => copy.tallies)],
    }
  }

  /** Workers that are silent. */
  gone(): readonly string[] {
    return [...this.#nodes.values()]
      .filter((node) => node.role !== 'gateway' && this.#isSilent(node))
      .map(({ name }) => name)
  }

  /** Of all that are heard, with this node. */
  vitals(): ReadonlyArray<Pick<Vitals, 'name' | 'loopLagP99Ms' | 'loopHeld' | 'commitP99Ms' | 'outs'>> {
    const { vitals, own, about } = this.#parts
    const others = [...this.#nodes.values()].flatMap((node) =>
      node.copy.vitals === null || this.#isSilent(node) ? [] : [node.copy.vitals],
    )
    return [{ ...vitals(), name: about.name, outs: own.changes.outs() }, ...others]
  }

  // ---------------------------------------------------------------- as others ask

  #answer(question: string): string | null {
    const { own, clock, peers, about, vitals, storeMs } = this.#parts
    const asked = parsed(question)
    if (asked === null || asked['v'] !== VERSION) return null
    const is: Vitals = {
      ...vitals(),
      name: about.name,
      role: about.role,
      startAtMs: own.history.startAtMs,
      skewMs: clock.wallMs() - storeMs(),
      outs: own.changes.outs().slice(0, 100),
    }
    own.traces.looked(clock.monoMs())
    if (asked['t'] === 'job') {
      const { job } = asked
      const trace = typeof job === 'string' ? own.traces.get(job) : null
      return JSON.stringify({ v: VERSION, t: 'job', job, is, trace: trace === null ? null : packTrace(trace, true) })
    }
    const { only, since } = asked
    if (asked['t'] !== 'look' || (typeof only === 'string' && only !== peers.self)) return null
    const from = isRecord(since) ? since[peers.self] : null
    const { upTo, more, items } = tellSince(own, typeof from === 'number' ? from : 0, MAX_ITEMS_CHARS)
    const head = JSON.stringify({ v: VERSION, t: 'look', upTo, more, is })
    return `${head.slice(0, -1)},"items":[${items.join()}]}`
  }

  // ---------------------------------------------------------------- what they answer

  #ask(only: string | null): Promise<readonly Peer[]> {
    const since = Object.fromEntries([...this.#nodes].map(([id, { copy }]) => [id, copy.upTo]))
    return this.#parts.peers.ask(JSON.stringify({ v: VERSION, t: 'look', since, ...(only !== null && { only }) }))
  }

  #listed(peers: readonly Peer[]): void {
    if (!this.#isLooked) return
    for (const { id, name, role, absentMs } of peers.slice(0, 4 * MAX_COPIES)) {
      const node = this.#nodes.get(id) ?? this.#add(id, name, role)
      node.absentMs = absentMs ?? 0
    }
    const there = new Set(peers.map(({ id }) => id))
    for (const [id, node] of this.#nodes)
      if (!there.has(id) && this.#silentMs(node) > LEFT_MS) {
        this.#nodes.delete(id)
        this.#left.inherit(node.copy)
      }
  }

  *#copies(): Iterable<Copy> {
    for (const { copy } of this.#nodes.values()) yield copy
    yield this.#left
  }

  #add(id: string, name: string, role: NodeRow['role']): Node {
    const node: Node = { copy: new Copy(), name, role, heardMono: this.#parts.clock.monoMs(), absentMs: 0 }
    this.#nodes.set(id, node)
    return node
  }

  #heard(from: string, answer: string): void {
    const told = parsed(answer)
    const is = told === null ? null : vitalsOf(told['is'])
    if (!this.#isLooked || told === null || told['v'] !== VERSION || is === null) return
    const { clock, storeMs, own } = this.#parts
    const skewMs = clock.wallMs() - storeMs() - is.skewMs
    const shiftMs = Math.abs(skewMs) < SAME_MS ? 0 : Math.round(skewMs)
    if (told['t'] === 'job') return this.#heardJob(from, told, shiftMs)
    const { items, upTo, more } = told
    if (told['t'] !== 'look' || !Array.isArray(items) || typeof upTo !== 'number') return
    const node = this.#nodes.get(from) ?? this.#add(from, is.name, is.role)
    if ([...this.#nodes.keys()].indexOf(from) >= MAX_COPIES) return
    node.heardMono = clock.monoMs()
    node.absentMs = 0
    const { copy } = node
    if (copy.isOff(shiftMs)) {
      node.copy = new Copy()
      return void this.#ask(from).catch(() => {}) // with the next look
    }
    copy.vitals = {
      ...is,
      startAtMs: is.startAtMs + shiftMs,
      outs: is.outs.map(([deployment, sinceMs]) => [deployment, sinceMs + shiftMs]),
    }
    // One that was asked twice may answer the first question last
    if (upTo < copy.upTo) return
    copy.take(items, shiftMs, (row, writtenAtMs) => own.changes.addOthers(row, writtenAtMs))
    copy.upTo = upTo
    if (more !== true) copy.isWhole = true
    else this.#ask(from).catch(() => {}) // with the next look
  }

  #heardJob(from: string, { job, trace }: JsonRecord, shiftMs: number): void {
    const asked = this.#asked.get(String(job))
    if (asked === undefined || !asked.waits.delete(from)) return
    if (isRecord(trace)) asked.parts.push(shifted(trace as unknown as PackedTrace, shiftMs))
    if (asked.waits.size === 0) asked.done()
  }

  #silentMs({ heardMono, absentMs }: Node): number {
    return Math.max(absentMs, this.#parts.clock.monoMs() - heardMono)
  }

  #isSilent(node: Node): boolean {
    return this.#silentMs(node) > SILENT_MS
  }
}

/** Of another version, which may mean something else by the same words: it stays silent, and this process lives. */
function orNull<T>(read: () => T): T | null {
  try {
    return read()
  } catch {
    return null
  }
}

function parsed(text: string): JsonRecord | null {
  try {
    const value: unknown = JSON.parse(text)
    return isRecord(value) ? value : null
  } catch {
    return null
  }
}
