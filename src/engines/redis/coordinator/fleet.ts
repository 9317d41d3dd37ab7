/**
 * The processes of the fleet, and their workers, as their coordinator knows them: by commands, by heartbeats, and by
 * whether anybody hears for their channel. Whoever is silent gets no more work; whoever is gone has lost what it held.
 */
import { Table } from '../../../core/table.ts'
import type { Beat } from '../protocol/messages.ts'

/** Heartbeats come each second. */
const SILENT_MS = 2_500

export interface Seat {
  readonly id: string
  readonly pools: readonly string[]
  readonly slots: number
  /** Of what its process said last; an older one is late. */
  readonly version: number
}

export class Process {
  readonly id: string
  readonly workers = new Table<string, Seat>()
  heardMono: number
  /** Nobody has heard for it since; null: somebody does. */
  absentMono: number | null = null
  /** Its workers get nothing. */
  isSilent = false
  isDraining = false

  constructor(id: string, heardMono: number) {
    this.id = id
    this.heardMono = heardMono
  }
}

export interface FleetEvents {
  /** Its slots, from now on; 0: it gets nothing more. */
  seated(seat: Seat): void
  /** It left, or its process is gone. */
  left(worker: string, wasDraining: boolean): void
  gone(process: Process): void
}

export class Fleet {
  readonly #processes = new Table<string, Process>()
  readonly #goneMs: number
  readonly #events: FleetEvents
  /** No process is given up before. */
  #patientUntilMono = 0

  constructor(goneMs: number, events: FleetEvents) {
    this.#goneMs = goneMs
    this.#events = events
  }

  get ids(): readonly string[] {
    return this.#processes.keys()
  }

  /** Somebody whose state is not known yet: it has the time to be heard. */
  expect(process: string, now: number): Process {
    const known = this.#processes.get(process)
    if (known !== undefined) return known
    const expected = new Process(process, now)
    this.#processes.set(process, expected)
    return expected
  }

  heard(process: string, now: number): Process {
    const known = this.expect(process, now)
    known.heardMono = now
    known.absentMono = null
    if (known.isSilent) {
      known.isSilent = false
      for (const seat of known.workers.values()) this.#events.seated(seat)
    }
    return known
  }

  seat(process: string, seat: Seat, now: number): void {
    const { workers } = this.heard(process, now)
    const known = workers.get(seat.id)
    if (known !== undefined && known.version >= seat.version) return
    workers.set(seat.id, seat)
    this.#events.seated(seat)
  }

  leave(process: string, worker: string, now: number): void {
    const { workers, isDraining } = this.heard(process, now)
    workers.delete(worker)
    this.#events.left(worker, isDraining)
  }

  beat({ process, workers }: Beat, now: number): void {
    this.heard(process, now)
    for (const { id, pools, slots, version } of workers) this.seat(process, { id, pools, slots, version }, now)
  }

  /** Nobody hears for it; somebody does. */
  presence(process: string, isThere: boolean, now: number): void {
    const known = this.#processes.get(process)
    if (known === undefined) return
    if (isThere) known.absentMono = null
    else known.absentMono ??= now
  }

  /** After time in which nobody could be heard: all have time to be heard again. */
  wait(now: number, ms: number): void {
    this.#patientUntilMono = now + ms
    for (const process of this.#processes.values()) {
      process.absentMono = null
      process.heardMono = now
    }
  }

  /** Those that the next check gives up. */
  leaving(now: number): readonly Process[] {
    if (now < this.#patientUntilMono) return []
    return [...this.#processes.values()].filter((process) => this.#isGone(process, now))
  }

  #isGone({ absentMono }: Process, now: number): boolean {
    return absentMono !== null && now - absentMono >= this.#goneMs
  }

  /** Gives up whoever is gone for too long, and seats nobody who is silent. */
  check(now: number): void {
    if (now < this.#patientUntilMono) return
    for (const process of this.#processes.values()) {
      if (this.#isGone(process, now)) this.#gone(process)
      else if (!process.isSilent && now - process.heardMono > SILENT_MS) {
        process.isSilent = true
        for (const seat of process.workers.values()) this.#events.seated({ ...seat, slots: 0 })
      }
    }
  }

  /** Is everybody who may hold something either heard, or given up? */
  isSettled(now: number): boolean {
    if (now < this.#patientUntilMono) return false
    for (const { absentMono } of this.#processes.values()) if (absentMono !== null) return false
    return true
  }

  #gone(process: Process): void {
    this.#processes.delete(process.id)
    this.#events.gone(process)
  }
}
