/** What the admin API tells of tenants: PROTOCOL.md sections 8 and 9. */
import type { WireLimitUse } from '../../../../src/core/limits.ts'
import type { Limits } from './limits.ts'

export interface Switch {
  readonly running: string
  readonly queued: string
  readonly reason: string
  readonly at: number
}

export interface Tenant {
  readonly id: string
  readonly label: string
  readonly weight: number
  readonly models: readonly string[] | null
  readonly limits: Limits | null
  readonly limits_source: string | null
  readonly source: 'config' | 'api' | 'key'
  readonly disabled: Switch | null
  readonly changed_at: number | null
  /** Of its fullest limit; null: it has none. Undefined: not told. */
  readonly use?: WireLimitUse | null
  /** In the last day, by the node that is asked. */
  readonly refused?: number
}

export interface Key {
  readonly id: string
  readonly tenant: string
  readonly name: string
  readonly hint: string
  readonly models: readonly string[] | null
  readonly limits: Limits | null
  readonly disabled: Switch | null
  readonly created_at: number
  readonly expires_at: number | null
  readonly revoked_at: number | null
  readonly replaced_at: number | null
  /** To the minute. */
  readonly last_used_at: number | null
}

export interface Usage {
  readonly data: ReadonlyArray<{
    readonly day?: string
    readonly tenant?: string
    readonly model?: string
    readonly key?: string
    readonly attempts: number
    readonly estimated: number
    readonly prompt_tokens: number
    readonly completion_tokens: number
    readonly nano_dollars: number
  }>
}

export interface Paused {
  readonly data: ReadonlyArray<{ readonly tenant?: string; readonly lane?: string; readonly model?: string }>
}

export interface Listed {
  readonly data: ReadonlyArray<{ readonly id: string; readonly tenant: string; readonly state: string }>
  readonly has_more: boolean
}
