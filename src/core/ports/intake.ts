/**
 * An intake: a broker in front of the coordinator. It keeps what is published in order and durable until the
 * coordinator owns the job; what a job is, and what becomes of one, it does not know. A broker gives each message at
 * least once: who takes it knows it by its id.
 */
import type { ErrorCode, SluiceError } from '../errors.ts'
import type { JobDraft } from '../job.ts'
import type { Submitted } from './submissions.ts'

export interface Publication {
  /** Whose workers are to run it. */
  readonly pool: string
  /** Messages of one pool and key are delivered in the order of their `publish`; null: in any order. */
  readonly key: string | null
  /** Names the message: at most 255 bytes, printable ASCII. */
  readonly id: string
  readonly payload: Uint8Array
}

export interface Delivery {
  readonly pool: string
  /** As its publisher named it, or else its place in the broker, where places are kept for ever; null: neither. */
  readonly id: string | null
  readonly payload: Uint8Array
}

/** What became of a delivery; then the broker may forget it. */
export type Verdict =
  /** Its job is the coordinator's, durably. */
  | { readonly kind: 'owned' }
  /** It can be no job: it goes to the dead letters, with this. */
  | { readonly kind: 'dead'; readonly code: ErrorCode; readonly reason: string }

/**
 * Called for each delivery, those of one queue or partition in the broker's order, and without waiting for the verdict
 * of those before it: verdicts come in any order. Rejects where the delivery is to stay with the broker (a stop).
 */
export type Take = (delivery: Delivery) => Promise<Verdict>

export interface Intake {
  readonly name: 'rabbitmq' | 'kafka'
  /**
   * Resolves when the broker has it, as durably as it can. Rejects within its time-out with intake_unavailable (it may
   * be there all the same), and at once where too much waits for its confirm; with invalid_request for a message that
   * this broker never takes.
   */
  publish(publication: Publication): Promise<void>
  /**
   * From now on this process takes deliveries of its pools, as soon as it is its turn: where several could, one at a
   * time takes those of a key. At most `window` deliveries of a queue or partition are without a verdict; the rest
   * waits in the broker. A delivery without one comes again: here, or to whoever is next, in its place in the order.
   * Called once. What fails is tried again for as long as it takes.
   */
  consume(take: Take): void
  /** Is the broker there? */
  health(): { readonly ok: true } | { readonly ok: false; readonly error: SluiceError }
  /** Connections made after the first one. */
  reconnects(): number
  /** By pool: deliveries that the broker has not forgotten yet, dead letters that can't be stored included. */
  held(): ReadonlyMap<string, number>
  /**
   * Takes no more deliveries, waits at most `withinMs` for the verdicts of those that it has, and leaves the rest to
   * others. Publishing goes on.
   */
  drain(withinMs: number): Promise<void>
  /** Drains at once, waits for confirms within its time-out, closes its connection. Safe to repeat. Never rejects. */
  close(): Promise<void>
}

// ---------------------------------------------------------------- what other programs publish

/** For whom the programs that may publish to a broker can speak. */
export interface Publishers {
  /** The first one where a message names none. Empty: nobody may publish. */
  readonly tenants: readonly string[]
  /** May a message name an end user? */
  readonly users: boolean
}

/** A message of another program that has passed the door that every request passes. */
export interface Entered {
  readonly draft: JobDraft
  /** Tells, as a fact, what became of it. */
  told(result: Submitted): void
}

/** Throws what it is refused for; a fact has told that. */
export type Enter = (message: Delivery, broker: Intake['name'], publishers: Publishers) => Entered
