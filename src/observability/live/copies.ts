/**
 * What a node tells of itself, and the copy that another one keeps of it while somebody looks there: buckets, tallies,
 * marks of jobs and changes, each as a whole, so that what is told twice counts once. No text, and no secret.
 */
import { isRecord } from '../../core/json.ts'
import type { ChangeRow, NodeRow } from '../../core/live.ts'
import type { PackedStep } from '../brief/tally.ts'
import { type PackedDeployment, STEPS_MS } from '../history/deployments.ts'
import type { Edited, Edits } from '../history/edits.ts'
import { History } from '../history/history.ts'
import type { PackedBucket } from '../history/tier.ts'
import { type PackedTrace, packTrace, shifted } from '../traces/merged.ts'
import { MAX_TRACES, type Traces } from '../traces/traces.ts'
import type { Changes } from './changes.ts'
import { emptyTallies, TALLIES, type Tallies } from './watchers.ts'

/** What a node is, and how it is now. */
export interface Vitals {
  readonly name: string
  readonly role: NodeRow['role']
  readonly coordinates: boolean
  readonly startAtMs: number
  /** Its wall clock, minus the store's. */
  readonly skewMs: number
  readonly loopLagP99Ms: number | null
  readonly commitP99Ms: number | null
  /** Of the last minute, 0 to 1: its event loop was held. Absent: an older version. */
  readonly loopHeld?: number | null
  readonly outs: ReadonlyArray<readonly [deployment: string, sinceMs: number]>
}

export type Item =
  | readonly ['bucket', tier: number, PackedBucket]
  | readonly ['deployment', PackedDeployment]
  | readonly ['tally', which: number, PackedStep]
  | readonly ['job', PackedTrace]
  | readonly ['change', ChangeRow]

export interface Told {
  /** Edits up to this one are told. */
  readonly upTo: number
  /** There are later ones, for which there was no room. */
  readonly more: boolean
  /** JSON of an Item each. */
  readonly items: readonly string[]
}

export interface Own {
  readonly edits: Edits
  readonly history: History
  readonly tallies: Tallies
  readonly traces: Traces
  readonly changes: Changes
}

/** What was changed after this edit, the oldest first, in so many characters. */
export function tellSince({ edits, history, tallies, traces, changes }: Own, since: number, maxChars: number): Told {
  const edited: Array<Edited<Item>> = []
  const add = <T>(of: ReadonlyArray<Edited<T>>, item: (packed: T) => Item): void => {
    for (const one of of) edited.push({ edit: one.edit, pack: () => item(one.pack()) })
  }
  for (const [nth, tier] of history.tiers.entries()) add(tier.editedAfter(since), (bucket) => ['bucket', nth, bucket])
  add(history.deployments.editedAfter(since), (packed) => ['deployment', packed])
  for (const [nth, name] of TALLIES.entries()) add(tallies[name].editedAfter(since), (minute) => ['tally', nth, minute])
  add(traces.editedAfter(since), (trace) => ['job', packTrace(trace, false)])
  add(changes.editedAfter(since), (row) => ['change', row])
  edited.sort((a, b) => a.edit - b.edit)
  const items: string[] = []
  let upTo = since
  let left = maxChars
  for (const { edit, pack } of edited) {
    const text = JSON.stringify(pack())
    left -= text.length
    // One that alone is too large would be in the way for ever
    if (left < 0 && items.length > 0) return { upTo, more: true, items }
    if (text.length <= maxChars) items.push(text)
    upTo = edit
  }
  return { upTo: Math.max(upTo, edits.last), more: false, items }
}

const ROLES: readonly unknown[] = ['all', 'gateway', 'worker'] satisfies ReadonlyArray<NodeRow['role']>
const MAX_OUTS = 100
/** Half of the finest bucket. */
const SET_MS = 2_500

