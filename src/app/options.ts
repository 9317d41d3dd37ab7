/** The settings in the shapes that the parts take. */
import { createHmac } from 'node:crypto'
import type { Config } from '../config/schema.ts'
import type { SchedulerOptions } from '../core/ports/scheduler.ts'
import type { EmbeddedOptions } from '../engines/embedded/open.ts'
import { digestOf } from '../gateway/caller/api-key.ts'
import type { GatewayOptions } from '../gateway/deps.ts'
import type { Settings } from './reload.ts'

/** J4: how long an SDK's retry joins a job that ended well. */
export const JOIN_AFTER_END_MS = 60_000

export function schedulerOptions(settings: Settings, jitter: SchedulerOptions['jitter']): SchedulerOptions {
  const { workers, queue, sessions } = settings.config
  return {
    leaseMs: workers.lease_ms,
    maxAttempts: queue.max_attempts,
    maxCrashes: queue.max_crashes,
    retryBaseMs: queue.retry_base_ms,
    retryCapMs: queue.retry_cap_ms,
    maxQueuedJobs: queue.max_queued_jobs,
    maxQueuedPerTenant: queue.max_queued_per_tenant,
    maxQueuedPerLane: queue.max_queued_per_lane,
    maxQueuedBytesPerTenant: queue.max_queued_bytes_per_tenant,
    maxQueuedPerSession: sessions.max_queued_jobs,
    maxQueuedBytesPerSession: sessions.max_queued_bytes,
    joinAfterEndMs: JOIN_AFTER_END_MS,
    weight: (tenant) => settings.tenant(tenant)?.weight ?? 1,
    promptWeight: 1,
    outputWeight: 2,
    jitter,
  }
}

/** Asked anew each time: a reload may change some of it. */
export function retentionOptions(settings: Settings): EmbeddedOptions['retention'] {
  const { config } = settings
  return {
    get logsMs() {
      return settings.config.retention.logs
    },
    bytes: config.retention.bytes,
    atLeastMs: config.retention.at_least,
    conversations: {
      turns: config.retention.conversations.turns,
      bytes: config.retention.conversations.bytes,
      tenantBytes: config.retention.conversations.tenant_bytes,
      maxAgeMs: config.retention.conversations.max_age,
    },
    tenant(name) {
      const logsMs = settings.tenant(name)?.retention.logs ?? null
      return logsMs === null ? null : { logsMs }
    },
  }
}

/**
 * `isSeeded`: the operator has given a key of their own making. `drainMs`: how long sockets stay open during a stop.
 */
export function gatewayOptions(config: Config, adminKey: string, isSeeded: boolean, drainMs: number): GatewayOptions {
  const { http, queue, sessions, websocket } = config
  return {
    maxBodyBytes: http.max_body_bytes,
    maxDepth: http.max_depth,
    maxKeys: http.max_keys,
    corsOrigins: http.cors_origins,
    headersTimeoutMs: http.headers_timeout_ms,
    requestTimeoutMs: http.request_timeout_ms,
    keepAliveMs: http.keep_alive_ms,
    connectionCheckMs: 1_000,
    maxHeaderBytes: http.max_header_bytes,
    maxConnections: http.max_connections,
    maxRequestsPerKey: http.max_requests_per_key,
    maxUnfinishedBytes: http.max_unfinished_bytes,
    maxUnfinishedBytesPerKey: http.max_unfinished_bytes_per_key,
    badKeysPerMinute: http.bad_keys_per_minute,
    disconnectGraceMs: http.disconnect_grace_ms,
    headersAfterMs: http.headers_after_ms,
    maxReadersPerJob: http.max_readers_per_job,
    maxWaitMs: http.max_wait_ms,
    plainDeadlineMs: queue.plain_deadline_ms,
    jobDeadlineMs: queue.job_deadline_ms,
    adminKeyDigest: digestOf(adminKey),
    maxReaderBufferBytes: http.max_reader_buffer_bytes,
    sessions: {
      // Bound to the admin key: tokens outlive a restart, and are void when the operator changes it
      secret: createHmac('sha256', adminKey).update('session tokens').digest(),
      ticketMs: sessions.ticket_ms,
      tokenMs: sessions.token_ms,
      sessionMs: sessions.session_ms,
      maxRequests: sessions.max_requests,
      maxSockets: sessions.max_sockets,
      maxUnfinishedBytes: sessions.max_unfinished_bytes,
      maxDelayMs: sessions.max_delay_ms,
    },
    socket: {
      heartbeatMs: websocket.heartbeat_ms,
      helloTimeoutMs: websocket.hello_timeout_ms,
      maxMessageBytes: websocket.max_message_bytes,
      maxJobs: websocket.max_jobs,
      maxMessagesPerSecond: websocket.max_messages_per_second,
      maxPerKey: websocket.max_per_key,
      drainMs,
    },
    keysHaveChecksums: !isSeeded,
  }
}
