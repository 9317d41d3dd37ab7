/** What the gateway is handed: the ports it calls, and its settings. */
import type { Batch } from '../core/batch.ts'
import type { Clock } from '../core/clock.ts'
import type { SluiceError } from '../core/errors.ts'
import type { Emit } from '../core/facts.ts'
import type { Ids } from '../core/ids.ts'
import type { Job, JobId, JobKind, TenantId } from '../core/job.ts'
import type { JsonRecord } from '../core/json.ts'
import type { LimitSettings } from '../core/limits.ts'
import type { Hello, Role } from '../core/live.ts'
import type { Metric } from '../core/numbers.ts'
import type { Admission } from '../core/ports/admission.ts'
import type { Audit } from '../core/ports/audit.ts'
import type { Benchmarks } from '../core/ports/benchmarks.ts'
import type { Conversations } from '../core/ports/conversations.ts'
import type { Fallbacks } from '../core/ports/coordinator.ts'
import type { Delivery } from '../core/ports/delivery.ts'
import type { Dialects } from '../core/ports/dialect.ts'
import type { Documents } from '../core/ports/documents.ts'
import type { Engine } from '../core/ports/engine.ts'
import type { Files } from '../core/ports/files.ts'
import type { Enter } from '../core/ports/intake.ts'
import type { Jobs } from '../core/ports/jobs.ts'
import type { Keys } from '../core/ports/keys.ts'
import type { UsageReports } from '../core/ports/ledger.ts'
import type { Live } from '../core/ports/live.ts'
import type { TokenLog } from '../core/ports/log.ts'
import type { Observed } from '../core/ports/observed.ts'
import type { Operations } from '../core/ports/operations.ts'
import type { Presence } from '../core/ports/presence.ts'
import type { Prices } from '../core/ports/prices.ts'
import type { Provider } from '../core/ports/provider.ts'
import type { SignIns } from '../core/ports/sign-ins.ts'
import type { Submissions } from '../core/ports/submissions.ts'
import type { ProviderKey, Tenants } from '../core/ports/tenants.ts'
import type { Tickets } from '../core/ports/tickets.ts'
import type { Webhooks } from '../core/ports/webhooks.ts'
import type { Weights } from '../core/ports/weights.ts'
import type { BeginSpan } from '../core/trace.ts'

export interface PublicModel {
  readonly id: string
  /** Seconds since 1970. */
  readonly created: number
  readonly ownedBy: string
}

export interface PublicRoute {
  readonly pool: string
  readonly kinds: readonly JobKind[]
  /** The provider's name for the model: how it counts tokens. Null: as clients call it. */
  readonly upstreamModel: string | null
  /** Do all of its deployments take older completions as they are? Absent: no. */
  readonly completes?: boolean
  /** Models that answer in its place; absent: none. */
  readonly fallbacks?: Fallbacks
  /** Several: which one answers is chosen. */
  readonly deployments?: ReadonlyArray<{ readonly tags?: readonly string[] }>
}

export interface Models {
  /** By the public name; null when there is none. */
  resolve(name: string): PublicRoute | null
  list(): readonly PublicModel[]
  /** Deployments that the file does not name: they were added while the server ran. */
  added(): ReadonlySet<string>
  /** Does the file say which share it has? */
  saysWeight(deployment: string): boolean
  /** Could this entry be added? Rejects with invalid_request. */
  checkAdded(entry: JsonRecord): Promise<void>
  /** Resolves when what the store has of deployments is in force. */
  settled(): Promise<void>
  /** For the operator. */
  served(): readonly ServedModel[]
  /** Can it be called, and does it take our key? Asked now. Null: there is no such deployment. */
  probe(deployment: string): ReturnType<Provider['check']> | null
}

export interface ServedModel {
  /** What clients ask for; a trailing "*" stands for any ending. */
  readonly name: string
  readonly pool: string
  readonly kinds: readonly JobKind[]
  readonly deployments: ReadonlyArray<{
    readonly name: string
    readonly provider: string
    /** Null: as clients call it. */
    readonly upstreamModel: string | null
    /** Infinity: any number. */
    readonly concurrent: number
    /** Lower ones are tried first. */
    readonly order: number
    /** As configured (docs/config.md). */
    readonly weight: number
    readonly tags: readonly string[]
    readonly region: string | null
    /** Null: no limit. */
    readonly requestsPerMinute: number | null
    readonly tokensPerMinute: number | null
    /** Null: nobody knows. */
    readonly contextTokens: number | null
  }>
  /** At the dearest of them; null: nobody knows it, or the models of this name differ. */
  readonly price: DollarPrice | null
}

/** For a million tokens; and for each request. */
export interface DollarPrice {
  readonly source: string
  readonly input: number
  readonly output: number
  readonly request: number
}

