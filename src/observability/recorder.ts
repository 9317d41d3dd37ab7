/** Turns facts into numbers: what came in, how it ended, where the time went, what it cost. */
import type { NumberSource } from '../core/numbers.ts'
import type { Observe } from './emit.ts'
import { RECORDED } from './recorded/index.ts'
import { type By, NONE, UNKNOWN } from './recorded/recorded.ts'

export interface Recorder extends NumberSource {
  readonly observers: readonly Observe[]
}

export interface RecorderOptions {
  /** The configured name of a model as a client asked for it; null: it is not configured. */
  readonly modelOf: (asked: string) => string | null
  /** Tell numbers apart by tenant, where that makes sense? */
  readonly tenantLabel: boolean
}

export function createRecorder({ modelOf, tenantLabel }: RecorderOptions): Recorder {
  const by: By = {
    model: (asked) => (asked === null ? UNKNOWN : (modelOf(asked) ?? UNKNOWN)),
    names: tenantLabel ? ['tenant'] : [],
    who: tenantLabel ? ({ tenant }) => tenant ?? NONE : () => undefined,
  }
  const recorded = RECORDED.map((create) => create(by))
  return {
    observers: recorded.map(({ observe }) => observe),
    metrics: recorded.flatMap(({ metrics }) => metrics),
    families: recorded.flatMap(({ families = [] }) => families),
  }
}
