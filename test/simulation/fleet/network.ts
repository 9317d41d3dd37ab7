/** All that is between the processes of a simulated fleet and their Redis: its weather, and what cuts and silences. */
import type { Connect, Connection } from '../../../src/engines/redis/client/connection.ts'
import type { Random } from '../random.ts'
import { SimConnection } from './connection.ts'
import type { SimLink } from './link.ts'
import type { SimServer } from './server.ts'
import type { SimProcess, Timeline } from './timeline.ts'

/** How bad it is, in chances. */
export interface Weather {
  readonly loses: number
  readonly repeats: number
  readonly delays: number
}

export const CALM: Weather = { loses: 0, repeats: 0, delays: 0 }

export class Network {
  readonly timeline: Timeline
  readonly server: SimServer
  readonly draw: Random
  weather: Weather
  readonly #links = new Set<SimLink>()
  /** Until when nothing passes, by process. */
  readonly #silentUntil = new Map<SimProcess, number>()

  constructor(timeline: Timeline, server: SimServer, draw: Random, weather: Weather) {
    this.timeline = timeline
    this.server = server
    this.draw = draw
    this.weather = weather
  }

  connect(process: SimProcess): Connect {
    return () => {
      const link = new SimConnection(this, process)
      this.#links.add(link)
      return link as unknown as Connection
    }
  }

  forget(link: SimLink): void {
    this.#links.delete(link)
  }

  latency(): number {
    return 0.1 + this.draw.below(20) / 10
  }

  silentUntil(process: SimProcess): number {
    return this.#silentUntil.get(process) ?? 0
  }

  /** Nothing passes either way, and nobody is told. */
  silence(process: SimProcess, ms: number): void {
    this.#silentUntil.set(process, this.timeline.now + ms)
  }

  /** All connections of a process are closed. */
  cut(process: SimProcess): void {
    for (const link of [...this.#links]) if (link.process === process) link.cut()
  }

  /** As its process is killed. */
  drop(process: SimProcess): void {
    for (const link of [...this.#links])
      if (link.process === process) {
        link.cut()
        this.#links.delete(link)
      }
  }

  restartServer(awayMs: number, lost: number): void {
    this.server.stop()
    for (const link of [...this.#links]) link.cut()
    this.timeline.at(this.timeline.now + awayMs, null, () => this.server.restart(lost))
  }
}