/** What the operator may set of limits, and what the file has set. */
export interface LimitRules {
  /** Of a tenant, or of a key, as given. Returns it without what says nothing. Throws invalid_request. */
  check(of: 'tenant' | 'key', given: unknown): JsonRecord
  /** Tenants of the file, with the limits that it sets of them; null: none. */
  configured(): ReadonlyMap<string, JsonRecord | null>
  /** The tenant's share of the service, beside others that wait. */
  weight(tenant: TenantId): number
  /** Of tenants that have none of their own; null: none. */
  eachTenant(): JsonRecord | null
  /** Of all tenants together for this model, or for all that begin as it does; null: none. */
  model(name: string): JsonRecord | null
}

/** Provider keys that tenants have of their own. */
/** Keys of tenants, by what became of them. */
export interface Resealed {
  readonly resealed: number
  /** They were sealed with the key of today. */
  readonly unchanged: number
  /** Neither key opens them. */
  readonly unreadable: ReadonlyArray<{ readonly tenant: TenantId; readonly provider: string }>
}

export interface OwnKeys {
  /** Providers in use that take keys, and the origins of their models. */
  providers(): ReadonlyMap<string, readonly string[]>
  /**
   * The key as it is stored. `origin`: where it is to be sent; null: there is only one. Throws invalid_request, and
   * config_invalid where there is nothing to seal it with.
   */
  sealed(tenant: TenantId, provider: string, key: string, origin: string | null): ProviderKey
  /** Seals with the key of today what one before it has sealed. Throws config_invalid as `sealed`. */
  reseal(): Promise<Resealed>
  /** Of a tenant that must have its own, and has none for this model. */
  refusal(tenant: TenantId, model: string): SluiceError | null
  /** Is each call of this model made with a key of the tenant's own? */
  covers(tenant: TenantId, model: string): boolean
}

export interface GatewayOptions {
  readonly maxBodyBytes: number
  /** Of one sound that is to be transcribed. */
  readonly maxUploadBytes: number
  /** Nesting of a JSON body. */
  readonly maxDepth: number
  /** Keys of one request, over all depths. */
  readonly maxKeys: number
  /** Origins whose pages may call; "*" = all. */
  readonly corsOrigins: readonly string[]
  /** For all headers of a request, from the connection's start or the last request's end. */
  readonly headersTimeoutMs: number
  /** For a whole request, its body included. */
  readonly requestTimeoutMs: number
  readonly keepAliveMs: number
  readonly maxHeaderBytes: number
  readonly maxConnections: number
  /** Requests under way at once by one key, open streams included. */
  readonly maxRequestsPerKey: number
  /** Bytes of incomplete bodies and messages: of all peers, and of one API key. */
  readonly maxUnfinishedBytes: number
  readonly maxUnfinishedBytesPerKey: number
  /** Invalid keys a minute from one address before it gets 429. Valid keys never count. */
  readonly badKeysPerMinute: number
  /** How long a job without readers keeps running (`on_disconnect: cancel`). */
  readonly disconnectGraceMs: number
  /** A stream's headers are sent after this time at the latest. */
  readonly headersAfterMs: number
  /** Other gateways serve the same jobs, and load balancers choose one. */
  readonly isOneOfMany: boolean
  readonly maxReadersPerJob: number
  /** The longest that `wait_ms` waits. */
  readonly maxWaitMs: number
  /** Default deadlines of a plain POST, and of all other jobs. */
  readonly plainDeadlineMs: number
  readonly jobDeadlineMs: number
  /** SHA-256 of the admin key, base64url; null: there is no operator. */
  readonly adminKeyDigest: string | null
  /** /metrics needs no key. */
  readonly openMetrics: boolean
  readonly sessions: SessionOptions & SessionQuotas
  /** Of a tenant, in all. */
  readonly maxTenantRuns: number
  /** Names the fleet; null: there is only this process. */
  readonly fleet: () => string | null
  readonly socket: SocketOptions
  /** A connection with more unread bytes than this is not written to until its peer reads. */
  readonly maxReaderBufferBytes: number
  /**
   * All keys were minted by us: a wrong checksum is refused without a look-up. False if the operator seeded a key.
   */
  readonly keysHaveChecksums: boolean
}

/** What one session may use, or all sessions of one user together. */
export interface SessionOptions {
  /** Signs tokens; asked for each time. */
  readonly secret: () => Uint8Array
  readonly ticketMs: number
  readonly tokenMs: number
  /** Longest session, and the one of a ticket that names no other. */
  readonly sessionMs: number
}

export interface SessionQuotas {
  /** Requests under way at once, and WebSockets. */
  readonly maxRequests: number
  readonly maxSockets: number
  /** Of its incomplete bodies and messages. */
  readonly maxUnfinishedBytes: number
  readonly maxDelayMs: number
  /** That are kept. */
  readonly maxRuns: number
}

