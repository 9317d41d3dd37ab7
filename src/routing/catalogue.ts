/** The models that are served, and the deployments of each. */
import type { Goals } from '../core/goals.ts'
import type { JobKind } from '../core/job.ts'
import { ModelIndex } from '../core/model-index.ts'
import type { PolicyName } from '../core/policies.ts'
import type { Fallbacks } from '../core/ports/coordinator.ts'
import type { Deployment } from '../core/ports/provider.ts'

export interface ModelRoute {
  /** What clients ask for; a trailing "*" stands for any ending. */
  readonly name: string
  readonly pool: string
  /** The provider's name for it, at the deployment that is tried first; null: as clients call it. */
  readonly upstreamModel: string | null
  /** Of all its deployments. */
  readonly kinds: readonly JobKind[]
  /** Do all of its deployments take older completions as they are? Absent: no. */
  readonly completes?: boolean
  readonly goals: Goals
  readonly policy: PolicyName
  readonly fallbacks: Fallbacks
  readonly deployments: readonly Deployment[]
}

export class Catalogue {
  #index!: ModelIndex<ModelRoute>
  #deployments!: ReadonlyMap<string, Deployment>

  constructor(models: readonly ModelRoute[]) {
    this.replace(models)
  }

  get models(): readonly ModelRoute[] {
    return this.#index.models
  }

  /** Replaces all models. Running jobs keep the deployment that they have. */
  replace(models: readonly ModelRoute[]): void {
    this.#index = new ModelIndex(models)
    this.#deployments = new Map(models.flatMap(({ deployments }) => deployments).map((each) => [each.name, each]))
  }

  resolve(model: string): ModelRoute | null {
    return this.#index.find(model)
  }

  /** As a lease's claim names it. Null: it was taken out of the configuration. */
  deployment(name: string): Deployment | null {
    return this.#deployments.get(name) ?? null
  }
}
