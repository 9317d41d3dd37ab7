/** Jobs of the fleet: what is stored is read here, what lives is asked of the coordinator. */
import { jobOrder } from '../../../core/ids.ts'
import type { Job, JobId, Place, TenantId } from '../../../core/job.ts'
import type { JobFilter, Jobs } from '../../../core/ports/jobs.ts'
import { PlaceWatch } from '../../shared/place-watch.ts'
import type { Ground } from '../bus/ground.ts'
import { storageError, unavailable } from '../client/errors.ts'
import { listJobs } from './list.ts'
import { type Removable, removableOf, removeJobs } from './removal.ts'
import { Rows } from './rows.ts'

/** Watched places that are asked for at once. */
const PLACES_AT_ONCE = 500
/** A worker that does not answer loses its lease long before. */
const MAX_ERASE_MS = 180_000

/** Takes the job's turn out of its conversation, and tells who watches that. */
export type EraseTurn = (tenant: TenantId, conversation: string, job: JobId) => Promise<void>

export class RedisJobs implements Jobs {
  readonly rows: Rows
  readonly #ground: Ground
  readonly #eraseTurn: EraseTurn
  readonly #placeWatch: PlaceWatch

  constructor(ground: Ground, eraseTurn: EraseTurn) {
    this.#ground = ground
    this.rows = new Rows(ground)
    this.#eraseTurn = eraseTurn
    this.#placeWatch = new PlaceWatch(ground.clock, (jobs) => this.places(jobs), PLACES_AT_ONCE)
  }

  get(id: JobId): Promise<Job | null> {
    return this.rows.job(id)
  }

  async request(id: JobId): Promise<Uint8Array | null> {
    if (jobOrder(id) === null) return null
    try {
      return (await this.#ground.scripts.runBuffer('jobs-request', [id])) as Buffer | null
    } catch (error) {
      throw storageError(error)
    }
  }

  async byKey(tenant: TenantId, key: string): Promise<JobId | null> {
    const { commands, names } = this.#ground
    try {
      return (await commands.client.get(names.key(tenant, key)))?.split(' ')[0] ?? null
    } catch (error) {
      throw storageError(error)
    }
  }

  list(filter: JobFilter): Promise<readonly Job[]> {
    return listJobs(this.#ground, this.rows, filter)
  }

  async places(ids: readonly JobId[]): Promise<ReadonlyMap<JobId, Place>> {
    const looks = await Promise.all(ids.filter((id) => jobOrder(id) !== null).map((id) => this.rows.look(id)))
    return new Map(looks.flatMap((look) => (look === null || look.place === null ? [] : [[look.id, look.place]])))
  }

  watchPlace(job: JobId, listener: (place: Place) => void): () => void {
    return this.#placeWatch.watch(job, listener)
  }

  async cancel(id: JobId): Promise<{ readonly kind: 'canceled' | 'canceling' | 'ended' | 'unknown' }> {
    if (jobOrder(id) === null) return { kind: 'unknown' }
    const kind = await this.#ground.bus.ask({ type: 'cancel', id })
    // The coordinator holds those that have not ended
    if (kind === 'unknown' && (await this.rows.stored(id)) !== null) return { kind: 'ended' }
    return { kind }
  }

  async erase(id: JobId): Promise<boolean> {
    await this.ended(id)
    const stored = await this.rows.stored(id)
    if (stored === null || stored.kind === 'live') return false
    if (stored.kind === 'damaged') await this.#forgetLive(id)
    const job = stored.kind === 'ended' ? removableOf(this.#ground.names, stored.row) : damagedOne(id)
    // First what only the job leads to: if this process dies now, an erase that is repeated finds both
    if (job.conversation !== null) await this.#eraseTurn(job.tenant, job.conversation, id)
    return (await this.remove([job])) > 0
  }

  /** A damaged job that has not ended, which nobody coordinates. */
  async #forgetLive(id: JobId): Promise<void> {
    const { commands, names } = this.#ground
    try {
      await commands.client.hdel(names.live(), id)
      await commands.client.hdel(names.run(), id)
    } catch (error) {
      throw storageError(error)
    }
  }

  /** Takes ended jobs out; resolves with how many there were. */
  remove(jobs: readonly Removable[]): Promise<number> {
    return removeJobs(this.#ground.scripts, jobs)
  }

  /** Cancels it if it has not ended; resolves when it has. Rejects with storage_unavailable. */
  async ended(id: JobId): Promise<void> {
    const { clock, bus } = this.#ground
    const giveUpMono = clock.monoMs() + MAX_ERASE_MS
    while ((await this.rows.stored(id))?.kind === 'live') {
      if (clock.monoMs() > giveUpMono) throw unavailable()
      try {
        // It does not have what it could not restore
        if ((await bus.ask({ type: 'cancel', id, wait: true })) === 'unknown') return
      } catch (error) {
        // Its worker may take longer to stop than the bus waits for an answer
        if (storageError(error).code !== 'storage_unavailable' || this.#ground.commands.away) throw error
      }
    }
  }

  stop(): void {
    this.#placeWatch.stop()
  }
}

/** All that is known of it: its tenant's indexes are cleaned by the sweep. */
const damagedOne = (id: JobId): Removable => ({ id, tenant: '', bytes: 0, key: '', conversation: null, run: '' })
