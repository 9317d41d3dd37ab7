/**
 * How much conversations may keep, apart from jobs' results: one above its limit loses its oldest turns, a tenant above
 * its limit the conversations that were idle longest. A sweep looks only at those that grew since the last one. Run by
 * the process that coordinates.
 */
import type { TenantId } from '../../../core/job.ts'
import type { ConversationLimitOptions } from '../../shared/conversation-limits.ts'
import type { Ground } from '../bus/ground.ts'
import { storageError } from '../client/errors.ts'
import type { RedisConversations } from './conversations.ts'

/** `time`: by which jobs are stamped. */
type Parts = Pick<Ground, 'names' | 'commands' | 'scripts' | 'clock'> & { readonly time: Pick<Ground['time'], 'nowMs'> }

const SWEEP_MS = 10_000
const TURNS_A_STEP = 64
const BYTES_A_STEP = 4 << 20
const GROWN_A_STEP = 100
const TENANTS_A_STEP = 100
/** Those with a job that has not ended are skipped; after this many the sweep waits for the next one. */
const RESTING = 100

interface Resting {
  readonly id: string
  readonly updatedAtMs: number
  readonly isBusy: boolean
}

export class ConversationLimits {
  readonly #parts: Parts
  readonly #conversations: RedisConversations
  readonly #options: ConversationLimitOptions
  #stop: (() => void) | null = null
  #sweeping = false

  constructor(parts: Parts, conversations: RedisConversations, options: ConversationLimitOptions) {
    this.#parts = parts
    this.#conversations = conversations
    this.#options = options
  }

  start(): void {
    this.stop()
    this.#stop = this.#parts.clock.every(SWEEP_MS, () => void this.#sweep())
  }

  stop(): void {
    this.#stop?.()
    this.#stop = null
  }

  /** Never rejects. */
  async #sweep(): Promise<void> {
    if (this.#sweeping) return
    this.#sweeping = true
    // Redis is away, which health shows; the next sweep continues
    await this.sweep(() => this.#stop === null).catch(() => {})
    this.#sweeping = false
  }

  /** Rejects with storage_unavailable; the next sweep looks at what this one did not. */
  async sweep(isStopped: () => boolean): Promise<void> {
    try {
      await this.#sweepGrown(isStopped)
      if (this.#options.maxAgeMs !== null) await this.#sweepResting(this.#options.maxAgeMs, isStopped)
    } catch (error) {
      throw storageError(error)
    }
  }

  async #sweepGrown(isStopped: () => boolean): Promise<void> {
    const { client } = this.#parts.commands
    const grown = this.#parts.names.grownConversations()
    /** What is being looked at. */
    const now = `${grown}:now`
    await this.#parts.scripts.run('conversation-grown', [grown, now])
    const tenants = new Set<TenantId>()
    while (!isStopped()) {
      const names = await client.srandmember(grown, GROWN_A_STEP)
      if (names.length === 0) break
      for (const name of names) {
        if (isStopped()) return
        await client.smove(grown, now, name)
        const { tenant, id } = partsOf(name)
        await this.#trim(tenant, id, isStopped)
        tenants.add(tenant)
      }
    }
    for (const tenant of tenants) {
      if (isStopped()) return
      await this.#trimTenant(tenant, isStopped)
    }
    await client.del(now)
  }

  async #trim(tenant: TenantId, id: string, isStopped: () => boolean): Promise<void> {
    const { turns, bytes } = this.#options
    if (turns === Infinity && bytes === Infinity) return
    const limit = (most: number): number | '' => (most === Infinity ? '' : most)
    const args = [tenant, id, limit(turns), limit(bytes), TURNS_A_STEP, BYTES_A_STEP]
    while (!isStopped()) if ((await this.#parts.scripts.run('conversation-trim', args)) === 0) return
  }

  async #trimTenant(tenant: TenantId, isStopped: () => boolean): Promise<void> {
    if (this.#options.tenantBytes === Infinity) return
    for (const { id, isBusy } of await this.#resting(tenant)) {
      const bytes = await this.#parts.commands.client.hget(this.#parts.names.conversationBytes(), tenant)
      if (Number(bytes ?? 0) <= this.#options.tenantBytes || isStopped()) return
      if (!isBusy) await this.#conversations.delete(tenant, id)
    }
  }

  async #sweepResting(maxAgeMs: number, isStopped: () => boolean): Promise<void> {
    const { client } = this.#parts.commands
    for (let cursor = '0'; !isStopped(); ) {
      const all = this.#parts.names.conversationBytes()
      const [next, found] = await client.hscan(all, cursor, 'COUNT', TENANTS_A_STEP)
      for (let i = 0; i < found.length; i += 2)
        for (const { id, updatedAtMs, isBusy } of await this.#resting(found[i])) {
          if (this.#parts.time.nowMs() - updatedAtMs < maxAgeMs || isStopped()) break
          if (!isBusy) await this.#conversations.delete(found[i], id)
        }
      cursor = next
      if (cursor === '0') return
    }
  }

  /** The first of them, the one that rests longest first. */
  async #resting(tenant: TenantId): Promise<readonly Resting[]> {
    const found = (await this.#parts.scripts.run('conversation-resting', [tenant, RESTING])) as Array<
      readonly [id: string, updated: string | null, busy: number]
    >
    return found.map(([id, updated, busy]) => ({ id, updatedAtMs: Number(updated), isBusy: busy === 1 }))
  }
}

/** "<bytes of the tenant's name>:<tenant>:<id>" */
function partsOf(name: string): { readonly tenant: TenantId; readonly id: string } {
  const bytes = Buffer.from(name)
  const from = bytes.indexOf(':') + 1
  const to = from + Number(bytes.toString('latin1', 0, from - 1))
  return { tenant: bytes.toString('utf8', from, to), id: bytes.toString('utf8', to + 1) }
}
