/**
 * What the store has of jobs that a batch of commands asks about, looked up once for the batch: jobs of idempotency
 * keys, jobs that ended well a short while ago (J4), and jobs that have ended.
 */
import { hash } from 'node:crypto'
import type { JobId } from '../../../core/job.ts'
import type { EndState } from '../../../core/ports/coordinator.ts'
import { joinKeyOf } from '../../shared/scheduled.ts'
import type { Names } from '../client/names.ts'
import type { Item, Request } from '../protocol/commands.ts'
import { type EndedRow, readEnded } from '../protocol/rows.ts'
import type { Joinable, Term } from './parts.ts'

/** How a job ended, and with which attempt. */
export interface Ended {
  readonly attempts: number
  readonly state: EndState
}

export interface Known {
  readonly id: JobId
  readonly sameBody: boolean
}

const digest = (text: string): string => hash('sha256', text)

/** Another user's request is another, even where an API key uses names of a user's name space (T1). */
const requestOf = ({ facts }: Item): string => digest(`${facts.bodyHash}\n${facts.user ?? ''}`)

export const keyOf = (names: Names, { facts: { tenant, options } }: Pick<Item, 'facts'>): string =>
  options.idempotencyKey === undefined ? '' : names.key(tenant, options.idempotencyKey)

export const keyValue = (item: Item): string => `${item.id} ${requestOf(item)}`

export const joinDigest = (facts: Item['facts']): string => digest(joinKeyOf(facts))

export class KnownJobs {
  readonly #found: ReadonlyMap<string, string>
  readonly #ended: ReadonlyMap<JobId, EndedRow | 'damaged'>
  readonly #held: Set<JobId>
  readonly #names: Names
  /** Keys of jobs that are taken in this very batch. */
  readonly #taken = new Map<string, string>()
  /** Jobs that end in this very batch. */
  readonly #ending = new Map<JobId, Ended>()

  private constructor(
    names: Names,
    found: ReadonlyMap<string, string>,
    ended: ReadonlyMap<JobId, EndedRow | 'damaged'>,
    held: Set<JobId>,
  ) {
    this.#held = held
    this.#names = names
    this.#found = found
    this.#ended = ended
  }

  /** Rejects with what Redis or its client throws. */
  static async of(
    requests: readonly Request[],
    { held, connection, names, journal, joinable }: Term,
  ): Promise<KnownJobs> {
    const keys = new Set<string>()
    const digests = new Set<string>()
    const ids = new Set<JobId>()
    const there = new Set<JobId>()
    for (const request of requests) {
      if (request.type === 'submit')
        for (const item of request.items) {
          if (item.facts.options.idempotencyKey !== undefined) keys.add(keyOf(names, item))
          else if (item.isRetry && joinable !== null) digests.add(joinDigest(item.facts))
          if (request.re || request.reserved) (held.has(item.id) ? there : ids).add(item.id)
        }
      else if (request.type === 'cancel' || request.type === 'finish' || request.type === 'finished')
        if (held.has(request.id)) there.add(request.id)
        else ids.add(request.id)
    }
    const found = new Map<string, string>()
    const ended = new Map<JobId, EndedRow | 'damaged'>()
    const all = [...keys, ...[...ids].map((id) => names.row(id))]
    // What is decided and not stored yet would be missing
    if (all.length + digests.size > 0) await journal.settled()
    const values = all.length === 0 ? [] : await connection.client.mget(...all)
    for (const [i, key] of [...keys].entries()) if (values[i] !== null) found.set(key, values[i]!)
    for (const [i, id] of [...ids].entries()) {
      const row = values[keys.size + i]
      if (row !== null) ended.set(id, readEnded(row!) ?? 'damaged')
    }
    if (digests.size > 0) await findEnded([...digests], { connection, names }, joinable!, found)
    return new KnownJobs(names, found, ended, there)
  }

  /**
   * The job of its idempotency key, or that it repeats as an SDK's retry: one that `joins` by the time of its end. Of
   * those of this term the machine knows more.
   */
  of(item: Item, joins: (endedAtMs: number) => boolean): Known | undefined {
    const key = keyOf(this.#names, item)
    if (key !== '') {
      const value = this.#taken.get(key) ?? this.#found.get(key)
      if (value === undefined) return undefined
      const [id, request] = value.split(' ')
      return { id, sameBody: request === requestOf(item) }
    }
    if (!item.isRetry) return undefined
    const [id, endedAtMs] = this.#found.get(this.#names.joinable(joinDigest(item.facts)))?.split(' ') ?? []
    return id === undefined || !joins(Number(endedAtMs)) ? undefined : { id, sameBody: true }
  }

  /** It is held, and its key is its own, from now on. */
  taken(item: Item): void {
    this.#held.add(item.id)
    const key = keyOf(this.#names, item)
    if (key !== '') this.#taken.set(key, keyValue(item))
  }

  /** Of those that were asked about: it ran, or was in line, when the batch began, or was taken in it. */
  wasHeld(id: JobId): boolean {
    return this.#held.has(id)
  }

  ending(id: JobId, ended: Ended): void {
    this.#ending.set(id, ended)
  }

  /** Of a job that was asked about: before the batch, or in it. Undefined: it did not end, or is damaged. */
  end(id: JobId): Ended | undefined {
    const row = this.#ended.get(id)
    return row === undefined || row === 'damaged'
      ? this.#ending.get(id)
      : { attempts: row.attempts, state: row.end.state }
  }

  /** Those that were asked about and had ended before the batch. */
  ended(id: JobId): EndedRow | 'damaged' | undefined {
    return this.#ended.get(id)
  }
}

/** Those that end in so long are in one hash. */
export const JOIN_WINDOW_MS = 10_000

/** The hash of those that end at this time, and what is written there of one. */
export const joinWindow = (endedAtMs: number): number => Math.floor(endedAtMs / JOIN_WINDOW_MS)
export const joinValue = (id: JobId, endedAtMs: number): string => `${id} ${endedAtMs}`

/** The newest of each digest. */
async function findEnded(
  digests: readonly string[],
  { connection: { client }, names }: Pick<Term, 'connection' | 'names'>,
  { fromMs, toMs }: Joinable,
  found: Map<string, string>,
): Promise<void> {
  const windows: number[] = []
  for (let window = joinWindow(fromMs); window <= joinWindow(toMs); window++) windows.push(window)
  const [single, ...hashed] = await Promise.all([
    client.mget(...digests.map((digest) => names.joinable(digest))),
    ...windows.map((window) => client.hmget(names.joined(window), ...digests)),
  ])
  const endedAt = (value: string | undefined): number => (value === undefined ? -1 : Number(value.split(' ')[1]))
  for (const values of [single, ...hashed])
    for (const [i, value] of values.entries()) {
      const name = names.joinable(digests[i])
      if (value !== null && endedAt(value) > endedAt(found.get(name))) found.set(name, value)
    }
}
