/** What the files of one term share. */
import type { Clock } from '../../../core/clock.ts'
import type { Emit } from '../../../core/facts.ts'
import type { TenantId } from '../../../core/job.ts'
import type { Coordinator, PlanModel } from '../../../core/ports/coordinator.ts'
import type { Selector } from '../../../core/ports/operations.ts'
import type { Connection } from '../client/connection.ts'
import type { Names } from '../client/names.ts'
import type { RedisTime } from '../client/redis-time.ts'
import type { Room } from '../client/room.ts'
import type { Marks } from '../protocol/marks.ts'
import type { Attendance } from './attendance.ts'
import type { Won } from './election.ts'
import type { Fleet } from './fleet.ts'
import type { HeldJobs, Waiting } from './held.ts'
import type { Journal } from './journal.ts'
import type { StoredLevels } from './levels.ts'

/** How the fleet is coordinated, whichever process does it. */
export interface Rules {
  /** Retention of a tenant's jobs; null: for ever. */
  readonly keepMs: (tenant: TenantId) => number | null
  /** Where that is 0: of a job whose end nobody reads as it comes; absent: as of any. */
  readonly unreadMs?: number
  readonly disconnectGraceMs: number
  readonly joinAfterEndMs: number
  /** A process for which nobody hears is given up after this. */
  readonly goneMs: number
  /** See JobRetention. */
  readonly usageSums?: number
}

/** What a host decides with, made of settings that can change. */
export interface Decisions {
  /** An empty one, for each term. */
  createCoordinator(): Coordinator
  /** Retention of a tenant's jobs; null: for ever. */
  keepMs(tenant: TenantId): number | null
  /** Plain data, in groups by name: another object after each change. */
  settings(): object
  /** Others were put in force, here or by another process, whose version may be another: what it sends is checked. */
  change(settings: unknown): void
}

/** When jobs ended that a retry may join and the machine does not know: in terms before this one. */
export interface Joinable {
  readonly fromMs: number
  readonly toMs: number
}

export interface Term {
  readonly won: Won
  readonly rules: Rules
  readonly names: Names
  readonly connection: Connection
  readonly clock: Clock
  readonly coordinator: Coordinator
  readonly journal: Journal
  readonly held: HeldJobs
  readonly levels: StoredLevels
  readonly room: Room
  readonly fleet: Fleet
  readonly attendance: Attendance
  readonly pauses: Map<string, Selector>
  /** Tenants that are being erased, until when. */
  readonly barred: Map<TenantId, number>
  /** Who asked whether it is ready. */
  readonly greeting: Waiting[]
  readonly emit: Emit
  /** What decides, in this term and those to come: another process was configured. */
  adopt(models: readonly PlanModel[], settings: unknown): void
  /** Monotonic ms. */
  now(): number
  /** Redis's clock: for what outlives the term. */
  readonly time: RedisTime
  readonly startedAtMs: number
  /** Of the store, as far as is known: what needs a newer one is not written. */
  readonly layout: number
  /** Null: there are none any more. */
  readonly joinable: Joinable | null
  /** The next `seq`. */
  seq(): number
  /** A stored job has this one. */
  taken(seq: number): void
}

export interface TermOptions {
  readonly won: Won
  readonly host: string
  readonly rules: Rules
  readonly coordinator: Coordinator
  readonly connection: Connection
  readonly names: Names
  readonly clock: Clock
  readonly time: RedisTime
  readonly random: () => number
  readonly emit: Emit
  /** Of the settings in force. */
  readonly marks: () => Marks
  readonly adopt: Term['adopt']
  /** It has no connection, so nothing is decided: no lease ends because of that. */
  readonly isDeaf: () => boolean
  /** A term before broke off: what broke it may still be stored. */
  readonly isSuspect: boolean
  /** It is over; nothing more is stored or told. `broke`: by what nobody foresaw, and may meet the next one too. */
  readonly ended: (reason: string, broke: boolean) => void
}
