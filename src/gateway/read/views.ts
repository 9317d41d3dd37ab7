/** What clients are shown. */
import { wholeMs } from '../../core/duration.ts'
import type { WireAwaited, WirePlace } from '../../core/frames.ts'
import type { Awaited, Job, Place } from '../../core/job.ts'
import type { JsonRecord } from '../../core/json.ts'
import { type Standing, type WireRoom, wireLimit, wireRoom } from '../../core/limits.ts'
import type { ConversationInfo } from '../../core/ports/conversations.ts'
import { type ApiKey, SCOPES } from '../../core/ports/keys.ts'
import type { Backlog, DeploymentStatus, DeploymentUse } from '../../core/ports/operations.ts'
import type { Disabled } from '../../core/ports/tenants.ts'
import { formatCursor } from '../../core/record.ts'
import { wireTiming, wireUsage } from '../../core/wire.ts'
import { shownHint } from '../caller/api-key.ts'
import { eventsOf } from './location.ts'

/** A job's place in line, or what keeps it from coming there; null when it runs or has ended. */
export const placeView = (place: Place | null): WirePlace | null =>
  place === null || (place.position === 0 && place.waitsForJobs === undefined)
    ? null
    : {
        position: place.position === 0 ? null : place.position,
        tokens_ahead: place.tokensAhead,
        eta_ms: place.etaMs ?? null,
        ...(place.waitingFor !== undefined && { waiting_for: awaitedView(place.waitingFor) }),
        ...(place.waitsForJobs !== undefined && { waits_for_jobs: place.waitsForJobs }),
      }

const awaitedView = ({ level, unit, window, inMs }: Awaited): WireAwaited => ({
  level,
  unit,
  ...(window !== undefined && { window }),
  reset_ms: inMs === null ? null : wholeMs(inMs),
})

/** What is left of a new job's limits; nothing where there are none. */
export const limitsView = (standing: Standing | undefined): { readonly limits?: readonly WireRoom[] } =>
  standing === undefined || standing.length === 0 ? {} : { limits: standing.map(wireRoom) }

const without = (prefix: string, name: string | undefined): string | null =>
  (name?.startsWith(prefix) ? name.slice(prefix.length) : name) ?? null

/** `prefix`: what a session does not see of its own names. */
export const jobView = (job: Job, place: Place | null, head: number, prefix: string): Record<string, unknown> => ({
  id: job.id,
  object: 'job',
  state: job.state,
  model: job.model,
  user: job.user ?? null,
  lane: without(prefix, job.options.lane),
  conversation: without(prefix, job.options.conversation),
  pool: job.options.pool,
  priority: job.options.priority,
  created_at: Math.floor(job.acceptedAtMs / 1000),
  ended_at: job.endedAtMs === undefined ? null : Math.floor(job.endedAtMs / 1000),
  attempts: job.attempts,
  metadata: job.metadata ?? {},
  ...(job.run === undefined ? {} : { run: without(prefix, job.run) }),
  ...(job.parent === undefined ? {} : { parent: job.parent }),
  ...(job.after === undefined ? {} : { after: job.after }),
  ...(job.intake?.message === undefined ? {} : { message: job.intake }),
  ...(job.redriveOf === undefined ? {} : { redrive_of: job.redriveOf }),
  ...(job.cached === undefined ? {} : { cache: job.cached }),
  queue: placeView(place),
  usage: job.usage === undefined ? null : wireUsage(job.usage),
  timing: job.timing === undefined ? null : wireTiming(job.timing),
  error: job.error ?? null,
  ...(job.cut !== undefined && { cut: wireLimit(job.cut) }),
  cursor: formatCursor(job.epoch, head),
  events: eventsOf(job.id),
})

export const backlogView = ({ pool, model, jobs, tokens, waitMs }: Backlog): object => ({
  pool,
  model,
  jobs,
  tokens,
  expected_wait_ms: waitMs,
})

export const deploymentView = ({
  deployment,
  active,
  concurrent,
  isDrained,
  unwell,
  used,
  check,
}: DeploymentStatus): object => ({
  deployment,
  object: 'deployment',
  active,
  concurrent: Number.isFinite(concurrent) ? concurrent : null,
  drained: isDrained,
  used: useView(used),
  unwell: unwell.map(({ model, coolsForMs, failuresInRow, brokenForMs = 0, brokenBy }) => ({
    model,
    cools_for_ms: Math.ceil(coolsForMs),
    failures_in_row: failuresInRow,
    broken_for_ms: Math.ceil(brokenForMs),
    broken_by: brokenBy ?? null,
  })),
  check: checkView(check),
})

/** Null: it is not limited. */
export const useView = (used: DeploymentUse | undefined): JsonRecord | null =>
  used === undefined ? null : { requests: used.requests, tokens: used.tokens, held_tokens: Math.round(used.heldTokens) }

/** Null: nobody checks it. */
export const checkView = (check: DeploymentStatus['check']): JsonRecord | null =>
  check == null
    ? null
    : {
        ok: check.ok,
        why: check.why,
        down: check.isDown,
        age_ms: Math.ceil(check.agoMs),
        running: check.running,
        waiting: check.waiting,
      }

export const disabledView = (disabled: Disabled | null): JsonRecord | null =>
  disabled === null
    ? null
    : {
        running: disabled.running,
        queued: disabled.queued,
        reason: disabled.reason,
        at: Math.floor(disabled.atMs / 1000),
      }

export const keyView = (key: ApiKey): Record<string, unknown> => ({
  id: key.id,
  object: 'key',
  tenant: key.tenant,
  name: key.name,
  hint: shownHint(key),
  scopes: key.scopes ?? [...SCOPES],
  models: key.models ?? null,
  limits: key.limits ?? null,
  disabled: disabledView(key.disabled ?? null),
  created_at: Math.floor(key.createdAtMs / 1000),
  expires_at: key.expiresAtMs === undefined ? null : Math.floor(key.expiresAtMs / 1000),
  revoked_at: key.revokedAtMs === undefined ? null : Math.floor(key.revokedAtMs / 1000),
  replaced_at: key.replacedAtMs === undefined ? null : Math.floor(key.replacedAtMs / 1000),
})

export const conversationView = (info: ConversationInfo, prefix: string): Record<string, unknown> => ({
  id: info.id.slice(prefix.length),
  object: 'conversation',
  name: info.name,
  turns: info.turns,
  created_at: Math.floor(info.createdAtMs / 1000),
  updated_at: Math.floor(info.updatedAtMs / 1000),
})
