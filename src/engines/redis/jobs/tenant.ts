/** All that is stored of a tenant goes: its jobs here, the rest by those whose it is. */
import type { TenantId } from '../../../core/job.ts'
import type { Ground } from '../bus/ground.ts'
import { storageError } from '../client/errors.ts'
import type { RedisJobs } from './jobs.ts'
import type { Removable } from './removal.ts'
import { removableOf } from './removal.ts'

/** While a tenant is being erased its submits are refused: by a bar that is renewed, and ends with its process. */
const BAR_MS = 10_000
const RENEW_MS = 1_000
const JOBS_AT_ONCE = 200

/** What else is a tenant's, in the order in which it is erased. */
export interface TenantParts {
  /** Before its jobs: nothing new can come in. */
  readonly keys: (tenant: TenantId) => Promise<void>
  readonly conversations: (tenant: TenantId) => Promise<void>
  /** After its jobs: what ended last is there. The coordinator forgets it after that, and in the store too. */
  readonly usage: (tenant: TenantId) => Promise<void>
}

export class TenantEraser {
  readonly #ground: Ground
  readonly #jobs: RedisJobs
  readonly #parts: TenantParts
  readonly #erasing = new Map<TenantId, Promise<void>>()
  /** Those that are to stay barred, each with what was asked for last. */
  readonly #barred = new Map<TenantId, Promise<void>>()

  constructor(ground: Ground, jobs: RedisJobs, parts: TenantParts) {
    this.#ground = ground
    this.#jobs = jobs
    this.#parts = parts
    // It does not know what its predecessor was told
    ground.bus.onControl(({ type }) => {
      if (type === 'coordinator') for (const tenant of this.#barred.keys()) this.#renew(tenant)
    })
  }

  /** Resolves when nothing of it is left. Rejects with storage_unavailable. */
  erase(tenant: TenantId): Promise<void> {
    const erased =
      this.#erasing.get(tenant) ??
      this.#erase(tenant).finally(() => {
        this.#erasing.delete(tenant)
      })
    this.#erasing.set(tenant, erased)
    return erased
  }

  async #erase(tenant: TenantId): Promise<void> {
    await this.#bar(tenant)
    this.#barred.set(tenant, Promise.resolve())
    const stopBars = this.#ground.clock.every(RENEW_MS, () => this.#renew(tenant))
    try {
      await this.#parts.keys(tenant)
      while (await this.#cancelAll(tenant)) await this.#removeAll(tenant)
      await this.#removeAll(tenant)
      await this.#parts.conversations(tenant)
      await this.#parts.usage(tenant)
      await this.#ground.bus.ask({ type: 'forget', tenant })
    } finally {
      stopBars()
      const last = this.#barred.get(tenant)
      this.#barred.delete(tenant)
      // One that is still on its way would come after the end, and hold for its whole time
      await last
      await this.#bar(tenant, 0).catch(() => {}) // it ends by itself
    }
  }

  /** One after the other. Where it fails, the next one is sent in time. */
  #renew(tenant: TenantId): void {
    const before = this.#barred.get(tenant)
    if (before !== undefined)
      this.#barred.set(
        tenant,
        before.then(() => this.#bar(tenant).catch(() => {})),
      )
  }

  async #bar(tenant: TenantId, ms: number = BAR_MS): Promise<void> {
    await this.#ground.bus.ask({ type: 'bar', tenant, ms })
  }

  /** False: there was none. */
  async #cancelAll(tenant: TenantId): Promise<boolean> {
    const { bus } = this.#ground
    const live = await bus.ask({ type: 'list', filter: { tenant }, before: null, limit: JOBS_AT_ONCE })
    await Promise.all(live.map(({ id }) => this.#jobs.ended(id)))
    return live.length > 0
  }

  async #removeAll(tenant: TenantId): Promise<void> {
    const { commands, names, scripts } = this.#ground
    const index = names.jobs(tenant)
    try {
      await scripts.run('jobs-file', [])
      for (;;) {
        const ids = await commands.client.zrange(index, 0, String(JOBS_AT_ONCE - 1))
        if (ids.length === 0) return
        const stored = await Promise.all(ids.map((id) => this.#jobs.rows.stored(id)))
        const removable = ids.map((id, i): Removable => {
          const one = stored[i]
          return one?.kind === 'ended'
            ? removableOf(names, one.row)
            : { id, tenant, bytes: 0, key: '', conversation: null, run: '' }
        })
        await this.#jobs.remove(removable)
        // What its row does not tell of an index is taken out all the same
        await commands.client.zrem(index, ...ids)
      }
    } catch (error) {
      throw storageError(error)
    }
  }
}
