/** A small history of each deployment: sixty buckets a range, made when it is first used. */
import type { DeploymentFigures } from '../../core/ports/observed.ts'
import type { UpstreamLimits } from '../../core/upstream-limits.ts'
import { type Edited, Edits, sparse, unpack } from './edits.ts'
import { cellOf, Marks, type PackedMarks, sumOfMarks } from './marks.ts'

/** Of what is shown as 15 min, 1 h, 6 h, 24 h, 7 d. */
export const STEPS_MS: readonly number[] = [15_000, 60_000, 360_000, 1_440_000, 10_080_000]
export const SPARK = 60
/** Beyond them, none is begun: half a MB each at most, of those that are used. Operators name them, not callers. */
export const MAX_DEPLOYMENTS = 256

interface Ring {
  readonly stepMs: number
  readonly held: Float64Array
  /** By slot. */
  readonly ttft: readonly Marks[]
  readonly tpot: readonly Marks[]
  /** Attempts that ended, those that failed, and nano-dollars: three a bucket. */
  readonly sums: Float64Array
  /** By slot. */
  readonly edited: Float64Array
}

interface Kept {
  readonly rings: readonly Ring[]
  lastError: string | null
  lastErrorAtMs: number
  /** As the last call that told of it ended; at this node alone. */
  quota: UpstreamLimits | null
  quotaAtMs: number
}

/** A bucket of one ring of a deployment. */
export type PackedDeployment = readonly [
  deployment: string,
  ring: number,
  bucket: number,
  ttft: PackedMarks,
  tpot: PackedMarks,
  sums: number[],
  lastError: string | null,
  lastErrorAtMs: number,
]

export interface DeploymentHistory {
  readonly ttftP95Ms: number | null
  readonly tpotP50Ms: number | null
  readonly ttftSpark: readonly (number | null)[]
  readonly tpotSpark: readonly (number | null)[]
  readonly attempts: number
  readonly failed: number
  readonly nanoUsd: number
}

/** Of the last minutes: how long first tokens and tokens took, and how many took longer than they may. */
export interface DeploymentLately {
  readonly ttftP95Ms: number | null
  readonly tpotP50Ms: number | null
  readonly tpotP95Ms: number | null
  /** Calls whose first token came later than the goal, by connecting and the provider alone. */
  readonly late: number
  /** Answers that took more than the goal a token. */
  readonly slow: number
}

/** The minutes before a moment, and the goals that they are held against. */
export interface Period {
  readonly nowMs: number
  readonly minutes: number
  readonly goals: { readonly ttftMs: number; readonly tpotMs: number }
}

const ring = (stepMs: number): Ring => ({
  stepMs,
  held: new Float64Array(SPARK).fill(-1),
  ttft: Array.from({ length: SPARK }, () => new Marks()),
  tpot: Array.from({ length: SPARK }, () => new Marks()),
  sums: new Float64Array(SPARK * 3),
  edited: new Float64Array(SPARK),
})

/** Of these, `lately` is made. */
const LATELY = 20

export class Deployments {
  readonly #rings = new Map<string, Kept>()
  readonly #edits: Edits

  constructor(edits = new Edits()) {
    this.#edits = edits
  }

  #of(deployment: string): Kept | null {
    const known = this.#rings.get(deployment)
    if (known !== undefined || this.#rings.size >= MAX_DEPLOYMENTS) return known ?? null
    const made: Kept = { rings: STEPS_MS.map(ring), lastError: null, lastErrorAtMs: 0, quota: null, quotaAtMs: 0 }
    this.#rings.set(deployment, made)
    return made
  }

  ttft(deployment: string, atMs: number, ms: number): void {
    this.#mark(deployment, atMs, 'ttft', ms)
  }

  tpot(deployment: string, atMs: number, ms: number): void {
    this.#mark(deployment, atMs, 'tpot', ms)
  }

  #mark(deployment: string, atMs: number, of: 'ttft' | 'tpot', ms: number): void {
    const cell = cellOf(ms)
    for (const each of this.#of(deployment)?.rings ?? []) each[of][this.#slotAt(each, atMs)].add(ms, cell)
  }

