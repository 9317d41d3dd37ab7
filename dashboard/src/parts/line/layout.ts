/**
 * Where each block of the line stands. Pure. A block is a job, its width its tokens, with one scale on both sides of
 * the gate, so that a job keeps its size as it passes.
 */
import type { Block, Line, LineRow } from '../../../../src/core/live.ts'

export interface Geometry {
  readonly width: number
  /** The gate's middle. */
  readonly gateX: number
  /** From the gate's middle to the first block. */
  readonly gap: number
  readonly rowHeight: number
  /** Of the first row's blocks. */
  readonly top: number
  readonly blockHeight: number
}

export interface Placed {
  readonly job: string
  readonly row: number
  readonly isRunning: boolean
  /** Position in its row, 0 next to the gate. */
  readonly at: number
  readonly x: number
  readonly y: number
  readonly width: number
  /** Of the width, in tokens that are read, and made. */
  readonly read: number
  readonly made: number
}

/** Air between blocks; and what keeps a small job in sight. */
const AIR = 3
const LEAST = 4

export const widthOf = ({ promptTokens, madeTokens, boundTokens }: Block, scale: number): number =>
  Math.max(LEAST, Math.max(boundTokens, promptTokens + madeTokens) * scale)

/** Rows in the order that is shown; what lies outside the canvas is left out. */
export function layout(rows: readonly LineRow[], scale: number, geometry: Geometry): readonly Placed[] {
  const { width, gateX, gap, rowHeight, top } = geometry
  const placed: Placed[] = []
  for (const [row, { waits, runs }] of rows.entries()) {
    const y = top + row * rowHeight
    let x = gateX - gap
    for (const [at, block] of waits.entries()) {
      const wide = widthOf(block, scale)
      x -= wide
      placed.push({ job: block.job, row, isRunning: false, at, x, y, width: wide, read: 0, made: 0 })
      x -= AIR
      if (x < 0) break
    }
    x = gateX + gap
    for (const [at, block] of runs.entries()) {
      const wide = widthOf(block, scale)
      if (x >= width) break
      const all = Math.max(1, block.boundTokens, block.promptTokens + block.madeTokens)
      placed.push({
        job: block.job,
        row,
        isRunning: true,
        at,
        x,
        y,
        width: wide,
        read: (block.promptTokens / all) * wide,
        made: (block.madeTokens / all) * wide,
      })
      x += wide + AIR
    }
  }
  return placed
}

/** Pixels a token, as a power of two. What runs decides: it is to be seen whole; what waits may fade out. */
export interface Scale {
  readonly perToken: number
  readonly atMs: number
}

/** The scale changes at most so often. */
const SCALE_MS = 10_000
/** Of the room that a doubled scale may take: so that it does not swing. */
const ROOMY = 0.85
/** Of a row where nothing runs yet, so many waiting jobs are to be seen. */
const SEEN = 6
const LARGEST = 0.5
const SMALLEST = 2 ** -16

export function scaleFor(rows: readonly LineRow[], geometry: Geometry, before: Scale | null, nowMs: number): Scale {
  const room = { run: geometry.width - geometry.gateX - geometry.gap, wait: geometry.gateX - geometry.gap }
  const fits = (perToken: number, share: number): boolean =>
    rows.every(({ runs, waits }) => {
      const widthOfAll = (blocks: readonly Block[]): number =>
        blocks.reduce((sum, block) => sum + widthOf(block, perToken) + AIR, 0)
      // More than fits even with the smallest blocks is cut at the edge, whatever the scale
      const most = runs.slice(0, Math.floor((room.run * share) / (LEAST + AIR)))
      return widthOfAll(most) <= room.run * share && widthOfAll(waits.slice(0, SEEN)) <= room.wait * share * 2.5
    })
  let { perToken, atMs } = before ?? { perToken: LARGEST, atMs: Number.NEGATIVE_INFINITY }
  if (before === null) {
    while (perToken > SMALLEST && !fits(perToken, 1)) perToken /= 2
    return { perToken, atMs: nowMs }
  }
  if (nowMs - atMs < SCALE_MS) return before
  if (!fits(perToken, 1) && perToken > SMALLEST) {
    perToken /= 2
    atMs = nowMs
  } else if (perToken < LARGEST && fits(perToken * 2, ROOMY)) {
    perToken *= 2
    atMs = nowMs
  }
  return perToken === before.perToken ? before : { perToken, atMs }
}

export interface Order {
  readonly names: readonly string[]
  readonly atMs: number
}

/** Rows stay where they are for ten seconds; until then, one that goes makes room for one that comes. */
const ORDER_MS = 10_000

export function orderOf(top: readonly LineRow[], before: Order | null, nowMs: number): Order {
  const told = top.map(({ name }) => name)
  if (before === null || nowMs - before.atMs >= ORDER_MS) {
    const isSame = before !== null && before.names.join('\n') === told.join('\n')
    return isSame ? { ...before, atMs: nowMs } : { names: told, atMs: nowMs }
  }
  const coming = told.filter((name) => !before.names.includes(name))
  if (coming.length === 0 && told.length === before.names.length) return before
  const names = before.names.flatMap((name) => {
    if (told.includes(name)) return [name]
    const next = coming.shift()
    return next === undefined ? [] : [next]
  })
  return { names: [...names, ...coming], atMs: before.atMs }
}

export const ordered = (top: readonly LineRow[], { names }: Order): readonly LineRow[] =>
  names.flatMap((name) => top.find((row) => row.name === name) ?? [])

/** All slots are taken, and somebody waits. */
export const isFull = ({ slots, full, running, waiting }: Line): boolean =>
  waiting.jobs > 0 && (full !== undefined || (slots !== null && running >= slots))
