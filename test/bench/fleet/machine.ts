/** Which cores each part of a measurement has, and what it starts. */
import { availableParallelism } from 'node:os'
import type { Priority, Tools } from '../tools.ts'
import type { Fsync } from './redis.ts'

export interface Bench {
  readonly tools: Tools
  readonly priority: Priority
  /** Commands and folders, as named on the command line. */
  readonly server: string
  readonly bullmq: string | null
  readonly fsync: Fsync
  readonly seconds: number
  readonly upstreamPort: number
  readonly note: (text: string) => void
}

const cores = availableParallelism()
/** A core or two for everybody; else all share what is there, and figures of a saturated machine say little. */
export const IS_ROOMY = cores >= 8
const ALL = `0-${cores - 1}`
const LAST = `8-${cores - 1}`

/** Sluice alone, as in the other measurements, on one core; the load client and the upstream are on core 1. */
export const CORES = IS_ROOMY
  ? { embedded: '0', gateway: '2,3', worker: '4,5', redis: '6,7', others: cores > 8 ? LAST : ALL }
  : { embedded: ALL, gateway: ALL, worker: ALL, redis: ALL, others: ALL }
