/** The histories of several nodes, read as one: counts and marks are added up, nothing is averaged. */
import {
  type DeploymentHistory,
  type DeploymentLately,
  type Deployments,
  lastErrorOf,
  latelyOfDeployment,
  type Period,
  readDeployment,
} from './deployments.ts'
import type { History } from './history.ts'
import { type Marks, sumOfMarks } from './marks.ts'
import type { Column, TierView } from './tier.ts'

export interface HistoryView {
  readonly tiers: readonly TierView[]
  /** Before this nothing is known. */
  readonly startAtMs: number
  /** Before this not all of them know. */
  readonly knownFromMs: number
  readonly deployments: {
    read(deployment: string, range: number, nowMs: number): DeploymentHistory
    over(deployment: string, period: Period): DeploymentLately
    lastError(deployment: string): string | null
  }
}

class TierSum implements TierView {
  readonly stepMs: number
  readonly slots: number
  readonly #tiers: readonly TierView[]

  constructor(tiers: readonly TierView[]) {
    this.#tiers = tiers
    this.stepMs = tiers[0].stepMs
    this.slots = tiers[0].slots
  }

  bucketAt(atMs: number): number {
    return Math.floor(atMs / this.stepMs)
  }

  has(bucket: number): boolean {
    return this.#tiers.some((tier) => tier.has(bucket))
  }

  value(bucket: number, column: Column): number {
    let sum = 0
    for (const tier of this.#tiers) sum += tier.value(bucket, column)
    return sum
  }

  ttft(bucket: number): Marks | null {
    return this.has(bucket) ? this.marks(bucket, bucket, 'ttft') : null
  }

  tpot(bucket: number): Marks | null {
    return this.has(bucket) ? this.marks(bucket, bucket, 'tpot') : null
  }

  total(from: number, to: number, column: Column): number {
    let sum = 0
    for (const tier of this.#tiers) sum += tier.total(from, to, column)
    return sum
  }

  marks(from: number, to: number, of: 'ttft' | 'tpot'): Marks {
    return sumOfMarks(this.#tiers.map((tier) => tier.marks(from, to, of)))
  }
}

/** At least one. */
export function sumOf(histories: readonly History[]): HistoryView {
  if (histories.length === 1) return histories[0]
  const deployments: readonly Deployments[] = histories.map((each) => each.deployments)
  return {
    tiers: histories[0].tiers.map((_, nth) => new TierSum(histories.map(({ tiers }) => tiers[nth]))),
    startAtMs: Math.min(...histories.map(({ startAtMs }) => startAtMs)),
    knownFromMs: Math.max(...histories.map(({ knownFromMs }) => knownFromMs)),
    deployments: {
      read: (deployment, range, nowMs) => readDeployment(deployments, deployment, range, nowMs),
      over: (deployment, period) => latelyOfDeployment(deployments, deployment, period),
      lastError: (deployment) => lastErrorOf(deployments, deployment),
    },
  }
}
