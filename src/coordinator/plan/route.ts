/** A model's deployments, by what they can do. */
import type { Instead, JobKind } from '../../core/job.ts'
import type { FailedAt, Fallbacks, PlanModel, Refused, ScheduledJob } from '../../core/ports/coordinator.ts'
import { NO_FALLBACKS } from '../../core/ports/coordinator.ts'
import type { DeploymentState } from './deployment.ts'
import { failedThere, neverThere, refusedFor } from './failed-at.ts'
import { policyOf } from './policies/index.ts'
import type { Policy } from './policies/policy.ts'
import { RetryBudget } from './retry-budget.ts'

/** Those that serve one kind of job. */
export interface Group {
  readonly all: readonly DeploymentState[]
  /** Longer prompts do not fit into all of them, tokens. */
  readonly smallestContext: number
}

export interface Route extends Readonly<Record<JobKind, Group>> {
  readonly name: string
  /** Of any kind. */
  readonly deployments: readonly DeploymentState[]
  readonly policy: Policy
  readonly fallbacks: Fallbacks
  /** There is a choice, or a quota: what its answers come to matters. */
  readonly isWeighed: boolean
  /** Another model may answer in its place. */
  readonly isReplaceable: boolean
  readonly retries: RetryBudget
  /** Calls so far. */
  turn: number
}

export function routeOf({ name, policy, fallbacks = NO_FALLBACKS }: PlanModel, all: readonly DeploymentState[]): Route {
  return {
    name,
    deployments: all,
    policy: policyOf(policy),
    fallbacks,
    isReplaceable: Object.values(fallbacks).some((models) => models.length > 0),
    isWeighed: all.length > 1 || all.some(({ quota }) => quota.isLimited),
    retries: new RetryBudget(),
    chat: groupOf(all, 'chat'),
    embedding: groupOf(all, 'embedding'),
    image: groupOf(all, 'image'),
    speech: groupOf(all, 'speech'),
    transcription: groupOf(all, 'transcription'),
    // What its deployments remember of turns goes on
    turn: all.reduce((most, { turn }) => Math.max(most, turn), 0),
  }
}

function groupOf(states: readonly DeploymentState[], kind: JobKind): Group {
  const all = states.filter(({ settings }) => settings!.kinds.includes(kind))
  return { all, smallestContext: all.reduce((least, one) => Math.min(least, contextOf(one)), Infinity) }
}

/** Its longest prompt: what a minute does not hold its provider refuses. */
const contextOf = ({ settings }: DeploymentState): number =>
  Math.min(settings?.contextTokens ?? Infinity, settings?.tokensPerMinute ?? Infinity)

/** Is its context larger, or may it be, where only one of the two is known? */
export function isLarger(one: DeploymentState, than: DeploymentState): boolean {
  const [own, other] = [one.settings?.contextTokens ?? null, than.settings?.contextTokens ?? null]
  return own === null ? other !== null : other === null || own > other
}

/** Why a deployment can't serve a job, whatever happens; null: it can. */
export type Unfit = 'tags' | 'abilities' | 'context'

export function unfitFor(state: DeploymentState, { needs, promptTokens }: ScheduledJob): Unfit | null {
  if (promptTokens > contextOf(state)) return 'context'
  if (needs === undefined) return null
  const { can, tags = [] } = state.settings!
  for (const ability of needs.can) if (can?.[ability] === false) return 'abilities'
  for (const tag of needs.tags) if (!tags.includes(tag)) return 'tags'
  return null
}

/**
 * Those of a group that can serve it. What is known of contexts and abilities leaves none out where it would leave
 * none: the estimate of a prompt may be wrong, and so may the settings. Tags are what its client wants.
 */
export function fitFor({ all, smallestContext }: Group, job: ScheduledJob): readonly DeploymentState[] {
  if (job.needs === undefined && job.promptTokens <= smallestContext) return all
  const fit = all.filter((state) => unfitFor(state, job) === null)
  if (fit.length > 0) return fit
  return all.filter((state) => job.needs?.tags.every((tag) => state.settings!.tags?.includes(tag)) !== false)
}

/** Its prompt is too long for all of them, by what is known. */
export const isTooLong = ({ all, smallestContext }: Group, { promptTokens }: ScheduledJob): boolean =>
  promptTokens > smallestContext && all.every((state) => promptTokens > contextOf(state))

/** For what another model is to answer from the start, or from a refusal on; null: for nothing. */
export const reasonOf = (route: Route, job: ScheduledJob, failedAt: FailedAt): Refused | null =>
  refusedFor(failedAt) ?? (isTooLong(route[job.kind], job) ? 'contextWindow' : null)

/** Where a job can go, as a name: those with the same one find room together. '': wherever its model's jobs can. */
export function placesOf(route: Route, job: ScheduledJob, failedAt: FailedAt): string {
  const group = route[job.kind]
  const fit = fitFor(group, job)
  const models = Object.values(route.fallbacks).flat()
  const instead = insteadFor(models, job)
  const reason = reasonOf(route, job, failedAt)
  const isAnywhere = fit.length === group.all.length && instead.length === models.length
  if (isAnywhere && failedAt.length === 0 && reason === null) return ''
  const places = fit.map((one) => {
    const at = group.all.indexOf(one)
    return neverThere(failedAt, one.name) ? `-${at}` : failedThere(failedAt, one.name) ? `~${at}` : `${at}`
  })
  return [reason ?? '', ...places, ...instead.map(({ model }) => model)].join('\n')
}

/** Of a model's fallbacks those that this job may be answered by, in their order. */
export const insteadFor = (models: readonly string[], { instead }: ScheduledJob): readonly Instead[] =>
  instead === undefined || models.length === 0
    ? []
    : models.flatMap((model) => instead.find((one) => one.model === model) ?? [])