  ended(deployment: string, atMs: number, error: string | null, nanoUsd: number): void {
    const found = this.#of(deployment)
    if (found === null) return
    if (error !== null) {
      found.lastError = error
      found.lastErrorAtMs = atMs
    }
    for (const each of found.rings) {
      const at = this.#slotAt(each, atMs) * 3
      each.sums[at]++
      if (error !== null) each.sums[at + 1]++
      each.sums[at + 2] += nanoUsd
    }
  }

  /** What its provider's headers told. */
  quota(deployment: string, atMs: number, told: UpstreamLimits): void {
    const found = this.#of(deployment)
    if (found === null) return
    found.quota = told
    found.quotaAtMs = atMs
  }

  /** Of the last five minutes. */
  lately(deployment: string, nowMs: number): DeploymentFigures {
    const known = this.#rings.get(deployment)
    const { ttft, tpot, totals } = sumsOf(ringsOf([this], deployment, 0), 0, nowMs, LATELY)
    return {
      overMs: LATELY * STEPS_MS[0],
      ttftP50Ms: rounded(ttft.quantile(0.5)),
      ttftP95Ms: rounded(ttft.quantile(0.95)),
      tpotP50Ms: rounded(tpot.quantile(0.5)),
      tpotP95Ms: rounded(tpot.quantile(0.95)),
      attempts: totals[0],
      failed: totals[1],
      nanoDollars: totals[2],
      lastError: known?.lastError ?? null,
      recent: () => {
        const { ttftSpark, tpotSpark } = this.read(deployment, 0, nowMs)
        return { stepMs: STEPS_MS[0], ttftP95Ms: ttftSpark, tpotP50Ms: tpotSpark }
      },
      quota: known?.quota == null ? null : { ...known.quota, ageMs: Math.max(0, nowMs - known.quotaAtMs) },
    }
  }

  lastError(deployment: string): string | null {
    return lastErrorOf([this], deployment)
  }

  /** `range`: which of the five. */
  read(deployment: string, range: number, nowMs: number): DeploymentHistory {
    return readDeployment([this], deployment, range, nowMs)
  }

  over(deployment: string, period: Period): DeploymentLately {
    return latelyOfDeployment([this], deployment, period)
  }

  kept(deployment: string): Readonly<Kept> | null {
    return this.#rings.get(deployment) ?? null
  }

  /** Buckets that were changed after this edit. */
  editedAfter(edit: number): Array<Edited<PackedDeployment>> {
    const edited: Array<Edited<PackedDeployment>> = []
    for (const [deployment, kept] of this.#rings)
      for (const [nth, ring] of kept.rings.entries())
        for (let slot = 0; slot < SPARK; slot++)
          if (ring.edited[slot] > edit)
            edited.push({ edit: ring.edited[slot], pack: () => pack(deployment, kept, nth, slot) })
    return edited
  }

  /** In place of what is here of this bucket. */
  put([deployment, nth, bucket, ttft, tpot, sums, lastError, lastErrorAtMs]: PackedDeployment): void {
    const kept = Number.isSafeInteger(bucket) && bucket >= 0 ? this.#of(String(deployment)) : null
    const ring = kept?.rings[nth]
    if (kept === null || ring === undefined) return
    const slot = slotOf(ring, bucket)
    ring.ttft[slot].put(ttft)
    ring.tpot[slot].put(tpot)
    unpack(sums, ring.sums.subarray(slot * 3, (slot + 1) * 3))
    kept.lastError = lastError
    kept.lastErrorAtMs = lastErrorAtMs
  }

  #slotAt(ring: Ring, atMs: number): number {
    const slot = slotOf(ring, Math.floor(atMs / ring.stepMs))
    ring.edited[slot] = this.#edits.next()
    return slot
  }
}

/** The last one of all nodes. */
export const lastErrorOf = (nodes: readonly Deployments[], deployment: string): string | null =>
  nodes
    .flatMap((each) => each.kept(deployment) ?? [])
    .reduce<Readonly<Kept> | null>(
      (last, kept) => (kept.lastError !== null && kept.lastErrorAtMs >= (last?.lastErrorAtMs ?? 0) ? kept : last),
      null,
    )?.lastError ?? null

