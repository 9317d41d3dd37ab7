/** What the admin API tells of models: PROTOCOL.md section 8. */
export interface Deployment {
  readonly name: string
  readonly provider: string
  readonly upstream_model: string | null
  readonly concurrent: number | null
  readonly state: 'up' | 'full' | 'failing' | 'cooling' | 'draining'
  readonly active: number
  readonly cools_for_ms: number
  readonly failures_in_row: number
  /** Null: nobody checks it. */
  readonly check?: {
    readonly why: string
    readonly down: boolean
    readonly running: number | null
    readonly waiting: number | null
  } | null
  /** Its breaker lets no call through before; 1: one tries it now, 0: it is closed. */
  readonly broken_for_ms: number
  readonly broken_by: string | null
  readonly source: 'config' | 'api'
  readonly order: number
  readonly weight: number
  /** Of its entry, set by an operator, or neither's. */
  readonly weight_source: 'config' | 'api' | 'default'
  readonly tags: readonly string[]
  readonly region: string | null
  readonly requests_per_minute: number | null
  readonly tokens_per_minute: number | null
  readonly context_tokens: number | null
  /** In the last minute; null: neither is limited. */
  readonly used: { readonly requests: number; readonly tokens: number; readonly held_tokens: number } | null
  /** Of the last five minutes, by the node that is asked. */
  readonly measured: {
    readonly ttft_p50_ms: number | null
    readonly ttft_p95_ms: number | null
    readonly tpot_p50_ms: number | null
    readonly tpot_p95_ms: number | null
    readonly attempts: number
    readonly failed: number
    readonly nano_dollars: number
    readonly last_error: string | null
    readonly recent?: {
      readonly ttft_p95_ms: readonly (number | null)[]
      readonly tpot_p50_ms: readonly (number | null)[]
    }
  }
  /** As its provider's headers last told. */
  readonly quota: { readonly age_ms: number; readonly requests: Quota | null; readonly tokens: Quota | null } | null
}

export interface Quota {
  readonly limit: number | null
  readonly remaining: number | null
  readonly reset_ms: number | null
}

export interface Model {
  readonly id: string
  readonly pool: string
  readonly kinds: readonly string[]
  readonly deployments: readonly Deployment[]
  readonly price: {
    readonly source: string
    readonly dollars_per_million_input_tokens: number | null
    readonly dollars_per_million_output_tokens: number | null
  } | null
  readonly disabled: { readonly reason: string } | null
}
