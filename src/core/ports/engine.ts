/** What an engine is: the store of jobs, token logs, conversations and keys. */
import type { SluiceError } from '../errors.ts'
import type { TenantId } from '../job.ts'
import type { Metric } from '../numbers.ts'
import type { Audit } from './audit.ts'
import type { Conversations } from './conversations.ts'
import type { PlanModel } from './coordinator.ts'
import type { Documents } from './documents.ts'
import type { Files } from './files.ts'
import type { Jobs } from './jobs.ts'
import type { Keys } from './keys.ts'
import type { Ledger } from './ledger.ts'
import type { TokenLog } from './log.ts'
import type { Operations } from './operations.ts'
import type { Peers } from './peers.ts'
import type { Presence } from './presence.ts'
import type { SignIns } from './sign-ins.ts'
import type { Submissions } from './submissions.ts'
import type { Tenants } from './tenants.ts'
import type { Tickets } from './tickets.ts'
import type { Work } from './work.ts'

export interface Engine {
  readonly submissions: Submissions
  readonly work: Work
  readonly jobs: Jobs
  readonly operations: Operations
  readonly log: TokenLog
  readonly conversations: Conversations
  readonly keys: Keys
  readonly tenants: Tenants
  readonly documents: Documents
  readonly files: Files
  readonly audit: Audit
  readonly presence: Presence
  readonly tickets: Tickets
  readonly signIns: SignIns
  readonly peers: Peers
  readonly ledger: Ledger
  /** All processes on one store have the same: it signs session tokens. Null: there is only one process. */
  readonly sharedSecret: Uint8Array | null
  /**
   * What signs jobs that wait in a broker: the stored one, which goes wherever the store goes (a backup, another
   * engine), as such jobs may be its own; else what `own` gives. Power-safe when resolved.
   */
  intakeSecret(own: () => Uint8Array): Promise<Uint8Array>
  /** Wall clock, ms since 1970, on which all processes on one store agree: for dates, such as a key's end. */
  wallMs(): number
  /** Can it take work? If not, `error` has the reason (disk full, I/O error). Shown by /readyz. */
  health(): { readonly ok: true } | { readonly ok: false; readonly error: SluiceError }
  /**
   * Puts unfinished jobs back in line, in steps that let the event loop turn; their readers have the grace to come
   * back. Called once, when the ports are open; until it resolved, submits are refused with `starting`, and nothing is
   * leased.
   */
  restore(): Promise<void>
  /**
   * Erases all that is stored of a tenant: jobs (running ones are canceled first), logs, conversations, documents,
   * files, keys, what it used. Power-safe when resolved.
   */
  eraseTenant(tenant: TenantId): Promise<void>
  /** Replaces the models in the turn of the call. What runs keeps running; jobs of a model that is gone wait for it. */
  configure(models: readonly PlanModel[]): void
  /**
   * Groups of the coordinator's settings that every process is told of by the store: of a fleet, that of this process
   * alone has them from now on.
   */
  adjust(settings: object): void
  /** Of this process: how fast it stores, and how much. What all processes share is asked of `operations`. */
  readonly metrics: readonly Metric[]
  /**
   * A stop began. What still runs will be handed back; if the process is killed before that, it is no job's crash. Does
   * not wait, never throws.
   */
  draining(): void
  /**
   * All that is stored, as it is at one moment, in the form of a backup (engines/shared/portable/file.ts). Each chunk
   * is made when it is asked for. Throws, or rejects before the first, where this engine can't.
   */
  backup(): AsyncIterable<Uint8Array>
  /** Commits what is pending and releases the data folder. Safe to repeat. */
  close(): Promise<void>
}

/** The machine's start. */
export interface Boot {
  /** A new one with each start of the machine. */
  readonly id: string
  /** Ms since then, also counted while no process runs and while the machine sleeps. Null where it is unknown. */
  ms(): number | null
}
