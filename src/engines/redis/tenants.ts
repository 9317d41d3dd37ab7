/**
 * What is set of tenants and models: each process holds all of it (told.ts), and gives it back to a Redis that was
 * emptied. And what operators have changed.
 */
import { AUDIT_KEPT, type Audit, type AuditEntry } from '../../core/ports/audit.ts'
import type { Disabled, TenantKind, TenantRecord, Tenants } from '../../core/ports/tenants.ts'
import { parse } from '../shared/shape.ts'
import { DAMAGED, ModelSwitches, readRecord, recordName, sorted } from '../shared/tenant-records.ts'
import { storageError } from './client/errors.ts'
import { inTurn, MOST_A_CALL, NEVER_CHANGED, pairs, Told, type ToldParts } from './told.ts'

export class RedisTenants implements Tenants {
  readonly #parts: ToldParts
  readonly #told: Told
  #records: ReadonlyMap<string, TenantRecord> = new Map()
  /** As they are stored: what is the same stays the same object. */
  #texts: ReadonlyMap<string, string> = new Map()
  readonly #warned = new Set<string>()
  readonly #switches = new ModelSwitches(() => this.all())
  #tell = (): void => {}

  private constructor(parts: ToldParts) {
    this.#parts = parts
    this.#told = new Told(parts, (version) => this.#read(version))
  }

  /** Rejects with storage_unavailable. */
  static async open(parts: ToldParts): Promise<RedisTenants> {
    const tenants = new RedisTenants(parts)
    await tenants.#told.open(parts.names.tenantsVersion())
    return tenants
  }

  get(kind: TenantKind, id: string): TenantRecord | null {
    return this.#records.get(recordName(kind, id)) ?? null
  }

  all(): Iterable<TenantRecord> {
    return this.#records.values()
  }

  modelOff(model: string): Disabled | null {
    return this.#switches.find(model)
  }

  onChange(fn: () => void): void {
    this.#tell = fn
  }

  async change(kind: TenantKind, id: string, to: (record: TenantRecord | null) => TenantRecord): Promise<TenantRecord> {
    const made = await inTurn(this.#told, async () => {
      const record = to(this.get(kind, id))
      const stored = [recordName(kind, id), JSON.stringify(record)]
      return (await this.#change('put', this.#told.version, ...stored)) > 0 ? record : null
    })
    await this.#told.look()
    return made
  }

  async list(): Promise<readonly TenantRecord[]> {
    await this.#told.look()
    return sorted(this.#records.values())
  }

  async remove(tenant: string): Promise<void> {
    await this.#change('remove', recordName('tenant', tenant))
    await this.#told.look()
  }

  close(): void {
    this.#told.close()
  }

  /** How many were changed. */
  async #change(...args: readonly string[]): Promise<number> {
    try {
      return Number(await this.#parts.scripts.run('tenants-change', args))
    } catch (error) {
      throw storageError(error)
    }
  }

  async #read(known: string): Promise<string> {
    const [version, stored] = (await this.#parts.scripts.run('tenants-read', [known])) as Read
    if (version === NEVER_CHANGED && stored?.length === 0 && this.#records.size > 0) {
      const records = [...this.#records].flatMap(([name, record]) => [name, JSON.stringify(record)])
      for (let at = 0; at < records.length; at += 2 * MOST_A_CALL)
        await this.#change('again', ...records.slice(at, at + 2 * MOST_A_CALL))
      this.#told.readAgain()
      return known
    }
    if (stored !== undefined) this.#know(stored)
    return version
  }

  #know(stored: readonly string[]): void {
    const records = new Map<string, TenantRecord>()
    const texts = new Map(pairs(stored))
    for (const [name, text] of texts) {
      const record = this.#texts.get(name) === text ? (this.#records.get(name) ?? null) : readRecord(text)
      if (record !== null) records.set(name, record)
      else if (!this.#warned.has(name)) {
        this.#warned.add(name)
        this.#parts.emit({ type: 'store-warned', code: 'row_damaged', detail: DAMAGED })
      }
    }
    this.#records = records
    this.#texts = texts
    this.#switches.changed()
    this.#tell()
  }
}

type Read = readonly [version: string, records?: readonly string[]]

export class RedisAudit implements Audit {
  readonly #parts: Pick<ToldParts, 'names' | 'commands' | 'scripts'>

  constructor(parts: Pick<ToldParts, 'names' | 'commands' | 'scripts'>) {
    this.#parts = parts
  }

  async add(entry: AuditEntry): Promise<void> {
    try {
      await this.#parts.scripts.run('audit-add', [JSON.stringify(entry), AUDIT_KEPT])
    } catch (error) {
      throw storageError(error)
    }
  }

  async list(most: number): Promise<readonly AuditEntry[]> {
    try {
      const { commands, names } = this.#parts
      const entries = await commands.client.lrange(names.audit(), 0, most - 1)
      return entries.flatMap((text) => (parse(text) as AuditEntry | null) ?? [])
    } catch (error) {
      throw storageError(error)
    }
  }
}
