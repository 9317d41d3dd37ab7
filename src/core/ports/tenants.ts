/** What the operator has set of tenants, models and deployments while the server runs; not the settings of the file. */
import type { JsonRecord } from '../json.ts'

/** A kill switch that is on. Nothing new is taken; nothing of what waits starts. */
export interface Disabled {
  /** What was running then: it ends by itself, or was canceled. */
  readonly running: 'finish' | 'cut'
  /** What was waiting then: it keeps its place, or was canceled. */
  readonly queued: 'keep' | 'cancel'
  /** For its clients; empty: none was given. */
  readonly reason: string
  readonly atMs: number
  /** Of a key that is revoked: until its jobs are stopped, as `running` and `queued` ask. */
  readonly isStopping?: true
}

/** A tenant's own key for a provider, for its jobs alone. */
export interface ProviderKey {
  /** Readable only with the sealing key, which is not in the store. */
  readonly sealed: string
  /** Where it may be sent: scheme, host and port. */
  readonly origin: string
  /** Its last characters. */
  readonly last4: string
  readonly setAtMs: number
}

export interface TenantRecord {
  /** A model has nothing but its switch, and a deployment, which is drained while that is off. */
  readonly kind: 'tenant' | 'model' | 'deployment'
  /** Of a model: its public name, or a beginning of names that ends in "*". */
  readonly id: string
  readonly label: string
  /** Names of models that it may use, or beginnings that end in "*". Null: all. */
  readonly models: readonly string[] | null
  /** As they were given (coordinator/limits/settings.ts). Null: those of the file. */
  readonly limits: JsonRecord | null
  readonly disabled: Disabled | null
  /** Of a tenant, by the provider's name in the configuration. Absent: it has none. */
  readonly providerKeys?: Readonly<Record<string, ProviderKey>>
  /** Of a deployment: what the file does not say of it. Absent: nothing is set. */
  readonly deployment?: {
    /** It is not in the file: its entry, as in `models`. */
    readonly added?: JsonRecord
    readonly weight?: number
  }
  readonly createdAtMs: number
  readonly changedAtMs: number
}

export type TenantKind = TenantRecord['kind']

export interface Tenants {
  /** Answers from memory, as `all`: each process holds all records, and is told of changes. */
  get(kind: TenantKind, id: string): TenantRecord | null
  all(): Iterable<TenantRecord>
  /** The switch that holds a model back: its own, or that of the longest beginning of its name. */
  modelOff(model: string): Disabled | null
  /** Stores what `to` makes of a record (null: there is none yet), with all that others have changed. Power-safe. */
  change(kind: TenantKind, id: string, to: (record: TenantRecord | null) => TenantRecord): Promise<TenantRecord>
  /** In order of kind and id, with all that was stored at the call. */
  list(): Promise<readonly TenantRecord[]>
  /** `fn` is called after each change, wherever it was made. */
  onChange(fn: () => void): void
}