export interface SocketOptions {
  /** Silence after which the peer is pinged; after half as much again the connection is closed. */
  readonly heartbeatMs: number
  readonly helloTimeoutMs: number
  readonly maxMessageBytes: number
  /** Jobs that one connection follows at once. */
  readonly maxJobs: number
  readonly maxMessagesPerSecond: number
  /** Connections of one API key, those of its sessions included. */
  readonly maxPerKey: number
  /** How long a connection may stay open once the server stops. */
  readonly drainMs: number
}

/** Which requests of a tenant may share answers. */
export interface SharingRules {
  readonly share: 'user' | 'tenant'
  readonly temperatureZeroOnly: boolean
}

export interface GatewayDeps {
  readonly admission: Admission
  readonly weights: Weights
  readonly prices: Prices
  readonly usage: UsageReports
  /** What a tenant's requests share; null: nothing. */
  readonly sharing: (tenant: TenantId) => SharingRules | null
  /** As they are now. */
  readonly limits: () => LimitSettings
  readonly submissions: Submissions
  readonly jobs: Jobs
  readonly operations: Operations
  readonly log: TokenLog
  readonly conversations: Conversations
  readonly documents: Documents
  readonly files: Files
  /** When what is made now for a job of this tenant is to be gone, wall clock; null: it stays. */
  readonly mediaExpiresAtMs: (tenant: TenantId, withinMs: number) => number | null
  readonly keys: Keys
  readonly tenants: Tenants
  readonly ownKeys: OwnKeys
  readonly audit: Audit
  readonly webhooks: Webhooks
  readonly benchmarks: Benchmarks
  readonly limitRules: LimitRules
  readonly presence: Presence
  readonly tickets: Tickets
  readonly signIns: SignIns
  readonly health: Engine['health']
  readonly eraseTenant: Engine['eraseTenant']
  readonly backup: Engine['backup']
  /** All numbers of this server, as JSON. */
  readonly stats: () => Promise<object>
  /** The same for Prometheus, in the form that its `accept` asks for. */
  readonly metrics: (
    accept: string | undefined,
  ) => Promise<{ readonly type: string; readonly text: AsyncIterable<Uint8Array> }>
  /** Reads the configuration again. Throws config_invalid, and nothing has changed. */
  readonly reload: () => Promise<{
    readonly models: readonly string[]
    readonly tenants: readonly string[]
    readonly changed: readonly string[]
    readonly needsRestart: readonly string[]
  }>
  /** Ends the worker's process that runs this job, or breaks its call; tells which. Null: it runs nowhere here. */
  readonly kill: (job: JobId) => Promise<'worker' | 'call' | null>
  /** `dashboard.kill` */
  readonly mayKill: () => boolean
  readonly models: Models
  /** What the dashboard shows, and where its files are. */
  readonly live: Live
  readonly observed: Observed
  /** May texts be seen there? */
  readonly textPolicy: () => Hello['text']
  readonly pageFolder: string
  readonly delivery: Delivery
  readonly dialects: Dialects
  readonly clock: Clock
  readonly ids: Ids
  readonly emit: Emit
  /** Null: spans are not exported, and a trace is only passed on. */
  readonly beginSpan: BeginSpan | null
  /** An unexpected error while a request was answered: for the operator's log. */
  readonly onFault: (error: unknown, requestId: string) => void
  readonly options: GatewayOptions
}

export interface Address {
  readonly host: string
  readonly port: number
}

export interface BatchDoor {
  /** Rejects with what the line is refused for. */
  submit(line: {
    readonly batch: Batch
    readonly key: string
    readonly body: Uint8Array
    readonly deadlineMs: number
  }): Promise<Job>
  /** As its route answers one that was refused. */
  refusal(batch: Pick<Batch, 'endpoint'>, error: SluiceError): { readonly status: number; readonly body: unknown }
  /** As its route answers, once the job has ended. */
  result(job: Job): Promise<{ readonly status: number; readonly body: unknown }>
}

export interface Gateway {
  readonly metrics: readonly Metric[]
  /** For what other programs have published to brokers. */
  readonly enter: Enter
  /** For lines of batches. */
  readonly lines: BatchDoor
  /** Port 0 = any free one. Rejects with the system's error (EADDRINUSE). */
  listenPublic(host: string, port: number): Promise<Address>
  listenAdmin(host: string, port: number): Promise<Address>
  /** The path of a new link into the dashboard, good for one sign-in. */
  link(role: Role): Promise<string>
  /** Stored jobs are back in line: from now on all requests are answered, not only probes. */
  ready(): void
  /**
   * New requests get 503 with `retry-after`; where other gateways serve the same jobs, they are answered still, but no
   * more connections are taken. Connections close after their answers. Open answers continue.
   */
  drain(): void
  /** Resolves when no plain POST is owed its answer any more, or after so long; and with it all earlier calls. */
  settled(withinMs: number): Promise<void>
  /** Drains, waits for open answers at most `withinMs`, then cuts the rest. Safe to repeat. */
  close(withinMs?: number): Promise<void>
}
