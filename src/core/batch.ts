/** A batch: many requests of one file, answered in another. What it is, and what may become of it; pure. */
import type { JsonRecord } from './json.ts'
import type { Document, NewDocument } from './ports/documents.ts'

export type BatchStatus =
  | 'validating'
  | 'failed'
  | 'in_progress'
  | 'finalizing'
  | 'completed'
  | 'expired'
  | 'cancelling'
  | 'cancelled'

/** Of a line (from 1), or of the whole file (null). */
export interface BatchError {
  readonly code: string
  readonly message: string
  readonly line: number | null
  readonly param: string | null
}

export interface BatchCounts {
  readonly total: number
  readonly completed: number
  readonly failed: number
}

export interface Batch {
  readonly id: string
  readonly tenant: string
  /** Of the API key that made it: its lines are submitted as that key's. */
  readonly keyId: string
  readonly endpoint: string
  readonly inputFileId: string
  /** As it was asked for. */
  readonly window: string
  readonly metadata: Readonly<Record<string, string>> | null
  /** Whose workers run its lines; null: those of their models' pools. */
  readonly pool: string | null
  /** How long its files are kept after its end, ms. */
  readonly outputMs: number
  readonly status: BatchStatus
  readonly createdAtMs: number
  /** What has no answer by then gets none. */
  readonly expiresAtMs: number
  /** When it entered a status. */
  readonly at: Readonly<Partial<Record<BatchStatus, number>>>
  readonly outputFileId: string | null
  readonly errorFileId: string | null
  readonly counts: BatchCounts
  readonly errors: readonly BatchError[]
  /** The process that works on it; null: nobody does. */
  readonly owner: string | null
}

/** It stays to be looked at for so long after its end. */
const KEPT_MS = 30 * 86_400_000

const NEXT: Readonly<Record<BatchStatus, readonly BatchStatus[]>> = {
  validating: ['in_progress', 'failed', 'cancelling', 'expired'],
  in_progress: ['finalizing', 'failed', 'cancelling', 'expired'],
  finalizing: ['completed', 'failed'],
  cancelling: ['cancelled', 'failed'],
  failed: [],
  completed: [],
  expired: [],
  cancelled: [],
}

export const isOver = ({ status }: Pick<Batch, 'status'>): boolean => NEXT[status].length === 0

export const mayBecome = ({ status }: Pick<Batch, 'status'>, next: BatchStatus): boolean => NEXT[status].includes(next)

/** Null: it can't become that any more. */
export function become(batch: Batch, status: BatchStatus, nowMs: number): Batch | null {
  return mayBecome(batch, status) ? { ...batch, status, at: { ...batch.at, [status]: Math.floor(nowMs) } } : null
}

/** `dueAtMs`: when somebody is to look at it; of one that is over nobody need. */
export function batchDocument(batch: Batch, dueAtMs: number): NewDocument {
  const { id, tenant, ...body } = batch
  const over = isOver(batch)
  const expiresAtMs = over ? (batch.at[batch.status] ?? batch.expiresAtMs) + KEPT_MS : null
  return { kind: 'batch', id, tenant, body: body as unknown as JsonRecord, dueAtMs: over ? null : dueAtMs, expiresAtMs }
}

export const batchOf = ({ id, tenant, body }: Document): Batch => ({
  ...(body as unknown as Omit<Batch, 'id' | 'tenant'>),
  ...{ id, tenant },
})

/** What the ids of lines' requests begin with, and no client's may: lines are told apart by it. */
export const LINE_REQUEST = 'line'
export const isOfLine = (requestId: string | null): boolean => requestId?.startsWith(`${LINE_REQUEST}_`) === true

/** The key under which a line's job is known, whoever submits it. */
export const lineKey = (batch: string, line: number): string => `${batch}/${line}`