/** Null: of another form, as another version may tell them. */
export function vitalsOf(told: unknown): Vitals | null {
  if (!isRecord(told)) return null
  const { name, role, coordinates, startAtMs, skewMs, loopLagP99Ms, commitP99Ms, outs } = told
  const isNumber = (value: unknown): boolean => typeof value === 'number' && Number.isFinite(value)
  const isNumberOrNull = (value: unknown): boolean => value === null || isNumber(value)
  const isOut = (out: unknown): boolean => Array.isArray(out) && typeof out[0] === 'string' && isNumber(out[1])
  const isKnown =
    typeof name === 'string' &&
    ROLES.includes(role) &&
    typeof coordinates === 'boolean' &&
    [startAtMs, skewMs].every(isNumber) &&
    [loopLagP99Ms, commitP99Ms].every(isNumberOrNull) &&
    Array.isArray(outs) &&
    outs.every(isOut)
  return isKnown ? ({ ...told, outs: outs.slice(0, MAX_OUTS) } as unknown as Vitals) : null
}

function isChange(told: unknown): told is ChangeRow {
  if (!isRecord(told) || !Array.isArray(told['words'])) return false
  const { atMs, kind, by, words } = told
  const isText = (word: unknown): boolean => isRecord(word) && typeof word['text'] === 'string'
  return (
    typeof atMs === 'number' &&
    typeof kind === 'string' &&
    (by === null || typeof by === 'string') &&
    words.every(isText)
  )
}

export class Copy {
  vitals: Vitals | null = null
  /** Edits of its node up to this one are here. */
  upTo = 0
  /** All that it had when it was asked is here. */
  isWhole = false
  history: History | null = null
  readonly tallies: Tallies = emptyTallies()
  readonly jobs = new Map<string, PackedTrace>()
  /** Jobs that have changed since somebody looked. */
  readonly changed = new Set<string>()
  /** Of its buckets; null: none is here. */
  #shiftMs: number | null = null

  /**
   * `shiftMs`: what is to be added to its times. Buckets are shifted by whole ones, so they are told to half a bucket,
   * and by as many as at first: told anew they must come to the same place. Items of a form that is not known are left
   * out.
   */
  take(items: readonly unknown[], shiftMs: number, onChange: (row: ChangeRow, writtenAtMs: number) => void): void {
    this.history ??= new History(this.vitals?.startAtMs ?? 0)
    this.#shiftMs ??= shiftMs
    for (const item of items)
      try {
        this.#take(item as Item, this.history, shiftMs, onChange)
      } catch {} // of another version
  }

  /** Has one of the clocks been set since its buckets were taken? They are in other places then than those to come. */
  isOff(shiftMs: number): boolean {
    return this.#shiftMs !== null && Math.abs(shiftMs - this.#shiftMs) > SET_MS
  }

  #take(item: Item, history: History, shiftMs: number, onChange: (row: ChangeRow, writtenAtMs: number) => void): void {
    const there = (bucket: number, stepMs: number): number => bucket + Math.round(this.#shiftMs! / stepMs)
    switch (item[0]) {
      case 'bucket': {
        const tier = history.tiers[item[1]]
        const [bucket, ...sums] = item[2]
        return tier.put([there(bucket, tier.stepMs), ...sums])
      }
      case 'deployment': {
        const [name, ring, bucket, ttft, tpot, sums, lastError, lastErrorAtMs] = item[1]
        const at = there(bucket, STEPS_MS[ring])
        return history.deployments.put([name, ring, at, ttft, tpot, sums, lastError, lastErrorAtMs + shiftMs])
      }
      case 'tally': {
        const tally = this.tallies[TALLIES[item[1]]]
        const [step, counts] = item[2]
        return tally.put([there(step, tally.stepMs), counts])
      }
      case 'job':
        return this.#job(shifted(item[1], shiftMs))
      case 'change':
        if (isChange(item[1])) onChange({ ...item[1], atMs: item[1].atMs + shiftMs }, item[1].atMs)
        return
      default:
    }
  }

  /** Of a node that is gone: the attempts that it was at. */
  inherit({ jobs }: Copy): void {
    for (const trace of jobs.values()) if (trace.attempts.some(({ endedAtMs }) => endedAtMs === null)) this.#job(trace)
  }

  #job(trace: PackedTrace): void {
    // The one that was changed last is the last
    this.jobs.delete(trace.job)
    this.jobs.set(trace.job, trace)
    this.changed.add(trace.job)
    if (this.jobs.size > MAX_TRACES) this.jobs.delete(this.jobs.keys().next().value!)
  }
}
