/** A call to a provider, as an attempt makes it. */
import type { Job } from '../core/job.ts'
import { editObject } from '../core/json.ts'
import type { Deployment, ProviderCall, ProviderRun, Upload } from '../core/ports/provider.ts'
import type { Claim, Lease } from '../core/ports/work.ts'
import { childOf, spanIdOf } from '../core/trace.ts'
import { withOwnKey } from './outcomes.ts'
import type { PriceOf, RunDeps } from './run-deps.ts'

/** One that was made. */
export interface Calling {
  readonly claim: Claim
  readonly deployment: Deployment
  readonly price: PriceOf
  readonly calledMono: number
  readonly call: ProviderRun
}

/** What it asks, in addition to what its job and its deployment say. */
export interface Asked {
  /** Id of the request. */
  readonly name: string
  readonly body: Uint8Array
  /** The beginning of the answer, to be prolonged. */
  readonly prefix?: string | undefined
  readonly uploads?: readonly Upload[] | undefined
}

/** An answer in one piece can't be cut where its run's budget ends. */
const mayBeCut = ({ kind, budget }: Job): boolean =>
  kind === 'chat' && (budget?.tokens !== undefined || budget?.nanoDollars !== undefined)

export const asksForStream = ({ stream }: Deployment, job: Job): boolean =>
  stream === 'always' || (stream === 'as_asked' && (job.document !== true || mayBeCut(job)))

export const callOf = (job: Job, deployment: Deployment, { name, body, prefix, uploads }: Asked): ProviderCall => ({
  kind: job.kind,
  body,
  stream: asksForStream(deployment, job),
  requestId: name,
  trace: job.trace === undefined ? undefined : childOf(job.trace, spanIdOf(name)),
  timeouts: deployment.timeouts,
  prefix,
  uploads,
})

/** It may answer in place of the model that the request names. */
export function forModel(body: Uint8Array, job: Job, { upstreamModel }: Deployment, { model }: Claim): Uint8Array {
  const named = model === undefined || model === job.model || upstreamModel !== null
  return named ? body : editObject(body, { model: JSON.stringify(model) })
}

export function priceAt(
  deps: Pick<RunDeps, 'price'>,
  { job }: Pick<Lease, 'job'>,
  { isOwnKey, name }: Deployment,
  { model = job.model }: Claim,
): PriceOf {
  return isOwnKey ? withOwnKey : deps.price(name, model, job.kind)
}
