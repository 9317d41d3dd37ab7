/** Who was served how much in the last minute: tenants, models and deployments, each by name. */
import type { RowKind } from '../../core/live.ts'
import { FROM_CACHE } from '../../core/ports/work.ts'
import { Table } from '../../core/table.ts'
import { Minute } from '../scheduler/minute.ts'
import type { Notes } from '../scheduler/port.ts'

/** Names of a kind; clients choose those of models that match a pattern. Beyond them nothing is counted. */
const MOST_NAMES = 2_048

export class Service {
  readonly #kinds: Readonly<Record<RowKind, Table<string, Minute>>> = {
    tenant: new Table(),
    model: new Table(),
    deployment: new Table(),
  }

  /** A running job's: see SchedulerOptions. A job that has no claim yet is at no deployment. */
  add({ job, claim }: Notes, service: number, outputTokens: number, now: number): void {
    this.#minuteOf('tenant', job.tenant, now)?.add(service, outputTokens, now)
    this.#minuteOf('model', job.model, now)?.add(service, outputTokens, now)
    if (claim !== null && claim.deployment !== FROM_CACHE)
      this.#minuteOf('deployment', claim.deployment, now)?.add(service, outputTokens, now)
  }

  of(kind: RowKind, name: string): Minute | null {
    return this.#kinds[kind].get(name) ?? null
  }

  /** Those that were served in the last minute; the others are forgotten. */
  lately(kind: RowKind, now: number): ReadonlyArray<readonly [name: string, Minute]> {
    const served: Array<readonly [string, Minute]> = []
    const minutes = this.#kinds[kind]
    for (const [name, minute] of minutes.entries())
      if (minute.isOver(now)) minutes.delete(name)
      else served.push([name, minute])
    return served
  }

  #minuteOf(kind: RowKind, name: string, now: number): Minute | null {
    const minutes = this.#kinds[kind]
    const known = minutes.get(name)
    if (known !== undefined) return known
    if (minutes.size >= MOST_NAMES) this.lately(kind, now)
    if (minutes.size >= MOST_NAMES) return null
    const minute = new Minute()
    minutes.set(name, minute)
    return minute
  }
}
