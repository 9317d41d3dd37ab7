/** Turns facts into numbers: what came in, how it ended, where the time went. */
import type { NumberSource } from '../core/numbers.ts'
import type { Observe } from './emit.ts'
import { RECORDED } from './recorded/index.ts'

export interface Recorder extends NumberSource {
  readonly observers: readonly Observe[]
}

export function createRecorder(): Recorder {
  const recorded = RECORDED.map((create) => create())
  return {
    observers: recorded.map(({ observe }) => observe),
    metrics: recorded.flatMap(({ metrics }) => metrics),
    families: recorded.flatMap(({ families = [] }) => families),
  }
}
