/** What is set of tenants and models, answered from memory; and what operators have changed. */
import { AUDIT_KEPT, type Audit, type AuditEntry } from '../../core/ports/audit.ts'
import type { Disabled, TenantKind, TenantRecord, Tenants } from '../../core/ports/tenants.ts'
import { parse } from '../shared/shape.ts'
import { DAMAGED, ModelSwitches, readRecord, recordName, sorted } from '../shared/tenant-records.ts'
import type { Store } from './disk/store.ts'

export class TenantStore implements Tenants {
  readonly #store: Store
  readonly #records = new Map<string, TenantRecord>()
  readonly #switches = new ModelSwitches(() => this.all())
  #tell = (): void => {}

  constructor(store: Store) {
    this.#store = store
    for (const { facts } of store.db.prepare('SELECT facts FROM tenants').all() as Array<{ facts: string }>) {
      const record = readRecord(facts)
      if (record === null) store.warn('row_damaged', DAMAGED)
      else this.#records.set(recordName(record.kind, record.id), record)
    }
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

  /** In force from this turn of the event loop on, even if it can't be stored. */
  async change(kind: TenantKind, id: string, to: (record: TenantRecord | null) => TenantRecord): Promise<TenantRecord> {
    const name = recordName(kind, id)
    const record = to(this.get(kind, id))
    this.#records.set(name, record)
    this.#changed()
    const put = this.#store.db.prepare('INSERT OR REPLACE INTO tenants VALUES (?, ?)')
    await this.#store.whileUp(
      this.#store.run(() => void put.run(name, JSON.stringify(record)), true).then(() => this.#store.synced()),
    )
    return record
  }

  async list(): Promise<readonly TenantRecord[]> {
    return sorted(this.#records.values())
  }

  /** Committed when resolved. */
  async remove(tenant: string): Promise<void> {
    const name = recordName('tenant', tenant)
    if (this.#records.delete(name)) this.#changed()
    // Also one that is damaged, and therefore not known
    const remove = this.#store.db.prepare('DELETE FROM tenants WHERE id = ?')
    await this.#store.run(() => void remove.run(name), true)
  }

  #changed(): void {
    this.#switches.changed()
    this.#tell()
  }
}

export class AuditStore implements Audit {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  /** Rejects where it can't be stored now; it is stored later all the same. */
  async add(entry: AuditEntry): Promise<void> {
    const { db } = this.#store
    const add = db.prepare('INSERT INTO audit (facts) VALUES (?)')
    const trim = db.prepare('DELETE FROM audit WHERE n <= (SELECT max(n) FROM audit) - ?')
    const stored = this.#store.run(() => {
      add.run(JSON.stringify(entry))
      trim.run(AUDIT_KEPT)
    }, true)
    await this.#store.whileUp(stored.then(() => this.#store.synced()))
  }

  async list(most: number): Promise<readonly AuditEntry[]> {
    const rows = this.#store.db.prepare('SELECT facts FROM audit ORDER BY n DESC LIMIT ?').all(most)
    return (rows as Array<{ facts: string }>).flatMap(({ facts }) => (parse(facts) as AuditEntry | null) ?? [])
  }
}