/** Over all nodes. `range`: which of the five. */
export function readDeployment(
  nodes: readonly Deployments[],
  deployment: string,
  range: number,
  nowMs: number,
): DeploymentHistory {
  const rings = ringsOf(nodes, deployment, range)
  const { ttft, tpot, totals } = sumsOf(rings, range, nowMs, SPARK)
  const sparks: Record<'ttft' | 'tpot', Array<number | null>> = { ttft: [], tpot: [] }
  const last = Math.floor(nowMs / STEPS_MS[range])
  for (let bucket = last - SPARK + 1; bucket <= last; bucket++) {
    const slot = bucket % SPARK
    for (const kind of ['ttft', 'tpot'] as const) {
      const here = sumOfMarks(rings.filter(({ held }) => held[slot] === bucket).map((ring) => ring[kind][slot]))
      sparks[kind].push(rounded(here.quantile(kind === 'ttft' ? 0.95 : 0.5)))
    }
  }
  return {
    ttftP95Ms: rounded(ttft.quantile(0.95)),
    tpotP50Ms: rounded(tpot.quantile(0.5)),
    ttftSpark: sparks.ttft,
    tpotSpark: sparks.tpot,
    attempts: totals[0],
    failed: totals[1],
    nanoUsd: totals[2],
  }
}

/** Over all nodes. */
export function latelyOfDeployment(
  nodes: readonly Deployments[],
  deployment: string,
  { nowMs, minutes, goals }: Period,
): DeploymentLately {
  const buckets = Math.ceil((minutes * 60_000) / STEPS_MS[0]) + 1
  const { ttft, tpot } = sumsOf(ringsOf(nodes, deployment, 0), 0, nowMs, buckets)
  return {
    ttftP95Ms: rounded(ttft.quantile(0.95)),
    tpotP50Ms: rounded(tpot.quantile(0.5)),
    tpotP95Ms: rounded(tpot.quantile(0.95)),
    late: ttft.above(goals.ttftMs),
    slow: tpot.above(goals.tpotMs),
  }
}

const ringsOf = (nodes: readonly Deployments[], deployment: string, range: number): readonly Ring[] =>
  nodes.flatMap((each) => each.kept(deployment)?.rings[range] ?? [])

/** Of the newest buckets. */
function sumsOf(rings: readonly Ring[], range: number, nowMs: number, buckets: number) {
  const sums = { ttft: new Marks(), tpot: new Marks(), totals: [0, 0, 0] }
  const last = Math.floor(nowMs / STEPS_MS[range])
  for (let bucket = last - buckets + 1; bucket <= last; bucket++) {
    const slot = bucket % SPARK
    for (const ring of rings) {
      if (ring.held[slot] !== bucket) continue
      for (const kind of ['ttft', 'tpot'] as const) sums[kind].addAll(ring[kind][slot])
      for (let i = 0; i < 3; i++) sums.totals[i] += ring.sums[slot * 3 + i]
    }
  }
  return sums
}

function pack(deployment: string, { rings, lastError, lastErrorAtMs }: Kept, nth: number, slot: number) {
  const { held, ttft, tpot, sums } = rings[nth]
  return [
    deployment,
    nth,
    held[slot],
    ttft[slot].pack(),
    tpot[slot].pack(),
    sparse(sums.subarray(slot * 3, (slot + 1) * 3)),
    lastError,
    lastErrorAtMs,
  ] as const
}

function slotOf({ held, ttft, tpot, sums }: Ring, bucket: number): number {
  const slot = bucket % SPARK
  if (held[slot] === bucket) return slot
  held[slot] = bucket
  ttft[slot].clear()
  tpot[slot].clear()
  sums.fill(0, slot * 3, (slot + 1) * 3)
  return slot
}

/** To a tenth of a millisecond: it is drawn. */
export const rounded = (ms: number | null): number | null => (ms === null ? null : Math.round(ms * 10) / 10)
